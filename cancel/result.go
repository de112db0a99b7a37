package cancel

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"example.com/ess/lifecycle"
)

// A Disposition says what a call did to one request. It is about this call alone: the
// request may have been changed by others since.
//
// The zero Disposition means that nothing is known to have been done. It is that of
// [Result.Root] if the operation never reached the request, refused it, or failed on it.
type Disposition uint8

const (
	_ Disposition = iota

	// DispositionCancelled means that this call made the request CANCELLED. If the
	// request is a parent, this call had made it CANCELLING before.
	DispositionCancelled

	// DispositionCancelling means that this call made the request CANCELLING and did
	// not end it: its work had yet to acknowledge, a child of it had yet to end, or
	// somebody else has ended it since.
	DispositionCancelling

	// DispositionAlreadyCancelling means that this call found the request CANCELLING
	// and left it so. If its work has not acknowledged, it was interrupted again.
	DispositionAlreadyCancelling

	// DispositionSettled means that this call ended the request, in the state that
	// To says, and that DispositionCancelled does not apply: the call had found the
	// request CANCELLING, or the request ended in another state than CANCELLED.
	DispositionSettled

	// DispositionRecorded means that this call recorded how the request's own work
	// has ended, and did not end the request: a child has yet to end, somebody else
	// has ended it, or others kept this call from it, which the error of the call
	// says.
	DispositionRecorded

	// DispositionEnded means that the request has ended, as To says if that is known,
	// and that this call is not known to have had a part in it.
	DispositionEnded

	// DispositionConflict means that others kept changing the request, or that it
	// was not as planned, and this call gave up. The call left the request as From
	// says or, if From is not To, made a parent CANCELLING and could not settle it.
	DispositionConflict

	// DispositionFailed means that the store failed on the request, or on what is
	// below it, or cannot read it. What became of these is not known.
	DispositionFailed

	numDispositions
)

var dispositionNames = [numDispositions]string{
	"none", "cancelled", "cancelling", "already cancelling", "settled", "recorded", "ended", "conflict", "failed",
}

// Dispositions returns all dispositions but the zero one, in the order of their
// declaration.
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
// Receipt, Counts and Result encode to JSON and back. An error comes back as an
// [*esserrors.Error] whose cause is only a text.
type Receipt struct {
	ID          lifecycle.ID
	Parent      lifecycle.ID
	Kind        lifecycle.Kind
	Disposition Disposition
	// From is the state in which the call found the request.
	From lifecycle.State
	// To is the state that the call wrote, or in which it last found the request. It
	// is 0 if that is not known, for example because the request is gone.
	To lifecycle.State
	// Err says why, for DispositionConflict and DispositionFailed, and is nil for all
	// others.
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

// Counts says how many requests there are of each [Disposition], which is the index.
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
	// Root is the Receipt of the request of the [Order]. It is zero for
	// [Canceller.Resume], which has no Order. It is also zero if the call did not get
	// as far as a Receipt: the error then is about that request. (CancelAll sets
	// Root.ID even then.)
	Root Receipt
	// Counts counts once every request that the call is known to have touched: Root,
	// what is below it, and the ancestors that were settled. If the store failed,
	// the call may have touched more.
	Counts Counts
	// Interrupted is how many requests the [Interrupter] was told of without an
	// error.
	Interrupted int
	// InterruptErr is the first error of the Interrupter. The cancel stands all the
	// same; cancelling again, or Resume, tells the work again.
	InterruptErr error
}
