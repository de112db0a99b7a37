package explore_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/explore"
	"example.com/ess/cancel/canceltest/internal/proof"
	"example.com/ess/cancel/memrepo"
	"example.com/ess/lifecycle"
)

// variants returns a world with and without the capabilities of the store, with pages of
// one and of many requests, and with and without receipts.
func variants(w explore.World) []explore.World {
	var all []explore.World
	for i, v := range []struct {
		name     string
		page     int
		view     func(cancel.Repository) cancel.Repository
		receipts bool
	}{
		{"as it comes", 0, nil, false},
		{"plain, page of 1", 1, canceltest.Plain, true},
		{"by level, page of 1", 1, canceltest.ByLevel, true},
		{"plain", 0, canceltest.Plain, false},
		{"page of 1", 1, nil, true},
		{"by level", 0, canceltest.ByLevel, false},
	} {
		if i > 1 && !strings.Contains(w.Tree, "PARENT") {
			break // there are no pages
		}
		v2 := w
		opts := cancel.Options{}
		if w.Options != nil {
			opts = *w.Options
		}
		opts.PageSize = v.page
		v2.Name, v2.Options, v2.View, v2.NoReceipts = w.Name+", "+v.name, &opts, v.view, !v.receipts
		all = append(all, v2)
	}
	return all
}

// totals adds up reports.
type totals struct {
	mu        sync.Mutex
	worlds    int
	schedules float64
	runs      int
	steps     int
	cut       int
}

func (s *totals) add(r explore.Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.worlds++
	s.schedules += r.Schedules
	s.runs += r.Runs
	s.steps += r.Steps
	if !r.Complete {
		s.cut++
	}
}

func (s *totals) String() string {
	text := fmt.Sprintf("%d worlds: %.4g schedules, in %d runs of %d steps", s.worlds, s.schedules, s.runs, s.steps)
	if s.cut > 0 {
		text += fmt.Sprintf("; %d worlds were cut short", s.cut)
	}
	return text
}

// TestProofInterleavings explores every world in every variant. Where a world can end
// does not depend on the variant.
func TestProofInterleavings(t *testing.T) {
	t.Parallel()
	worlds := explore.Worlds()
	if proof.Long() {
		worlds = append(worlds, longWorlds()...)
	}
	var sum totals
	t.Run("worlds", func(t *testing.T) {
		for _, w := range worlds {
			t.Run(w.Name, func(t *testing.T) {
				t.Parallel()
				var ends []string
				for i, v := range variants(w) {
					if !proof.Full() {
						v.MaxTurns = 1
						if i == proof.Quick(1, 6) {
							break
						}
					}
					r := explore.Run(t, v)
					sum.add(r)
					if i == 0 {
						ends = r.Ends
					} else if r.Complete && !slices.Equal(r.Ends, ends) && proof.Full() && !strings.Contains(w.Name, "a parent that fails") { // that takes a ParentEnder
						t.Errorf("10 (pages do not matter): with pages of one, or without capabilities, the ends are\n%s\nnot\n%s", strings.Join(r.Ends, "or\n"), strings.Join(ends, "or\n"))
					}
				}
			})
		}
	})
	t.Logf("interleavings: %v", &sum)
}

