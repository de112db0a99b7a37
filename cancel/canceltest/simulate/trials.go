package simulate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/internal/rows"
	"example.com/ess/cancel/canceltest/internal/show"
	"example.com/ess/lifecycle"
)

// TreeOptions are optional settings of [CheckFaults] and [CheckCrashes]. A nil
// *TreeOptions or a zero field gives the default.
type TreeOptions struct {
	// Trees are the requests to work on. Nil means [Trees].
	Trees []Tree
	// Trials is how many operations are tried, each of which is repeated for every
	// call of the store. Zero means a few, spread evenly over all that there are: on a
	// store where a call takes a millisecond they take about a minute. A negative
	// number means all, which is a hundred times as much.
	Trials int
}

// A trialKind is what is done with every trial.
type trialKind struct {
	name string
	few  int // how many by default
	do   func(ctx context.Context, s *trial) (points int, err error)
	skip func(s trial) bool // may be nil
}

// trials returns the trials that are to be done, and how many there are in all.
func (o *TreeOptions) trials(h canceltest.Harness, kind trialKind) (chosen []trial, all int) {
	opts := TreeOptions{}
	if o != nil {
		opts = *o
	}
	if opts.Trees == nil {
		opts.Trees = Trees()
	}
	for _, t := range opts.Trees {
		of := trialsOf(h, t)
		for i := range of {
			of[i].whole = opts.Trials < 0
		}
		if kind.skip != nil {
			of = slices.DeleteFunc(of, kind.skip)
		}
		all += len(of)
		// An operation on a tree of many requests takes as long as ten on one of few.
		if opts.Trials < 0 || o != nil && o.Trees != nil || len(t.Requests) < 10 {
			chosen = append(chosen, of...)
		}
	}
	n := cmp.Or(opts.Trials, kind.few)
	if n < 0 || n >= len(chosen) {
		return chosen, all
	}
	have := len(chosen)
	for i := range n {
		chosen[i] = chosen[(2*i+1)*have/(2*n)]
	}
	return chosen[:n], all
}

func (o *TreeOptions) check(ctx context.Context, h canceltest.Harness, kind trialKind) (points int, err error) {
	trials, _ := o.trials(h, kind)
	for _, s := range trials {
		n, err := kind.do(ctx, &s)
		if points += n; err != nil {
			return points, err
		}
	}
	return points, nil
}

func (o *TreeOptions) run(t *testing.T, h canceltest.Harness, kind trialKind) (points int) {
	t.Helper()
	trials, all := o.trials(h, kind)
	t.Logf("%s at every call of %d operations, of %d that there are", kind.name, len(trials), all)
	begin := time.Now()
	said, done := begin, 0
	for len(trials) > 0 {
		tree := trials[0].tree.Name
		n := slices.IndexFunc(trials, func(s trial) bool { return s.tree.Name != tree })
		if n < 0 {
			n = len(trials)
		}
		t.Run(tree, func(t *testing.T) {
			before := points
			for _, s := range trials[:n] {
				n, err := kind.do(t.Context(), &s)
				points += n
				done++
				if err != nil {
					t.Error(err)
					return
				}
				if time.Since(said) > 5*time.Second {
					said = time.Now()
					t.Logf("%d operations and %d %s after %v", done, points, kind.name, said.Sub(begin).Round(time.Second))
				}
			}
			t.Logf("%d operations, %d %s", n, points-before, kind.name)
		})
		trials = trials[n:]
	}
	t.Logf("%d %s at every call of %d operations, of %d that there are; none did harm unless an error says so", points, kind.name, done, all)
	return points
}

// A trial is a command on a tree, after some that prepare it.
type trial struct {
	setup
	h       canceltest.Harness
	tree    Tree
	before  []command
	command command
	whole   bool // of all the trials that there are
}

