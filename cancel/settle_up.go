package cancel

import (
	"context"

	"example.com/ess/lifecycle"
)

// settleUp ends request id if it waits for nothing any more, then its parent, and so on. It
// is called after a child of id has ended. If an ancestor has ended already, settleUp
// goes on above it: whoever ended that one may have been cut off before it looked at the
// parent.
func (o *operation) settleUp(ctx context.Context, id lifecycle.ID) error {
	passed := visits{} // in a broken store the ancestors may be a cycle
	for id != 0 {
		n, err := o.settleOne(ctx, id)
		switch {
		case err != nil:
			return err
		case n.settled:
			if o.resuming != nil {
				n = o.resuming.settled(n)
			}
			o.report(n)
			o.visited.visit(id)
		case n.gone:
			return nil // it has ended, and nobody can tell its parent
		case !n.ended() || !passed.visit(id):
			return nil
		}
		id = n.req.Parent
	}
	return nil
}

// settleOne ends request id if it waits for nothing any more, and returns it. If the
// request is gone, the node has only gone set.
func (o *operation) settleOne(ctx context.Context, id lifecycle.ID) (node, error) {
	for attempt := 1; ; attempt++ {
		r, ok, err := o.read(ctx, id)
		if err != nil || !ok {
			return node{gone: !ok}, err
		}
		n := node{req: r, from: r.State}
		if r.State != lifecycle.StateCancelling || due(r) == 0 {
			return n, nil
		}
		live, err := o.liveChild(ctx, id)
		if err != nil || live {
			return n, err
		}
		if attempt > o.c.opts.MaxAttempts {
			n.failed, n.conflict = o.contended(id), true
			return n, n.failed
		}
		ch := settleChange(r, o.now())
		made, err := o.applyOne(ctx, ch)
		if err != nil {
			return n, err
		}
		if made {
			return node{req: ch.New(), from: r.State, settled: true}, nil
		}
	}
}

// liveChild reports whether the request has a live child.
func (o *operation) liveChild(ctx context.Context, id lifecycle.ID) (bool, error) {
	q := ChildQuery{Parents: []lifecycle.ID{id}, States: lifecycle.Live, Limit: 1}
	live, err := children(ctx, o.c.repo, &q)
	if err != nil {
		return false, o.storeError(ctx, err)
	}
	return len(live) > 0, nil
}
