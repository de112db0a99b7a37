package canceltest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest/internal/show"
	"example.com/ess/cancel/memrepo"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// A scenario is run on two stores, with the same outcome.
type scenario struct {
	begin    []lifecycle.Request
	pageSize int
	receipts bool
	view     func(cancel.Repository) cancel.Repository // how package cancel sees the stores; nil is as they are
	needs    bool                                      // makes sense only for a store with capabilities
}

// run does the steps on a repository of h and on package memrepo: as it is, and without
// what does whole trees at once, unless the scenario says how it is to be seen.
func (s scenario) run(ctx context.Context, h Harness, steps []step) error {
	if s.view != nil {
		return s.runOnce(ctx, h, steps)
	}
	err := s.runOnce(ctx, h, steps)
	if s.view = ByLevel; err == nil {
		err = s.runOnce(ctx, h, steps)
	}
	return err
}

func (s scenario) runOnce(ctx context.Context, h Harness, steps []step) error {
	return h.with(ctx, s.begin, func(repo cancel.Repository) error {
		if s.needs && !hasCapabilities(repo) {
			return fmt.Errorf("%w: the repository has no capability", errLacks)
		}
		var mem memrepo.Repo
		if err := mem.Insert(s.begin...); err != nil {
			return err
		}
		got, want := s.runner(repo, s.pageSize), s.runner(&mem, 1000)
		for i, step := range steps {
			g, w := got.do(ctx, step), want.do(ctx, step)
			if err := sameOutcome(ctx, repo, &mem, g, w); err != nil {
				var before strings.Builder
				for _, step := range steps[:i] {
					before.WriteString(step.name + ", ")
				}
				return fmt.Errorf("%v%s with pages of %d: %w", &before, step.name, s.pageSize, err)
			}
		}
		var errs []error
		for _, r := range s.begin {
			cause, err := mem.Cause(ctx, r.ID)
			errs = append(errs, err, wantCause(ctx, repo, r.ID, cause))
		}
		return show.Errors(errs)
	})
}

func hasCapabilities(repo cancel.Repository) bool {
	switch repo.(type) {
	case cancel.ChildCanceller, cancel.TreeCanceller, cancel.Settler, cancel.ParentEnder, cancel.CancellingLister, cancel.CauseReader:
		return true
	}
	return false
}

// A runner does steps on one store.
type runner struct {
	now      time.Time
	c        *cancel.Canceller
	receipts bool
	told     []lifecycle.ID
}

func (s scenario) runner(repo cancel.Repository, pageSize int) *runner {
	if s.view != nil {
		repo = s.view(repo)
	}
	t := &runner{now: moment, receipts: s.receipts}
	t.c = cancel.New(repo, &cancel.Options{
		PageSize: pageSize,
		Now:      func() time.Time { return t.now },
		Interrupter: cancel.InterrupterFunc(func(_ context.Context, ids []lifecycle.ID, _ cancel.Cause) error {
			t.told = append(t.told, ids...)
			return nil
		}),
	})
	return t
}

// A outcome is what a step answered.
type outcome struct {
	result   cancel.Result
	err      error
	told     []lifecycle.ID
	receipts map[lifecycle.ID]cancel.Receipt
}

func (r *runner) do(ctx context.Context, s step) outcome {
	r.now = r.now.Add(s.after)
	r.told = nil
	got := outcome{receipts: map[lifecycle.ID]cancel.Receipt{}}
	var receipt func(cancel.Receipt)
	if r.receipts {
		receipt = func(rec cancel.Receipt) { got.receipts[rec.ID] = rec }
	}
	got.result, got.err = s.do(ctx, r.c, receipt)
	slices.Sort(r.told)
	got.told = r.told
	return got
}

// sameOutcome compares what a step answered, and what there is then.
func sameOutcome(ctx context.Context, repo cancel.Repository, mem *memrepo.Repo, got, want outcome) error {
	if g, w := esserrors.CodeOf(got.err), esserrors.CodeOf(want.err); g != w {
		return fmt.Errorf("the error is %v, want %v", got.err, want.err)
	}
	if got.result.Counts != want.result.Counts {
		return fmt.Errorf("the result counts %v, want %v", got.result.Counts, want.result.Counts)
	}
	if g, w := got.result.Root, want.result.Root; g.String() != w.String() {
		return fmt.Errorf("the receipt of the root is %q, want %q", g, w)
	}
	if !slices.Equal(got.told, want.told) {
		return fmt.Errorf("interrupted was the work of %v, want %v", got.told, want.told)
	}
	for id, w := range want.receipts {
		if g, ok := got.receipts[id]; !ok || g.String() != w.String() {
			return fmt.Errorf("the receipt of request %d is %q, want %q", id, g, w)
		}
	}
	snap, err := TakeSnapshot(ctx, repo)
	if err != nil {
		return err
	}
	return diff(snap, snapshotOf(slices.Collect(mem.All())))
}

