package simulate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/internal/rows"
	"example.com/ess/lifecycle"
)

// CheckCrashes lets the process of a Canceller die at every call of the store, before
// and after the call has had its effect, and looks what a fresh Canceller makes of
// what is left. It does so for Cancel, Fence, ExecutePlan, Acknowledge, Force, CheckIn and
// Resume, of the requests of the trees, with and without the capabilities of the
// store, with pages of one, of two, and of the default size; and, with pages of
// two, for the Resume that follows a crash, too.
//
// After Resume all requests are as they would be if nobody had died, or, if the
// process died before it wrote anything, as if it had never run. A caller that
// repeats the call instead gets there too. No change is made twice, every step
// follows the rules, work that has to stop is told, and the store still says who
// cancelled, if it can say that at all.
//
// It returns how many crashes there were, and a [*ScriptError] for the first that was
// not recovered from.
func CheckCrashes(ctx context.Context, h canceltest.Harness, opts *TreeOptions) (crashes int, err error) {
	return opts.check(ctx, h, crashKind)
}

// RunCrashes is [CheckCrashes] with every tree a subtest of t. It logs how much it is
// going to do and, from time to time, how far it is.
func RunCrashes(t *testing.T, h canceltest.Harness, opts *TreeOptions) (crashes int) {
	t.Helper()
	return opts.run(t, h, crashKind)
}

var crashKind = trialKind{
	name: "crashes", few: 18,
	do: func(ctx context.Context, s *trial) (int, error) {
		return s.crash(ctx, s.whole && s.pageSize == 2 && len(s.tree.Requests) <= 9)
	},
}

// crash lets the trial's command die at each of its calls. deep has the Resume that
// follows die at each of its own.
func (s *trial) crash(ctx context.Context, deep bool) (points int, err error) {
	c, err := s.baseline(ctx)
	if err != nil {
		return 0, err
	}
	for n := 1; ; n++ {
		for _, form := range []string{"crash before call %d", "crash after call %d"} {
			dying := s.command
			dying.fault = faultBy(form, n)
			struck, err := s.resumed(ctx, c, dying)
			if err != nil || !struck {
				return points, err
			}
			points++
			if s.command.op == "resume" || s.command.op == "transition" {
				continue // nobody repeats these without a look
			}
			if err := s.repeated(ctx, c, dying); err != nil {
				return points, err
			}
			if deep && s.command.op == "cancel" {
				again := *s
				again.before, again.command = append(slices.Clone(s.before), dying), resume
				more, err := again.crash(ctx, false)
				if points += more; err != nil {
					return points, err
				}
			}
		}
	}
}

// resumed has the command die, and then resumes. It reports whether it died.
func (s *trial) resumed(ctx context.Context, c baseline, dying command) (struck bool, err error) {
	err = s.on(ctx, func(st *testStore) error {
		before := st.snap
		died, err := s.run(ctx, st, dying)
		if struck = died.struck; err != nil || !struck {
			return err
		}
		want := c.idle
		if !rows.SameState(before[dying.id], died.after[dying.id]) || dying.op == "resume" {
			want = c.resumed
		}
		a, err := s.run(ctx, st, resume)
		if err != nil {
			return err
		}
		if a.err != nil {
			return s.failure(st, fmt.Errorf("resume failed: %w", a.err), want)
		}
		if err := errors.Join(sameStates(st.snap, want), canceltest.CheckQuiet(st.snap)); err != nil {
			return s.failure(st, fmt.Errorf("7 (stopped anywhere, resumed): %w", err), want)
		}
		for id, r := range st.snap {
			if rows.Unanswered(r) && !a.told[id] {
				return s.failure(st, fmt.Errorf("5 (a way out): Resume did not tell the work of request %d to stop", id), want)
			}
		}
		if c.causes != nil && dying.op != "resume" {
			causes := causesOf(ctx, st)
			for id, cause := range causes {
				if cause != c.causes[id] {
					return s.failure(st, fmt.Errorf("request %d was cancelled for %+v, the store says %+v", id, c.causes[id], cause), want)
				}
			}
		}
		return nil
	})
	return struck, err
}

// repeated has the command die, and does it again, as a caller does that got no answer.
func (s *trial) repeated(ctx context.Context, c baseline, dying command) error {
	return s.on(ctx, func(st *testStore) error {
		a, err := s.run(ctx, st, dying, s.command)
		if err != nil {
			return err
		}
		// Who finds that the request has ended was not the first to ask, but for
		// an answer, which may be given again.
		got, want := codeText(a.err), codeText(c.command.err)
		late := got == modelUnsupported && a.op != "acknowledge" && lifecycle.Terminal.Has(a.before[a.id].State)
		if got != want && !late {
			return s.failure(st, fmt.Errorf("6 (again): repeated, %q fails with %q; undisturbed it would be %q", s.command, got, want), nil)
		}
		if !late {
			if err := sameStates(st.snap, c.command.after); err != nil {
				return s.failure(st, fmt.Errorf("6 (again): repeated, %q does not get there: %w", s.command, err), c.command.after)
			}
		}
		if _, err := s.run(ctx, st, resume); err != nil {
			return err
		}
		if err := errors.Join(sameStates(st.snap, c.resumed), canceltest.CheckQuiet(st.snap)); err != nil {
			return s.failure(st, fmt.Errorf("7 (stopped anywhere, repeated, resumed): %w", err), c.resumed)
		}
		return nil
	})
}
