package cancel

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"example.com/ess/lifecycle"
)

// An Op is the name of an operation of a [Canceller], as an [Authorizer] and [Hooks]
// are told it.
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

// An Order says for which request an operation is asked, by whom and why.
type Order struct {
	// ID is the request.
	ID lifecycle.ID `json:"id"`
	// Attempt is the attempt for which a worker asks (see
	// [lifecycle.Request.Attempt]). If another attempt is stored, the operation
	// changes nothing and returns an error matching [ErrSuperseded]. With zero, and
	// in a store that keeps no attempts, the operation is for whichever attempt is
	// stored. Only Transition, Acknowledge and CheckIn look at Attempt.
	Attempt int `json:"attempt,omitzero"`
	// Actor is who asks. The Authorizer gets it as it is. The store, the hooks and
	// the Interrupter get at most [MaxActor] bytes of it, cleaned as said there.
	Actor string `json:"actor,omitzero"`
	// Reason is why. The store, the hooks and the Interrupter get at most
	// [MaxReason] bytes of it, cleaned as said there.
	Reason string `json:"reason,omitzero"`
	// Receipt, if not nil, is called once for every request that the operation
	// touches, on the goroutine of the operation, as soon as the operation has
	// finished with the request: for children before their parents. A panic in
	// Receipt cuts the operation off and reaches the caller; Resume completes what
	// was begun.
	Receipt func(Receipt) `json:"-"`
}

// MaxActor and MaxReason are how much of [Order.Actor] and [Order.Reason] is kept, in
// bytes of UTF-8 (decision).
//
// These texts come from outside, are copied to every request of a tree, and have to fit
// every database. So this package cleans them once, before anything is written. A byte
// that is not valid UTF-8 becomes U+FFFD; a control character, such as NUL or the end of
// a line, becomes a space; a text that is too long is cut, and then ends with "…". No
// operation is refused because of these texts.
const (
	MaxActor  = 255
	MaxReason = 1000
)

// cleanText returns s cleaned, in at most that many bytes.
func cleanText(s string, most int) string {
	if len(s) <= most && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl) {
		return s
	}
	const more = "…"
	var b strings.Builder
	cut := 0 // length of the prefix of b that leaves room for more
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
