// Package rows has what all packages of the proof kit do with the requests of a
// store.
package rows

import (
	"context"
	"errors"
	"fmt"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// With calls f with a repository that open has made of the requests, and then done.
// The functions are those of a Harness; done may be nil.
func With(
	ctx context.Context,
	open func(ctx context.Context, requests []lifecycle.Request) (cancel.Repository, error),
	done func(repo cancel.Repository) error,
	requests []lifecycle.Request,
	f func(repo cancel.Repository) error,
) (err error) {
	repo, err := open(ctx, requests)
	if err != nil {
		return fmt.Errorf("Harness.New of %d requests: %w", len(requests), err)
	}
	if repo == nil {
		return errors.New("Harness.New returned nil")
	}
	if done != nil {
		defer func() {
			if doneErr := done(repo); doneErr != nil {
				err = errors.Join(err, fmt.Errorf("Harness.Close: %w", doneErr))
			}
		}()
	}
	return f(repo)
}

// Submitter returns how a request is inserted if its parent admits one: by submit, which
// is a Harness's and may be nil, or by a method of the repository. It returns nil if there
// is neither.
func Submitter(
	submit func(ctx context.Context, repo cancel.Repository, r lifecycle.Request) error, repo cancel.Repository,
) func(ctx context.Context, r lifecycle.Request) error {
	if submit != nil {
		return func(ctx context.Context, r lifecycle.Request) error { return submit(ctx, repo, r) }
	}
	if own, ok := repo.(interface {
		Submit(ctx context.Context, r lifecycle.Request) error
	}); ok {
		return own.Submit
	}
	return nil
}

// Same reports whether two requests are the same but for their Versions.
func Same(a, b lifecycle.Request) bool {
	return a.ID == b.ID && a.Parent == b.Parent && a.Kind == b.Kind && SameState(a, b)
}

// SameState compares what can change of a request.
func SameState(a, b lifecycle.Request) bool {
	return a.State == b.State && a.Outcome == b.Outcome && a.Attempt == b.Attempt && a.CheckedIn.Equal(b.CheckedIn)
}

// Live reports whether the state of r is live.
func Live(r lifecycle.Request) bool { return lifecycle.Live.Has(r.State) }

// Unanswered reports whether r is CANCELLING and waits for its own work.
func Unanswered(r lifecycle.Request) bool {
	return r.State == lifecycle.StateCancelling && r.Kind.RunsWork() && r.Outcome == 0
}
