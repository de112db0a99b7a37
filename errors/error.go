package errors

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// An Error says which operation on which request failed, and why.
//
// The constructors of this package make the errors of this module; each demands
// what identifies its case.
type Error struct {
	// Code is the kind of failure.
	Code Code
	// Op is the operation, in the imperative: "cancel", "force", "start".
	Op string
	// ID is the request, or 0 if none is known.
	ID int64
	// Kind is the name of the request's kind, if that is part of the reason.
	Kind string
	// State is the name of the state that is the reason: the one in which the
	// request was found, or the one in which it was asked to end.
	State string
	// Wait is how long to wait before the same call can succeed, or 0 if
	// that is not known. [RetryAfter] asks for it.
	Wait time.Duration
	// Detail is one sentence that anyone may read. It becomes the detail of
	// the problem document.
	Detail string
	// Err is the cause, for logs only. It may be nil.
	Err error
}

// Error returns a text for logs. It may contain the cause: send clients the
// document that [ProblemOf] makes.
func (e *Error) Error() string {
	if e == nil {
		return "<nil>"
	}
	var b strings.Builder
	b.WriteString(e.Op)
	if e.ID != 0 {
		if e.Op != "" {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "request %d", e.ID)
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	b.WriteString(e.Code.String())
	if e.Detail != "" {
		b.WriteString(": ")
		b.WriteString(strings.TrimSuffix(e.Detail, ".")) // more may follow
	}
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error {
	if e == nil { // a nil *Error in an error is a mistake, but no reason to panic
		return nil
	}
	return e.Err
}

// Is reports whether target is the code of e.
func (e *Error) Is(target error) bool {
	c, ok := target.(Code)
	return ok && e != nil && c == e.Code
}

// UnsupportedState returns the error of an operation that a request of this
// kind and state does not accept. It has [CodeUnsupportedState].
func UnsupportedState(op string, id int64, kind, state string) error {
	return &Error{
		Code: CodeUnsupportedState, Op: op, ID: id, Kind: kind, State: state,
		Detail: fmt.Sprintf("Operation %q is not supported for a %s request in state %s.", op, kind, state),
	}
}

// UnsupportedOutcome returns the error of an answer that is none of the states
// in which the operation can end a request. It has [CodeUnsupportedState].
func UnsupportedOutcome(op string, id int64, outcome string) error {
	return &Error{
		Code: CodeUnsupportedState, Op: op, ID: id, State: outcome,
		Detail: fmt.Sprintf("Operation %q cannot end a request in state %s.", op, outcome),
	}
}

// NotAuthorized returns the error of a caller who may not do op to request id.
// The cause, which may be nil, is what the authorizer said. It has
// [CodeNotAuthorized].
func NotAuthorized(op string, id int64, cause error) error {
	return &Error{
		Code: CodeNotAuthorized, Op: op, ID: id, Err: cause,
		Detail: fmt.Sprintf("Not authorized to %s request %d.", op, id),
	}
}

// NotFound returns the error of an id that no request has. The cause may be
// nil. It has [CodeNotFound].
func NotFound(op string, id int64, cause error) error {
	return &Error{
		Code: CodeNotFound, Op: op, ID: id, Err: cause,
		Detail: fmt.Sprintf("There is no request %d.", id),
	}
}

// Conflict returns the error of an operation that others prevented this time.
// The detail is public and says what stood in the way; the cause may be nil. It
// has [CodeConflict].
func Conflict(op string, id int64, detail string, cause error) error {
	return &Error{Code: CodeConflict, Op: op, ID: id, Detail: detail, Err: cause}
}

// TooEarly returns the error of an operation that becomes possible once wait
// has passed. It has [CodeConflict], and [RetryAfter] reports wait.
func TooEarly(op string, id int64, wait time.Duration) error {
	return &Error{
		Code: CodeConflict, Op: op, ID: id, Wait: wait,
		Detail: fmt.Sprintf("Operation %q on request %d is possible in %v.", op, id, readable(wait)),
	}
}

// readable rounds a wait up to whole seconds, if it is that long.
func readable(wait time.Duration) time.Duration {
	if wait <= time.Second {
		return wait
	}
	return (wait + time.Second - 1).Truncate(time.Second)
}

// System returns the error of a store that failed, or gave a senseless answer.
// The cause is for logs only. It has [CodeSystem].
func System(op string, id int64, cause error) error {
	return &Error{
		Code: CodeSystem, Op: op, ID: id, Err: cause,
		Detail: fmt.Sprintf("The scheduling sub-system failed to %s request %d.", op, id),
	}
}

// RetryAfter returns how long to wait before the call that failed with err can
// succeed. It reports false if err does not say: it asks the first [*Error] in
// err's tree, not the causes behind it.
func RetryAfter(err error) (time.Duration, bool) {
	if e, ok := errors.AsType[*Error](err); ok && e != nil && e.Wait > 0 {
		return e.Wait, true
	}
	return 0, false
}
