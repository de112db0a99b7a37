package canceltest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// CheckCrashes lets the process of a Canceller die at every call of the store, before
// and after the call has had its effect, and looks what a fresh Canceller makes of
// what is left. It does so for Cancel, Fence, ExecutePlan, Acknowledge, Force, CheckIn and
// Resume, of every request of the trees, with and without the capabilities of the
// store, with pages of one, of two, and of the default size; and, with pages of
// two, for the Resume that follows a crash, too.
//
// After Resume all requests are as they would be if nobody had died, or, if the
// process died before it wrote anything, as if it had never run. A caller that
// repeats the call instead gets there too. No change is made twice, every step
// follows the rules, work that has to stop is told, and whoever cancelled is not
// forgotten where the store can tell.
//
// It returns how many crashes there were, and a [*ScriptError] for the first that
// was not made good. Without trees it uses [Trees].
func CheckCrashes(ctx context.Context, h Harness, trees ...Tree) (points int, err error) {
	if len(trees) == 0 {
		trees = Trees()
	}
	for _, t := range trees {
		n, err := crashTree(ctx, h, t)
		if points += n; err != nil {
			return points, err
		}
	}
	return points, nil
}

// RunCrashes is [CheckCrashes] with every tree a subtest of t. It returns the number of
// crashes.
func RunCrashes(t *testing.T, h Harness, trees ...Tree) (points int) {
	t.Helper()
	if len(trees) == 0 {
		trees = Trees()
	}
	for _, tree := range trees {
		t.Run(tree.Name, func(t *testing.T) {
			n, err := crashTree(t.Context(), h, tree)
			if points += n; err != nil {
				t.Error(err)
			}
			t.Logf("%d crashes", n)
		})
	}
	return points
}

func crashTree(ctx context.Context, h Harness, t Tree) (points int, err error) {
	for _, s := range scenes(h, t) {
		n, err := s.crash(ctx, s.pageSize == 2 && len(t.Requests) <= 9)
		if points += n; err != nil {
			return points, err
		}
	}
	return points, nil
}

// A scene is a command on a tree, after some that prepare it.
type scene struct {
	setup
	h       Harness
	tree    Tree
	before  []command
	command command
}

// scenes returns everything that a Canceller can be asked to do in a tree.
func scenes(h Harness, t Tree) []scene {
	var all []scene
	add := func(everySetup bool, before []command, cmds ...command) {
		setups := []setup{{plain: false}}
		if everySetup {
			setups = nil
			for _, size := range []int{0, 1, 2} {
				setups = append(setups, setup{pageSize: size}, setup{plain: true, pageSize: size})
			}
		}
		for _, s := range setups {
			for _, c := range cmds {
				all = append(all, scene{setup: s, h: h, tree: t, before: before, command: c})
			}
		}
	}
	add(true, nil, command{op: "resume"})
	for _, r := range t.Requests {
		container := r.Kind.HasChildren() && lifecycle.Live.Has(r.State)
		add(container, nil, command{op: "cancel", id: r.ID})
		if container {
			add(false, nil, command{op: "execute", id: r.ID})
			begin := command{op: "begin", id: r.ID}
			add(false, nil, begin)
			if r.State != lifecycle.StateCancelling {
				add(true, []command{begin}, command{op: "resume"})
			}
		}
		add(false, nil, command{op: "force", id: r.ID}, command{op: "checkin", id: r.ID})
		for outcome := range lifecycle.Outcomes.All() {
			if r.State == lifecycle.StateCancelling || outcome == lifecycle.StateSucceeded {
				add(false, nil, command{op: "acknowledge", id: r.ID, outcome: outcome})
			}
		}
	}
	return all
}

// on calls f with a stage on which the preparations have been played.
func (s *scene) on(ctx context.Context, f func(st *stage) error) error {
	return s.h.with(ctx, s.tree.Requests, func(repo cancel.Repository) error {
		st, err := newStage(ctx, repo, s.tree.Requests, s.setup)
		if err != nil {
			return err
		}
		for _, c := range s.before {
			if _, err := st.play(ctx, c); err != nil {
				return s.tell(st, err, nil)
			}
		}
		return f(st)
	})
}

func (s *scene) tell(st *stage, problem error, want Snapshot) error {
	return st.tell(fmt.Sprintf("the tree %q", s.tree.Name), problem, want)
}

// perform plays commands and returns the last act.
func (s *scene) perform(ctx context.Context, st *stage, cmds ...command) (a *act, err error) {
	for _, c := range cmds {
		if a, err = st.play(ctx, c); err != nil {
			return a, s.tell(st, err, nil)
		}
	}
	return a, nil
}

// A calm is how a scene ends if nothing goes wrong.
type calm struct {
	act     *act                          // the command
	resumed Snapshot                      // after the command and Resume
	idle    Snapshot                      // after Resume without the command
	causes  map[lifecycle.ID]cancel.Cause // why requests were cancelled, if the store can tell
}

var resume = command{op: "resume"}