// longWorlds are worlds that take minutes.
func longWorlds() []explore.World {
	const cancelled, succeeded = lifecycle.StateCancelled, lifecycle.StateSucceeded
	gaveIn := context.Cause
	child := lifecycle.Request{ID: 9, Parent: 2, Kind: lifecycle.KindChild, State: lifecycle.StateWait}
	return []explore.World{
		{
			Name: "long/two resumes", OneEnd: true, Tree: `
				1 PARENT CANCELLING (then CANCELLED)
				  2 CHILD RUNNING
				  3 CHILD WAIT`,
			Actors: []explore.Actor{explore.Resumes("boot1"), explore.Resumes("boot2"), explore.Acknowledges("work", 2, succeeded)},
		}, {
			Name: "long/two workers told by resume", Workers: true, Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING
				  3 CHILD RUNNING`,
			Actors: []explore.Actor{dies(explore.Cancels("ann", 1)), explore.Works("work2", 2, gaveIn), explore.Works("work3", 3, gaveIn)},
		}, {
			Name: "long/a worker dies", Workers: true, Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING`,
			Actors: []explore.Actor{explore.Cancels("ann", 1), dies(explore.Works("work", 2, gaveIn)), explore.Works("next", 2, gaveIn)},
		}, {
			Name: "long/three cancels", OneEnd: true, Tree: `
				1 PARENT RUNNING
				  2 PARENT RUNNING
				    3 CHILD RUNNING`,
			Actors: []explore.Actor{
				explore.Cancels("ann", 1), explore.Cancels("bob", 2), explore.Cancels("cid", 3),
				explore.Acknowledges("work", 3, cancelled),
			},
		}, {
			Name: "long/two cancels and two answers", OneEnd: true, Tree: `
				1 SUBREQUEST_PARENT RUNNING
				  2 SUBREQUEST_PARENT RUNNING
				    3 CHILD WAIT`,
			Actors: []explore.Actor{
				explore.Cancels("ann", 1), explore.Cancels("bob", 2),
				explore.Acknowledges("work1", 1, succeeded), explore.Acknowledges("work2", 2, cancelled),
			},
		}, {
			Name: "long/submission below an inner node", Tree: `
				1 PARENT RUNNING
				  2 SUBREQUEST_PARENT RUNNING
				    3 CHILD RUNNING`,
			Actors: []explore.Actor{
				explore.Cancels("ann", 1), explore.Cancels("bob", 2), explore.Submits("sched", child),
				explore.Acknowledges("work2", 2, cancelled), explore.Acknowledges("work3", 3, succeeded),
			},
		}, {
			Name: "long/a canceller and two workers die", Tree: `
				1 PARENT RUNNING
				  2 SUBREQUEST_PARENT RUNNING
				    3 CHILD RUNNING`,
			Actors: []explore.Actor{
				dies(explore.Cancels("ann", 1)), dies(explore.Cancels("bob", 2)),
				dies(explore.Acknowledges("work2", 2, succeeded)), dies(explore.Acknowledges("work3", 3, cancelled)),
			},
		}, {
			Name: "long/resume beside everything", OneEnd: true, Tree: `
				1 PARENT CANCELLING (then CANCELLED)
				  2 SUBREQUEST_PARENT RUNNING
				    3 CHILD READY`,
			Actors: []explore.Actor{
				explore.Resumes("boot"), explore.Cancels("bob", 2), explore.Acknowledges("work2", 2, succeeded),
			},
		}, {
			Name: "long/retry below two cancels", Tree: `
				1 PARENT RUNNING
				  2 PARENT RUNNING
				    3 CHILD RUNNING
				  4 CHILD RUNNING`,
			Actors: []explore.Actor{
				explore.Cancels("ann", 1), explore.Cancels("bob", 2),
				explore.Finishes("work3", 3, lifecycle.StateError, lifecycle.TriggerFailRetryable, lifecycle.TriggerRetry, lifecycle.TriggerDispatch, lifecycle.TriggerStart),
				explore.Acknowledges("work4", 4, succeeded),
			},
		},
	}
}

func dies(a explore.Actor) explore.Actor {
	a.Dies = true
	return a
}

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

// TestExploreOtherStore explores over a store that has nothing but the three methods and
// a way to be made: what the scheduler does is then done with them.
func TestExploreOtherStore(t *testing.T) {
	t.Parallel()
	closed := 0
	w := explore.World{
		Name: "other store",
		Tree: "1 PARENT RUNNING\n  2 CHILD READY",
		Harness: canceltest.Harness{
			New: func(_ context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
				repo := &memrepo.Repo{}
				return canceltest.Plain(repo), repo.Insert(requests...)
			},
			Close: func(cancel.Repository) error {
				closed++
				return nil
			},
		},
		Actors: []explore.Actor{explore.Cancels("ann", 1), explore.Transitions("sched", 2, lifecycle.TriggerStart, lifecycle.TriggerComplete)},
	}
	r := explore.Run(t, w)
	if len(r.Ends) != 2 || closed < r.Runs {
		t.Errorf("%d repositories were closed after %d runs, ends %q", closed, r.Runs, r.Ends)
	}
	w.Actors = append(w.Actors, explore.Submits("submit", lifecycle.Request{ID: 3, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateWait}))
	if _, err := explore.Explore(t.Context(), w); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Explore with a submitter over a store without Submit = %v", err)
	}
	t.Run("skipped", func(t *testing.T) {
		explore.Run(t, w)
		t.Error("not skipped")
	})
}

