package explore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/explore"
	"example.com/ess/cancel/canceltest/internal/proof"
	"example.com/ess/cancel/memrepo"
	"example.com/ess/lifecycle"
)

// wrongWorlds are worlds in which something is wrong, and what.
func wrongWorlds() map[string]explore.World {
	const cancelled, succeeded = lifecycle.StateCancelled, lifecycle.StateSucceeded
	leaf := "1 SINGLETON RUNNING"
	pair := "1 PARENT RUNNING\n  2 CHILD RUNNING\n  3 CHILD READY"
	readyChild := func(id, parent lifecycle.ID) lifecycle.Request {
		return lifecycle.Request{ID: id, Parent: parent, Kind: lifecycle.KindChild, State: lifecycle.StateReady}
	}
	over := func(wrap func(*memrepo.Repo) cancel.Repository) canceltest.Harness {
		return canceltest.Harness{New: func(_ context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
			repo := &memrepo.Repo{}
			return wrap(repo), repo.Insert(requests...)
		}}
	}
	worlds := map[string]explore.World{
		// Schedulers.
		"3 (no escape): child 9 slipped in": {
			Name: "submit in two steps", Tree: pair,
			Actors: []explore.Actor{explore.Cancels("ann", 1), {Name: "sched", Run: func(ctx context.Context, env *explore.Env) error {
				return scheduler{env}.submitCarelessly(ctx, readyChild(9, 1))
			}}},
		},
		"1 (terminal is final): request 3 went from CANCELLED to RUNNING": {
			Name: "start in two steps", Tree: pair,
			Actors: []explore.Actor{explore.Cancels("ann", 1), {Name: "sched", Run: func(ctx context.Context, env *explore.Env) error {
				if r, err := env.Repository().Get(ctx, 3); err != nil || r.State != lifecycle.StateReady {
					return err
				}
				return env.Step(ctx, "starts 3", func(ctx context.Context, store cancel.Repository) error {
					return put(ctx, store, 3, lifecycle.StateRunning)
				})
			}}},
		},
		"2 (only rules' transitions): CHILD request 2 went from CANCELLING to ERROR_AUTO_RETRY": {
			Name: "a retry out of CANCELLING", Tree: pair,
			Actors: []explore.Actor{explore.Cancels("ann", 1), {Name: "sched", Run: func(ctx context.Context, env *explore.Env) error {
				return env.Step(ctx, "fails 2", func(ctx context.Context, store cancel.Repository) error {
					return put(ctx, store, 2, lifecycle.StateErrorAutoRetry)
				})
			}}},
		},
		"4 (a parent ends last): request 2 became SUCCEEDED while child 3 was READY": {
			Name: "a parent ends before its children", Tree: "1 PARENT RUNNING\n  2 PARENT COMPLETED\n    3 CHILD READY",
			Actors: []explore.Actor{explore.Cancels("ann", 1), {Name: "sched", Run: endEarly}},
		},
		"5 (a way out): request 1 is CANCELLING and waits for nothing": {
			Name: "work that is ended behind the back of its parent", Tree: "1 PARENT RUNNING\n  2 CHILD RUNNING",
			Actors: []explore.Actor{explore.Cancels("ann", 1), {Name: "work", Run: func(ctx context.Context, env *explore.Env) error {
				env.Until("2 is CANCELLING", func(s canceltest.Snapshot) bool { return s[2].State == lifecycle.StateCancelling })
				return env.Step(ctx, "ends 2", func(ctx context.Context, store cancel.Repository) error {
					return put(ctx, store, 2, lifecycle.StateSucceeded)
				})
			}}},
		},
		"10 (the order does not matter)": {
			Name: "two ends", Tree: leaf, OneEnd: true,
			Actors: []explore.Actor{explore.Cancels("ann", 1), explore.Finishes("work", 1, cancelled, lifecycle.TriggerFail)},
		},
		"no child may ever end": {
			Name: "an invariant of one's own", Tree: pair,
			Check: func(_, after canceltest.Snapshot) error {
				if lifecycle.Terminal.Has(after[3].State) {
					return errors.New("no child may ever end")
				}
				return nil
			},
			Actors: []explore.Actor{explore.Cancels("ann", 1)},
		},

		// Repositories.
		"1 (terminal is final): request 1 went from SUCCEEDED to CANCELLING": {
			Name: "a change in two steps", Tree: leaf,
			Repository: func(env *explore.Env) cancel.Repository { return twoSteps{env.Repository(), env} },
			Actors:     []explore.Actor{explore.Cancels("ann", 1), explore.Finishes("work", 1, succeeded, lifecycle.TriggerComplete, lifecycle.TriggerSucceed)},
		},
		"was made, but it was ": {
			Name: "a change that compares nothing", Tree: pair, View: canceltest.Plain,
			Harness: over(func(m *memrepo.Repo) cancel.Repository { return comparesNothing{m} }),
			Actors:  []explore.Actor{explore.Cancels("ann", 1), explore.Finishes("work", 2, succeeded, lifecycle.TriggerComplete)},
		},
		"3 (no escape): request 3 is READY": {
			Name: "a page that passes over a child", Tree: pair, View: canceltest.Plain, Options: &cancel.Options{PageSize: 1},
			Harness: over(func(m *memrepo.Repo) cancel.Repository { return passesOver{m} }),
			Actors:  []explore.Actor{explore.Cancels("ann", 1), explore.Acknowledges("work", 2, cancelled)},
		},
		"the store: the change of request 3 was made, it said, but it was not": {
			Name: "a batch of which the last change is lost", Tree: pair, View: canceltest.Plain,
			Harness: over(func(m *memrepo.Repo) cancel.Repository { return dropsLast{m} }),
			Actors:  []explore.Actor{explore.Cancels("ann", 1), explore.Acknowledges("work", 2, cancelled)},
		},
		"and waits for nothing, and the operation that ended what is below it has returned": {
			Name: "a replica that lags", Tree: "1 PARENT RUNNING\n  2 CHILD RUNNING", View: canceltest.Plain,
			Harness: over(func(m *memrepo.Repo) cancel.Repository { return &lagsBehind{Repo: m} }),
			Actors:  []explore.Actor{explore.Cancels("ann", 1), explore.Acknowledges("work", 2, cancelled)},
		},
	}
	return worlds
}

