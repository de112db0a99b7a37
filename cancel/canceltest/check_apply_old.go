package canceltest

import (
	"context"
	"errors"
	"slices"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest/internal/rows"
	"example.com/ess/cancel/canceltest/internal/show"
	"example.com/ess/lifecycle"
)

var applyOldChecks = []check{
	{
		"Apply/ComparesState", "Apply leaves a request alone whose State is not that of Old.",
		func(ctx context.Context, h Harness) error {
			return losers(ctx, h, func(add func(is, old lifecycle.Request)) {
				leaf := h.request(0, 0, lifecycle.KindSingleton, lifecycle.StateWait)
				for _, s := range []lifecycle.State{lifecycle.StateReady, lifecycle.StateRunning, lifecycle.StateCancelled, lifecycle.StateSucceeded, lifecycle.StateCancelling} {
					is := leaf
					is.State = s
					add(is, leaf)
				}
				working := cancelling(h.request(0, 0, lifecycle.KindSingleton, lifecycle.StateRunning), moment)
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
				r := cancelling(h.request(0, 0, lifecycle.KindSubrequestParent, lifecycle.StateRunning), moment)
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
				r := h.request(0, 0, lifecycle.KindSingleton, lifecycle.StateRunning)
				for _, d := range []time.Duration{time.Microsecond, -time.Microsecond, time.Millisecond, time.Second, -time.Hour} {
					add(cancelling(r, moment), cancelling(r, moment.Add(d)))
				}
				add(cancelling(r, moment), cancelling(r, time.Time{}))
				add(cancelling(r, time.Time{}), cancelling(r, moment))
			})
		},
	}, {
		"Apply/ComparesAttempt", "A store that keeps Attempt writes it, and leaves a request alone whose Attempt is not that of Old; one that does not always returns 0.",
		func(ctx context.Context, h Harness) error {
			r := h.request(1, 0, lifecycle.KindSingleton, lifecycle.StateReady)
			return h.with(ctx, []lifecycle.Request{r}, func(repo cancel.Repository) error {
				start := cancel.Change{Old: r, Trigger: lifecycle.TriggerStart, State: lifecycle.StateRunning, Attempt: 1, Cause: why}
				if err := made(ctx, repo, start); err != nil {
					return err
				}
				is, err := repo.Get(ctx, 1)
				if err != nil || is.Attempt == 0 {
					return err
				}
				other := start.New()
				other.Attempt = 2
				return errors.Join(wantGet(ctx, repo, start.New()), notMade(ctx, repo, toCancelling(other, moment), start.New()), made(ctx, repo, toCancelling(is, moment)))
			})
		},
	}, {
		"Apply/OldWithoutVersion", "Where Old.Version is empty, State, Outcome and CheckedIn decide, even in a store that keeps versions.",
		onStore(Harness.everyRequest, func(ctx context.Context, h Harness, repo cancel.Repository, all []lifecycle.Request) error {
			for _, r := range all[1:] {
				ch, ok := h.someChange(r)
				if !ok {
					continue
				}
				if err := made(ctx, repo, ch); err != nil {
					return err
				}
			}
			return nil
		}),
	}, {
		"Apply/OldAsRead", "Old is a request as any method has returned it, with its Version if it has one.",
		onStore(Harness.families, func(ctx context.Context, h Harness, repo cancel.Repository, all []lifecycle.Request) error {
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
				ch, _ := h.someChange(old)
				if err := made(ctx, repo, ch); err != nil {
					return err
				}
			}
			return nil
		}),
	}, {
		"Apply/OldAsWritten", "Old is a request as Change.New returns it: writes follow each other without a read in between.",
		func(ctx context.Context, h Harness) error {
			r := h.request(1, 0, lifecycle.KindSubrequestParent, lifecycle.StateRunning)
			return h.with(ctx, []lifecycle.Request{r}, func(repo cancel.Repository) error {
				old, err := repo.Get(ctx, 1)
				if err != nil {
					return err
				}
				for _, ch := range h.life(r) {
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
			r := h.request(1, 0, lifecycle.KindSubrequestParent, lifecycle.StateRunning)
			return h.with(ctx, []lifecycle.Request{r}, func(repo cancel.Repository) error {
				var reads []lifecycle.Request
				for _, ch := range h.life(r) {
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
						late, ok := h.someChange(old)
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
	},
}

// losers checks that no change is made to a request that is not as Old says. It
// tries them one by one and then all in one batch, among others that are made.
func losers(ctx context.Context, h Harness, cases func(add func(is, old lifecycle.Request))) error {
	var all []lifecycle.Request
	var changes []cancel.Change
	cases(func(is, old lifecycle.Request) {
		if is, old = h.fit().Request(is), h.fit().Request(old); rows.SameState(is, old) {
			return // in this store they are
		}
		is.ID = lifecycle.ID(len(all) + 1)
		old.ID = is.ID
		ch, _ := h.someChange(old)
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
			if ch, ok := h.someChange(all[i]); ok && i%2 == 0 {
				changes[i], want[i], all[i] = ch, true, ch.New()
			}
		}
		return errors.Join(wantApply(ctx, repo, changes, want), wantAll(ctx, repo, all))
	})
}
