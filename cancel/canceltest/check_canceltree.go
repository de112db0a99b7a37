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

var treeChecks = []check{
	{
		"CancelTree/AgreesWithLevels", "CancelTree does with every live child, level by level, what CancelChildren does, and below every child that is CANCELLING then; and changes nothing else.",
		func(ctx context.Context, h Harness) error {
			return eachTreeCancel(ctx, h, func(repo cancel.TreeCanceller, all []lifecycle.Request, limit int, askAll bool) error {
				if _, err := cancelTree(ctx, repo, limit, askAll); err != nil {
					return err
				}
				return wantAll(ctx, repo, treeCancelled(all))
			})
		},
	}, {
		"CancelTree/Changes", "TreePage.Changes has, each once and parents before children, the change of every child that became CANCELLING, an unchanged one for every child that was CANCELLING before, and with All the change of every child that became CANCELLED; Cancelled counts the others.",
		func(ctx context.Context, h Harness) error {
			return eachTreeCancel(ctx, h, func(repo cancel.TreeCanceller, all []lifecycle.Request, limit int, askAll bool) error {
				got, err := cancelTree(ctx, repo, limit, askAll)
				if err != nil {
					return err
				}
				was, now := snapshotOf(all), snapshotOf(treeCancelled(all))
				seen := map[lifecycle.ID]bool{1: true}
				cancelled := 0
				for _, r := range was.Below(1) {
					if lifecycle.Live.Has(r.State) && now[r.ID].State == lifecycle.StateCancelled {
						cancelled++
					}
				}
				for _, ch := range got.Changes {
					id := ch.Old.ID
					switch want := (cancel.Change{Old: was[id], State: now[id].State, Outcome: now[id].Outcome, CheckedIn: now[id].CheckedIn, Attempt: now[id].Attempt}); {
					case seen[id]:
						return fmt.Errorf("the changes have request %d twice", id)
					case !seen[ch.Old.Parent]:
						return fmt.Errorf("the changes have %s before its parent", showRow(ch.Old))
					case !rows.Same(ch.Old, want.Old) || !rows.Same(ch.New(), want.New()):
						return fmt.Errorf("the changes make of %s %s, want of %s %s", showRow(ch.Old), showRow(ch.New()), showRow(want.Old), showRow(want.New()))
					case ch.State == lifecycle.StateCancelled:
						cancelled--
					}
					seen[id] = true
				}
				for _, r := range was.Below(1) {
					if asked := now[r.ID].State == lifecycle.StateCancelling || askAll && lifecycle.Live.Has(r.State); asked != seen[r.ID] {
						return fmt.Errorf("%s, now %v, is in the changes: %v, want %v", showRow(r), now[r.ID].State, seen[r.ID], asked)
					}
				}
				if got.Cancelled != cancelled {
					return fmt.Errorf("%d requests that are not in the changes became CANCELLED, it said, want %d", got.Cancelled, cancelled)
				}
				return nil
			})
		},
	}, {
		"CancelTree/LimitAndRest", "CancelTree considers at most c.Limit children; where it goes on is in Rest, and nothing else.",
		func(ctx context.Context, h Harness) error {
			return eachTreeCancel(ctx, h, func(repo cancel.TreeCanceller, all []lifecycle.Request, limit int, askAll bool) error {
				c := cancel.TreeCancel{From: []cancel.Cursor{{Parent: 1}}, Limit: limit, Cause: why, All: true}
				page, err := repo.CancelTree(ctx, c)
				if err != nil {
					return err
				}
				live := 0
				for _, r := range snapshotOf(all).Below(1) {
					if lifecycle.Live.Has(r.State) {
						live++
					}
				}
				switch n := len(page.Changes) + page.Cancelled; {
				case n > limit:
					return fmt.Errorf("it answers for %d children, the limit is %d", n, limit)
				case n == 0:
					return errors.New("it answers for no child, and there are some")
				case len(page.Rest) == 0 && n < live:
					return fmt.Errorf("the page has no Rest after %d of %d live requests", n, live)
				}
				return nil
			})
		},
	}, {
		"CancelTree/OnlyBelowFrom", "CancelTree begins below each Parent of c.From behind the child ID, and considers no others.",
		onCapable(Harness.families, func(ctx context.Context, _ Harness, repo cancel.TreeCanceller, all []lifecycle.Request) error {
			from := []cancel.Cursor{{Parent: 30}, {Parent: 10, ID: 104}, {Parent: 77}}
			memory := slices.Clone(from)
			page, err := cancelTreeFrom(ctx, repo, cancel.TreeCancel{From: memory, Limit: 100, Cause: why, All: true})
			if err != nil {
				return err
			}
			if !slices.Equal(memory, from) {
				return fmt.Errorf("CancelTree changed the slice that it was given to %v", memory)
			}
			want := slices.Clone(all)
			n := 0
			for i, r := range all {
				for _, c := range from {
					if r.Parent == c.Parent && r.ID > c.ID && lifecycle.Live.Has(r.State) {
						want[i] = cancelled(r).New()
						n++
					}
				}
			}
			if len(page.Changes) != n {
				return fmt.Errorf("CancelTree answered for %d children, want %d", len(page.Changes), n)
			}
			for _, ch := range page.Changes {
				if err := wantCause(ctx, repo, ch.Old.ID, why); err != nil {
					return err
				}
			}
			return wantAll(ctx, repo, want)
		}),
	}, {
		"CancelTree/OneOfManyWins", "Each child is changed atomically: of many who cancel the same tree at once, each is reported by one. " + concurrently,
		onCapable(Harness.bigTree, func(ctx context.Context, _ Harness, repo cancel.TreeCanceller, all []lifecycle.Request) error {
			var mu sync.Mutex
			made := map[lifecycle.ID]int{}
			err := together(ctx, 6, func(i int) error {
				page, err := cancelTree(ctx, repo, 5+3*i, true)
				mu.Lock()
				defer mu.Unlock()
				for _, ch := range page.Changes {
					if ch.State != ch.Old.State {
						made[ch.Old.ID]++
					}
				}
				return err
			})
			if err != nil {
				return err
			}
			for _, r := range snapshotOf(all).Below(1) {
				want := 0
				if lifecycle.Live.Has(r.State) && r.State != lifecycle.StateCancelling {
					want = 1
				}
				if made[r.ID] != want {
					return fmt.Errorf("%d of those who cancelled one tree at once told that they had changed %s, want %d", made[r.ID], showRow(r), want)
				}
			}
			return wantAll(ctx, repo, treeCancelled(all))
		}),
	}, {
		"CancelTree/WhileTheyChangeState", "A child that changes its state meanwhile, and stays live, is cancelled all the same.",
		func(ctx context.Context, h Harness) error {
			return capable(ctx, h, nil, func(cancel.TreeCanceller) error {
				return whileTheyChange(ctx, h, func(ctx context.Context, repo cancel.Repository) error {
					if err := made(ctx, repo, toCancelling(h.request(1, 0, lifecycle.KindParent, lifecycle.StateRunning), moment)); err != nil {
						return err
					}
					_, err := cancelTree(ctx, repo.(cancel.TreeCanceller), 7, false)
					return err
				})
			})
		},
	}, {
		"CancelTree/DeclineChangesNothing", "An error matching errors.ErrUnsupported declines, and has changed nothing.",
		onCapable(Harness.families, func(ctx context.Context, _ Harness, repo cancel.TreeCanceller, all []lifecycle.Request) error {
			_, err := repo.CancelTree(ctx, cancel.TreeCancel{From: []cancel.Cursor{{Parent: 10}}, Limit: 100, Cause: why})
			if errors.Is(err, errors.ErrUnsupported) {
				if wrong := wantAll(ctx, repo, all); wrong != nil {
					return fmt.Errorf("after CancelTree had declined: %w", wrong)
				}
			}
			return err
		}),
	}, {
		"CancelTree/ContextDone", contextDone,
		func(ctx context.Context, h Harness) error {
			return capable(ctx, h, nil, func(cancel.TreeCanceller) error {
				return whenDone(ctx, h, func(ctx context.Context, repo cancel.Repository) error {
					_, err := repo.(cancel.TreeCanceller).CancelTree(ctx, cancel.TreeCancel{From: []cancel.Cursor{{Parent: 10}}, Limit: 100, Cause: why})
					return err
				})
			})
		},
	},
}

