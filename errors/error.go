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
//
// The Code is what this module decided. The cause is what somebody else
// reported: it matches errors.Is, errors.As and errors.AsType as if it were
// wrapped, so that context.Canceled or an error of a database is found. A Code
// or another Error inside the cause does not match, because it belongs to
// another decision. That is why an Error has no Unwrap method; its cause is in
// the field Err.
type Error struct {
	// Code is the kind of failure. It is 0 if the caller's own context ended:
	// see [Stopped].
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
	// that is not known. [RetryAfter] returns it.
	Wait time.Duration
	// Detail is one sentence that anyone may read. It becomes the detail of
	// the problem document.
	Detail string
	// Err is the cause, for the operator only. It may be nil.
	Err error
}

// Error returns a text for logs. It may contain the cause: send clients the
// document that [ProblemOf] makes.
func (e *Error) Error() string {
	if e == nil {
		return "<nil>"
	}
	var parts []string
	switch {
	case e.Op != "" && e.ID != 0:
		parts = append(parts, fmt.Sprintf("%s request %d", e.Op, e.ID))
	case e.ID != 0:
		parts = append(parts, fmt.Sprintf("request %d", e.ID))
	case e.Op != "":
		parts = append(parts, e.Op)
	}
	switch {
	case e.Code != 0:
		parts = append(parts, e.Code.String())
	case e.Err == nil:
		parts = append(parts, "stopped")
	}
	if e.Detail != "" {
		parts = append(parts, strings.TrimSuffix(e.Detail, ".")) // more may follow
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	return strings.Join(parts, ": ")
}

// Is reports whether target is the code of e or, if target is neither a [Code]
// nor an [*Error], whether the cause matches it.
func (e *Error) Is(target error) bool {
	if e == nil { // a nil *Error in an error is a mistake, but no reason to panic
		return false
	}
	switch target := target.(type) {
	case Code:
		return target == e.Code && target.Valid()
	case *Error, nil:
		return false // errors.Is has found e itself
	default:
		return errors.Is(e.Err, target)
	}
}

// As sets a target of type *[Code] to the code of e and reports whether there is
// one. It never sets a target of type **[Error]. For every other target it does what
// the standard library's errors.As does with the cause.
func (e *Error) As(target any) bool {
	if e == nil {
		return false
	}
	switch target := target.(type) {
	case *Code:
		if e.Code.Valid() {
			*target = e.Code
		}
		return e.Code.Valid()
	case **Error:
		return false // errors.As has found e itself
	default:
		return errors.As(e.Err, target)
	}
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
// The detail is one sentence that anyone may read and says what stood in the
// way; the cause may be nil. It has [CodeConflict].
func Conflict(op string, id int64, detail string, cause error) error {
	return &Error{Code: CodeConflict, Op: op, ID: id, Detail: detail, Err: cause}
}

// TooEarly returns the error of an operation that becomes possible once wait
// has passed. It has [CodeConflict], and [RetryAfter] returns wait.
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

// System returns the error of a store that failed, or whose answer cannot be
// right. An id of 0 stands for no request. The cause is for the operator only. It has
// [CodeSystem].
func System(op string, id int64, cause error) error {
	detail := fmt.Sprintf("The scheduling sub-system failed to %s request %d.", op, id)
	if id == 0 {
		detail = fmt.Sprintf("The scheduling sub-system failed to %s.", op)
	}
	return &Error{Code: CodeSystem, Op: op, ID: id, Err: cause, Detail: detail}
}

// Stopped returns the error of an operation whose caller has stopped: the
// caller's own context ended. The cause is the context's error, or wraps it. The
// error has no code, since this module decided nothing: errors.Is finds the
// cause, for example context.Canceled, and no code. [CodeOf] and [ProblemOf]
// treat it as every error that is not of this package, with [CodeSystem].
func Stopped(op string, id int64, cause error) error {
	return &Error{Op: op, ID: id, Err: cause}
}

// RetryAfter returns how long to wait before the call that failed with err can
// succeed. It reports false if that is not known. The [*Error] that decides
// [CodeOf] decides this too.
func RetryAfter(err error) (time.Duration, bool) {
	if err == nil {
		return 0, false
	}
	wait := decided(err).Wait
	return max(wait, 0), wait > 0
}
