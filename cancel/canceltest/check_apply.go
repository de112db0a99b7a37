package canceltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest/internal/rows"
	"example.com/ess/lifecycle"
)

var applyChecks = []check{
	{
		"Apply/MakesTheChange", "Apply writes State, Outcome and CheckedIn, and nothing else, of a request that is as Old says.",
		onStore(Harness.lives, func(ctx context.Context, h Harness, repo cancel.Repository, all []lifecycle.Request) error {
			for _, r := range all {
				for _, ch := range h.life(r) {
					if err := made(ctx, repo, ch); err != nil {
						return err
					}
					if err := wantGet(ctx, repo, ch.New()); err != nil {
						return fmt.Errorf("after %s: %w", showChange(ch), err)
					}
				}
			}
			for i, r := range all {
				chs := h.life(r)
				all[i] = chs[len(chs)-1].New()
			}
			return wantAll(ctx, repo, all)
		}),
	}, {
		"Apply/MadeMeansMatched", "Apply reports a change as made if the request is as Old says, also if nothing of it becomes different.",
		func(ctx context.Context, h Harness) error {
			r := cancelling(h.request(1, 0, lifecycle.KindSingleton, lifecycle.StateRunning), moment)
			return h.with(ctx, []lifecycle.Request{r}, func(repo cancel.Repository) error {
				return errors.Join(made(ctx, repo, checkIn(r, r.CheckedIn)), made(ctx, repo, checkIn(r, r.CheckedIn)), wantGet(ctx, repo, r))
			})
		},
	}, {
		"Apply/DeletedIsNoError", "A request that was deleted is left alone, and is not found: that is no error of Apply.",
		func(ctx context.Context, h Harness) error {
			all := h.families()
			if h.Delete == nil {
				return fmt.Errorf("%w: Harness.Delete is nil", errLacks)
			}
			return h.with(ctx, all, func(repo cancel.Repository) error {
				if err := h.Delete(ctx, repo, []lifecycle.ID{3, 4}); err != nil {
					return fmt.Errorf("Harness.Delete: %w", err)
				}
				gone := all[17]
				gone.State = h.fit().State(lifecycle.StateWait)
				if err := wantApply(ctx, repo, []cancel.Change{cancelled(gone), cancelled(all[4])}, []bool{false, true}); err != nil {
					return err
				}
				if r, err := repo.Get(ctx, gone.ID); !errors.Is(err, cancel.ErrNotFound) {
					return fmt.Errorf("Get(%d), which was deleted, returned %s and the error %w, want one matching cancel.ErrNotFound", gone.ID, showRow(r), err)
				}
				all[4] = cancelled(all[4]).New()
				return wantAll(ctx, repo, slices.DeleteFunc(all, func(r lifecycle.Request) bool { return r.ID == 3 || r.ID == 4 }))
			})
		},
	}, {
		"Apply/GoneIsNoError", "A request that is gone is left alone: made is false for it, and that is no error.",
		func(ctx context.Context, h Harness) error {
			is := h.request(1, 0, lifecycle.KindSingleton, lifecycle.StateWait)
			gone := is
			gone.ID = 77
			return h.with(ctx, []lifecycle.Request{is}, func(repo cancel.Repository) error {
				if err := wantApply(ctx, repo, []cancel.Change{cancelled(gone)}, []bool{false}); err != nil {
					return err
				}
				if err := wantApply(ctx, repo, []cancel.Change{cancelled(gone), cancelled(is)}, []bool{false, true}); err != nil {
					return err
				}
				return wantAll(ctx, repo, []lifecycle.Request{cancelled(is).New()})
			})
		},
	}, {
		"Apply/AnswersInOrder", "Apply reports in made[i] whether changes[i] was made, whatever the order of the changes; one that is not made keeps no other from it.",
		func(ctx context.Context, h Harness) error {
			var all []lifecycle.Request
			for id := lifecycle.ID(1); id <= 20; id++ {
				all = append(all, h.request(id, 0, lifecycle.KindSingleton, lifecycle.StateRunning))
			}
			return h.with(ctx, all, func(repo cancel.Repository) error {
				var changes []cancel.Change
				var want []bool
				for i, r := range slices.Backward(all) {
					ok := i%3 != 1
					if !ok {
						r.State = h.fit().State(lifecycle.StateWait) // which it is not
					}
					if i%7 == 3 {
						ok = false
						r.ID += 100 // which is not there
					}
					ch := toCancelling(r, moment.Add(time.Duration(i)*time.Second))
					changes, want = append(changes, ch), append(want, ok)
					if ok {
						all[i] = ch.New()
					}
				}
				// Neither ascending nor descending.
				changes[0], changes[7], want[0], want[7] = changes[7], changes[0], want[7], want[0]
				if err := wantApply(ctx, repo, changes, want); err != nil {
					return err
				}
				return wantAll(ctx, repo, all)
			})
		},
	}, {
		"Apply/Nothing", "Apply of no changes makes none, and is no error.",
		onStore(Harness.families, func(ctx context.Context, h Harness, repo cancel.Repository, _ []lifecycle.Request) error {
			if err := wantApply(ctx, repo, nil, nil); err != nil {
				return err
			}
			if err := wantApply(ctx, repo, []cancel.Change{}, nil); err != nil {
				return err
			}
			return wantAll(ctx, repo, h.families())
		}),
	}, {
		"Apply/ThousandChanges", "A batch may have a thousand changes.",
		func(ctx context.Context, h Harness) error {
			all := []lifecycle.Request{h.request(5000, 0, lifecycle.KindParent, lifecycle.StateRunning)}
			for id := lifecycle.ID(1); id <= 1000; id++ {
				all = append(all, h.request(id, 5000, lifecycle.KindChild, lifecycle.StateWait))
			}
			return h.with(ctx, all, func(repo cancel.Repository) error {
				var changes []cancel.Change
				want := make([]bool, 1000)
				for i, r := range all[1:] {
					want[i] = true
					changes = append(changes, cancelled(r))
					all[i+1] = changes[i].New()
				}
				if err := wantApply(ctx, repo, changes, want); err != nil {
					return err
				}
				q := cancel.ChildQuery{Parents: []lifecycle.ID{5000}, States: anyState, Limit: 1000}
				return wantSeries(ctx, repo, all, q, nil)
			})
		},
	}, {
		"Apply/ReadsSeeIt", "Reads see every write which finished before they began.",
		func(ctx context.Context, h Harness) error {
			all := []lifecycle.Request{
				h.request(1, 0, lifecycle.KindParent, lifecycle.StateRunning),
				h.request(2, 1, lifecycle.KindSubrequestParent, lifecycle.StateRunning),
				h.request(3, 1, lifecycle.KindChild, lifecycle.StateRunning),
			}
			return h.with(ctx, all, func(repo cancel.Repository) error {
				for _, ch := range h.life(all[1]) {
					if err := made(ctx, repo, ch); err != nil {
						return err
					}
					all[1] = ch.New()
					err := wantGet(ctx, repo, all[1])
					for _, states := range []lifecycle.StateSet{lifecycle.Live, lifecycle.Terminal} {
						err = errors.Join(err, wantPage(ctx, repo, all, cancel.ChildQuery{Parents: []lifecycle.ID{1}, States: states, Limit: 10}))
					}
					if err != nil {
						return fmt.Errorf("right after %s: %w", showChange(ch), err)
					}
				}
				return nil
			})
		},
	}, {
		"Apply/ContextDone", contextDone + " Nothing is known about the changes then, but a request is as it was or as it should be.",
		func(ctx context.Context, h Harness) error {
			r := h.families()[4]
			return whenDone(ctx, h, func(done context.Context, repo cancel.Repository) error {
				_, err := repo.Apply(done, []cancel.Change{cancelled(r)})
				got, getErr := repo.Get(ctx, r.ID)
				if getErr != nil {
					return getErr
				}
				if !rows.Same(got, r) && !rows.Same(got, cancelled(r).New()) {
					return fmt.Errorf("after Apply under a context that was done there is %s, want %s or %s", showRow(got), showRow(r), showRow(cancelled(r).New()))
				}
				return err
			})
		},
	}, {
		"Apply/GivenSlices", "The slice of changes must not be changed, nor kept after the return.",
		onStore(Harness.families, func(ctx context.Context, h Harness, repo cancel.Repository, all []lifecycle.Request) error {
			// In no order, and with a change behind the end that must stay.
			memory := []cancel.Change{cancelled(all[9]), cancelled(all[6]), cancelled(all[12]), cancelled(all[4]), cancelled(all[5])}
			before := slices.Clone(memory)
			if err := wantApply(ctx, repo, memory[:4], []bool{true, true, true, true}); err != nil {
				return err
			}
			if !slices.Equal(memory, before) {
				return fmt.Errorf("Apply changed the memory of the changes, or behind it: %v", memory)
			}
			for i, ch := range memory {
				memory[i] = ended(ch.Old, h.fit().Outcome(lifecycle.StateError))
				memory[i].Cause = cancel.Cause{Root: 666, Reason: "written after the return"}
			}
			for _, i := range []int{9, 6, 12, 4} {
				all[i] = cancelled(all[i]).New()
				if err := wantCause(ctx, repo, all[i].ID, before[0].Cause); err != nil {
					return fmt.Errorf("after the caller had written to the slice given to Apply: %w", err)
				}
			}
			if err := wantAll(ctx, repo, all); err != nil {
				return fmt.Errorf("after the caller had written to the slice given to Apply: %w", err)
			}
			return nil
		}),
	}, {
		"Apply/ReturnedSlices", "The slice that Apply returns belongs to the caller.",
		onStore(Harness.families, func(ctx context.Context, _ Harness, repo cancel.Repository, all []lifecycle.Request) error {
			first, err := repo.Apply(ctx, []cancel.Change{cancelled(all[4]), cancelled(all[5])})
			if err != nil {
				return err
			}
			if err := wantApply(ctx, repo, []cancel.Change{cancelled(all[4]), cancelled(all[5])}, []bool{false, false}); err != nil {
				return err
			}
			if !slices.Equal(first, []bool{true, true}) {
				return fmt.Errorf("the next call of Apply wrote to the slice that the one before had returned: it is now %v, want [true true]", first)
			}
			first = first[:cap(first)]
			for i := range first {
				first[i] = !first[i]
			}
			return wantApply(ctx, repo, []cancel.Change{cancelled(all[6]), cancelled(all[5])}, []bool{true, false})
		}),
	},
}