// trialsOf returns everything that a Canceller can be asked to do in a tree.
func trialsOf(h canceltest.Harness, t Tree) []trial {
	fit := rows.Fit{States: h.States, Kinds: h.Kinds}
	t.Requests = fit.All(t.Requests)
	var all []trial
	add := func(everySetup bool, before []command, cmds ...command) {
		setups := []setup{{}}
		if everySetup {
			setups = nil
			for _, size := range []int{0, 1, 2} {
				setups = append(setups, setup{pageSize: size}, setup{view: viewByLevel, pageSize: size}, setup{view: viewPlain, pageSize: size})
			}
		}
		for _, s := range setups {
			for _, c := range cmds {
				all = append(all, trial{setup: s, h: h, tree: t, before: before, command: c})
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
		for t := range lifecycle.Permitted(r.Kind, r.State) {
			to, _ := lifecycle.Next(r.Kind, r.State, t)
			if r.State != lifecycle.StateCancelling && fit.Has(to) && (lifecycle.Terminal.Has(to) || t == lifecycle.TriggerStart) && t != lifecycle.TriggerCancel {
				add(false, nil, command{op: "transition", id: r.ID, trigger: t})
			}
		}
		for outcome := range lifecycle.Outcomes.All() {
			if fit.Has(outcome) && (r.State == lifecycle.StateCancelling || outcome == fit.Outcome(lifecycle.StateSucceeded)) {
				add(false, nil, command{op: "acknowledge", id: r.ID, outcome: outcome})
			}
		}
	}
	return all
}

// on calls f with a testStore on which the preparations have been played.
func (s *trial) on(ctx context.Context, f func(st *testStore) error) error {
	return rows.With(ctx, s.h.New, s.h.Close, s.tree.Requests, func(repo cancel.Repository) error {
		st, err := newTestStore(ctx, repo, s.tree.Requests, s.setup)
		if err != nil {
			return err
		}
		for _, c := range s.before {
			if _, err := st.play(ctx, c); err != nil {
				return s.failure(st, err, nil)
			}
		}
		return f(st)
	})
}

func (s *trial) failure(st *testStore, problem error, want canceltest.Snapshot) error {
	return st.failure(fmt.Sprintf("the tree %q", s.tree.Name), problem, want)
}

// run plays commands, and returns the last.
func (s *trial) run(ctx context.Context, st *testStore, cmds ...command) (a *played, err error) {
	for _, c := range cmds {
		if a, err = st.play(ctx, c); err != nil {
			return a, s.failure(st, err, nil)
		}
	}
	return a, nil
}

// A baseline is how a trial ends if nothing goes wrong.
type baseline struct {
	command *played                       // the command
	resumed canceltest.Snapshot           // after the command and Resume
	idle    canceltest.Snapshot           // after Resume without the command
	causes  map[lifecycle.ID]cancel.Cause // why requests were cancelled, if the store can tell
}

var resume = command{op: "resume"}

func (s *trial) baseline(ctx context.Context) (c baseline, err error) {
	err = s.on(ctx, func(st *testStore) error {
		a, err := s.run(ctx, st, resume)
		if err != nil {
			return err
		}
		if c.idle = st.snap; a.err != nil {
			return s.failure(st, fmt.Errorf("resume failed: %w", a.err), nil)
		}
		return nil
	})
	if err != nil {
		return c, err
	}
	err = s.on(ctx, func(st *testStore) error {
		if c.command, err = s.run(ctx, st, s.command); err != nil {
			return err
		}
		quiet := canceltest.CheckQuiet(st.first) == nil
		a, err := s.run(ctx, st, resume)
		c.resumed = st.snap
		switch {
		case err != nil:
			return err
		case a.err != nil:
			return s.failure(st, fmt.Errorf("resume failed: %w", a.err), nil)
		case quiet && len(s.before) == 0 && s.command.op != "begin" && sameStates(c.command.after, st.snap) != nil:
			return s.failure(st, fmt.Errorf("%q left something to resume: %w", s.command, sameStates(c.command.after, st.snap)), nil)
		}
		if err := canceltest.CheckQuiet(st.snap); err != nil {
			return s.failure(st, err, nil)
		}
		if quiet {
			c.causes = causesOf(ctx, st)
		}
		return nil
	})
	return c, err
}

// causesOf returns who cancelled the requests that have been cancelled, as far as the
// Cancellers on this testStore can ask.
func causesOf(ctx context.Context, st *testStore) map[lifecycle.ID]cancel.Cause {
	reader, ok := st.repo.(cancel.CauseReader)
	if !ok || st.view == viewPlain {
		return nil
	}
	causes := map[lifecycle.ID]cancel.Cause{}
	for id, was := range st.first {
		if was.State == lifecycle.StateCancelling || rows.SameState(was, st.snap[id]) {
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
func sameStates(got, want canceltest.Snapshot) error {
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(want)) {
		if g, w := got[id], want[id]; g.State != w.State || g.Outcome != w.Outcome {
			errs = append(errs, fmt.Errorf("request %d is %s and should be %s", id, show.State(g), show.State(w)))
		}
	}
	return show.Errors(errs)
}