// TestExploreOwnCode lets an actor use its own Canceller instead of the methods of Env.
func TestExploreOwnCode(t *testing.T) {
	t.Parallel()
	own := func(whole bool) explore.World {
		return explore.World{
			Name: "own code", Resume: true,
			Tree: "1 PARENT RUNNING\n  2 CHILD READY",
			Actors: []explore.Actor{
				{Name: "ann", Run: func(ctx context.Context, env *explore.Env) error {
					if env.Name() != "ann" || env.Now().IsZero() {
						return errors.New("who and when am I?")
					}
					cancels := env.Canceller().Fence
					if whole {
						cancels = env.Canceller().Cancel
					}
					_, err := cancels(ctx, cancel.Order{ID: 1, Actor: env.Name()})
					if err == nil {
						env.Cancelled(1)
					}
					return err
				}},
				explore.Transitions("sched", 2, lifecycle.TriggerStart),
			},
		}
	}
	if _, err := explore.Explore(t.Context(), own(true)); err != nil {
		t.Error(err)
	}
	if _, err := explore.Explore(t.Context(), own(false)); err == nil || !strings.Contains(err.Error(), "3 (no escape): request 2 is ") {
		t.Errorf("what was only begun is taken to be cancelled: %v", err)
	}
}

var leaf1 = lifecycle.Request{ID: 1, Kind: lifecycle.KindSingleton, State: lifecycle.StateRunning}

// TestExploreWorkers checks the ways in which work can be told, and not told.
func TestExploreWorkers(t *testing.T) {
	t.Parallel()
	work := func(run func(ctx context.Context, env *explore.Env) error) explore.World {
		return explore.World{
			Name: "work", Tree: "1 SINGLETON RUNNING", Workers: true,
			Actors: []explore.Actor{explore.Cancels("ann", 1), {Name: "work", Run: run}},
		}
	}
	for want, w := range map[string]explore.World{
		"waits forever": work(func(ctx context.Context, env *explore.Env) error {
			env.Await(ctx)
			return nil
		}),
		"5 (a way out): the work of request 1 was never told to stop": work(func(ctx context.Context, env *explore.Env) error {
			_ = env.Run(ctx, leaf1, func(ctx context.Context) error {
				env.Await(context.WithoutCancel(ctx))
				return nil
			}, nil)
			return nil
		}),
		"9 (running work is not cancelled without its answer)": work(func(ctx context.Context, env *explore.Env) error {
			_, err := env.CheckIn(ctx, 1)
			if err != nil {
				return nil
			}
			return env.Step(ctx, "loses patience", func(ctx context.Context, store cancel.Repository) error {
				return put(ctx, store, 1, lifecycle.StateCancelled)
			})
		}),
		"panicked: ouch": work(func(ctx context.Context, env *explore.Env) error {
			_ = env.Run(ctx, leaf1, func(context.Context) error { panic("ouch") }, nil)
			return nil
		}),
	} {
		if _, err := explore.Explore(t.Context(), w); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Explore = %v, want %q", err, want)
		}
	}
	w := work(func(ctx context.Context, env *explore.Env) error { return env.Run(ctx, leaf1, nil, nil) })
	w.Workers = false
	if _, err := explore.Explore(t.Context(), w); err == nil || !strings.Contains(err.Error(), "World.Workers") {
		t.Errorf("Env.Run without World.Workers: %v", err)
	}
}

