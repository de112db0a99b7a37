package canceltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest/internal/rows"
	"example.com/ess/cancel/canceltest/internal/show"
	"example.com/ess/lifecycle"
)

var childChecks = []check{
	{
		"CancelChildren/AgreesWithApply", "CancelChildren makes of each child what Decisions says for its kind and state, sets CheckedIn to the time of the cause in those that become CANCELLING, and changes nothing else: as Children and Apply would.",
		func(ctx context.Context, h Harness) error {
			var want Snapshot
			return eachChildCancel(ctx, h, func(ctx context.Context, repo cancel.ChildCanceller, all []lifecycle.Request, limit int, askAll bool) error {
				_, err := cancelChildren(ctx, repo, all, limit, askAll, nil)
				if err != nil {
					return err
				}
				got, err := TakeSnapshot(ctx, repo)
				if err != nil {
					return err
				}
				if want == nil {
					if want, err = cancelledByApply(ctx, h, all); err != nil {
						return err
					}
				}
				return diff(got, want)
			})
		},
	}, {
		"CancelChildren/Changes", "ChildPage.Changes has, ordered by Parent and then by ID, the change of every child that became CANCELLING, one whose New is its Old for every child that was CANCELLING before, and with All the change of every child that became CANCELLED; Cancelled counts the others.",
		func(ctx context.Context, h Harness) error {
			return eachChildCancel(ctx, h, func(ctx context.Context, repo cancel.ChildCanceller, all []lifecycle.Request, limit int, askAll bool) error {
				_, err := cancelChildren(ctx, repo, all, limit, askAll, rightChanges)
				return err
			})
		},
	}, {
		"CancelChildren/Pages", "CancelChildren considers at most c.Query.Limit children; the next page begins at Last; More says that there may be more.",
		func(ctx context.Context, h Harness) error {
			return eachChildCancel(ctx, h, func(ctx context.Context, repo cancel.ChildCanceller, all []lifecycle.Request, limit int, askAll bool) error {
				n, err := cancelChildren(ctx, repo, all, limit, askAll, rightPosition)
				if err != nil {
					return err
				}
				if want := len(answer(all, childQuery(limit))); n != want {
					return fmt.Errorf("%s: all pages together answer for %d children, want %d", showChildCancel(limit, askAll), n, want)
				}
				return nil
			})
		},
	}, {
		"CancelChildren/OnlyTheChildrenAskedFor", "CancelChildren considers the children that Children would return for c.Query, and no others.",
		onCapable(Harness.families, func(ctx context.Context, _ Harness, repo cancel.ChildCanceller, all []lifecycle.Request) error {
			q := cancel.ChildQuery{Parents: []lifecycle.ID{10, 30}, States: lifecycle.Live, After: cancel.Cursor{Parent: 10, ID: 104}, Limit: 4}
			page, err := repo.CancelChildren(ctx, cancel.ChildCancel{Query: q, Cause: why, All: true})
			if err != nil {
				return err
			}
			want := slices.Clone(all)
			todo := answer(all, q)
			if n := len(page.Changes); n == 0 || n > q.Limit {
				return fmt.Errorf("CancelChildren considered %d children, want 1 to %d", n, q.Limit)
			}
			for _, r := range todo[:len(page.Changes)] {
				want[slices.Index(want, r)] = cancelled(r).New()
			}
			return wantAll(ctx, repo, want)
		}),
	}, {
		"CancelChildren/KeepsTheCause", "CancelChildren keeps the cause with every child that it changes, and with no other.",
		onCapable(Harness.childrenOfEveryKind, func(ctx context.Context, _ Harness, repo cancel.ChildCanceller, all []lifecycle.Request) error {
			reader, ok := repo.(cancel.CauseReader)
			if !ok {
				return fmt.Errorf("%w: the repository is no cancel.CauseReader", errLacks)
			}
			cause := oddCauses()[1]
			page, err := repo.CancelChildren(ctx, cancel.ChildCancel{Query: childQuery(1000), Cause: cause})
			if err != nil {
				return err
			}
			var errs []error
			for _, r := range all {
				want := cancel.Cause{}
				at := position(r)
				inPage := !page.More || at.Compare(page.Last) <= 0
				if slices.Contains(childQuery(1).Parents, r.Parent) && inPage && lifecycle.Live.Has(r.State) && r.State != lifecycle.StateCancelling {
					want = cause
				}
				errs = append(errs, wantCause(ctx, reader, r.ID, want))
			}
			return show.Errors(errs)
		}),
	}, {
		"CancelChildren/OneOfManyWins", "Each child is changed atomically: of many who cancel the same children at once, each is reported by one. " + concurrently,
		childrenCancelledByMany,
	}, {
		"CancelChildren/WhileTheyChangeState", "A child that changes its state meanwhile, and stays live, is cancelled all the same.",
		func(ctx context.Context, h Harness) error {
			return capable(ctx, h, nil, func(cancel.ChildCanceller) error {
				return whileTheyChange(ctx, h, func(ctx context.Context, repo cancel.Repository) error {
					if err := made(ctx, repo, toCancelling(h.request(1, 0, lifecycle.KindParent, lifecycle.StateRunning), moment)); err != nil {
						return err
					}
					c := cancel.ChildCancel{Query: cancel.ChildQuery{Parents: []lifecycle.ID{1}, States: lifecycle.Live, Limit: 7}, Cause: why}
					for range changing + 1 {
						page, err := repo.(cancel.ChildCanceller).CancelChildren(ctx, c)
						if err != nil || !page.More {
							return err
						}
						c.Query.After = page.Last
					}
					return nil
				})
			})
		},
	}, {
		"CancelChildren/GivenSlices", "The slice of parents must not be changed, nor kept after the return.",
		onCapable(Harness.families, func(ctx context.Context, _ Harness, repo cancel.ChildCanceller, all []lifecycle.Request) error {
			memory := []lifecycle.ID{10, 20, 30, -1}
			c := cancel.ChildCancel{Query: cancel.ChildQuery{Parents: memory[:2], States: lifecycle.Live, Limit: 2}, Cause: why, All: true}
			page, err := repo.CancelChildren(ctx, c)
			if err != nil {
				return err
			}
			if want := []lifecycle.ID{10, 20, 30, -1}; !slices.Equal(memory, want) {
				return fmt.Errorf("CancelChildren changed the memory of c.Query.Parents, or behind it, from %v to %v", want, memory)
			}
			want := snapshotOf(all)
			for _, ch := range page.Changes {
				want[ch.Old.ID] = ch.New()
			}
			memory[0], memory[1] = 20, 30
			c.Query.Limit = 100
			for _, r := range answer(all, c.Query) {
				want[r.ID] = cancelled(r).New()
			}
			for pages := 0; pages == 0 || page.More && pages < len(all); pages++ {
				if page, err = repo.CancelChildren(ctx, c); err != nil {
					return err
				}
				c.Query.After = page.Last
			}
			got, err := TakeSnapshot(ctx, repo)
			if err != nil {
				return err
			}
			if err := diff(got, want); err != nil {
				return fmt.Errorf("after the caller had written other parents to the same slice: %w", err)
			}
			return nil
		}),
	}, {
		"CancelChildren/ReturnedSlices", "The slice of changes that CancelChildren returns belongs to the caller.",
		onCapable(Harness.childrenOfEveryKind, func(ctx context.Context, _ Harness, repo cancel.ChildCanceller, _ []lifecycle.Request) error {
			c := cancel.ChildCancel{Query: childQuery(5), Cause: why, All: true}
			first, err := repo.CancelChildren(ctx, c)
			if err != nil {
				return err
			}
			before := slices.Clone(first.Changes)
			c.Query.After = first.Last
			second, err := repo.CancelChildren(ctx, c)
			if err != nil {
				return err
			}
			if !slices.Equal(first.Changes, before) {
				return errors.New("the next call of CancelChildren wrote to the changes that the one before had returned")
			}
			for _, changes := range [][]cancel.Change{first.Changes[:cap(first.Changes)], second.Changes[:cap(second.Changes)]} {
				for i := range changes {
					changes[i] = cancel.Change{Old: lifecycle.Request{ID: 666}, Cause: cancel.Cause{Reason: "written by the caller"}}
				}
			}
			for _, ch := range before {
				if err := wantGet(ctx, repo, ch.New()); err != nil {
					return fmt.Errorf("after the caller had written to the changes that CancelChildren returned: %w", err)
				}
			}
			return nil
		}),
	}, {
		"CancelChildren/DeclineChangesNothing", "An error matching errors.ErrUnsupported declines, and has changed nothing.",
		onCapable(Harness.families, func(ctx context.Context, _ Harness, repo cancel.ChildCanceller, all []lifecycle.Request) error {
			q := cancel.ChildQuery{Parents: []lifecycle.ID{10, 20, 30}, States: lifecycle.Live, Limit: 100}
			_, err := repo.CancelChildren(ctx, cancel.ChildCancel{Query: q, Cause: why})
			if errors.Is(err, errors.ErrUnsupported) {
				if wrong := wantAll(ctx, repo, all); wrong != nil {
					return fmt.Errorf("after CancelChildren had declined: %w", wrong)
				}
			}
			return err
		}),
	}, {
		"CancelChildren/ContextDone", contextDone + " Nothing is known about the children then, but each is as it was or as it should be.",
		func(ctx context.Context, h Harness) error {
			return capable(ctx, h, nil, func(cancel.ChildCanceller) error {
				return whenDone(ctx, h, func(done context.Context, repo cancel.Repository) error {
					q := cancel.ChildQuery{Parents: []lifecycle.ID{10}, States: lifecycle.Live, Limit: 100}
					_, err := repo.(cancel.ChildCanceller).CancelChildren(done, cancel.ChildCancel{Query: q, Cause: why})
					if errors.Is(err, errors.ErrUnsupported) {
						return err
					}
					for _, r := range answer(h.families(), q) {
						got, err := repo.Get(ctx, r.ID)
						if err != nil {
							return err
						}
						if !rows.Same(got, r) && !rows.Same(got, cancelled(r).New()) {
							return fmt.Errorf("after CancelChildren under a context that was done there is %s, want %s or %s", showRow(got), showRow(r), showRow(cancelled(r).New()))
						}
					}
					return err
				})
			})
		},
	},
}

