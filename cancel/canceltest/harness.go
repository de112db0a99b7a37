package canceltest

import (
	"context"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// A Harness gives the checks repositories to work on.
type Harness struct {
	// New returns a repository that holds exactly the given requests, as they
	// are. Parents come before their children. Every call returns a repository
	// that shares nothing with the others.
	New func(ctx context.Context, requests []lifecycle.Request) (cancel.Repository, error)

	// Close, if not nil, is called with each repository that New has returned,
	// when the check is done with it.
	Close func(repo cancel.Repository) error
}