// bigTree returns a tree of all kinds and states whose root is CANCELLING.
func (h Harness) bigTree() []lifecycle.Request {
	all := h.everyTree()
	all[0] = cancelling(all[0], moment)
	return all
}

// eachTreeCancel calls f with a repository for each of several ways to cancel one tree.
func eachTreeCancel(ctx context.Context, h Harness, f func(repo cancel.TreeCanceller, all []lifecycle.Request, limit int, askAll bool) error) error {
	for _, limit := range []int{1, 7, 1000} {
		for _, askAll := range []bool{false, true} {
			all := h.bigTree()
			err := capable(ctx, h, all, func(repo cancel.TreeCanceller) error { return f(repo, all, limit, askAll) })
			if err != nil {
				return fmt.Errorf("CancelTree(Limit: %d, All: %v): %w", limit, askAll, err)
			}
		}
	}
	return nil
}

// cancelTree cancels what is below request 1, and returns all pages as one.
func cancelTree(ctx context.Context, repo cancel.TreeCanceller, limit int, askAll bool) (sum cancel.TreePage, err error) {
	return cancelTreeFrom(ctx, repo, cancel.TreeCancel{From: []cancel.Cursor{{Parent: 1}}, Limit: limit, Cause: why, All: askAll})
}

func cancelTreeFrom(ctx context.Context, repo cancel.TreeCanceller, c cancel.TreeCancel) (sum cancel.TreePage, err error) {
	for range 2000 {
		page, err := repo.CancelTree(ctx, c)
		if err != nil {
			return sum, err
		}
		sum.Changes = append(sum.Changes, page.Changes...)
		sum.Cancelled += page.Cancelled
		if c.From = page.Rest; len(c.From) == 0 {
			return sum, nil
		}
	}
	return sum, errors.New("after 2000 pages there is still a Rest")
}

// treeCancelled returns the requests as they are when everything below request 1 has been
// cancelled.
func treeCancelled(all []lifecycle.Request) []lifecycle.Request {
	now := snapshotOf(all)
	var down func(id lifecycle.ID)
	down = func(id lifecycle.ID) {
		for _, r := range now.Children(id) {
			if !lifecycle.Live.Has(r.State) {
				continue
			}
			if r = childChange(r, why).New(); r.State == lifecycle.StateCancelling {
				down(r.ID)
			}
			now[r.ID] = r
		}
	}
	down(1)
	var after []lifecycle.Request
	for _, r := range all {
		after = append(after, now[r.ID])
	}
	return after
}
