package cancel

import (
	"context"

	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// Acknowledge records how the work of a request that is CANCELLING has ended:
// with one of [lifecycle.Outcomes]. The request ends so at once if it has no live
// child, and otherwise with its last child. Ancestors that were only waiting for
// this request end too.
//
// Acknowledge is for the side that runs the work; no [Authorizer] is asked. It is
// idempotent: the first answer counts, and repeating it succeeds and settles
// what a worker that died in between has left unsettled.
//
// Work that is killed when it is cancelled often returns an error of its own: that of
// a process under exec.CommandContext is "signal: killed". Whoever stopped it because
// of the cancel acknowledges CANCELLED, whatever the error.
//
// The error matches [ErrSuperseded] if the order names another attempt than the one
// that is stored. It has [esserrors.CodeUnsupportedState] if the request is live and not
// CANCELLING, if it runs no work of its own, or if outcome is not one of
// lifecycle.Outcomes; [esserrors.CodeConflict] if it has ended, or its work has
// answered, in another way before, or others kept changing it;
// [esserrors.CodeNotFound], also if it has ended and been deleted since; or
// [esserrors.CodeSystem]: then the answer may or may not have been recorded, and
// acknowledging again is safe.
func (c *Canceller) Acknowledge(ctx context.Context, order Order, outcome lifecycle.State) (Result, error) {
	o := c.operation(OpAcknowledge, order)
	return o.run(ctx, func(ctx context.Context) error {
		if !lifecycle.Outcomes.Has(outcome) {
			return esserrors.UnsupportedOutcome(o.verb, int64(o.id), outcome.String())
		}
		return o.answer(ctx, answerTrigger(outcome), outcome, func(lifecycle.Request) error { return nil })
	})
}

// answer records outcome as the answer of the request's own work and settles what
// that allows to settle. check may refuse a request that has not answered.
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
			return o.contended(o.id)
		}
		// A leaf ends at once. What may have children first records the answer and
		// then looks for them.
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

// answered goes on after the answer of r's work has been recorded, by this call or
// before.
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
			n.failed = err // it may or may not have ended
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

// answerAgain answers a call that comes after the work of r has answered with
// before. What the call that recorded it has left unsettled is settled now.
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
