package canceltest

import (
	"context"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest/internal/rows"
	"example.com/ess/lifecycle"
)

// A Harness gives the checks repositories to work on.
//
// New is all that is needed. The requests are of every kind, in every state and with
// every outcome that [lifecycle.Request.Validate] accepts, with ids up to the largest
// int64. [Check], [CheckFaults] and [CheckCrashes] write to them what package cancel
// writes; the others also what a scheduler does, which is any transition that the rules
// permit.
//
// [Check] and [Run] work on one repository after another: about 170, with 16,000
// requests in all and at most 1,500 in one, in about 9,000 calls. That takes a tenth of
// a second in memory, ten seconds where a call takes a millisecond, and a minute where
// it takes ten. A store without capabilities is through in half the time. Up to 16
// goroutines use a repository at once.
type Harness struct {
	// New returns a repository that holds exactly the given requests, as they
	// are. Parents come before their children. Every call returns a repository
	// that shares nothing with the others.
	New func(ctx context.Context, requests []lifecycle.Request) (cancel.Repository, error)

	// Insert, if not nil, adds requests to a repository that New has returned. It
	// is used to let children come while pages are read; without it they do not.
	Insert func(ctx context.Context, repo cancel.Repository, requests []lifecycle.Request) error

	// Submit, if not nil, inserts a request as the scheduler does: only if its parent
	// admits one (see [lifecycle.Admit]), in one atomic step. It returns an error with
	// [esserrors.CodeUnsupportedState] if the parent does not. A repository that has a
	// method Submit(context.Context, lifecycle.Request) error needs no other.
	Submit func(ctx context.Context, repo cancel.Repository, r lifecycle.Request) error

	// Delete, if not nil, deletes requests that have ended. Without it nothing is
	// deleted.
	Delete func(ctx context.Context, repo cancel.Repository, ids []lifecycle.ID) error

	// Spoil, if not nil, makes a column of a request unreadable: "kind", "state" or
	// "outcome" become NULL, or a text that nobody knows, whichever the table permits.
	// Without it every row can be read.
	Spoil func(ctx context.Context, repo cancel.Repository, id lifecycle.ID, column string) error

	// States and Kinds are those that the store has. Zero means all. RUNNING, CANCELLING,
	// CANCELLED, one state before RUNNING and one other end are the least. A store is
	// given no others, and is judged by what it has.
	States lifecycle.StateSet
	Kinds  []lifecycle.Kind

	// Close, if not nil, is called with each repository that New has returned,
	// when the check is done with it.
	Close func(repo cancel.Repository) error

	// Timeout is how long one of the checks of [Check] and [Run] may take before
	// its context is done and it counts as failed. Zero means a minute.
	Timeout time.Duration
}

func (h Harness) timeout() time.Duration {
	if h.Timeout > 0 {
		return h.Timeout
	}
	return time.Minute
}

// fit returns how requests are made to fit the store.
func (h Harness) fit() rows.Fit { return rows.Fit{States: h.States, Kinds: h.Kinds} }

// with calls f with a repository that holds the requests.
func (h Harness) with(ctx context.Context, requests []lifecycle.Request, f func(repo cancel.Repository) error) error {
	return rows.With(ctx, h.New, h.Close, requests, f)
}
