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
	opTransition
	opCancelAll
	opCancelled // by code of the actor's own
)

func (n opName) String() string {
	return [...]string{"", "Cancel", "Fence", "Acknowledge", "Force", "Resume", "CheckIn", "Run", "Transition", "CancelAll", "Cancelled"}[n]
}

// A worldOp is an operation of an actor, and what is known of it.
type worldOp struct {
	name    opName
	id      lifecycle.ID
	order   cancel.Order
	outcome lifecycle.State
	outer   *worldOp // the Run during which it is called
	looked  bool     // of a Run: it has read the request
	stepped bool
	found   lifecycle.State // of the request before the first step
	clock   time.Time       // its CheckedIn then
	// foundAttempt is that of the request before the last step that changed it.
	foundAttempt int
	plain        bool // without receipts

	changes  []rowChange // what its steps did to the store
	receipts []cancel.Receipt
	told     []lifecycle.ID
	result   cancel.Result
	trigger  lifecycle.Trigger // of a Transition, and the request that it returned
	moved    lifecycle.Request
	err      error
	done     bool
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
	case opRun, opCheckIn, opTransition, opCancelAll, opCancelled:
	}
	r, there := s[op.id]
	switch {
	case op.name == opTransition:
		if problem := op.transitioned(); problem != "" {
			bad("8 (what is returned is true): Transition %d by %v %s", op.id, op.trigger, problem)
		}
	case (op.name == opCancel || op.name == opAcknowledge) && errors.Is(op.err, esserrors.CodeNotFound) && (there || lifecycle.Live.Has(op.found)):
		bad("6 (what is gone has ended): %v %d does not find the request, which was %v when it was called", op.name, op.id, op.found)
	case op.name == opForce && early(op.err) && rows.Unanswered(r) && r.CheckedIn.After(now) && r.CheckedIn.Equal(op.clock):
		bad("5 (a way out): Force %d is too early, and leaves a clock that is ahead as it is", op.id)
	case op.name == opRun && op.looked && r.State == lifecycle.StateCancelling && r.Outcome == 0 && !errors.Is(op.err, ErrFault) &&
		(op.order.Attempt == 0 || op.order.Attempt == r.Attempt):
		bad("5 (a way out): Run %d returned, and nobody has acknowledged", op.id)
	case op.name == opForce && op.tooEarly(now, grace):
		bad("9 (running work is not cancelled without its answer): Force %d came before its time", op.id)
	case errors.Is(op.err, esserrors.CodeNotAuthorized) && len(op.changes) > 0:
		bad("11 (authorization comes first): %v %d was not authorized and has changed request %d", op.name, op.id, op.changes[0].after.ID)
	case op.name == opCancel && unsupported(op.err) && lifecycle.Live.Has(r.State):
		bad("6 (cancelling again succeeds): Cancel %d is refused, and the request is %s", op.id, show.State(r))
	case op.name == opCancel && unsupported(op.err) && r.State == lifecycle.StateCancelled && lifecycle.Live.Has(op.found):
		bad("6 (cancelling again succeeds): Cancel %d is refused because another cancel was quicker", op.id)
	case op.name == opAcknowledge && op.err == nil && there && r.State != op.outcome && r.Outcome != op.outcome:
		bad("8 (receipts are true): Acknowledge %d with %v succeeded, and the request is %s", op.id, op.outcome, show.State(r))
	case op.name == opForce && op.err == nil && lifecycle.Live.Has(r.State) && r.Outcome == 0:
		bad("8 (receipts are true): Force %d succeeded, and the request is %s", op.id, show.State(r))
	}
	if op.err == nil && (op.name == opAcknowledge || op.name == opForce || (op.name == opCancel || op.name == opTransition) && op.ends(op.id)) {
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

// transitioned returns what is wrong with the answer of a Transition, if anything is.
func (op *worldOp) transitioned() string {
	made := slices.ContainsFunc(op.changes, func(c rowChange) bool {
		to, ok := lifecycle.Next(c.before.Kind, c.before.State, op.trigger)
		return c.after.ID == op.id && ok && c.after.State == to
	})
	lost := slices.ContainsFunc(op.changes, func(c rowChange) bool { return c.lost })
	switch {
	case lost:
		return ""
	case op.err == nil && !made:
		return "succeeded, and has changed nothing"
	case errors.Is(op.err, esserrors.CodeUnsupportedState) && made, errors.Is(op.err, esserrors.CodeConflict) && made:
		return "is refused, and has been made"
	case op.err == nil && op.moved.Attempt != op.foundAttempt+op.counts():
		return fmt.Sprintf("returned attempt %d after attempt %d", op.moved.Attempt, op.foundAttempt)
	default:
		return ""
	}
}

// counts returns by how much a Transition counts up the attempt.
func (op *worldOp) counts() int {
	if op.moved.Kind.RunsWork() && (op.trigger == lifecycle.TriggerStart || op.trigger == lifecycle.TriggerResume) {
		return 1
	}
	return 0
}

// early reports whether an operation came before its time.
func early(err error) bool {
	_, ok := esserrors.RetryAfter(err)
	return ok
}

// tooEarly reports whether the operation has answered for work that has checked in less
// than grace before now.
func (op *worldOp) tooEarly(now time.Time, grace time.Duration) bool {
	return slices.ContainsFunc(op.changes, func(c rowChange) bool {
		answered := c.after.Outcome != 0 || c.after.State != c.before.State
		return c.after.ID == op.id && answered && c.before.Outcome == 0 && !c.before.CheckedIn.IsZero() && now.Sub(c.before.CheckedIn) < grace
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

// mismatch returns what is wrong with a receipt, if anything is. It speaks of this
// operation alone; the request is now, or was deleted.
func (op *worldOp) mismatch(rec cancel.Receipt, now lifecycle.Request) string {
	var first, last *rowChange // of this request, by this operation
	for i := range op.changes {
		c := &op.changes[i]
		if c.after.ID != rec.ID || c.before.State == c.after.State && c.before.Outcome == c.after.Outcome {
			continue
		}
		if c.lost {
			return "" // nobody told it
		}
		if first == nil {
			first = c
		}
		last = c
	}
	const cancelling = lifecycle.StateCancelling
	ended := !lifecycle.Live.Has(now.State) // or gone
	fenced := first != nil && first.before.State != cancelling && first.after.State == cancelling
	switch what := rec.Disposition; {
	case what == cancel.DispositionFailed:
		return ""
	case first != nil && rec.From != first.before.State:
		return fmt.Sprintf("it was %v", first.before.State)
	case first == nil:
		switch what {
		case cancel.DispositionAlreadyCancelling, cancel.DispositionConflict:
		case cancel.DispositionEnded:
			if !ended || rec.To != 0 && now.ID != 0 && rec.To != now.State {
				return "it is " + show.State(now)
			}
		default:
			return "another did that"
		}
		return ""
	case what == cancel.DispositionCancelled && (first.before.State == cancelling || last.after.State != lifecycle.StateCancelled),
		what == cancel.DispositionSettled && (last.before.State != cancelling || last.after.State != rec.To || fenced && rec.To == lifecycle.StateCancelled),
		what == cancel.DispositionCancelling && (!fenced || last.after.State != cancelling),
		what == cancel.DispositionRecorded && (last.after.State != cancelling || last.after.Outcome == 0),
		what == cancel.DispositionConflict && last.after.State != cancelling,
		what == cancel.DispositionAlreadyCancelling, what == cancel.DispositionEnded:
		return "this call made it " + show.State(last.after)
	default:
		return ""
	}
}