// TestExploreRefuses gives Explore worlds and actors that it cannot work with.
func TestExploreRefuses(t *testing.T) {
	t.Parallel()
	errNew := errors.New("no store today")
	times := 0
	leaf := func(run func(ctx context.Context, env *explore.Env) error) explore.World {
		return explore.World{Name: "w", Tree: "1 SINGLETON RUNNING", Actors: []explore.Actor{explore.Cancels("ann", 1), {Name: "odd", Run: run}}}
	}
	nothing := func(context.Context, *explore.Env) error { return nil }
	tests := []struct {
		name  string
		world explore.World
		want  string
	}{
		{"no function", leaf(nil), "a name of its own"},
		{"no name", explore.World{Actors: []explore.Actor{{Run: nothing}}}, "a name of its own"},
		{"two of one name", explore.World{Actors: []explore.Actor{{Name: "a", Run: nothing}, {Name: "a", Run: nothing}}}, "a name of its own"},
		{"a name with a mark", explore.World{Actors: []explore.Actor{{Name: "a!", Run: nothing}}}, "a name of its own"},
		{"a line of four words", explore.World{Tree: "1 SINGLETON RUNNING fast"}, "want an id, a kind and a state"},
		{"an unknown kind", explore.World{Tree: "1 DOUBLETON RUNNING"}, "DOUBLETON"},
		{"an odd id", explore.World{Tree: "one SINGLETON RUNNING"}, "one SINGLETON RUNNING"},
		{"an impossible request", explore.World{Tree: "1 PARENT RUNNING (then CANCELLED)"}, "has an outcome"},
		{"two of one id", explore.World{Tree: "1 SINGLETON WAIT\n1 SINGLETON WAIT"}, "is there already"},
		{"no store", explore.World{Harness: canceltest.Harness{New: func(context.Context, []lifecycle.Request) (cancel.Repository, error) { return nil, errNew }}}, errNew.Error()},
		{"a store that does not close", explore.World{Harness: canceltest.Harness{
			New:   func(context.Context, []lifecycle.Request) (cancel.Repository, error) { return &memrepo.Repo{}, nil },
			Close: func(cancel.Repository) error { return errNew },
		}}, errNew.Error()},
		{"a store that cannot be read", explore.World{Harness: canceltest.Harness{
			New: func(context.Context, []lifecycle.Request) (cancel.Repository, error) {
				return unreadable{&memrepo.Repo{}}, nil
			},
		}}, "cannot be read"},
		{"an error", leaf(func(context.Context, *explore.Env) error { return errNew }), "odd: " + errNew.Error()},
		{"a panic", leaf(func(context.Context, *explore.Env) error { panic(errNew) }), "odd: panicked: " + errNew.Error()},
		{"the end of its goroutine", leaf(func(context.Context, *explore.Env) error { runtime.Goexit(); return nil }), "odd: ended its goroutine"},
		{"another thing every time", leaf(func(ctx context.Context, env *explore.Env) error {
			times++
			_, _ = env.CheckIn(ctx, lifecycle.ID(1+times%2))
			return nil
		}), `actor "odd" did something else when it was told the same`},
		{"another step every time, and a violation", leaf(func(ctx context.Context, env *explore.Env) error {
			times++
			return env.Step(ctx, fmt.Sprint("step ", times), func(ctx context.Context, store cancel.Repository) error {
				return put(ctx, store, 1, lifecycle.StateWait)
			})
		}), `actor "odd" did something else when it was told the same`},
		{"no end", func() explore.World {
			w := leaf(func(ctx context.Context, env *explore.Env) error {
				for {
					if _, err := env.CheckIn(ctx, 1); err != nil {
						return err
					}
				}
			})
			w.MaxSteps = 50
			return w
		}(), "this does not end: 50 steps"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := explore.Explore(t.Context(), tt.world); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Explore = %v, want %q", err, tt.want)
			}
		})
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := explore.Explore(ctx, leaf(nothing)); !errors.Is(err, context.Canceled) {
		t.Errorf("Explore with an ended context = %v", err)
	}
}

type unreadable struct{ *memrepo.Repo }

func (unreadable) Children(context.Context, cancel.ChildQuery) ([]lifecycle.Request, error) {
	return nil, errors.New("bad sector")
}

