package canceltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest/internal/rows"
	"example.com/ess/lifecycle"
)

var settleChecks = []check{
	{
		"Settle/EndsWhatWaitsForNothing", "Settle makes the change of SettleChange to each of the requests that are due and have no live child but such as it ends itself, and returns these changes, children before their parents.",
		onCapable(Harness.waiting, func(ctx context.Context, h Harness, repo cancel.Settler, all []lifecycle.Request) error {
			ids := []lifecycle.ID{1, 2, 3, 4, 5, 6, 7, 8, 9, 20, 99}
			made, err := repo.Settle(ctx, cancel.Settlement{IDs: ids, Cause: why})
			if err != nil {
				return err
			}
			was, want := snapshotOf(all), slices.Clone(all)
			ended := map[lifecycle.ID]bool{}
			for _, ch := range made {
				w, due := cancel.SettleChange(was[ch.Old.ID], why)
				switch {
				case ended[ch.Old.ID]:
					return fmt.Errorf("the changes have request %d twice", ch.Old.ID)
				case !due || !rows.Same(ch.Old, w.Old) || !rows.Same(ch.New(), w.New()) || ch.Trigger != w.Trigger:
					return fmt.Errorf("the changes make of %s %s by %v, want of %s %s by %v", showRow(ch.Old), showRow(ch.New()), ch.Trigger, showRow(was[ch.Old.ID]), showRow(w.New()), w.Trigger)
				case ended[ch.Old.Parent]:
					return fmt.Errorf("the changes have %s behind its parent", showRow(ch.Old))
				}
				ended[ch.Old.ID] = true
			}
			for i, r := range all {
				if h.settles(r.ID) {
					ch, _ := cancel.SettleChange(r, why)
					want[i] = ch.New()
				}
				if ended[r.ID] != h.settles(r.ID) {
					return fmt.Errorf("%s is in the changes: %v, want %v", showRow(r), ended[r.ID], h.settles(r.ID))
				}
			}
			return wantAll(ctx, repo, want)
		}),
	}, {
		"Settle/OnlyTheRequests", "Settle ends no request that it was not asked for.",
		onCapable(Harness.waiting, func(ctx context.Context, _ Harness, repo cancel.Settler, all []lifecycle.Request) error {
			made, err := repo.Settle(ctx, cancel.Settlement{IDs: []lifecycle.ID{2}, Cause: why})
			if err != nil {
				return err
			}
			if len(made) != 0 { // 3, which is not asked for, is live
				return fmt.Errorf("Settle of request 2 returned %d changes, want none", len(made))
			}
			return wantAll(ctx, repo, all)
		}),
	}, {
		"Settle/OneOfManyWins", "Each request is changed atomically: of many who settle the same ones at once, each is reported by one. " + concurrently,
		onCapable(Harness.waiting, func(ctx context.Context, h Harness, repo cancel.Settler, all []lifecycle.Request) error {
			var mu sync.Mutex
			told := map[lifecycle.ID]int{}
			err := together(ctx, 6, func(int) error {
				made, err := repo.Settle(ctx, cancel.Settlement{IDs: []lifecycle.ID{1, 2, 3, 4, 20}, Cause: why})
				mu.Lock()
				defer mu.Unlock()
				for _, ch := range made {
					told[ch.Old.ID]++
				}
				return err
			})
			if err != nil {
				return err
			}
			for _, r := range all {
				if want := map[bool]int{true: 1}[h.settles(r.ID)]; told[r.ID] != want && r.ID != 5 {
					return fmt.Errorf("%d of those who settled at once told that they had ended %s, want %d", told[r.ID], showRow(r), want)
				}
			}
			return nil
		}),
	}, {
		"Settle/DeclineChangesNothing", "An error matching errors.ErrUnsupported declines, and has changed nothing.",
		onCapable(Harness.waiting, func(ctx context.Context, _ Harness, repo cancel.Settler, all []lifecycle.Request) error {
			_, err := repo.Settle(ctx, cancel.Settlement{IDs: []lifecycle.ID{3}, Cause: why})
			if errors.Is(err, errors.ErrUnsupported) {
				if wrong := wantAll(ctx, repo, all); wrong != nil {
					return fmt.Errorf("after Settle had declined: %w", wrong)
				}
			}
			return err
		}),
	}, {
		"Settle/ContextDone", contextDone,
		func(ctx context.Context, h Harness) error {
			return capable(ctx, h, nil, func(cancel.Settler) error {
				return whenDone(ctx, h, func(ctx context.Context, repo cancel.Repository) error {
					_, err := repo.(cancel.Settler).Settle(ctx, cancel.Settlement{IDs: []lifecycle.ID{10}, Cause: why})
					return err
				})
			})
		},
	},
}

// waiting returns requests that are CANCELLING, of which some wait for something.
func (h Harness) waiting() []lifecycle.Request {
	fenced := func(r lifecycle.Request) lifecycle.Request {
		r.State, r.CheckedIn = lifecycle.StateCancelling, moment
		return h.fit().Request(r)
	}
	answered := lifecycle.StateWarning
	all := []lifecycle.Request{
		fenced(lifecycle.Request{ID: 1, Kind: lifecycle.KindParent}),                                          // waits for 5
		fenced(lifecycle.Request{ID: 20, Kind: lifecycle.KindParent, Outcome: lifecycle.StateCancelled}),      // for 2
		fenced(lifecycle.Request{ID: 2, Parent: 20, Kind: lifecycle.KindSubrequestParent, Outcome: answered}), // for 3
		fenced(lifecycle.Request{ID: 3, Parent: 2, Kind: lifecycle.KindParent}),                               // for nothing
		fenced(lifecycle.Request{ID: 4, Parent: 1, Kind: lifecycle.KindSubrequestParent, Outcome: answered}),  // for nothing
		fenced(lifecycle.Request{ID: 5, Parent: 1, Kind: lifecycle.KindSubrequestParent}),                     // for its work
		fenced(lifecycle.Request{ID: 6, Parent: 1, Kind: lifecycle.KindParent}),                               // for 7
		h.request(7, 6, lifecycle.KindChild, lifecycle.StateReady),                                            // not CANCELLING
		h.request(8, 3, lifecycle.KindChild, lifecycle.StateSucceeded),                                        // has ended
		fenced(lifecycle.Request{ID: 9, Parent: 1, Kind: lifecycle.KindChild}),                                // for its work
	}
	for i, r := range all {
		if r.Kind.RunsWork() && r.Kind.HasChildren() && slices.Contains([]lifecycle.ID{1, 20, 3, 6}, r.ID) {
			all[i].Outcome = h.fit().Outcome(answered) // a store that has no containers
		}
	}
	return all
}

// settles reports whether a request of waiting ends when all are settled.
func (h Harness) settles(id lifecycle.ID) bool {
	container := !h.fit().Kind(lifecycle.KindSubrequestParent).RunsWork()
	return slices.Contains([]lifecycle.ID{20, 2, 3, 4}, id) || id == 5 && container
}
