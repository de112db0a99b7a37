package cancel

import (
	"context"
	"iter"
	"time"

	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// Force ends a CANCELLING request whose work does not acknowledge. The request becomes
// CANCELLED, as soon as no child of it is live. The caller vouches that the work does not
// run any more (documented for ESS's forceCancel).
//
// Force is possible when [Options.Grace] has passed since the request became CANCELLING
// or its work last checked in (documented). Cancelling again does not start the grace
// anew. A request without CheckedIn was not cancelled by this package, and can be forced
// at once (decision).
//
// Two clocks are compared: that of the process which wrote [lifecycle.Request.CheckedIn],
// and that of this process. The grace is longer or shorter by what they differ. If
// CheckedIn lies in the future, one of them is wrong. Force then starts the grace anew by
// its own clock, so that the next call has to wait for no more than Grace. Resume does
// the same for requests whose CheckedIn lies in the future by more than Grace (decision).
//
// A container cannot be forced, because it runs no work: force its children. Forcing a
// request whose work has acknowledged leaves its outcome as it is (decision).
//
// The error has
//
//   - [esserrors.CodeUnsupportedState] if the request is not CANCELLING, or is a container;
//   - [esserrors.CodeConflict] if the grace is not over ([esserrors.RetryAfter] says how
//     long to wait), or if others kept changing the request;
//   - [esserrors.CodeNotAuthorized] if the [Authorizer] does not permit it;
//   - [esserrors.CodeNotFound] if there is no such request;
//   - [esserrors.CodeSystem] if the store failed.
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

// mendClock starts the grace of Force anew for r if CheckedIn lies in the future by more
// than tolerance. If somebody else changes the request first, it leaves r as it is: the
// next call looks again.
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
		return 0 // this package has not cancelled it, and nobody knows since when it is CANCELLING
	}
	return min(c.opts.Grace, max(0, r.CheckedIn.Add(c.opts.Grace).Sub(c.opts.Now())))
}

// Overdue returns the requests to which [Canceller.Force] can be applied now: those whose
// work has neither acknowledged nor checked in for the time of [Options.Grace]
// (decision). Whether the work has gone is for the caller to find out. A request that has
// a live child is forced now and ends after that child. One whose CheckedIn lies in the
// future is not returned: see Force.
//
// Overdue finds the requests, and reports errors, as [ListCancelling] does.
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