// TestExploreStuck has an actor wait where it must not. In a bubble that is noticed at
// once, and sleeping takes no time.
func TestExploreStuck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		w := explore.World{
			Name: "stuck", Tree: "1 SINGLETON RUNNING",
			Actors: []explore.Actor{explore.Cancels("ann", 1), {Name: "work", Run: func(ctx context.Context, env *explore.Env) error {
				time.Sleep(3 * time.Second)
				if _, err := env.CheckIn(ctx, 1); err != nil {
					return err
				}
				time.Sleep(3 * time.Second)
				return nil
			}}},
		}
		if _, err := explore.Explore(t.Context(), w); err != nil {
			t.Error(err)
		}
		w.Actors[1].Run = func(context.Context, *explore.Env) error {
			<-release
			return nil
		}
		_, err := explore.Explore(t.Context(), w)
		if err == nil || !strings.Contains(err.Error(), `actor "work" neither does a step nor returns`) {
			t.Errorf("Explore = %v", err)
		}
		close(release)
	})
}

// TestExploreMaxRuns cuts an exploration short.
func TestExploreMaxRuns(t *testing.T) {
	t.Parallel()
	for _, w := range explore.Worlds() {
		if w.Name != "children/two cancels" {
			continue
		}
		w.MaxRuns = 3
		if r := explore.Run(t, w); r.Complete || r.Runs != 3 || !strings.Contains(r.String(), "CUT SHORT") {
			t.Errorf("%v", r)
		}
	}
}

// TestExploreReceipts compares receipts with what was done.
func TestExploreReceipts(t *testing.T) {
	t.Parallel()
	r := func(s lifecycle.State, outcome lifecycle.State) lifecycle.Request {
		return lifecycle.Request{ID: 1, Kind: lifecycle.KindSubrequestParent, State: s, Outcome: outcome}
	}
	running, cancelling := r(lifecycle.StateRunning, 0), r(lifecycle.StateCancelling, 0)
	answered, succeeded := r(lifecycle.StateCancelling, lifecycle.StateSucceeded), r(lifecycle.StateSucceeded, 0)
	cancelled, deleted := r(lifecycle.StateCancelled, 0), lifecycle.Request{}
	tests := []struct {
		what     cancel.Disposition
		from, to lifecycle.Request
		now      lifecycle.Request
		did      []explore.RowChange
		want     string
	}{
		{cancel.DispositionCancelled, running, cancelled, cancelled, []explore.RowChange{{running, cancelled}}, ""},
		{cancel.DispositionCancelled, running, cancelled, cancelled, []explore.RowChange{{running, cancelling}, {cancelling, cancelled}}, ""},
		{cancel.DispositionCancelled, running, cancelled, cancelled, []explore.RowChange{{running, cancelling}}, "this call made it CANCELLING"},
		{cancel.DispositionCancelled, cancelling, cancelled, cancelled, []explore.RowChange{{cancelling, cancelled}}, "this call made it CANCELLED"},
		{cancel.DispositionCancelled, running, cancelled, cancelled, nil, "another did that"},
		{cancel.DispositionCancelled, cancelling, cancelled, cancelled, []explore.RowChange{{running, cancelled}}, "it was RUNNING"},
		{cancel.DispositionCancelling, running, cancelling, cancelling, []explore.RowChange{{running, cancelling}}, ""},
		{cancel.DispositionCancelling, running, cancelled, cancelled, []explore.RowChange{{running, cancelling}}, ""},
		{cancel.DispositionCancelling, running, cancelling, deleted, []explore.RowChange{{running, cancelling}}, ""},
		{cancel.DispositionCancelling, running, cancelling, cancelling, nil, "another did that"},
		{cancel.DispositionCancelling, running, cancelling, cancelled, []explore.RowChange{{running, cancelled}}, "this call made it CANCELLED"},
		{cancel.DispositionAlreadyCancelling, cancelling, cancelling, cancelling, nil, ""},
		{cancel.DispositionAlreadyCancelling, running, cancelling, cancelling, []explore.RowChange{{running, cancelling}}, "this call made it CANCELLING"},
		{cancel.DispositionSettled, answered, succeeded, succeeded, []explore.RowChange{{answered, succeeded}}, ""},
		{cancel.DispositionSettled, cancelling, succeeded, succeeded, []explore.RowChange{{cancelling, answered}, {answered, succeeded}}, ""},
		{cancel.DispositionSettled, cancelling, succeeded, succeeded, []explore.RowChange{{cancelling, answered}}, "this call made it CANCELLING (then SUCCEEDED)"},
		{cancel.DispositionSettled, answered, succeeded, succeeded, nil, "another did that"},
		{cancel.DispositionSettled, running, cancelled, cancelled, []explore.RowChange{{running, cancelling}, {cancelling, cancelled}}, "this call made it CANCELLED"},
		{cancel.DispositionRecorded, cancelling, answered, answered, []explore.RowChange{{cancelling, answered}}, ""},
		{cancel.DispositionRecorded, cancelling, succeeded, succeeded, []explore.RowChange{{cancelling, answered}}, ""},
		{cancel.DispositionRecorded, cancelling, answered, answered, nil, "another did that"},
		{cancel.DispositionRecorded, cancelling, answered, succeeded, []explore.RowChange{{cancelling, succeeded}}, "this call made it SUCCEEDED"},
		{cancel.DispositionEnded, running, succeeded, succeeded, nil, ""},
		{cancel.DispositionEnded, running, succeeded, deleted, nil, ""},
		{cancel.DispositionEnded, running, succeeded, cancelled, nil, "it is CANCELLED"},
		{cancel.DispositionEnded, running, cancelling, cancelling, nil, "it is CANCELLING"},
		{cancel.DispositionEnded, running, cancelled, cancelled, []explore.RowChange{{running, cancelled}}, "this call made it CANCELLED"},
		{cancel.DispositionConflict, running, running, running, nil, ""},
		{cancel.DispositionConflict, running, cancelling, cancelling, []explore.RowChange{{running, cancelling}}, ""},
		{cancel.DispositionConflict, running, cancelled, cancelled, []explore.RowChange{{running, cancelled}}, "this call made it CANCELLED"},
		{cancel.DispositionFailed, running, running, cancelled, []explore.RowChange{{running, cancelled}}, ""},
	}
	for _, tt := range tests {
		rec := cancel.Receipt{ID: 1, Disposition: tt.what, From: tt.from.State, To: tt.to.State}
		if got := explore.Mismatch(rec, tt.now, tt.did...); got != tt.want {
			t.Errorf("the receipt %q of %v, now %v: %q, want %q", rec, tt.did, tt.now.State, got, tt.want)
		}
	}
}

