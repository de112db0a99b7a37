package examples_test

import (
	"errors"

	esserrors "example.com/ess/errors"
)

import (
	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
)

// The snippets of the doc comments, so that they are compiled.
var _ = func(err error, repo *memrepo.Repo) cancel.Repository {
	if errors.Is(err, esserrors.CodeConflict) {
		// Others were at it too: look again, or try again.
	}
	plain := struct{ cancel.Repository }{repo}
	return plain
}
