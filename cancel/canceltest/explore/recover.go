package explore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/internal/rows"
	"example.com/ess/cancel/canceltest/internal/show"
	"example.com/ess/lifecycle"
)

// A recoveryError says what is wrong when all processes die at some moment and another
// takes up what they left.
type recoveryError struct {
	err   error
	trace string
}

func (e *recoveryError) Error() string {
	return "when everybody dies here, and a new process resumes: " + e.err.Error()
}
func (e *recoveryError) Unwrap() error { return e.err }

// recover checks that from what is in the store now a fresh process, and the answers of
// the work, bring everything to an end. It checks each content of the store once.
func (e *explorer) recover(ctx context.Context, state worldState) (wrong, err error) {
	if e.recovery || e.recovered[state.content] || !slices.ContainsFunc(slices.Collect(maps.Values(state.snap)), cancellingNow) {
		return nil, nil
	}
	e.recovered[state.content] = true
	e.report.Recoveries++
	w := World{
		Name: e.w.Name, Requests: inOrder(state.snap),
		Options: e.w.Options, Harness: e.w.Harness, View: e.w.View, NoReceipts: e.w.NoReceipts, Repository: e.w.Repository, Check: e.w.Check, Recover: e.w.Recover, Moves: e.w.Moves,
		Actors: []Actor{{Name: "recovery", Run: func(ctx context.Context, env *Env) error {
			return recoverAll(ctx, env, state.snap)
		}}},
	}
	s, err := newExplorer(w)
	if err != nil {
		return nil, err
	}
	s.recovery = true
	err = s.search(ctx)
	v, ok := errors.AsType[*Violation](err)
	if !ok {
		return nil, err
	}
	r, err := startRun(ctx, &s.w, nil, true)
	if err != nil {
		return nil, err
	}
	for len(r.choices(-1)) > 0 && r.steps < s.w.MaxSteps {
		_, wrong, err := r.step(ctx, choice{}, nil)
		if err != nil {
			return nil, err
		}
		if wrong != nil {
			break
		}
	}
	trace := strings.Join(r.trace, "\n") + "\n\nThen there is\n\n" + indent(r.state.snap.String())
	return &recoveryError{v.Err, trace}, r.close()
}

func cancellingNow(r lifecycle.Request) bool { return r.State == lifecycle.StateCancelling }

// inOrder returns the requests, parents before their children.
func inOrder(s canceltest.Snapshot) []lifecycle.Request {
	return s.Below(0)
}

// recoverAll is a process that finds the requests as they are and brings them to an
// end.
func recoverAll(ctx context.Context, env *Env, found canceltest.Snapshot) error {
	look := func() (s canceltest.Snapshot, err error) {
		err = env.Step(ctx, "looks at all requests", func(ctx context.Context, store cancel.Repository) error {
			s, err = canceltest.TakeSnapshot(ctx, store)
			return err
		})
		return s, err
	}
	if err := env.recover(ctx); err != nil {
		return err
	}
	once, err := look()
	if err != nil {
		return err
	}
	if err := canceltest.CheckQuiet(once); err != nil {
		return err
	}
	if err := env.recover(ctx); err != nil {
		return err
	}
	twice, err := look()
	if err != nil {
		return err
	}
	if !maps.EqualFunc(once, twice, rows.Same) {
		return fmt.Errorf("7 (crash anywhere): a second Resume changed\n%sinto\n%s", once, twice)
	}
	for _, r := range twice.Below(0) {
		if r.State == lifecycle.StateCancelling && r.Kind.RunsWork() && r.Outcome == 0 {
			if _, err := env.Acknowledge(ctx, r.ID, lifecycle.StateCancelled); err != nil {
				return err
			}
		}
	}
	end, err := look()
	if err != nil {
		return err
	}
	return checkRecovered(found, end)
}

// recover takes up what was cut off.
func (e *Env) recover(ctx context.Context) error {
	if recover := e.a.run.w.Recover; recover != nil {
		return recover(ctx, e)
	}
	_, err := e.Resume(ctx)
	return err
}

// checkRecovered checks that all that was cancelled has ended and nothing else was
// touched.
func checkRecovered(found, end canceltest.Snapshot) error {
	var errs []error
	cancelled := map[lifecycle.ID]bool{}
	for _, r := range found.Below(0) {
		cancelled[r.ID] = r.State == lifecycle.StateCancelling || cancelled[r.Parent]
		switch is := end[r.ID]; {
		case cancelled[r.ID] && !lifecycle.Terminal.Has(is.State):
			errs = append(errs, fmt.Errorf("5 (a way out): request %d is %s when all work has answered", r.ID, show.State(is)))
		case !cancelled[r.ID] && !rows.Same(is, r):
			errs = append(errs, fmt.Errorf("7 (crash anywhere): request %d, which nobody had cancelled, became %s", r.ID, show.State(is)))
		}
	}
	return errors.Join(errs...)
}

// resumesAtLast is the actor that World.Resume adds. It resumes once more whenever
// somebody has died, or has met a fault, since it began.
func resumesAtLast(ctx context.Context, env *Env) error {
	a := env.a
	for seen := -1; ; {
		call := worldCall{kind: callMishap, pure: true, last: true, ready: func(canceltest.Snapshot) bool { return a.run.mishaps() > seen }}
		a.gate(call, func() string { return "takes over" })
		a.answer(nil)
		seen = a.run.mishaps()
		a.saw = a.saw.add(uint64(seen))
		if err := env.recover(ctx); err != nil {
			return env.unless(err)
		}
	}
}
