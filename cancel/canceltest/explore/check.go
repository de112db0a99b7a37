package explore

import (
	"errors"
	"fmt"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/internal/rows"
	"example.com/ess/cancel/canceltest/internal/show"
	"example.com/ess/lifecycle"
)

// check checks a step of a, which did what did says, and the operations that have
// returned after it.
func (r *worldRun) check(a *worldActor, call worldCall, before worldState, did knownStep, ended []*worldOp) error {
	var errs []error
	if len(did.changes) > 0 || len(did.state.snap) != len(before.snap) {
		errs = append(errs, canceltest.CheckStep(before.snap, did.state.snap, r.w.Moves...), checkWork(a, call.op, did.changes))
	}
	if a.said != nil {
		errs = append(errs, a.said.check(before.snap, did))
	}
	if r.w.Check != nil {
		errs = append(errs, r.w.Check(before.snap, did.state.snap))
	}
	for _, root := range r.roots {
		errs = append(errs, canceltest.CheckCancelled(did.state.snap, root))
	}
	for _, op := range ended {
		errs = append(errs, op.check(did.state.snap, a.spec, r.w.grace()))
	}
	return errors.Join(append(errs, a.failed())...)
}

// failed returns the error with which the actor has returned.
func (a *worldActor) failed() error {
	if !a.done || a.dead || a.err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", a.spec.Name, a.err)
}

// checkStart checks the actors that have returned without a step.
func (r *worldRun) checkStart() error {
	var errs []error
	for _, a := range r.actors {
		errs = append(errs, a.failed())
	}
	return errors.Join(errs...)
}

// check compares what the store said with what it did.
func (s *said) check(before canceltest.Snapshot, did knownStep) error {
	var errs []error
	changed := map[lifecycle.ID]lifecycle.Request{}
	for _, c := range did.changes {
		changed[c.after.ID] = c.after
	}
	for i, ch := range s.changes {
		id := ch.Old.ID
		is, ok := changed[id]
		delete(changed, id)
		switch {
		case i >= len(s.made):
		case !s.made[i]:
			if ok {
				errs = append(errs, fmt.Errorf("the store: the change of request %d was not made, it said, but it was", id))
			}
		case !ok && !rows.Same(before[id], ch.New()):
			errs = append(errs, fmt.Errorf("the store: the change of request %d was made, it said, but it was not", id))
		case ok && !rows.Same(is, ch.New()):
			errs = append(errs, fmt.Errorf("the store: request %d is %s, not %s as was written", id, show.State(is), show.State(ch.New())))
		case !rows.Same(before[id], ch.Old):
			errs = append(errs, fmt.Errorf("the store: the change of request %d from %s was made, but it was %s", id, show.State(ch.Old), show.State(before[id])))
		}
		errs = append(errs, checkTrigger(ch))
	}
	for id := range changed {
		errs = append(errs, fmt.Errorf("the store: request %d was changed and nobody said so", id))
	}
	return errors.Join(errs...)
}

// checkTrigger checks that a change says by which rule it is made.
func checkTrigger(ch cancel.Change) error {
	to, ok := lifecycle.Next(ch.Old.Kind, ch.Old.State, ch.Trigger)
	switch {
	case ch.Trigger == 0 && ch.State == ch.Old.State && ch.Outcome == ch.Old.Outcome: // a check-in
	case ok && to == ch.State:
	case ok && ch.State == ch.Old.State && ch.Outcome == to: // an answer that is kept
	default:
		return fmt.Errorf("2 (only rules' transitions): no rule takes %v request %d from %s to %s by %v", ch.Old.Kind, ch.Old.ID, show.State(ch.Old), show.State(ch.New()), ch.Trigger)
	}
	return nil
}

// checkWork checks that work which may be running is ended by nobody but itself or
// Force, and that nobody but the work moves the clock of Force.
func checkWork(a *worldActor, op *worldOp, changes []rowChange) error {
	var errs []error
	for _, c := range changes {
		was, is := c.before, c.after
		if was.State == is.State && !is.CheckedIn.Equal(was.CheckedIn) {
			errs = append(errs, a.checkClock(op, was, is))
		}
		for o := op; o != nil; o = o.outer {
			if n := o.order.Attempt; o.id == is.ID && n != 0 && was.Attempt != 0 && n != was.Attempt && was.State != is.State {
				errs = append(errs, fmt.Errorf("9 (running work is not cancelled without its answer): attempt %d of request %d took it from %s to %s, which is attempt %d", n, is.ID, show.State(was), show.State(is), was.Attempt))
			}
		}
		if !is.Kind.RunsWork() || !lifecycle.Executing.Has(was.State) {
			continue
		}
		bad := false
		switch {
		case was.State != lifecycle.StateCancelling:
			// The scheduler may end it, a cancel may not.
			bad = is.State == lifecycle.StateCancelled || is.Outcome != 0
		case was.Outcome == 0 && (is.Outcome != 0 || is.State != was.State):
			bad = op != nil && !op.answers(is)
		}
		if bad {
			errs = append(errs, fmt.Errorf("9 (running work is not cancelled without its answer): request %d went from %s to %s, and its work has not answered and was not forced", is.ID, show.State(was), show.State(is)))
		}
	}
	return errors.Join(errs...)
}

// checkClock checks that the clock of Force of a request that stays CANCELLING was moved by
// its work, or was wrong.
func (a *worldActor) checkClock(op *worldOp, was, is lifecycle.Request) error {
	now := worldTime.Add(a.spec.Ahead)
	who := "a step"
	switch {
	case op == nil && a.spec.ChecksIn && is.CheckedIn.After(was.CheckedIn):
		return nil
	case op == nil:
	case op.name == opCheckIn || op.name == opRun,
		(op.name == opForce || op.name == opResume) && was.CheckedIn.After(now):
		if is.CheckedIn.Equal(now) {
			return nil
		}
		who = op.name.String()
	default:
		who = op.name.String()
	}
	return fmt.Errorf("6 (cancelling again changes nothing): %s moved the clock of Force of request %d from %v to %v", who, is.ID, was.CheckedIn, is.CheckedIn)
}

// checkEnd checks what has to hold when no actor can do a step any more.
func (r *worldRun) checkEnd() error {
	errs := []error{canceltest.CheckQuiet(r.state.snap)}
	for _, a := range r.actors {
		switch {
		case a.done:
		case a.call.kind == callAwait && a.work == 0:
			errs = append(errs, fmt.Errorf("%s waits forever", a.spec.Name))
		case a.call.kind == callAwait && r.state.snap[a.work].State == lifecycle.StateCancelling:
			errs = append(errs, fmt.Errorf("5 (a way out): the work of request %d was never told to stop", a.work))
		}
	}
	return errors.Join(errs...)
}
