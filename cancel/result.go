package cancel

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"example.com/ess/lifecycle"
)

// A Disposition says what a call did to one request. It speaks of this call alone: what
// others have done to the request since, [Receipt.To] may say.
//
// The zero Disposition means that the operation never reached the request.
type Disposition uint8

const (
	_ Disposition = iota // nothing is known to have been done

	// DispositionCancelled means that this call made the request CANCELLED. If it is
	// a parent, this call made it CANCELLING before.
	DispositionCancelled

	// DispositionCancelling means that this call made the request CANCELLING and
	// did not end it: its own work had yet to acknowledge or a child of it had yet
	// to end, or somebody else has ended it since.
	DispositionCancelling

	// DispositionAlreadyCancelling means that the request was CANCELLING when this
	// call came to it, and was left so. Its work has been interrupted again.
	DispositionAlreadyCancelling

	// DispositionSettled means that this call ended a request that was CANCELLING,
	// as To says, and is not Cancelled.
	DispositionSettled

	// DispositionRecorded means that this call kept the answer of the request's own
	// work and did not end the request: a child has yet to end, somebody else has
	// ended it, or others kept this call from it, which the error says.
	DispositionRecorded

	// DispositionEnded means that the request has ended, as To says, and that this
	// call is not known to have had a part in it.
	DispositionEnded

	// DispositionConflict means that others kept changing the request and this
	// call gave up. It changed nothing, or, if From is not To, made a parent
	// CANCELLING and could not settle it.
	DispositionConflict

	// DispositionFailed means that the store failed on the request, or on what is
	// below it. What became of these is not known.
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

// String returns a short text, such as "already cancelling". That of the zero
// Disposition is "none".
func (d Disposition) String() string {
	if d >= numDispositions {
		return fmt.Sprintf("Disposition(%d)", uint8(d))
	}
	return dispositionNames[d]
}

// MarshalText implements [encoding.TextMarshaler] with the text of String.
func (d Disposition) MarshalText() ([]byte, error) {
	if d >= numDispositions {
		return nil, fmt.Errorf("cancel: %v is not a disposition", d)
	}
	return []byte(d.String()), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler]. It takes exactly the texts that
// String returns.
func (d *Disposition) UnmarshalText(text []byte) error {
	i := slices.Index(dispositionNames[:], string(text))
	if i < 0 {
		return fmt.Errorf("cancel: %q is not a disposition", text)
	}
	*d = Disposition(i)
	return nil
}

// A Receipt says what a call did to one request. It is given when the call has
// finished with the request.
//
// Receipt, Counts and Result encode themselves to JSON and back. An error is then an
// [*esserrors.Error] whose cause is a text.
type Receipt struct {
	ID          lifecycle.ID
	Parent      lifecycle.ID
	Kind        lifecycle.Kind
	Disposition Disposition
	// From is the state in which the call found the request.
	From lifecycle.State
	// To is the state that the call wrote, or in which it last found the request. It
	// is 0 if that is not known, as when the request has been deleted since.
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
	// [Canceller.Resume], which is about all, and where the call never reached
	// the request.
	Root Receipt
	// Counts has every request that the call is known to have touched once: Root,
	// what is below it, and the ancestors that were settled. Where the store
	// failed, more may have been touched.
	Counts Counts
	// Interrupted is how many requests the [Interrupter] has been told of.
	Interrupted int
	// InterruptErr is what the Interrupter returned where it failed. The cancel
	// stands all the same; cancelling again, or Resume, tells it again.
	InterruptErr error
}