func (s *scene) calm(ctx context.Context) (c calm, err error) {
	err = s.on(ctx, func(st *stage) error {
		a, err := s.perform(ctx, st, resume)
		if err != nil {
			return err
		}
		if c.idle = st.snap; a.err != nil {
			return s.tell(st, fmt.Errorf("resume failed: %w", a.err), nil)
		}
		return nil
	})
	if err != nil {
		return c, err
	}
	err = s.on(ctx, func(st *stage) error {
		if c.act, err = s.perform(ctx, st, s.command); err != nil {
			return err
		}
		quiet := CheckQuiet(st.first) == nil
		a, err := s.perform(ctx, st, resume)
		c.resumed = st.snap
		switch {
		case err != nil:
			return err
		case a.err != nil:
			return s.tell(st, fmt.Errorf("resume failed: %w", a.err), nil)
		case quiet && len(s.before) == 0 && s.command.op != "begin" && sameStates(c.act.after, st.snap) != nil:
			return s.tell(st, fmt.Errorf("%q left something to resume: %w", s.command, sameStates(c.act.after, st.snap)), nil)
		}
		if err := CheckQuiet(st.snap); err != nil {
			return s.tell(st, err, nil)
		}
		if quiet {
			c.causes = causesOf(ctx, st)
		}
		return nil
	})
	return c, err
}

// causesOf returns who cancelled the requests that have been cancelled, as far as the
// Cancellers on this stage can ask.
func causesOf(ctx context.Context, st *stage) map[lifecycle.ID]cancel.Cause {
	reader, ok := st.repo.(cancel.CauseReader)
	if !ok || st.plain {
		return nil
	}
	causes := map[lifecycle.ID]cancel.Cause{}
	for id, was := range st.first {
		if was.State == lifecycle.StateCancelling || sameRequest(was, st.snap[id]) {
			continue
		}
		cause, err := reader.Cause(ctx, id)
		if errors.Is(err, errors.ErrUnsupported) {
			return nil
		}
		cause.Time = was.CheckedIn // later after a crash
		causes[id] = cause
	}
	return causes
}

// sameStates says which requests differ in state or outcome.
func sameStates(got, want Snapshot) error {
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(want)) {
		if g, w := got[id], want[id]; g.State != w.State || g.Outcome != w.Outcome {
			errs = append(errs, fmt.Errorf("request %d is %s and should be %s", id, showState(g), showState(w)))
		}
	}
	return few(errs)
}

// crash lets the scene's command die at each of its calls. deep has the Resume that
// follows die at each of its own.
func (s *scene) crash(ctx context.Context, deep bool) (points int, err error) {
	c, err := s.calm(ctx)
	if err != nil {
		return 0, err
	}
	for n := 1; ; n++ {
		for _, form := range []string{"crash before call %d", "crash after call %d"} {
			dying := s.command
			dying.upset = upsetBy(form, n)
			struck, err := s.resumed(ctx, c, dying)
			if err != nil || !struck {
				return points, err
			}
			points++
			if s.command.op == "resume" {
				continue
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
func (s *scene) resumed(ctx context.Context, c calm, dying command) (struck bool, err error) {
	err = s.on(ctx, func(st *stage) error {
		before := st.snap
		died, err := s.perform(ctx, st, dying)
		if struck = died.struck; err != nil || !struck {
			return err
		}
		want := c.idle
		if !sameRequest(before[dying.id], died.after[dying.id]) || dying.op == "resume" {
			want = c.resumed
		}
		a, err := s.perform(ctx, st, resume)
		if err != nil {
			return err
		}
		if a.err != nil {
			return s.tell(st, fmt.Errorf("resume failed: %w", a.err), want)
		}
		if err := errors.Join(sameStates(st.snap, want), CheckQuiet(st.snap)); err != nil {
			return s.tell(st, fmt.Errorf("7 (stopped anywhere, resumed): %w", err), want)
		}
		for id, r := range st.snap {
			if unansweredNow(r) && !a.told[id] {
				return s.tell(st, fmt.Errorf("5 (a way out): Resume did not tell the work of request %d to stop", id), want)
			}
		}
		if c.causes != nil && dying.op != "resume" {
			causes := causesOf(ctx, st)
			for id, cause := range causes {
				if cause != c.causes[id] {
					return s.tell(st, fmt.Errorf("request %d was cancelled for %+v, the store says %+v", id, c.causes[id], cause), want)
				}
			}
		}
		return nil
	})
	return struck, err
}

// repeated has the command die, and does it again, as a caller does that got no answer.
func (s *scene) repeated(ctx context.Context, c calm, dying command) error {
	return s.on(ctx, func(st *stage) error {
		a, err := s.perform(ctx, st, dying, s.command)
		if err != nil {
			return err
		}
		// Who finds that the request has ended was not the first to ask, but for
		// an answer, which may be given again.
		got, want := codeText(a.err), codeText(c.act.err)
		late := got == modelUnsupported && a.op != "acknowledge" && lifecycle.Terminal.Has(a.before[a.id].State)
		if got != want && !late {
			return s.tell(st, fmt.Errorf("6 (again): repeated, %q fails with %q; undisturbed it would be %q", s.command, got, want), nil)
		}
		if !late {
			if err := sameStates(st.snap, c.act.after); err != nil {
				return s.tell(st, fmt.Errorf("6 (again): repeated, %q does not get there: %w", s.command, err), c.act.after)
			}
		}
		if _, err := s.perform(ctx, st, resume); err != nil {
			return err
		}
		if err := errors.Join(sameStates(st.snap, c.resumed), CheckQuiet(st.snap)); err != nil {
			return s.tell(st, fmt.Errorf("7 (stopped anywhere, repeated, resumed): %w", err), c.resumed)
		}
		return nil
	})
}
