package explore_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/explore"
	"example.com/ess/cancel/memrepo"
	"example.com/ess/lifecycle"
)

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
