package cancel

import (
	"context"
	"errors"

	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// A CheckInResult is the answer to a worker that checks in.
type CheckInResult struct {
	// Request is the request, which is live, as it is after the check-in.
	Request lifecycle.Request
	// Cancelling reports whether a cancel is under way: the work should stop and
	// acknowledge.
	Cancelling bool
	// Cause says who cancelled and why. It is zero if the store cannot tell.
	Cause Cause
}

// CheckIn is the heartbeat of running work. It tells the work whether it is to
// stop and, if so, starts the grace of [Canceller.Force] anew (documented for
// ESS's checkInCancelling; that it moves the clock follows from forceCancel's
// rule). It changes nothing else.
//
// Of the order, ID and Attempt matter. The error matches [ErrSuperseded] if the attempt
// has been superseded. It has [esserrors.CodeUnsupportedState] if the request has ended,
// which for work that still runs means that it was forced; [esserrors.CodeNotFound],
// also if it has ended and been deleted since; [esserrors.CodeConflict] if others kept
// changing the request; or [esserrors.CodeSystem].
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
		made := true
		ch := checkInChange(r, o.now())
		if unanswered(r) && !ch.CheckedIn.Equal(r.CheckedIn) {
			made, err = o.applyOne(ctx, ch)
		}
		if err != nil {
			return CheckInResult{}, err
		}
		if made {
			cause, err := o.causeOf(ctx, o.id)
			if err != nil {
				cause = Cause{} // work is told all the same
			}
			return CheckInResult{Request: ch.New(), Cancelling: true, Cause: cause}, nil
		}
	}
}

// causeOf returns why the request was cancelled, as far as the store can tell.
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