// TestReplay replays schedules that nothing is wrong with, and some that are none.
func TestReplay(t *testing.T) {
	t.Parallel()
	w := explore.World{
		Name: "replay", Tree: "1 PARENT RUNNING\n  2 CHILD RUNNING",
		Actors: []explore.Actor{
			{Name: "ann", Run: explore.Cancels("", 1).Run, Dies: true, Faults: 2},
			explore.Acknowledges("work", 2, lifecycle.StateCancelled),
		},
	}
	for schedule, want := range map[string]string{
		"":                             "Then there is\n\n    1 PARENT RUNNING\n      2 CHILD RUNNING\n",
		"ann*2":                        "    1 PARENT CANCELLING (then CANCELLED)\n      2 CHILD RUNNING\n",
		"ann ann~ resume":              "2. ann: Apply(1 RUNNING -> CANCELLING (then CANCELLED)) => done, but the answer is lost",
		"ann?":                         "1. ann: Get(1) => not done, the call fails",
		"ann*2 ann!":                   "3. ann dies",
		"ann*3 work*6":                 "    1 PARENT CANCELLED\n      2 CHILD CANCELLED\n",
		"ann ann ann work work work*4": "6. work: Apply(2 CANCELLING -> CANCELLED) => made",
	} {
		trace, err := explore.Replay(t.Context(), w, schedule)
		if err != nil || !strings.Contains(trace, want) {
			t.Errorf("Replay(%q) = %s\n%v, want %q in it", schedule, trace, err, want)
		}
	}
	for schedule, want := range map[string]string{
		"eve":       `there is no actor "eve"`,
		"ann*x":     `"ann*x"`,
		"ann*0":     `"ann*0"`,
		"ann work":  "work has nothing to do",
		"ann*99":    "ann has nothing to do",
		"ann! ann!": "ann has nothing to do",
	} {
		if _, err := explore.Replay(t.Context(), w, schedule); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Replay(%q) = %v, want %q", schedule, err, want)
		}
	}
	w.Tree = "1"
	if _, err := explore.Replay(t.Context(), w, ""); err == nil {
		t.Error("Replay of a world that is none succeeded")
	}
}
