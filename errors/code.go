package errors

import (
	"errors"
	"fmt"
	"iter"
)

// A Code is a kind of failure. It is an error itself, so that errors.Is(err,
// esserrors.CodeNotFound) works for any err that has the code.
//
// The zero Code means that there is no failure.
type Code uint8

const (
	_ Code = iota // an unset field must not look like a code

	// CodeUnsupportedState means that the request is in a state, or of a kind,
	// that the operation does not accept. Status 400 (specification).
	CodeUnsupportedState

	// CodeNotAuthorized means that the caller may not do this to the request,
	// or that nobody could tell. Status 403 (specification).
	CodeNotAuthorized

	// CodeNotFound means that there is no request of that id. Status 404
	// (specification).
	CodeNotFound

	// CodeConflict means that other writers kept changing the request, or that
	// a stated precondition does not hold yet. Trying again can help. Status 409
	// (specification; when it is raised is a decision of this module).
	CodeConflict

	// CodeSystem means that the store failed or gave a senseless answer.
	// Status 500 (specification).
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

// String returns a short text, such as "conflict".
func (c Code) String() string {
	if !c.Valid() {
		return fmt.Sprintf("Code(%d)", uint8(c))
	}
	return codeTexts[c]
}

// CodeOf returns the code of err: 0 if err is nil, the code that err has or is,
// and [CodeSystem] for every other error, a context's error included.
//
// If err wraps several errors that have a code, the first [*Error] in the order
// of the standard library's errors.As decides.
func CodeOf(err error) Code {
	if err == nil {
		return 0
	}
	if e, ok := errors.AsType[*Error](err); ok && e != nil && e.Code.Valid() {
		return e.Code
	}
	// A bare code, an Error without a code around one that has it, or somebody
	// else's type with an Is method: whatever errors.Is says, CodeOf says too.
	for c := range Codes() {
		if errors.Is(err, c) {
			return c
		}
	}
	return CodeSystem
}
