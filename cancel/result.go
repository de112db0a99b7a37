package cancel

import (
	"fmt"
	"iter"
	"strings"

	"example.com/ess/lifecycle"
)

// A Disposition says what an operation did to one request.
//
// The zero Disposition means that it did not get as far.
type Disposition uint8

const (
	_ Disposition = iota // nothing is known to have been done

	// DispositionCancelled means that this call made the request CANCELLED.
	DispositionCancelled

	// DispositionCancelling means that this call made the request CANCELLING, and
	// that its own work has yet to acknowledge or a child of it has yet to end.
	DispositionCancelling

	// DispositionAlreadyCancelling means that the request was CANCELLING before,
	// and still is. Its work has been interrupted again.
	DispositionAlreadyCancelling

	// DispositionSettled means that the request was CANCELLING before or has
	// answered meanwhile, and that this call ended it, as To says.
	DispositionSettled

	// DispositionRecorded means that this call kept the answer of the request's
	// own work, but a child has yet to end, or others kept this call from ending
	// the request, which the error says.
	DispositionRecorded

	// DispositionEnded means that the request ended before this call could do
	// anything to it, as To says.
	DispositionEnded

	// DispositionConflict means that others kept changing the request and this
	// call gave up. It changed nothing, or, if From is not To, made a parent
	// CANCELLING and could not settle it.
	DispositionConflict

	// DispositionFailed means that the store failed on the request. What became
	// of it is not known.
	DispositionFailed

	numDispositions
)

var dispositionNames = [numDispositions]string{
	"none", "cancelled", "cancelling", "already cancelling", "settled", "recorded", "ended", "conflict", "failed",
}

// Dispositions returns all dispositions in the order of their declaration.
func Dispositions() iter.Seq[Disposition] {
	return func(yield func(Disposition) bool) {
		for d := Disposition(1); d < numDispositions; d++ {
			if !yield(d) {
				return
			}
		}
	}
}

// String returns a short text, such as "already cancelling".
func (d Disposition) String() string {
	if d >= numDispositions {
		return fmt.Sprintf("Disposition(%d)", uint8(d))
	}
	return dispositionNames[d]
}

// A Receipt says what a call did to one request. It is given when the call has
// finished with the request.
type Receipt struct {
	ID          lifecycle.ID
	Parent      lifecycle.ID
	Kind        lifecycle.Kind
	Disposition Disposition
	// From is the state in which the call found the request.
	From lifecycle.State
	// To is the state that the call wrote, or found in the end if it wrote
	// none. It is 0 if that is not known.
	To lifecycle.State
	// Err is why, for a conflict or failure.
	Err error
}

// String returns a line such as "7 RUNNING -> CANCELLING: cancelling".
func (r Receipt) String() string {
	to := "?"
	if r.To.Valid() {
		to = r.To.String()
	}
	s := fmt.Sprintf("%d %v -> %s: %v", r.ID, r.From, to, r.Disposition)
	if r.Err != nil {
		s += ": " + r.Err.Error()
	}
	return s
}

// Counts is how many requests there are of each [Disposition], which is its
// index.
type Counts [numDispositions]int

// Total returns how many requests there are in all.
func (c Counts) Total() int {
	n := 0
	for _, v := range c {
		n += v
	}
	return n
}

// String returns a text such as "2 cancelled, 1 cancelling".
func (c Counts) String() string {
	var parts []string
	for d, n := range c {
		if n != 0 {
			parts = append(parts, fmt.Sprintf("%d %v", n, Disposition(d)))
		}
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// A Result says what an operation did.
type Result struct {
	// Root is what became of the request that the call was about. It is zero for
	// [Canceller.Resume], which is about all.
	Root Receipt
	// Counts has every request that the call touched once: Root, what is below
	// it, and the ancestors that were settled.
	Counts Counts
	// Interrupted is how many requests the [Interrupter] has been told of.
	Interrupted int
	// InterruptErr is what the Interrupter returned where it failed. The cancel
	// stands all the same; cancelling again, or Resume, tells it again.
	InterruptErr error
}
