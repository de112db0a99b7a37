package cancel

import (
	"context"

	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// Cancel cancels a request and everything below it.
//
// A request of which no work executes becomes CANCELLED. A request whose work may be
// executing becomes CANCELLING, and stays so until the work has acknowledged. A parent
// becomes CANCELLING first; then every live request below it is cancelled in the same
// way (specification; each rule of package lifecycle says its own source). The parent
// ends after its last child. Then ancestors end, too, that were CANCELLING and only
// waiting for this request (decision).
//
// If the request is CANCELLING already, Cancel succeeds. It changes nothing that is
// done, interrupts the work again, and completes a cascade that was cut off (decision).
//
// Cancel returns when the tree is as far as cancelling can bring it: every request has
// ended, or is CANCELLING and waits for work. If the work of this tree calls Cancel
// itself, it has to pass a context other than its own, because the cancel ends that
// one: [context.WithoutCancel] makes one.
//
// The error has
//
//   - [esserrors.CodeUnsupportedState] if the request has ended (specification), also if
//     it ended while this call tried to cancel it, other than as CANCELLED;
//   - [esserrors.CodeNotAuthorized] if the [Authorizer] does not permit it;
//   - [esserrors.CodeNotFound] if there is no such request;
//   - [esserrors.CodeConflict] if others kept changing a request;
//   - [esserrors.CodeSystem] if the store failed, or a request is unreadable.
//
// With the last two, some requests may have been cancelled. The Result counts those that
// are known to be; cancelling again, or [Canceller.Resume], does the rest. If ctx is
// done, the error matches ctx.Err() and has no code of this module; what was begun is
// for Resume then.
//
// If a request was live when this call first read it, and is gone when it is to be
// cancelled, it has ended: that is no error, and Receipt.To is 0. If one request fails,
// only what is below it is not cancelled: its siblings are. Only a store that fails many
// times in a row ends the operation early.
func (c *Canceller) Cancel(ctx context.Context, order Order) (Result, error) {
	o := c.operation(OpCancel, order)
	return o.run(ctx, func(ctx context.Context) error { return o.cancel(ctx, true) })
}

// Fence is like [Canceller.Cancel], but cancels nothing below the request. A parent
// becomes CANCELLING, durably, so that it admits no child from then on. Its children go
// on until [Canceller.Resume], in this process or another, cancels them (decision). To a
// leaf, Fence and Cancel do the same.
func (c *Canceller) Fence(ctx context.Context, order Order) (Result, error) {
	o := c.operation(OpCancel, order)
	return o.run(ctx, func(ctx context.Context) error { return o.cancel(ctx, false) })
}

// cancel cancels the request of the order and, if whole is set, what is below it.
func (o *operation) cancel(ctx context.Context, whole bool) error {
	if err := o.authorize(ctx); err != nil {
		return err
	}
	root, err := o.cancelRoot(ctx)
	if err != nil {
		return err
	}
	if unanswered(root.req) {
		o.interrupt(ctx, []lifecycle.ID{root.req.ID}, o.now())
	}
	switch {
	case root.ended():
		o.report(root)
		if root.changed {
			o.stopOn(o.settleUp(ctx, root.req.Parent))
		}
	case !whole || !root.opensBelow():
		o.report(root)
	default:
		o.stopOn(o.cascade(ctx, root))
	}
	return o.err()
}

// cancelRoot makes the request of the order CANCELLED or CANCELLING, and nothing else.
func (o *operation) cancelRoot(ctx context.Context) (node, error) {
	var seen lifecycle.Request // as it was when this call first saw it live
	for attempt := 1; ; attempt++ {
		r, ok, err := o.read(ctx, o.id)
		switch {
		case err != nil:
			return node{}, err
		case !ok && seen.ID != 0:
			return node{req: seen, from: seen.State, gone: true}, nil
		case !ok:
			return node{}, esserrors.NotFound(o.verb, int64(o.id), nil)
		}
		switch ch, needed := cancelChange(r, o.now()); {
		case needed && !o.asPlanned(ch):
			return node{}, o.leave(r, o.unplanned(o.id))
		case needed && attempt > o.c.opts.MaxAttempts:
			return node{}, o.leave(r, o.contended(o.id))
		case needed:
			if seen.ID == 0 {
				seen = r
			}
			made, err := o.applyOne(ctx, ch)
			if err != nil {
				return node{}, err
			}
			if made {
				n := node{req: ch.New(), from: r.State, changed: true}
				n.settled = n.ended()
				return n, nil
			}
		case r.State == lifecycle.StateCancelling:
			return node{req: r, from: r.State}, nil
		case r.State == lifecycle.StateCancelled && seen.ID != 0:
			// Somebody else has cancelled it meanwhile, as the caller wanted.
			return node{req: r, from: seen.State}, nil
		case r.State == lifecycle.StateCancelled && o.many:
			return node{req: r, from: r.State}, nil
		default:
			return node{}, esserrors.UnsupportedState(o.verb, int64(o.id), r.Kind.String(), r.State.String())
		}
	}
}
