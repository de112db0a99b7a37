package cancel

import (
	"context"
	"iter"
	"time"

	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// Force ends a request whose work does not acknowledge: as CANCELLED, as soon as
// no child of it is live. The caller vouches that the work does not run any more
// (documented for ESS's forceCancel).
//
// It is possible once [Options.Grace] has passed since the request became
// CANCELLING or its work last checked in; cancelling again does not move that
// clock (decision). Two clocks are compared: that of the process which wrote
// [lifecycle.Request.CheckedIn] and that of this one. Where they differ, the grace
// is longer or shorter by as much. If CheckedIn lies in the future, one of them is
// wrong: Force then starts the grace anew, by its own clock, so that nobody who tries
// again waits for more than Grace. So does Resume where it lies in the future by more
// than Grace (decision).
//
// Only a request that runs work of its own can be forced: of a container, force the
// children. Forcing a request whose work has answered leaves the answer as it is.
//
// The error has [esserrors.CodeUnsupportedState] if the request is not CANCELLING
// or is a container; [esserrors.CodeConflict] if it is too early
// ([esserrors.RetryAfter] says how long to wait) or others kept changing the
// request; [esserrors.CodeNotAuthorized]; [esserrors.CodeNotFound]; or
// [esserrors.CodeSystem].
func (c *Canceller) Force(ctx context.Context, order Order) (Result, error) {
	order.Attempt = 0
	o := c.operation(OpForce, order)
	return o.run(ctx, func(ctx context.Context) error {
		if err := o.authorize(ctx); err != nil {
			return err
		}
		return o.answer(ctx, lifecycle.TriggerForce, lifecycle.StateCancelled, func(r lifecycle.Request) error {
			if err := o.mendClock(ctx, &r, 0); err != nil {
				return err
			}
			if wait := o.c.graceLeft(r); wait > 0 {
				return esserrors.TooEarly(o.verb, int64(o.id), wait)
			}
			return nil
		})
	})
}

// mendClock starts the grace of r anew if CheckedIn lies in the future by more than
// tolerance. If others are quicker it leaves r as it is: the next call looks again.
func (o *operation) mendClock(ctx context.Context, r *lifecycle.Request, tolerance time.Duration) error {
	cause := o.now()
	if !unanswered(*r) || r.CheckedIn.Sub(cause.Time) <= tolerance {
		return nil
	}
	ch := checkInChange(*r, cause)
	made, err := o.applyOne(ctx, ch)
	if made {
		*r = ch.New()
	}
	return err
}

// graceLeft returns how long Force has to wait for the work of r: at most Grace.
func (c *Canceller) graceLeft(r lifecycle.Request) time.Duration {
	if r.CheckedIn.IsZero() {
		return 0 // nobody knows since when: it was not this package that cancelled it
	}
	return min(c.opts.Grace, max(0, r.CheckedIn.Add(c.opts.Grace).Sub(c.opts.Now())))
}

// Overdue returns the requests whose work [Canceller.Force] may end now: those whose
// work has not answered, nor checked in, for the time of [Options.Grace] (documented
// for ESS's forceCancel; that they can be listed is a decision). Whether the work is
// gone is for the caller to find out. A request that has a live child ends with that
// child, not at once.
//
// It finds them as [ListCancelling] does, whose remarks on errors and changes hold for
// it, too.
func (c *Canceller) Overdue(ctx context.Context) iter.Seq2[CancellingRequest, error] {
	return func(yield func(CancellingRequest, error) bool) {
		for u, err := range listCancelling(ctx, c.repo, c.opts.PageSize) {
			if err == nil && (!unanswered(u.Request) || c.graceLeft(u.Request) > 0) {
				continue
			}
			if !yield(u, err) {
				return
			}
		}
	}
}