// A step is one call of a Canceller.
type step struct {
	name  string
	after time.Duration // by which the clock is moved before
	do    func(ctx context.Context, c *cancel.Canceller, receipt func(cancel.Receipt)) (cancel.Result, error)
}

func order(id lifecycle.ID, receipt func(cancel.Receipt)) cancel.Order {
	return cancel.Order{ID: id, Actor: "ann", Reason: "wrong ledger", Receipt: receipt}
}

func stepCancel(id lifecycle.ID) step {
	return step{fmt.Sprintf("Cancel(%d)", id), time.Second, func(ctx context.Context, c *cancel.Canceller, receipt func(cancel.Receipt)) (cancel.Result, error) {
		return c.Cancel(ctx, order(id, receipt))
	}}
}

func stepBegin(id lifecycle.ID) step {
	return step{fmt.Sprintf("Fence(%d)", id), time.Second, func(ctx context.Context, c *cancel.Canceller, receipt func(cancel.Receipt)) (cancel.Result, error) {
		return c.Fence(ctx, order(id, receipt))
	}}
}

func stepResume() step {
	return step{"Resume()", time.Second, func(ctx context.Context, c *cancel.Canceller, receipt func(cancel.Receipt)) (cancel.Result, error) {
		return c.Resume(ctx, &cancel.ResumeOptions{Receipt: receipt})
	}}
}

func stepAcknowledge(id lifecycle.ID, outcome lifecycle.State) step {
	return step{fmt.Sprintf("Acknowledge(%d, %v)", id, outcome), time.Second, func(ctx context.Context, c *cancel.Canceller, receipt func(cancel.Receipt)) (cancel.Result, error) {
		return c.Acknowledge(ctx, order(id, receipt), outcome)
	}}
}

func stepCheckIn(id lifecycle.ID) step {
	return step{fmt.Sprintf("CheckIn(%d)", id), time.Second, func(ctx context.Context, c *cancel.Canceller, _ func(cancel.Receipt)) (cancel.Result, error) {
		_, err := c.CheckIn(ctx, cancel.Order{ID: id})
		return cancel.Result{}, err
	}}
}

func stepForce(id lifecycle.ID, after time.Duration) step {
	return step{fmt.Sprintf("Force(%d), %v later", id, after), after, func(ctx context.Context, c *cancel.Canceller, receipt func(cancel.Receipt)) (cancel.Result, error) {
		return c.Force(ctx, order(id, receipt))
	}}
}

func resumeSteps() []step {
	return []step{stepBegin(1), stepResume(), stepResume()}
}

// forestSteps cancel all but one of them.
func forestSteps() []step {
	var steps []step
	for id := lifecycle.ID(11); id < 20; id++ {
		steps = append(steps, stepBegin(id))
	}
	return append(steps, stepResume(), stepResume())
}

func (h Harness) answerSteps() []step {
	as := h.fit().Outcome
	return []step{
		stepCancel(1),
		stepCheckIn(5),
		stepAcknowledge(2, as(lifecycle.StateSucceeded)), // kept until 3 has ended
		stepAcknowledge(2, as(lifecycle.StateError)),     // too late to say otherwise
		stepAcknowledge(3, as(lifecycle.StateError)),
		stepForce(5, 30*time.Minute-5*time.Second), // too early, for it has checked in
		stepForce(5, 4*time.Second),
		stepForce(1, time.Hour), // a container
		stepAcknowledge(6, lifecycle.StateCancelled),
		stepAcknowledge(6, lifecycle.StateCancelled),
		stepCancel(1), // has ended
		stepCancel(7),
		stepCheckIn(7),
		stepAcknowledge(7, as(lifecycle.StateWarning)),
		stepCancel(8),
		stepCheckIn(8),
		stepCancel(99), // is not there
	}
}
