package examples_test

import (
	"errors"

	esserrors "example.com/ess/errors"
)

// The snippets of package errors' doc comments, so that they are compiled. They begin
// with these imports, and so have a file of their own.
var _ = func(err error) string {
	if errors.Is(err, esserrors.CodeConflict) {
		return "somebody else was at it: try again"
	}
	return ""
}