// endEarly ends request 2 if it is COMPLETED, whatever its children do.
func endEarly(ctx context.Context, env *explore.Env) error {
	return env.Step(ctx, "ends 2", func(ctx context.Context, store cancel.Repository) error {
		if r, err := store.Get(ctx, 2); err != nil || r.State != lifecycle.StateCompleted {
			return err
		}
		return put(ctx, store, 2, lifecycle.StateSucceeded)
	})
}

// put writes a state without looking.
func put(ctx context.Context, store cancel.Repository, id lifecycle.ID, s lifecycle.State) error {
	r, err := store.Get(ctx, id)
	if err == nil {
		_, err = store.Apply(ctx, []cancel.Change{{Old: r, State: s, CheckedIn: r.CheckedIn}})
	}
	return err
}

// twoSteps is a repository whose Apply looks in one step and writes in another.
type twoSteps struct {
	cancel.Repository
	env *explore.Env
}

func (c twoSteps) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	made := make([]bool, len(changes))
	for i, ch := range changes {
		r, err := c.Get(ctx, ch.Old.ID)
		if err != nil {
			return nil, err
		}
		if made[i] = r == ch.Old; !made[i] {
			continue
		}
		err = c.env.Step(ctx, fmt.Sprintf("UPDATE request %d", ch.Old.ID), func(ctx context.Context, store cancel.Repository) error {
			now, err := store.Get(ctx, ch.Old.ID)
			if err == nil {
				ch.Old = now
				_, err = store.Apply(ctx, []cancel.Change{ch})
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return made, nil
}

// comparesNothing makes every change.
type comparesNothing struct{ *memrepo.Repo }

func (f comparesNothing) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	changes = slices.Clone(changes)
	for i := range changes {
		now, err := f.Get(ctx, changes[i].Old.ID)
		if err != nil {
			return nil, err
		}
		changes[i].Old = now
	}
	return f.Repo.Apply(ctx, changes)
}

// passesOver passes over the first child of every page but the first.
type passesOver struct{ *memrepo.Repo }

func (s passesOver) Children(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
	if q.After.ID != 0 {
		q.After.ID++
	}
	return s.Repo.Children(ctx, q)
}

// dropsLast loses the last change of a batch, and says that it made it.
type dropsLast struct{ *memrepo.Repo }

func (f dropsLast) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	if len(changes) == 1 {
		return f.Repo.Apply(ctx, changes)
	}
	made, err := f.Repo.Apply(ctx, changes[:len(changes)-1])
	return append(made, true), err
}

// lagsBehind answers the question for one live child with what was true before the last
// write.
type lagsBehind struct {
	*memrepo.Repo
	before []lifecycle.Request
}

func (l *lagsBehind) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	l.before = slices.Collect(l.All())
	return l.Repo.Apply(ctx, changes)
}

