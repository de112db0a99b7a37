package cancel

import (
	"context"
	"errors"
	"fmt"

	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// ErrSuperseded is matched by the error of an operation whose [Order.Attempt] is not the
// attempt that is stored: the request has been started again since, and what an
// earlier attempt has to say does not count. The error has [esserrors.CodeConflict].
var ErrSuperseded = errors.New("cancel: the attempt has been superseded")

// ErrLiveChild is matched by the error of a [Canceller.Transition] that would end a request
// which has a live child. The error has [esserrors.CodeConflict].
var ErrLiveChild = errors.New("cancel: the request has a live child")

// superseded returns an error if r has another attempt than the order names. A store
// that does not keep attempts always has 0.
func (o *operation) superseded(r lifecycle.Request) error {
	if o.attempt == 0 || r.Attempt == 0 || o.attempt == r.Attempt {
		return nil
	}
	return esserrors.Conflict(o.verb, int64(o.id),
		fmt.Sprintf("Attempt %d of request %d has been superseded by attempt %d.", o.attempt, o.id, r.Attempt), ErrSuperseded)
}

// Transition makes an ordinary transition of a request: one that the scheduler makes by
// itself, such as its start, by the rules of package lifecycle. It returns the request
// as it is then. Starting and resuming a request counts its Attempt up.
//
// A request that may have children ends only if none of them is live. From COMPLETED
// and SCHEDULE_ENDED, in which it admits no child, the three methods of the Repository
// are enough for that. From a state in which it admits children, as where it fails
// while it is RUNNING, the store has to be a [ParentEnder]. When Transition has ended a
// request it also ends ancestors that were CANCELLING and only waiting for it.
//
// No [Authorizer] is asked. With an error, Transition returns the request as it was
// found, or a zero Request if it was not read. The error has
// [esserrors.CodeUnsupportedState] if no rule permits the transition, and always for
// TriggerCancel and for a request that is CANCELLING: a scheduler that finds
// CANCELLING in the request that is returned came too late, and has the work
// acknowledge instead. It matches errors.ErrUnsupported as well if only a ParentEnder
// could make the transition. It matches [ErrSuperseded] if the order names another
// attempt than the one that is stored, and [ErrLiveChild] if the request would end over
// one. It has [esserrors.CodeConflict] in these two cases and if others kept changing the
// request; [esserrors.CodeNotFound]; or [esserrors.CodeSystem]: then the transition may or may not
// have been made.
//
// If the transition has been made and an ancestor could not be settled, Transition
// returns the request as it is after the transition, and the error of that; Resume
// settles the ancestor.
func (c *Canceller) Transition(ctx context.Context, order Order, t lifecycle.Trigger) (r lifecycle.Request, err error) {
	o := c.operation(OpTransition, order)
	o.verb = t.String()
	_, err = o.run(ctx, func(ctx context.Context) (err error) {
		r, err = o.transition(ctx, t)
		return err
	})
	return r, err
}

func (o *operation) transition(ctx context.Context, t lifecycle.Trigger) (lifecycle.Request, error) {
	for attempt := 1; ; attempt++ {
		r, err := o.get(ctx, o.id)
		if err == nil {
			err = o.superseded(r)
		}
		if err != nil {
			return r, err
		}
		to, err := lifecycle.Advance(r.Kind, r.State, t)
		if err != nil {
			return r, esserrors.UnsupportedState(o.verb, int64(o.id), r.Kind.String(), r.State.String())
		}
		if attempt > o.c.opts.MaxAttempts {
			return r, o.contended(o.id)
		}
		ch := change(r, t, to, 0, o.now())
		made, err := o.advance(ctx, ch)
		if err != nil {
			return r, err
		}
		if made {
			if lifecycle.Terminal.Has(to) {
				err = o.settleUp(ctx, r.Parent)
			}
			return ch.New(), err
		}
	}
}

// advance makes a change that is no cancel, and does not end a request over a live child.
func (o *operation) advance(ctx context.Context, ch Change) (made bool, err error) {
	r := ch.Old
	if !r.Kind.HasChildren() || !lifecycle.Terminal.Has(ch.State) {
		return o.applyOne(ctx, ch)
	}
	live, err := o.liveChild(ctx, r.ID)
	if err != nil {
		return false, err
	}
	if live {
		return false, esserrors.Conflict(o.verb, int64(r.ID), fmt.Sprintf("Request %d has a live child.", r.ID), ErrLiveChild)
	}
	if !lifecycle.AdmitsChildren(r.Kind, r.State) {
		return o.applyOne(ctx, ch) // still as it was, it has admitted none since
	}
	err = errors.ErrUnsupported
	if o.c.ender != nil {
		made, err = o.c.ender.EndParent(ctx, ch)
	}
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return false, &esserrors.Error{
			Code: esserrors.CodeUnsupportedState, Op: o.verb, ID: int64(r.ID), Kind: r.Kind.String(), State: r.State.String(), Err: err,
			Detail: fmt.Sprintf("Request %d admits children in state %v, and this store cannot end it there in one step.", r.ID, r.State),
		}
	case err != nil:
		return false, o.storeError(ctx, err)
	}
	if made {
		o.stored(ctx, &ch)
	}
	return made, nil
}
