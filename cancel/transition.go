package cancel

import (
	"context"
	"errors"
	"fmt"

	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// ErrSuperseded is matched by the error of an operation whose [Order.Attempt] has been
// superseded: the work of the request was started or resumed again since, and what an
// earlier attempt says does not count. The error has [esserrors.CodeConflict].
var ErrSuperseded = errors.New("cancel: the attempt has been superseded")

// ErrLiveChild is matched by the error of a [Canceller.Transition] that would end a request
// with a live child. The error has [esserrors.CodeConflict].
var ErrLiveChild = errors.New("cancel: the request has a live child")

// superseded returns an error if the order names another attempt than r has. In a store
// that keeps no attempts, r always has 0.
func (o *operation) superseded(r lifecycle.Request) error {
	if o.attempt == 0 || r.Attempt == 0 || o.attempt == r.Attempt {
		return nil
	}
	return esserrors.Conflict(o.verb, int64(o.id),
		fmt.Sprintf("Attempt %d of request %d has been superseded by attempt %d.", o.attempt, o.id, r.Attempt), ErrSuperseded)
}

// Transition makes an ordinary transition of a request, by the rules of package
// lifecycle. Ordinary transitions are those that the scheduler makes by itself, such as
// the start; those that belong to a cancel are the business of the other methods.
// Transition returns the request as it is after the transition. If the trigger is
// TriggerStart or TriggerResume and the request runs work, a new attempt begins.
//
// A parent ends only if no child of it is live. In COMPLETED and SCHEDULE_ENDED it admits
// no child, so the three methods of the Repository are enough to make sure. In a state
// in which it admits children, for example RUNNING, the store has to be a [ParentEnder].
// After it has ended a request, Transition also settles ancestors that were CANCELLING
// and only waiting for it.
//
// No [Authorizer] is asked. All this is a decision. The error has
//
//   - [esserrors.CodeUnsupportedState] if no rule permits the transition, if the trigger
//     is TriggerCancel, or if the request is CANCELLING. In the last case the scheduler
//     came too late: it sees the state in the request that is returned, and has the work
//     acknowledge. The error also matches errors.ErrUnsupported if it is only the lack of
//     a ParentEnder that prevents the transition;
//   - [esserrors.CodeConflict] if others kept changing the request. It also matches
//     [ErrSuperseded] if the order names an attempt that has been superseded, and
//     [ErrLiveChild] if the request would end over a live child;
//   - [esserrors.CodeNotFound] if there is no such request;
//   - [esserrors.CodeSystem] if the store failed. Then the transition may have been made
//     or not.
//
// With an error, Transition returns the request as it last read it, or the zero Request if
// it has not read it. If the transition was made and an ancestor could not be settled,
// Transition returns the request as it is after the transition, with the error about the
// ancestor; [Canceller.Resume] settles that.
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

// advance makes ch, an ordinary transition, unless it would end a request over a live
// child.
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
		return o.applyOne(ctx, ch) // if the request still is as it was, it has admitted none since
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
		o.tellTransition(ctx, &ch)
	}
	return made, nil
}
