package explore

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/internal/rows"
	"example.com/ess/cancel/canceltest/internal/show"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

type opName uint8

const (
	_ opName = iota
	opCancel
	opFence
	opAcknowledge
	opForce
	opResume
	opCheckIn
	opRun
	opCancelled // by code of the actor's own
)

func (n opName) String() string {
	return [...]string{"", "Cancel", "Fence", "Acknowledge", "Force", "Resume", "CheckIn", "Run", "Cancelled"}[n]
}

// A worldOp is an operation of an actor, and what is known of it.
type worldOp struct {
	name    opName
	id      lifecycle.ID
	outcome lifecycle.State
	outer   *worldOp // the Run during which it is called
	looked  bool     // of a Run: it has read the request
	stepped bool
	found   lifecycle.State // of the request before the first step
	plain   bool            // without receipts

	changes  []rowChange // what its steps did to the store
	receipts []cancel.Receipt
	told     []lifecycle.ID
	result   cancel.Result
	err      error
	done     bool
}

// check checks a step of a, which did what did says, and the operations that have
// returned after it.
func (r *worldRun) check(a *worldActor, call worldCall, before worldState, did knownStep, ended []*worldOp) error {
	var errs []error
	if len(did.changes) > 0 || len(did.state.snap) != len(before.snap) {
		errs = append(errs, canceltest.CheckStep(before.snap, did.state.snap), checkWork(call.op, did.changes))
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
func checkWork(op *worldOp, changes []rowChange) error {
	var errs []error
	for _, c := range changes {
		was, is := c.before, c.after
		if was.State == lifecycle.StateCancelling && !is.CheckedIn.Equal(was.CheckedIn) && op != nil && op.name != opCheckIn && op.name != opRun {
			errs = append(errs, fmt.Errorf("6 (cancelling again changes nothing): %v moved the clock of Force of request %d", op.name, is.ID))
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

// answers reports whether the operation may answer for the work of r, with the outcome
// that r has now.
func (op *worldOp) answers(r lifecycle.Request) bool {
	outcome := r.State
	if r.Outcome != 0 {
		outcome = r.Outcome
	}
	for ; op != nil; op = op.outer {
		switch {
		case op.id != r.ID:
		case op.name == opAcknowledge && outcome == op.outcome,
			op.name == opForce && outcome == lifecycle.StateCancelled,
			op.name == opRun:
			return true
		}
	}
	return false
}

// check checks an operation that has returned, by the clock of its actor.
func (op *worldOp) check(s canceltest.Snapshot, actor *Actor, grace time.Duration) error {
	now := worldTime.Add(actor.Ahead)
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: "+format, append([]any{actor.Name}, args...)...))
	}
	switch op.name {
	case opCancel, opFence, opAcknowledge, opForce, opResume:
		if !op.plain {
			for _, err := range op.checkReceipts(s) {
				bad("%w", err)
			}
		}
	case opRun, opCheckIn, opCancelled:
	}
	r := s[op.id]
	switch {
	case op.name == opRun && op.looked && r.State == lifecycle.StateCancelling && r.Outcome == 0 && !errors.Is(op.err, errFault):
		bad("5 (a way out): Run %d returned, and nobody has acknowledged", op.id)
	case op.name == opForce && op.tooEarly(now, grace):
		bad("9 (running work is not cancelled without its answer): Force %d came before its time", op.id)
	case errors.Is(op.err, esserrors.CodeNotAuthorized) && len(op.changes) > 0:
		bad("11 (authorization comes first): %v %d was not authorized and has changed request %d", op.name, op.id, op.changes[0].after.ID)
	case op.name == opCancel && unsupported(op.err) && lifecycle.Live.Has(r.State):
		bad("6 (cancelling again succeeds): Cancel %d is refused, and the request is %s", op.id, show.State(r))
	case op.name == opCancel && unsupported(op.err) && r.State == lifecycle.StateCancelled && lifecycle.Live.Has(op.found):
		bad("6 (cancelling again succeeds): Cancel %d is refused because another cancel was quicker", op.id)
	case op.name == opAcknowledge && op.err == nil && r.State != op.outcome && r.Outcome != op.outcome:
		bad("8 (receipts are true): Acknowledge %d with %v succeeded, and the request is %s", op.id, op.outcome, show.State(r))
	case op.name == opForce && op.err == nil && lifecycle.Live.Has(r.State) && r.Outcome == 0:
		bad("8 (receipts are true): Force %d succeeded, and the request is %s", op.id, show.State(r))
	}
	if op.err == nil && (op.name == opAcknowledge || op.name == opForce || op.name == opCancel && op.ends(op.id)) {
		errs = append(errs, checkWayUp(s, r))
	}
	if op.err == nil && (op.name == opCancel || op.name == opFence || op.name == opResume && actor.Last) {
		for _, r := range op.reach(s) {
			if r.State == lifecycle.StateCancelling && r.Kind.RunsWork() && r.Outcome == 0 && !slices.Contains(op.told, r.ID) {
				bad("5 (a way out): %v returned, and the work of request %d was not told to stop", op.name, r.ID)
			}
		}
	}
	return errors.Join(errs...)
}

// tooEarly reports whether the operation has answered for work that has checked in less
// than grace before now.
func (op *worldOp) tooEarly(now time.Time, grace time.Duration) bool {
	return slices.ContainsFunc(op.changes, func(c rowChange) bool {
		return c.after.ID == op.id && c.before.Outcome == 0 && !c.before.CheckedIn.IsZero() && now.Sub(c.before.CheckedIn) < grace
	})
}

// grace is how long Force has to wait in this world.
func (w *World) grace() time.Duration {
	switch {
	case w.Options == nil || w.Options.Grace == 0:
		return 30 * time.Minute
	default:
		return max(w.Options.Grace, 0)
	}
}

// ends reports whether the operation has ended a request.
func (op *worldOp) ends(id lifecycle.ID) bool {
	return slices.ContainsFunc(op.changes, func(c rowChange) bool {
		return c.after.ID == id && lifecycle.Terminal.Has(c.after.State)
	})
}

// checkWayUp checks that nothing above r, which an operation has answered for or ended,
// waits for nothing. This holds whatever others are doing: the last thing that such an
// operation does is to see what the first ancestor that it cannot end is waiting for.
func checkWayUp(s canceltest.Snapshot, r lifecycle.Request) error {
	for lifecycle.Terminal.Has(r.State) && r.Parent != 0 {
		r = s[r.Parent]
	}
	if r.State != lifecycle.StateCancelling || r.Kind.RunsWork() && r.Outcome == 0 || slices.ContainsFunc(s.Children(r.ID), rows.Live) {
		return nil
	}
	return fmt.Errorf("5 (a way out): request %d is CANCELLING and waits for nothing, and the operation that ended what is below it has returned", r.ID)
}

// reach returns the requests that the operation is about.
func (op *worldOp) reach(s canceltest.Snapshot) []lifecycle.Request {
	switch op.name {
	case opCancel:
		return append(s.Below(op.id), s[op.id])
	case opResume:
		return s.Below(0)
	default:
		return []lifecycle.Request{s[op.id]}
	}
}

// checkReceipts compares what an operation said of each request with what it did.
func (op *worldOp) checkReceipts(s canceltest.Snapshot) []error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("8 (receipts are true): "+format, args...))
	}
	var counts cancel.Counts
	given := map[lifecycle.ID]bool{}
	for _, rec := range op.receipts {
		counts[rec.Disposition]++
		if given[rec.ID] {
			bad("request %d has two receipts", rec.ID)
		}
		given[rec.ID] = true
		if problem := op.mismatch(rec, s[rec.ID]); problem != "" {
			bad("the receipt %q, but %s", rec, problem)
		}
		if rec.ID == op.id && rec != op.result.Root {
			bad("the receipt %q, but the result says %q", rec, op.result.Root)
		}
	}
	if counts != op.result.Counts {
		bad("the result counts %v, the receipts are %v", op.result.Counts, counts)
	}
	if op.err == nil {
		for _, c := range op.changes {
			if !given[c.after.ID] && !c.lost {
				bad("%v changed request %d to %s, and gave no receipt", op.name, c.after.ID, show.State(c.after))
				given[c.after.ID] = true
			}
		}
	}
	return errs
}

// mismatch returns what is wrong with a receipt, if anything is. The request is now.
func (op *worldOp) mismatch(rec cancel.Receipt, now lifecycle.Request) string {
	var first, last *rowChange // of this request, by this operation
	for i := range op.changes {
		if c := &op.changes[i]; c.after.ID == rec.ID {
			if first == nil {
				first = c
			}
			last = c
		}
	}
	// What this call has taken part in may have been finished by others before it
	// returns.
	done := func(s lifecycle.State) bool { return last != nil && now.State == s }
	ended := lifecycle.Terminal.Has(now.State)
	switch what := rec.Disposition; {
	case what == cancel.DispositionFailed, first != nil && first.lost:
		return "" // nobody told it
	case first != nil && rec.From != first.before.State:
		return fmt.Sprintf("it was %v", first.before.State)
	case what == cancel.DispositionCancelled && !done(lifecycle.StateCancelled),
		what == cancel.DispositionSettled && !(done(rec.To) && ended),
		what == cancel.DispositionCancelling && last == nil,
		what == cancel.DispositionRecorded && last == nil:
		return "another did that"
	case what == cancel.DispositionCancelling && first.after.State != lifecycle.StateCancelling,
		what == cancel.DispositionRecorded && first.after.Outcome == 0:
		return "this call made it " + show.State(first.after)
	case (what == cancel.DispositionAlreadyCancelling || what == cancel.DispositionEnded) && last != nil,
		what == cancel.DispositionConflict && last != nil && rec.To != last.after.State:
		return "this call made it " + show.State(last.after)
	case what == cancel.DispositionEnded && (!ended || rec.To != 0 && rec.To != now.State):
		return "it is " + show.State(now)
	default:
		return ""
	}
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
