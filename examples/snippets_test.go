package examples_test

import (
	"errors"

	esserrors "example.com/ess/errors"
)

// The snippets of the doc comments, so that they are compiled.
var _ = func(err error) string {
	if errors.Is(err, esserrors.CodeConflict) {
		return "somebody else was at it: try again"
	}
	return ""
}
