package canceltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest/internal/rows"
	"example.com/ess/cancel/canceltest/internal/show"
	"example.com/ess/lifecycle"
)

const contextDone = "Methods return early, with an error matching ctx.Err(), when ctx is done."

// showRow describes a request, such as "request 7 of parent 2 (CHILD CANCELLING)".
func showRow(r lifecycle.Request) string {
	var b strings.Builder
	fmt.Fprintf(&b, "request %d", r.ID)
	if r.Parent != 0 {
		fmt.Fprintf(&b, " of parent %d", r.Parent)
	}
	fmt.Fprintf(&b, " (%v %v", r.Kind, r.State)
	if r.Outcome != 0 {
		fmt.Fprintf(&b, ", outcome %v", r.Outcome)
	}
	if !r.CheckedIn.IsZero() {
		fmt.Fprintf(&b, ", checked in %s", r.CheckedIn.UTC().Format("2006-01-02T15:04:05.999999999Z"))
	}
	b.WriteByte(')')
	return b.String()
}

// wantAll checks that the repository holds just these requests.
func wantAll(ctx context.Context, repo cancel.Repository, want []lifecycle.Request) error {
	got, err := TakeSnapshot(ctx, repo)
	if err != nil {
		return fmt.Errorf("while all requests were read level by level: %w", err)
	}
	return diff(got, snapshotOf(want))
}

func snapshotOf(requests []lifecycle.Request) Snapshot {
	snap := make(Snapshot, len(requests))
	for _, r := range requests {
		snap[r.ID] = r
	}
	return snap
}

// diff says where got differs from want.
func diff(got, want Snapshot) error {
	var errs []error
	for _, id := range sortedIDs(want) {
		if g, ok := got[id]; !ok {
			errs = append(errs, fmt.Errorf("%s is missing", showRow(want[id])))
		} else if !rows.Same(g, want[id]) {
			errs = append(errs, fmt.Errorf("%s, want %s", showRow(g), showRow(want[id])))
		}
	}
	for _, id := range sortedIDs(got) {
		if _, ok := want[id]; !ok {
			errs = append(errs, fmt.Errorf("%s should not be there", showRow(got[id])))
		}
	}
	return show.Errors(errs)
}

func sortedIDs(s Snapshot) []lifecycle.ID {
	ids := make([]lifecycle.ID, 0, len(s))
	for id := range s {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// whenDone checks that call fails with the right error under a context that is
// done, and changes nothing.
func whenDone(ctx context.Context, h Harness, call func(ctx context.Context, repo cancel.Repository) error) error {
	return h.with(ctx, h.families(), func(repo cancel.Repository) error {
		stopped, stop := context.WithCancelCause(ctx)
		stop(errors.New("a cause, which is not ctx.Err()"))
		late, stop2 := context.WithDeadline(ctx, time.Now().Add(-time.Second))
		defer stop2()
		for _, done := range []context.Context{stopped, late} {
			err := call(done, repo)
			if errors.Is(err, errors.ErrUnsupported) {
				return err
			}
			if !errors.Is(err, done.Err()) {
				return fmt.Errorf("under a context that is done the error is %v, want one matching %q", err, done.Err())
			}
			if errors.Is(err, cancel.ErrNotFound) {
				return fmt.Errorf("under a context that is done the error %q matches cancel.ErrNotFound", err)
			}
		}
		return nil
	})
}
