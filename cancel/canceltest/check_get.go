package canceltest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest/internal/rows"
	"example.com/ess/cancel/canceltest/internal/show"
	"example.com/ess/lifecycle"
)

var getChecks = []check{
	{
		"Get/ReturnsTheRequest", "Get returns the request as it is stored: parent, kind, state, outcome, and the check-in to the microsecond.",
		onStore(Harness.everyRequest, func(ctx context.Context, _ Harness, repo cancel.Repository, all []lifecycle.Request) error {
			var errs []error
			for _, want := range all {
				errs = append(errs, wantGet(ctx, repo, want))
			}
			return show.Errors(errs)
		}),
	}, {
		"Get/NotFound", "Get returns an error matching ErrNotFound for an id that no request has.",
		onStore(Harness.families, func(ctx context.Context, _ Harness, repo cancel.Repository, _ []lifecycle.Request) error {
			var errs []error
			for _, id := range []lifecycle.ID{5, 11, 1 << 40, math.MaxInt64} {
				r, err := repo.Get(ctx, id)
				if !errors.Is(err, cancel.ErrNotFound) {
					errs = append(errs, fmt.Errorf("Get(%d), of which there is none, returned %s and the error %v, want one matching cancel.ErrNotFound", id, showRow(r), err))
				}
			}
			return show.Errors(errs)
		}),
	}, {
		"Get/LargeIDs", "An id is any positive int64, and is a number, not a text: every method keeps it exactly and orders by it.",
		func(ctx context.Context, h Harness) error {
			// 1<<53+1 is the first number that a float64 does not hold. 9, 10 and 99,
			// 100 come in another order as texts.
			ids := []lifecycle.ID{9, 10, 99, 100, 1<<31 + 1, 1<<53 + 1, 1<<53 + 2, math.MaxInt64 - 1, math.MaxInt64}
			parent := ids[7]
			all := []lifecycle.Request{h.request(parent, 0, lifecycle.KindParent, lifecycle.StateRunning)}
			for _, id := range slices.Backward(ids) {
				if id != parent {
					all = append(all, h.request(id, parent, lifecycle.KindChild, lifecycle.StateReady))
				}
			}
			return h.with(ctx, all, func(repo cancel.Repository) error {
				var errs []error
				for _, r := range all {
					errs = append(errs, wantGet(ctx, repo, r))
				}
				for _, after := range append([]lifecycle.ID{0}, ids...) {
					errs = append(errs, wantPage(ctx, repo, all, cancel.ChildQuery{
						Parents: []lifecycle.ID{parent}, States: lifecycle.Live, After: cancel.Cursor{Parent: parent, ID: after}, Limit: 100,
					}))
				}
				last := all[1]
				errs = append(errs, made(ctx, repo, cancelled(last)), wantGet(ctx, repo, cancelled(last).New()))
				return show.Errors(errs)
			})
		},
	}, {
		"Get/ContextDone", contextDone,
		func(ctx context.Context, h Harness) error {
			return whenDone(ctx, h, func(ctx context.Context, repo cancel.Repository) error {
				_, err := repo.Get(ctx, 101)
				return err
			})
		},
	},
}

// wantGet checks that the request is as wanted.
func wantGet(ctx context.Context, repo cancel.Repository, want lifecycle.Request) error {
	got, err := repo.Get(ctx, want.ID)
	if err != nil {
		return fmt.Errorf("Get(%d) returned the error %w, want %s", want.ID, err, showRow(want))
	}
	if !rows.Same(got, want) {
		return fmt.Errorf("Get(%d) returned %s, want %s", want.ID, showRow(got), showRow(want))
	}
	return nil
}