// childrenCancelledByMany has many cancel the same children, and checks that each
// child is told of as changed by one of them.
func childrenCancelledByMany(ctx context.Context, h Harness) error {
	const callers, children = 8, 60
	for _, askAll := range []bool{false, true} {
		all := []lifecycle.Request{h.request(1, 0, lifecycle.KindParent, lifecycle.StateCancelling)}
		for id := lifecycle.ID(2); id < 2+children; id++ {
			r := h.request(id, 1, lifecycle.KindChild, lifecycle.StateWait)
			if id%3 == 0 {
				r.State = lifecycle.StateRunning
			}
			all = append(all, r)
		}
		var cancelled, cancelling atomic.Int64
		err := capable(ctx, h, all, func(repo cancel.ChildCanceller) error {
			err := together(ctx, callers, func(i int) error {
				c := cancel.ChildCancel{Query: cancel.ChildQuery{Parents: []lifecycle.ID{1}, States: lifecycle.Live, Limit: 7 + 3*i}, Cause: why, All: askAll}
				for range children + 1 {
					page, err := repo.CancelChildren(ctx, c)
					if err != nil {
						return fmt.Errorf("CancelChildren, %d at once, returned the error %w", callers, err)
					}
					cancelled.Add(int64(page.Cancelled))
					for _, ch := range page.Changes {
						switch ch.State {
						case ch.Old.State: // another's
						case lifecycle.StateCancelling:
							cancelling.Add(1)
						default:
							cancelled.Add(1)
						}
					}
					if !page.More {
						return nil
					}
					c.Query.After = page.Last
				}
				return fmt.Errorf("CancelChildren still has More set after %d pages", children+1)
			})
			if err != nil {
				return err
			}
			if n, m := cancelled.Load(), cancelling.Load(); n != children*2/3 || m != children/3 {
				return fmt.Errorf("%d who cancelled the same children at once were told that %d became CANCELLED and %d CANCELLING, want %d and %d", callers, n, m, children*2/3, children/3)
			}
			for i, r := range all[1:] {
				all[i+1] = childChange(r, why).New()
			}
			return wantAll(ctx, repo, all)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
