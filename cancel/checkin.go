package cancel

import (
	"context"
	"errors"

	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// A CheckInResult is what work is told when it checks in.
type CheckInResult struct {
	// Request is the request as it is after the check-in. It is live.
	Request lifecycle.Request
	// Cancelling reports whether the request is CANCELLING: the work should stop and
	// acknowledge.
	Cancelling bool
	// Cause says who cancelled the request and why. It is zero if the store cannot
	// tell.
	Cause Cause
}

// CheckIn is the heartbeat of running work. It tells the work whether to stop. If so, it
// also starts the grace of [Canceller.Force] anew, unless the work has acknowledged
// already (documented for ESS's checkInCancelling and forceCancel). It changes nothing
// else.
//
// Of the order only ID and Attempt matter. The error has
//
//   - [esserrors.CodeUnsupportedState] if the request has ended: somebody has forced it, if
//     its work still runs;
//   - [esserrors.CodeConflict] if others kept changing the request. It also matches
//     [ErrSuperseded] if the order names an attempt that has been superseded;
//   - [esserrors.CodeNotFound] if there is no such request, also if it has ended and been
//     deleted since;
//   - [esserrors.CodeSystem] if the store failed.
func (c *Canceller) CheckIn(ctx context.Context, order Order) (in CheckInResult, err error) {
	o := c.operation(OpCheckIn, order)
	_, err = o.run(ctx, func(ctx context.Context) (err error) {
		in, err = o.checkIn(ctx)
		return err
	})
	return in, err
}

func (o *operation) checkIn(ctx context.Context) (CheckInResult, error) {
	for attempt := 1; ; attempt++ {
		r, err := o.get(ctx, o.id)
		if err == nil {
			err = o.superseded(r)
		}
		switch {
		case err != nil:
			return CheckInResult{}, err
		case lifecycle.Terminal.Has(r.State):
			return CheckInResult{}, esserrors.UnsupportedState(o.verb, int64(o.id), r.Kind.String(), r.State.String())
		case r.State != lifecycle.StateCancelling:
			return CheckInResult{Request: r}, nil
		case attempt > o.c.opts.MaxAttempts:
			return CheckInResult{}, o.contended(o.id)
		}
		now, made := r, true
		if ch := checkInChange(r, o.now()); unanswered(r) && !ch.CheckedIn.Equal(r.CheckedIn) {
			now = ch.New()
			made, err = o.applyOne(ctx, ch)
		}
		if err != nil {
			return CheckInResult{}, err
		}
		if made {
			cause, err := o.causeOf(ctx, o.id)
			if err != nil {
				cause = Cause{} // the work is told all the same
			}
			return CheckInResult{Request: now, Cancelling: true, Cause: cause}, nil
		}
	}
}

// causeOf returns why a request was cancelled, or the zero Cause if the store cannot tell.
func (o *operation) causeOf(ctx context.Context, id lifecycle.ID) (Cause, error) {
	if o.c.causes == nil {
		return Cause{}, nil
	}
	cause, err := o.c.causes.Cause(ctx, id)
	switch {
	case err == nil:
		return cause, nil
	case errors.Is(err, errors.ErrUnsupported), errors.Is(err, ErrNotFound):
		return Cause{}, nil
	default:
		return Cause{}, o.storeError(ctx, err)
	}
}
