package errors

import (
	"errors"
	"fmt"
	"iter"
)

// A Code is a kind of failure. It is an error itself, so that errors.Is(err,
// esserrors.CodeNotFound) works for any err that has the code.
//
// The zero Code means that there is none: no failure, or one that this module
// did not decide (see [Stopped]).
//
// A Code encodes as the text that String returns, the zero Code as the empty
// text. These texts do not change.
type Code uint8

const (
	_ Code = iota // an unset field must not look like a code

	// CodeUnsupportedState means that the request is in a state, or of a kind,
	// that the operation does not accept. Status 400 (specification).
	CodeUnsupportedState

	// CodeNotAuthorized means that the caller may not do this to the request,
	// or that the Authorizer failed. Status 403 (specification).
	CodeNotAuthorized

	// CodeNotFound means that there is no request of that id. Status 404
	// (specification).
	CodeNotFound

	// CodeConflict means that other writers kept changing the request, or that
	// a stated precondition does not hold yet. Trying again can help. Status 409
	// (specification; when it is raised is a decision of this module).
	CodeConflict

	// CodeSystem means that the store failed, or that its answer cannot be
	// right. Status 500 (specification).
	CodeSystem

	numCodes
)

var codeTexts = [numCodes]string{
	CodeUnsupportedState: "unsupported state",
	CodeNotAuthorized:    "not authorized",
	CodeNotFound:         "request not found",
	CodeConflict:         "conflict",
	CodeSystem:           "scheduling sub-system error",
}

// Codes returns all codes in the order of their declaration.
func Codes() iter.Seq[Code] {
	return func(yield func(Code) bool) {
		for c := Code(1); c < numCodes; c++ {
			if !yield(c) {
				return
			}
		}
	}
}

// Valid reports whether c is one of the declared codes.
func (c Code) Valid() bool { return c > 0 && c < numCodes }

// Error returns the same text as String. It makes a Code an error.
func (c Code) Error() string { return c.String() }

// String returns a short text, such as "conflict", or "Code(n)" if c is not
// valid.
func (c Code) String() string {
	if !c.Valid() {
		return fmt.Sprintf("Code(%d)", uint8(c))
	}
	return codeTexts[c]
}

// AppendText implements [encoding.TextAppender]. It appends nothing for the zero
// Code, and fails for one that is not declared.
func (c Code) AppendText(b []byte) ([]byte, error) {
	if c >= numCodes {
		return b, fmt.Errorf("errors: cannot encode Code(%d)", uint8(c))
	}
	return append(b, codeTexts[c]...), nil
}

// MarshalText implements [encoding.TextMarshaler] with what AppendText appends.
func (c Code) MarshalText() ([]byte, error) { return c.AppendText(nil) }

// UnmarshalText implements [encoding.TextUnmarshaler]. It accepts exactly the
// texts that MarshalText returns. After an error c is what it was before.
func (c *Code) UnmarshalText(text []byte) error {
	for code, known := range codeTexts {
		if string(text) == known {
			*c = Code(code)
			return nil
		}
	}
	return fmt.Errorf("errors: unknown code %q", text)
}

// CodeOf returns the code of err: 0 if err is nil, the code that err has or is,
// and [CodeSystem] for every other error. An error of a context, or one that
// [Stopped] returned, is such another error.
//
// If err wraps several errors of this package, the first [*Error] in the order
// of the standard library's errors.As decides, or the first code if that one has
// none. The codes of causes do not count.
func CodeOf(err error) Code {
	if err == nil {
		return 0
	}
	return decided(err).Code
}

// decided returns the Error that says what err is: the first one in its tree, if
// that has a code, and otherwise one that has nothing but a code.
func decided(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok && e != nil && e.Code.Valid() {
		return e
	}
	if c, ok := errors.AsType[Code](err); ok && c.Valid() {
		return &Error{Code: c}
	}
	return &Error{Code: CodeSystem}
}
