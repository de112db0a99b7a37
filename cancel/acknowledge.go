package cancel

import (
	"context"
	"errors"
	"iter"
	"time"

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
// The error has [esserrors.CodeUnsupportedState] if the request is live and not
// CANCELLING, if it runs no work of its own, or if outcome is not one of
// lifecycle.Outcomes; [esserrors.CodeConflict] if it has ended, or its work has
// answered, in another way before, or others kept changing it;
// [esserrors.CodeNotFound]; or [esserrors.CodeSystem]: then the answer may or may
// not have been recorded, and acknowledging again is safe.
func (c *Canceller) Acknowledge(ctx context.Context, order Order, outcome lifecycle.State) (Result, error) {
	o := c.operation("acknowledge", order)
	ctx = o.start(ctx)
	if !lifecycle.Outcomes.Has(outcome) {
		return o.end(ctx, Result{}, esserrors.UnsupportedOutcome(o.name, int64(o.id), outcome.String()))
	}
	res, err := o.answer(ctx, answerTrigger(outcome), outcome, func(lifecycle.Request) error { return nil })
	return o.end(ctx, res, err)
}

// Force ends a request whose work does not acknowledge: as CANCELLED, as soon as
// no child of it is live. The caller vouches that the work does not run any more
// (documented for ESS's forceCancel).
//
// It is possible once [Options.Grace] has passed since the request became
// CANCELLING or its work last checked in; cancelling again does not move that
// clock (decision). Only a request that runs work of its own can be forced: of a
// container, force the children. Forcing a request whose work has answered leaves
// the answer as it is.
//
// The error has [esserrors.CodeUnsupportedState] if the request is not CANCELLING
// or is a container; [esserrors.CodeConflict] if it is too early
// ([esserrors.RetryAfter] says how long to wait) or others kept changing the
// request; [esserrors.CodeNotAuthorized]; [esserrors.CodeNotFound]; or
// [esserrors.CodeSystem].
func (c *Canceller) Force(ctx context.Context, order Order) (Result, error) {
	o := c.operation("force", order)
	ctx = o.start(ctx)
	if err := o.authorize(ctx); err != nil {
		return o.end(ctx, Result{}, err)
	}
	res, err := o.answer(ctx, lifecycle.TriggerForce, lifecycle.StateCancelled, func(r lifecycle.Request) error {
		if wait := o.c.graceLeft(r); wait > 0 {
			return esserrors.TooEarly(o.name, int64(o.id), wait)
		}
		return nil
	})
	return o.end(ctx, res, err)
}

// graceLeft returns how long Force has to wait for the work of r.
func (c *Canceller) graceLeft(r lifecycle.Request) time.Duration {
	if r.CheckedIn.IsZero() {
		return 0 // nobody knows since when: it was not this package that cancelled it
	}
	return max(0, r.CheckedIn.Add(c.opts.Grace).Sub(c.opts.Now()))
}

// Overdue returns the requests that [Canceller.Force] would end now: those whose work
// has not answered, nor checked in, for the time of [Options.Grace] (documented for
// ESS's forceCancel; that they can be listed is a decision). Whether the work is gone
// is for the caller to find out.
//
// It finds them as [ListCancelling] does, whose remarks on errors and changes hold for
// it, too.
func (c *Canceller) Overdue(ctx context.Context) iter.Seq2[CancellingRequest, error] {
	return func(yield func(CancellingRequest, error) bool) {
		for u, err := range cancelling(ctx, c.repo, c.opts.PageSize) {
			if err == nil && (!unanswered(u.Request) || c.graceLeft(u.Request) > 0) {
				continue
			}
			if !yield(u, err) {
				return
			}
		}
	}
}

// answer records outcome as the answer of the request's own work and settles what
// that allows to settle. check may refuse a request that has not answered.
func (o *operation) answer(ctx context.Context, t lifecycle.Trigger, outcome lifecycle.State, check func(lifecycle.Request) error) (Result, error) {
	for attempt := 1; ; attempt++ {
		r, err := o.get(ctx, o.id)
		if err != nil {
			return Result{}, err
		}
		switch {
		case r.Kind.RunsWork() && lifecycle.Terminal.Has(r.State) && t != lifecycle.TriggerForce:
			return o.answerAgain(ctx, r, r.State, outcome)
		case r.State != lifecycle.StateCancelling, !permitted(r, t):
			return Result{}, esserrors.UnsupportedState(o.name, int64(o.id), r.Kind.String(), r.State.String())
		case r.Outcome != 0 && t == lifecycle.TriggerForce:
			return o.answerAgain(ctx, r, r.Outcome, r.Outcome)
		case r.Outcome != 0:
			return o.answerAgain(ctx, r, r.Outcome, outcome)
		}
		if err := check(r); err != nil {
			return Result{}, err
		}
		if attempt > o.c.opts.MaxAttempts {
			return Result{}, o.contended(o.id)
		}
		// A leaf ends at once. What may have children first records the answer and
		// then looks for them.
		ch := change(r, t, outcome, 0, o.now())
		if r.Kind.HasChildren() {
			ch = change(r, t, r.State, outcome, o.now())
		}
		made, err := o.applyOne(ctx, ch)
		if err != nil {
			return Result{}, err
		}
		if made {
			o.answered(ctx, ch.New(), r.State, true)
			return o.result, o.err()
		}
	}
}

func permitted(r lifecycle.Request, t lifecycle.Trigger) bool {
	_, ok := lifecycle.Next(r.Kind, r.State, t)
	return ok
}

// answered goes on after the answer of r's work has been recorded, by this call or
// before.
func (o *operation) answered(ctx context.Context, r lifecycle.Request, from lifecycle.State, now bool) {
	n := node{req: r, from: from}
	if !n.ended() {
		one, err := o.settleOne(ctx, r.ID)
		if err == nil {
			n = one
			n.from = from
		}
		n.failed = err // it may or may not have ended
		o.stopOn(err)
	}
	if now && !n.ended() && (n.failed == nil || errors.Is(n.failed, esserrors.CodeConflict)) {
		o.give(Receipt{ID: r.ID, Parent: r.Parent, Kind: r.Kind, Disposition: DispositionRecorded, From: from, To: r.State})
		return
	}
	n.settled = n.settled || now
	o.report(n)
	if n.ended() {
		o.stopOn(o.settleUp(ctx, r.Parent))
	}
}

// answerAgain answers a call that comes after the work of r has answered with
// before. What the call that recorded it has left unsettled is settled now.
func (o *operation) answerAgain(ctx context.Context, r lifecycle.Request, before, outcome lifecycle.State) (Result, error) {
	o.answered(ctx, r, r.State, false)
	if before != outcome {
		o.stopOn(&esserrors.Error{
			Code: esserrors.CodeConflict, Op: o.name, ID: int64(o.id), Kind: r.Kind.String(), State: before.String(),
			Detail: "The work of the request has answered " + before.String() + " before.",
		})
	}
	return o.result, o.err()
}

// A CheckInResult is the answer to a worker that checks in.
type CheckInResult struct {
	// Request is the request, which is live.
	Request lifecycle.Request
	// Cancelling reports whether a cancel is under way: the work should stop and
	// acknowledge.
	Cancelling bool
	// Cause says who cancelled and why, if the store is a [CauseReader].
	Cause Cause
}

// CheckIn is the heartbeat of running work. It tells the work whether it is to
// stop and, if so, starts the grace of [Canceller.Force] anew (documented for
// ESS's checkInCancelling; that it moves the clock follows from forceCancel's
// rule). It changes nothing else.
//
// The error has [esserrors.CodeUnsupportedState] if the request has ended, which
// for work that still runs means that it was forced; [esserrors.CodeNotFound];
// [esserrors.CodeConflict] if others kept changing the request; or
// [esserrors.CodeSystem].
func (c *Canceller) CheckIn(ctx context.Context, id lifecycle.ID) (CheckInResult, error) {
	o := c.operation("check in", Order{ID: id})
	ctx = o.start(ctx)
	in, err := o.checkIn(ctx, id)
	_, err = o.end(ctx, Result{}, err)
	return in, err
}

func (o *operation) checkIn(ctx context.Context, id lifecycle.ID) (CheckInResult, error) {
	for attempt := 1; ; attempt++ {
		r, err := o.get(ctx, id)
		switch {
		case err != nil:
			return CheckInResult{}, err
		case lifecycle.Terminal.Has(r.State):
			return CheckInResult{}, esserrors.UnsupportedState(o.name, int64(id), r.Kind.String(), r.State.String())
		case r.State != lifecycle.StateCancelling:
			return CheckInResult{Request: r}, nil
		case attempt > o.c.opts.MaxAttempts:
			return CheckInResult{}, o.contended(id)
		}
		made := true
		ch := change(r, 0, r.State, r.Outcome, o.now())
		ch.CheckedIn = ch.Cause.Time
		if unanswered(r) && ch.CheckedIn.After(r.CheckedIn) { // the clock never goes back
			made, err = o.applyOne(ctx, ch)
		}
		if err != nil {
			return CheckInResult{}, err
		}
		if made {
			cause, err := o.causeOf(ctx, id)
			return CheckInResult{Request: r, Cancelling: true, Cause: cause}, err
		}
	}
}
