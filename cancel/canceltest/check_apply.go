package canceltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest/internal/rows"
	"example.com/ess/cancel/canceltest/internal/show"
	"example.com/ess/lifecycle"
)

var applyChecks = []check{
	{
		"Apply/MakesTheChange", "Apply writes State, Outcome and CheckedIn, and nothing else, of a request that is as Old says.",
		func(ctx context.Context, h Harness) error {
			all := lives()
			return h.with(ctx, all, func(repo cancel.Repository) error {
				for _, r := range all {
					for _, ch := range life(r) {
						if err := made(ctx, repo, ch); err != nil {
							return err
						}
						if err := wantGet(ctx, repo, ch.New()); err != nil {
							return fmt.Errorf("after %s: %w", showChange(ch), err)
						}
					}
				}
				for i, r := range all {
					chs := life(r)
					all[i] = chs[len(chs)-1].New()
				}
				return wantAll(ctx, repo, all)
			})
		},
	}, {
		"Apply/ComparesState", "Apply leaves a request alone whose State is not that of Old.",
		func(ctx context.Context, h Harness) error {
			return losers(ctx, h, func(add func(is, old lifecycle.Request)) {
				leaf := request(0, 0, lifecycle.KindSingleton, lifecycle.StateWait)
				for _, s := range []lifecycle.State{lifecycle.StateReady, lifecycle.StateRunning, lifecycle.StateCancelled, lifecycle.StateSucceeded, lifecycle.StateCancelling} {
					is := leaf
					is.State = s
					add(is, leaf)
				}
				working := cancelling(request(0, 0, lifecycle.KindSingleton, lifecycle.StateRunning), moment)
				for _, s := range []lifecycle.State{lifecycle.StateRunning, lifecycle.StateCancelled, lifecycle.StateError} {
					is := working
					is.State = s
					add(is, working)
				}
			})
		},
	}, {
		"Apply/ComparesOutcome", "Apply leaves a request alone whose Outcome is not that of Old.",
		func(ctx context.Context, h Harness) error {
			return losers(ctx, h, func(add func(is, old lifecycle.Request)) {
				r := cancelling(request(0, 0, lifecycle.KindSubrequestParent, lifecycle.StateRunning), moment)
				outcomes := append(slices.Collect(lifecycle.Outcomes.All()), 0)
				for _, o := range outcomes {
					for _, p := range outcomes {
						if o != p {
							is, old := r, r
							is.Outcome, old.Outcome = o, p
							add(is, old)
						}
					}
				}
			})
		},
	}, {
		"Apply/ComparesCheckedIn", "Apply leaves a request alone whose CheckedIn is not that of Old, be it by a microsecond.",
		func(ctx context.Context, h Harness) error {
			return losers(ctx, h, func(add func(is, old lifecycle.Request)) {
				r := request(0, 0, lifecycle.KindSingleton, lifecycle.StateRunning)
				for _, d := range []time.Duration{time.Microsecond, -time.Microsecond, time.Millisecond, time.Second, -time.Hour} {
					add(cancelling(r, moment), cancelling(r, moment.Add(d)))
				}
				add(cancelling(r, moment), cancelling(r, time.Time{}))
				add(cancelling(r, time.Time{}), cancelling(r, moment))
			})
		},
	}, {
		"Apply/OldWithoutVersion", "Where Old.Version is empty, State, Outcome and CheckedIn decide, even in a store that keeps versions.",
		func(ctx context.Context, h Harness) error {
			all := everyRequest()
			return h.with(ctx, all, func(repo cancel.Repository) error {
				for _, r := range all[1:] {
					ch, ok := someChange(r)
					if !ok {
						continue
					}
					if err := made(ctx, repo, ch); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}, {
		"Apply/OldAsRead", "Old is a request as any method has returned it, with its Version if it has one.",
		func(ctx context.Context, h Harness) error {
			all := families()
			return h.with(ctx, all, func(repo cancel.Repository) error {
				got, err := repo.Get(ctx, 101)
				if err != nil {
					return err
				}
				got2, err := page(ctx, repo, all, cancel.ChildQuery{Parents: []lifecycle.ID{20}, States: lifecycle.Live, Limit: 1})
				if err != nil {
					return err
				}
				olds := append(got2, got)
				if lister, ok := repo.(cancel.CancellingLister); ok {
					if err := made(ctx, repo, toCancelling(all[0], moment)); err != nil {
						return err
					}
					list, err := lister.ListCancelling(ctx, 0, 1)
					if err != nil && !errors.Is(err, errors.ErrUnsupported) {
						return err
					}
					for _, u := range list {
						olds = append(olds, u.Request)
					}
				}
				for _, old := range olds {
					ch, _ := someChange(old)
					if err := made(ctx, repo, ch); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}, {
		"Apply/OldAsWritten", "Old is a request as Change.New returns it: writes follow each other without a read in between.",
		func(ctx context.Context, h Harness) error {
			r := request(1, 0, lifecycle.KindSubrequestParent, lifecycle.StateRunning)
			return h.with(ctx, []lifecycle.Request{r}, func(repo cancel.Repository) error {
				old, err := repo.Get(ctx, 1)
				if err != nil {
					return err
				}
				for _, ch := range life(r) {
					ch.Old = old
					if err := made(ctx, repo, ch); err != nil {
						return err
					}
					old = ch.New()
				}
				return wantGet(ctx, repo, old)
			})
		},
	}, {
		"Apply/OldOfAnEarlierRead", "Apply leaves a request alone that has changed since Old was read, however often; a Version changes with every write.",
		func(ctx context.Context, h Harness) error {
			r := request(1, 0, lifecycle.KindSubrequestParent, lifecycle.StateRunning)
			return h.with(ctx, []lifecycle.Request{r}, func(repo cancel.Repository) error {
				var reads []lifecycle.Request
				for _, ch := range life(r) {
					old, err := repo.Get(ctx, 1)
					if err != nil {
						return err
					}
					reads = append(reads, old)
					ch.Old = old
					if err := made(ctx, repo, ch); err != nil {
						return err
					}
					for _, old := range reads {
						late, ok := someChange(old)
						if !ok {
							continue
						}
						if err := notMade(ctx, repo, late, ch.New()); err != nil {
							return err
						}
					}
				}
				return nil
			})
		},
	}, {
		"Apply/GoneIsNoError", "A request that is gone is left alone: made is false for it, and that is no error.",
		func(ctx context.Context, h Harness) error {
			is := request(1, 0, lifecycle.KindSingleton, lifecycle.StateWait)
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
				all = append(all, request(id, 0, lifecycle.KindSingleton, lifecycle.StateRunning))
			}
			return h.with(ctx, all, func(repo cancel.Repository) error {
				var changes []cancel.Change
				var want []bool
				for i, r := range slices.Backward(all) {
					ok := i%3 != 1
					if !ok {
						r.State = lifecycle.StateWait // which it is not
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
		func(ctx context.Context, h Harness) error {
			return h.with(ctx, families(), func(repo cancel.Repository) error {
				if err := wantApply(ctx, repo, nil, nil); err != nil {
					return err
				}
				if err := wantApply(ctx, repo, []cancel.Change{}, nil); err != nil {
					return err
				}
				return wantAll(ctx, repo, families())
			})
		},
	}, {
		"Apply/ThousandChanges", "A batch may have a thousand changes.",
		func(ctx context.Context, h Harness) error {
			all := []lifecycle.Request{request(5000, 0, lifecycle.KindParent, lifecycle.StateRunning)}
			for id := lifecycle.ID(1); id <= 1000; id++ {
				all = append(all, request(id, 5000, lifecycle.KindChild, lifecycle.StateWait))
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
				request(1, 0, lifecycle.KindParent, lifecycle.StateRunning),
				request(2, 1, lifecycle.KindSubrequestParent, lifecycle.StateRunning),
				request(3, 1, lifecycle.KindChild, lifecycle.StateRunning),
			}
			return h.with(ctx, all, func(repo cancel.Repository) error {
				for _, ch := range life(all[1]) {
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
			r := families()[4]
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
		func(ctx context.Context, h Harness) error {
			all := families()
			return h.with(ctx, all, func(repo cancel.Repository) error {
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
					memory[i] = ended(ch.Old, lifecycle.StateError)
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
			})
		},
	}, {
		"Apply/ReturnedSlices", "The slice that Apply returns belongs to the caller.",
		func(ctx context.Context, h Harness) error {
			all := families()
			return h.with(ctx, all, func(repo cancel.Repository) error {
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
			})
		},
	},
}

// losers checks that no change is made to a request that is not as Old says. It
// tries them one by one and then all in one batch, among others that are made.
func losers(ctx context.Context, h Harness, cases func(add func(is, old lifecycle.Request))) error {
	var all []lifecycle.Request
	var changes []cancel.Change
	cases(func(is, old lifecycle.Request) {
		is.ID = lifecycle.ID(len(all) + 1)
		old.ID = is.ID
		ch, _ := someChange(old)
		all, changes = append(all, is), append(changes, ch)
	})
	return h.with(ctx, all, func(repo cancel.Repository) error {
		var errs []error
		for i, ch := range changes {
			errs = append(errs, notMade(ctx, repo, ch, all[i]))
		}
		want := make([]bool, len(changes))
		if err := show.Errors(append(errs, wantApply(ctx, repo, changes, want), wantAll(ctx, repo, all))); err != nil {
			return err
		}
		for i := range changes {
			if ch, ok := someChange(all[i]); ok && i%2 == 0 {
				changes[i], want[i], all[i] = ch, true, ch.New()
			}
		}
		return errors.Join(wantApply(ctx, repo, changes, want), wantAll(ctx, repo, all))
	})
}
