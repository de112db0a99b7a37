package cancel

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"example.com/ess/lifecycle"
)

// An Op names an operation of a [Canceller], for an [Authorizer] and for [Hooks].
type Op string

// The operations.
const (
	OpCancel      Op = "cancel" // Cancel, CancelAll, Fence and ExecutePlan
	OpAcknowledge Op = "acknowledge"
	OpCheckIn     Op = "check in"
	OpForce       Op = "force"
	OpResume      Op = "resume"
	OpTransition  Op = "transition"
)

// An Order is what is to be done to which request, on whose behalf.
type Order struct {
	// ID is the request.
	ID lifecycle.ID `json:"id"`
	// Attempt is the attempt that speaks, where the work of a request does: see
	// [lifecycle.Request.Attempt]. If the store has another one, the operation
	// changes nothing and returns an error matching [ErrSuperseded]. Zero means
	// that any attempt is meant. Only Transition, Acknowledge and CheckIn look
	// at it.
	Attempt int `json:"attempt,omitzero"`
	// Actor is who asks. The Authorizer judges it as it is given; the store and
	// the hooks are given at most [MaxActor] bytes of it, cleaned as said there.
	Actor string `json:"actor,omitzero"`
	// Reason is why. The store and the hooks are given at most [MaxReason] bytes of
	// it, cleaned as said there.
	Reason string `json:"reason,omitzero"`
	// Receipt, if not nil, is called once for every request that the operation
	// touches, on the goroutine of the operation, as soon as it has finished
	// with the request: children before their parents. A panic in it passes
	// through and cuts the operation off; Resume goes on.
	Receipt func(Receipt) `json:"-"`
}

// How much of [Order.Actor] and [Order.Reason] is kept, in bytes of UTF-8 (decision).
//
// What comes from outside is copied to every request of a tree and has to be taken by
// every database, so this package cleans it once: bytes that are not valid UTF-8
// become U+FFFD, control characters such as NUL and line ends become spaces, and
// what is too long is cut off and ends with "…". A cancel is never refused because
// of these texts.
const (
	MaxActor  = 255
	MaxReason = 1000
)

// cleanText returns s as it is kept, in at most so many bytes.
func cleanText(s string, most int) string {
	if len(s) <= most && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl) {
		return s
	}
	const more = "…"
	var b strings.Builder
	cut := 0 // as much of b as leaves room for more
	for _, r := range s {
		if unicode.IsControl(r) {
			r = ' '
		}
		if b.Len()+utf8.RuneLen(r) > most {
			return b.String()[:cut] + more
		}
		b.WriteRune(r)
		if b.Len()+len(more) <= most {
			cut = b.Len()
		}
	}
	return b.String()
}