func (l *lagsBehind) Children(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
	if q.Limit != 1 {
		return l.Repo.Children(ctx, q)
	}
	var old memrepo.Repo
	if err := old.Insert(l.before...); err != nil {
		return nil, err
	}
	return old.Children(ctx, q)
}

// TestProofInterleavingsFail explores worlds in which the scheduler or the store is wrong.
// Each is found out, with a trace that names the invariant and can be told again.
func TestProofInterleavingsFail(t *testing.T) {
	t.Parallel()
	for want, w := range wrongWorlds() {
		t.Run(w.Name, func(t *testing.T) {
			t.Parallel()
			_, err := explore.Explore(t.Context(), w)
			v, ok := errors.AsType[*explore.Violation](err)
			if !ok {
				t.Fatalf("Explore = %v, want a violation", err)
			}
			if !strings.Contains(v.Err.Error(), want) {
				t.Errorf("wrong is %v, want %q", v.Err, want)
			}
			if text := v.Error(); !strings.Contains(text, v.Trace) || !strings.Contains(text, v.Schedule) || !strings.Contains(text, w.Name) {
				t.Errorf("the error does not tell all: %s", text)
			}
			trace, err := explore.Replay(t.Context(), w, v.Schedule)
			again, ok := errors.AsType[*explore.Violation](err)
			switch {
			case w.OneEnd: // one run has one end
				if err != nil {
					t.Errorf("Replay = %v", err)
				}
			case !ok || again.Err.Error() != v.Err.Error() || trace != v.Trace || again.Schedule != v.Schedule:
				t.Errorf("Replay of %q = %v, want %v", v.Schedule, err, v)
			}
			t.Logf("found out: %v\n%s", v.Err, v.Trace)
		})
	}
}

// TestProofInterleavingsMerged runs small worlds, right and wrong, once with situations
// merged and once every schedule by itself: the number of schedules, the ends and what
// is wrong have to be the same.
func TestProofInterleavingsMerged(t *testing.T) {
	t.Parallel()
	limit := proof.Pick(proof.Quick(20.0, 60), 1500, 60_000)
	var worlds []explore.World
	for _, w := range explore.Worlds() {
		worlds = append(worlds, variants(w)[:2]...)
	}
	for _, w := range wrongWorlds() {
		worlds = append(worlds, w)
	}
	var mu sync.Mutex
	compared, schedules := 0, 0.0
	t.Run("worlds", func(t *testing.T) {
		for _, w := range worlds {
			t.Run(w.Name, func(t *testing.T) {
				t.Parallel()
				w.MaxRuns = int(limit)
				w.All = true
				merged, err := explore.Explore(t.Context(), w)
				wrong := violations(t, err)
				if !merged.Complete || merged.Schedules > limit {
					return
				}
				w.NoMerge = true
				single, err := explore.Explore(t.Context(), w)
				wrongToo := violations(t, err)
				if !slices.Equal(wrong, wrongToo) {
					t.Errorf("merged, this is wrong:\n%s\none by one:\n%s", strings.Join(wrong, "\n"), strings.Join(wrongToo, "\n"))
				}
				if !slices.Equal(merged.Ends, single.Ends) {
					t.Errorf("merged, the ends are\n%s\none by one:\n%s", strings.Join(merged.Ends, "or\n"), strings.Join(single.Ends, "or\n"))
				}
				if len(wrong) == 0 && (merged.Schedules != single.Schedules || single.Schedules != float64(single.Runs)) {
					t.Errorf("merged, there are %.0f schedules; one by one %.0f in %d runs", merged.Schedules, single.Schedules, single.Runs)
				}
				if single.Recoveries != merged.Recoveries {
					t.Errorf("merged, there are %d recoveries, one by one %d", merged.Recoveries, single.Recoveries)
				}
				mu.Lock()
				defer mu.Unlock()
				compared++
				schedules += single.Schedules
			})
		}
	})
	t.Logf("merged and one by one: %d worlds with %.0f schedules", compared, schedules)
	if compared < 10 {
		t.Errorf("only %d worlds were compared", compared)
	}
}

// violations returns what is wrong in a world that is explored to its end.
func violations(t *testing.T, err error) (wrong []string) {
	t.Helper()
	var all []error
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all = joined.Unwrap()
	} else if err != nil {
		all = []error{err}
	}
	for _, err := range all {
		v, ok := errors.AsType[*explore.Violation](err)
		if !ok {
			t.Fatal(err)
		}
		wrong = append(wrong, v.Err.Error())
	}
	slices.Sort(wrong)
	return wrong
}
