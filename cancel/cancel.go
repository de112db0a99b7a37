package cancel

import (
	"context"

	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// Cancel cancels the request and everything below it.
//
// A request of which no work executes becomes CANCELLED. One whose work may
// execute becomes CANCELLING and stays so until the work has acknowledged
// (specification). A parent becomes CANCELLING first and admits no child from
// then on; every live request below it is cancelled, and the parent ends after
// its last child. Ancestors that were only waiting for this request end too
// (decision). Cancelling a request that is CANCELLING succeeds, changes nothing
// that is already done, interrupts its work again and takes up a cascade that
// was cut off (decision).
//
// Cancel returns when the tree is as far as cancelling can bring it: ended, or
// CANCELLING and waiting for work. Work is told by the [Interrupter] right after
// its request has been written. Work that cancels a tree in which it runs itself
// has to pass a context other than its own, which the cancel ends:
// [context.WithoutCancel] makes one.
//
// The error has [esserrors.CodeUnsupportedState] if the request has ended
// (specification), also if it did so, other than as CANCELLED, while this call
// tried to cancel it; [esserrors.CodeNotAuthorized]; [esserrors.CodeNotFound];
// [esserrors.CodeConflict] if others kept changing requests; or
// [esserrors.CodeSystem]. In the last two cases some requests may have been
// cancelled: the Result counts them, and cancelling again or [Canceller.Resume]
// goes on. If ctx is done the error matches ctx.Err() and has no code of this
// module; again Resume goes on.
//
// A request that was there when this call began, and is gone before it could be
// cancelled, has ended: that is no error, and Receipt.To is 0. One request that fails
// keeps only what is below it from being cancelled, never its siblings.
func (c *Canceller) Cancel(ctx context.Context, order Order) (Result, error) {
	o := c.operation(OpCancel, order)
	return o.run(ctx, func(ctx context.Context) error { return o.cancel(ctx, true) })
}

// Fence is like [Canceller.Cancel], but of a parent it cancels nothing except the
// request itself: it makes it CANCELLING, durably, so that it admits no child, and
// leaves what is below it to [Canceller.Resume], in this process or another.
func (c *Canceller) Fence(ctx context.Context, order Order) (Result, error) {
	o := c.operation(OpCancel, order)
	return o.run(ctx, func(ctx context.Context) error { return o.cancel(ctx, false) })
}

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

// cancelRoot makes the request CANCELLED or CANCELLING.
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
			return node{}, o.unplanned(o.id)
		case needed && attempt > o.c.opts.MaxAttempts:
			err := o.contended(o.id)
			o.report(node{req: r, from: r.State, failed: err, conflict: true})
			return node{}, err
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
			// Somebody else has cancelled it meanwhile: what the caller wanted is done.
			return node{req: r, from: seen.State}, nil
		case r.State == lifecycle.StateCancelled && o.many:
			return node{req: r, from: r.State}, nil
		default:
			return node{}, esserrors.UnsupportedState(o.verb, int64(o.id), r.Kind.String(), r.State.String())
		}
	}
}
