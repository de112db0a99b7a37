package cancel

import (
	"context"

	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// Acknowledge records how the work of a CANCELLING request has ended: as outcome, which is
// one of [lifecycle.Outcomes]. The request ends in this state: at once if it has no live
// child, and otherwise after its last child. Then ancestors end, too, that were CANCELLING
// and only waiting for this request. That a request ends as CANCELLED "or some other
// terminal state" is the specification's; the rest is a decision.
//
// Acknowledge is for the side that runs the work, and no [Authorizer] is asked.
// [Workers.Run] calls it by itself. Work that was stopped because of the cancel has ended
// as CANCELLED, whatever error it returned; work that has finished all the same has
// ended as it finished.
//
// Acknowledge is idempotent. The first outcome counts; repeating it succeeds, and settles
// what was left unsettled because a worker died after it had acknowledged.
//
// The error has
//
//   - [esserrors.CodeUnsupportedState] if the request is live and not CANCELLING, if it is
//     a container, or if outcome is not one of lifecycle.Outcomes;
//   - [esserrors.CodeConflict] if the request has ended, or is going to, in a state other
//     than outcome, or if others kept changing it. It also matches [ErrSuperseded] if the
//     order names an attempt that has been superseded;
//   - [esserrors.CodeNotFound] if there is no such request, also if it has ended and been
//     deleted since;
//   - [esserrors.CodeSystem] if the store failed. Then outcome may have been recorded or
//     not, and acknowledging again is safe.
func (c *Canceller) Acknowledge(ctx context.Context, order Order, outcome lifecycle.State) (Result, error) {
	o := c.operation(OpAcknowledge, order)
	return o.run(ctx, func(ctx context.Context) error {
		if !lifecycle.Outcomes.Has(outcome) {
			return esserrors.UnsupportedOutcome(o.verb, int64(o.id), outcome.String())
		}
		return o.answer(ctx, answerTrigger(outcome), outcome, func(lifecycle.Request) error { return nil })
	})
}

// answer records outcome as the answer of the request's own work, an acknowledgement or
// what Force puts in its place, and settles what then waits for nothing. Before the first
// answer to a request is written, check may refuse it.
func (o *operation) answer(ctx context.Context, t lifecycle.Trigger, outcome lifecycle.State, check func(lifecycle.Request) error) error {
	var seen lifecycle.Request // as it was when this call first saw it CANCELLING
	for attempt := 1; ; attempt++ {
		r, ok, err := o.read(ctx, o.id)
		switch {
		case err != nil:
			return err
		case !ok && seen.ID != 0:
			o.report(node{req: seen, from: seen.State, gone: true})
			return nil
		case !ok:
			return esserrors.NotFound(o.verb, int64(o.id), nil)
		}
		if err := o.superseded(r); err != nil {
			return err
		}
		switch {
		case r.Kind.RunsWork() && lifecycle.Terminal.Has(r.State) && t != lifecycle.TriggerForce:
			return o.answerAgain(ctx, r, r.State, outcome)
		case r.State != lifecycle.StateCancelling, !permitted(r, t):
			return esserrors.UnsupportedState(o.verb, int64(o.id), r.Kind.String(), r.State.String())
		case r.Outcome != 0 && t == lifecycle.TriggerForce:
			return o.answerAgain(ctx, r, r.Outcome, r.Outcome)
		case r.Outcome != 0:
			return o.answerAgain(ctx, r, r.Outcome, outcome)
		}
		if err := check(r); err != nil {
			return err
		}
		if attempt > o.c.opts.MaxAttempts {
			return o.leave(r, o.contended(o.id))
		}
		// A leaf ends at once. For a parent, the answer is written first and its live
		// children are looked for then.
		ch := change(r, t, outcome, 0, o.now())
		if r.Kind.HasChildren() {
			ch = change(r, t, r.State, outcome, o.now())
		}
		made, err := o.applyOne(ctx, ch)
		if err != nil {
			return err
		}
		if made {
			return o.answered(ctx, ch.New(), r.State, true)
		}
		seen = r
	}
}

// answered settles what waits for nothing after the answer of r's work was recorded: by
// this call, which now says, or before.
func (o *operation) answered(ctx context.Context, r lifecycle.Request, from lifecycle.State, now bool) error {
	n := node{req: r, from: from, settled: now && lifecycle.Terminal.Has(r.State)}
	if !n.ended() {
		one, err := o.settleOne(ctx, r.ID)
		switch {
		case one.gone:
			n.gone = true
		case one.req.ID != 0:
			n = one
			n.from = from
		}
		if err != nil && n.failed == nil {
			n.failed = err // the request may have ended or not
		}
		o.stopOn(err)
	}
	if now && !n.settled && (n.failed == nil || n.conflict) {
		n.failed, n.conflict = nil, false
		rec := n.receipt()
		rec.Disposition = DispositionRecorded
		o.give(rec)
	} else {
		o.report(n)
	}
	if n.ended() {
		o.stopOn(o.settleUp(ctx, r.Parent))
	}
	return o.err()
}

// answerAgain does the rest of a call that comes after the work of r has answered with
// before: it settles what the first call has left unsettled, and refuses another outcome.
func (o *operation) answerAgain(ctx context.Context, r lifecycle.Request, before, outcome lifecycle.State) error {
	err := o.answered(ctx, r, r.State, false)
	if err == nil && before != outcome {
		err = &esserrors.Error{
			Code: esserrors.CodeConflict, Op: o.verb, ID: int64(o.id), Kind: r.Kind.String(), State: before.String(),
			Detail: "The request has ended as " + before.String() + ", or is going to.",
		}
	}
	return err
}
