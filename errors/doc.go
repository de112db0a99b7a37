// Package errors names the ways in which an operation on a scheduler's request
// fails, and describes each to a client.
//
// Import it as esserrors beside the standard library's package; the two share
// no name:
//
//	import (
//		"errors"
//
//		esserrors "example.com/ess/errors"
//	)
//
// # Asking
//
// Every failure has a [Code], unless it is the caller's own context that ended
// ([Stopped]). A Code is itself an error, so the standard library answers the usual
// question:
//
//	if errors.Is(err, esserrors.CodeConflict) {
//		return "somebody else was at it: try again"
//	}
//
// [CodeOf] gives the code of any error, [RetryAfter] says how long to wait where
// waiting helps, and errors.AsType[*esserrors.Error] gives every field.
//
// A code is what this module decided. If a store or an authorizer fails, its
// error becomes the cause of an [Error]. Whatever else the cause wraps matches
// errors.Is and errors.As, but a code inside it does not.
//
// # Two audiences
//
// [Error.Error] and [Error.MarshalJSON] are for the operator and include the
// cause. [ProblemOf] is for clients: it builds the problem document of the
// specification from the code and the public detail alone and never shows a
// cause.
//
// # Codes and numbers
//
// The HTTP status of each code is the specification's. Oracle publishes no list
// of ESS codes for these operations; the specification's one example is
// ESS-00500. The default error codes follow that example and are a decision of
// this package. A [Table] puts others in their place.
//
// Everything in this package is immutable or a plain value, and safe for
// concurrent use.
package errors
