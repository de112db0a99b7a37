package explore_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/explore"
	"example.com/ess/cancel/memrepo"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// What follows is for schedulers that have a cancel of their own, made of Env.Step.

// stops returns an actor that fences request 1 in one step, and cancels request 2, which
// waits, in another. The first step may restart the clock, as a careless cancel does.
func stops(name string, restarts bool) explore.Actor {
	return explore.Actor{Name: name, Run: func(ctx context.Context, env *explore.Env) error {
		err := env.Step(ctx, "fences 1", func(ctx context.Context, store cancel.Repository) error {
			r, err := store.Get(ctx, 1)
			if err != nil || r.State == lifecycle.StateCancelling && !restarts || lifecycle.Terminal.Has(r.State) {
				return err
			}
			_, err = store.Apply(ctx, []cancel.Change{{
				Old: r, Trigger: lifecycle.TriggerCancel, State: lifecycle.StateCancelling, Outcome: r.Outcome, CheckedIn: env.Now(),
			}})
			return err
		})
		if err != nil {
			return ignoreFault(err)
		}
		return ignoreFault(env.Step(ctx, "cancels 2", func(ctx context.Context, store cancel.Repository) error {
			if r, err := store.Get(ctx, 2); err != nil || lifecycle.Terminal.Has(r.State) {
				return err
			}
			return put(ctx, store, 2, lifecycle.StateCancelled)
		}))
	}}
}

func ignoreFault(err error) error {
	if errors.Is(err, explore.ErrFault) {
		return nil
	}
	return err
}

func ownWorld(actors ...explore.Actor) explore.World {
	return explore.World{Name: "own", Tree: "1 SUBREQUEST_PARENT RUNNING\n  2 CHILD WAIT", Actors: actors}
}

// TestExploreOwnSteps checks that faults and deaths work in steps of one's own, and that
// what is cut off there is taken up by a recovery of one's own.
func TestExploreOwnSteps(t *testing.T) {
	t.Parallel()
	again := stops("", false)
	for name, change := range map[string]func(*explore.Actor){
		"dies":   func(a *explore.Actor) { a.Dies = true },
		"faults": func(a *explore.Actor) { a.Faults = 2 },
	} {
		a := stops("ann", false)
		change(&a)
		w := ownWorld(a)
		w.Recover = func(ctx context.Context, env *explore.Env) error {
			var fenced bool
			err := env.Step(ctx, "looks for what is fenced", func(ctx context.Context, store cancel.Repository) error {
				r, err := store.Get(ctx, 1)
				fenced = r.State == lifecycle.StateCancelling
				return err
			})
			if err != nil || !fenced {
				return err
			}
			return again.Run(ctx, env)
		}
		r, err := explore.Explore(t.Context(), w)
		if err != nil || r.Schedules < 3 || r.Recoveries == 0 {
			t.Errorf("%s: %v, %v", name, r, err)
		}
		w.Recover = func(context.Context, *explore.Env) error { return nil }
		if _, err := explore.Explore(t.Context(), w); err == nil || !strings.Contains(err.Error(), "3 (no escape): request 2 is WAIT below 1") {
			t.Errorf("%s, a recovery that does nothing: %v", name, err)
		}
	}
}

// TestExploreGraceClock checks that no second cancel may restart the clock of Force, and that
// work which checks in may move it.
func TestExploreGraceClock(t *testing.T) {
	t.Parallel()
	late := stops("bob", true)
	late.Ahead = time.Minute
	const want = "6 (cancelling again changes nothing): a step moved the clock of Force of request 1"
	w := ownWorld(stops("ann", false), late)
	if _, err := explore.Explore(t.Context(), w); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Explore = %v, want %q", err, want)
	}
	w.Actors[1].ChecksIn = true
	if _, err := explore.Explore(t.Context(), w); err != nil {
		t.Errorf("work that checks in: %v", err)
	}
}

// TestExploreMoves declares a transition that no rule permits, and finds the next
// violation.
func TestExploreMoves(t *testing.T) {
	t.Parallel()
	again := explore.Actor{Name: "again", Run: func(ctx context.Context, env *explore.Env) error {
		return env.Step(ctx, "queues 2 again", func(ctx context.Context, store cancel.Repository) error {
			if r, err := store.Get(ctx, 2); err != nil || r.State != lifecycle.StateError {
				return err
			}
			return put(ctx, store, 2, lifecycle.StateWait)
		})
	}}
	w := explore.World{Name: "moves", Tree: "1 PARENT RUNNING\n  2 CHILD ERROR", Actors: []explore.Actor{again}}
	const want = "1 (terminal is final): request 2 went from ERROR to WAIT"
	if _, err := explore.Explore(t.Context(), w); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Explore = %v, want %q", err, want)
	}
	w.Moves = []canceltest.Move{{From: lifecycle.StateError, To: lifecycle.StateWait}}
	if _, err := explore.Explore(t.Context(), w); err != nil {
		t.Errorf("a move that is declared: %v", err)
	}
	w.Actors = append(w.Actors, explore.Cancels("ann", 1))
	const next = "3 (no escape): request 2 is WAIT after request 1 was cancelled"
	if _, err := explore.Explore(t.Context(), w); err == nil || !strings.Contains(err.Error(), next) {
		t.Errorf("behind it: %v, want %q", err, next)
	}
}

// TestExploreAll collects everything that goes wrong.
func TestExploreAll(t *testing.T) {
	t.Parallel()
	wrong := func(name string, id lifecycle.ID, s lifecycle.State) explore.Actor {
		return explore.Actor{Name: name, Run: func(ctx context.Context, env *explore.Env) error {
			return env.Step(ctx, "writes", func(ctx context.Context, store cancel.Repository) error { return put(ctx, store, id, s) })
		}}
	}
	w := ownWorld(wrong("one", 1, lifecycle.StateWait), wrong("two", 2, lifecycle.StateRunning))
	w.All = true
	r, err := explore.Explore(t.Context(), w)
	got := violations(t, err)
	if len(got) != 2 || !r.Complete || !strings.Contains(got[0], "request 2 went from WAIT to RUNNING") || !strings.Contains(got[1], "request 1 went from RUNNING to WAIT") {
		t.Errorf("Explore = %v, %q", r, got)
	}
}

// TestExploreScheduler runs the file with which the documentation has a scheduler begin.
func TestExploreScheduler(t *testing.T) {
	t.Parallel()
	testScheduler(t)
}

// ignoreCancelled returns err, but nil if a request was cancelled before.
func ignoreCancelled(err error) error {
	if errors.Is(err, esserrors.CodeUnsupportedState) {
		return nil
	}
	return err
}

// TestExploreFewStates has a store that does not have every state.
func TestExploreFewStates(t *testing.T) {
	t.Parallel()
	w := ownWorld(explore.Finishes("work", 1, lifecycle.StateCancelled, lifecycle.TriggerComplete))
	w.Harness = canceltest.Harness{New: func(_ context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
		var repo memrepo.Repo
		return &repo, repo.Insert(requests...)
	}}
	all := lifecycle.Live | lifecycle.Terminal
	for states, want := range map[lifecycle.StateSet]error{
		all: nil,
		all &^ lifecycle.SetOf(lifecycle.StateCompleted): errors.ErrUnsupported, // where it leads
		all &^ lifecycle.SetOf(lifecycle.StateWait):      errors.ErrUnsupported, // where it begins
	} {
		w.Harness.States = states
		if _, err := explore.Explore(t.Context(), w); !errors.Is(err, want) {
			t.Errorf("Explore without %v = %v, want %v", all&^states, err, want)
		}
	}
}
