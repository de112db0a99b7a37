package cancel

import (
	"context"

	"example.com/ess/lifecycle"
)

// ResumeOptions are optional settings of [Canceller.Resume]. A nil *ResumeOptions
// or a zero field gives the default.
type ResumeOptions struct {
	// Receipt is called as [Order.Receipt] is.
	Receipt func(Receipt)
}

// Resume completes every cancel that was cut off: it cancels what is live below requests
// that are CANCELLING, settles requests that wait for nothing any more, and interrupts
// again the work that has not acknowledged. It finds the requests as [ListCancelling]
// does. All this is a decision.
//
// Call it when a scheduler starts, and from time to time ([Repeat]), because processes
// may die and [Canceller.Fence] leaves work for it. It may run at any time, beside any
// other operation and in several processes at once. A second call in a row changes
// nothing.
//
// A change that Resume makes has the Actor and Reason of the cancel that it completes.
// If the store cannot tell them, its Cause only has the request where Resume began, as
// the Root, and the time.
//
// A tree or a request that cannot be read or written does not keep the others from being
// resumed. The error then has [esserrors.CodeSystem], or [esserrors.CodeConflict] if
// others kept changing requests and nothing else failed, and the rest is for the next
// Resume. If ctx is done, the error matches ctx.Err().
func (c *Canceller) Resume(ctx context.Context, opts *ResumeOptions) (Result, error) {
	o := c.operation(OpResume, Order{})
	if opts != nil {
		o.receipt = opts.Receipt
	}
	o.resuming = &unsettled{}
	return o.run(ctx, func(ctx context.Context) error {
		var tell batch
		o.stopOn(o.resume(ctx, &tell))
		o.flush(ctx, &tell)
		o.resuming.report(o)
		return o.err()
	})
}

// resume takes up every request that is CANCELLING. It returns an error if it had to stop
// before the end.
func (o *operation) resume(ctx context.Context, tell *batch) error {
	// First the requests that may have something below them, then the leaves that were
	// not reached in this way. Remembering the leaves would need memory for all of them.
	for _, leaves := range []bool{false, true} {
		for u, err := range listCancelling(ctx, o.c.repo, o.c.opts.PageSize) {
			switch {
			case err == nil:
				err = o.resumeOne(ctx, u, leaves, tell)
			case leaves && u.Request.ID != 0:
				continue // the first round has reported it
			default:
				err = o.storeError(ctx, err)
			}
			if err != nil && ctx.Err() != nil {
				return err
			}
			if err != nil {
				o.failures.fail(err)
			}
		}
	}
	return nil
}

// unsettled has the nodes of trees that failed in Resume. They are reported at the end,
// because the settling of another tree may still reach them on its way up.
type unsettled struct {
	nodes []node
	at    map[lifecycle.ID]int
}

// add keeps n, and forgets what was kept for the same request before.
func (u *unsettled) add(n node) {
	if u.at == nil {
		u.at = map[lifecycle.ID]int{}
	}
	u.at[n.req.ID] = len(u.nodes)
	u.nodes = append(u.nodes, n)
}

// settled returns n, which was settled just now, with what this operation did to it
// before. It is not for report any more.
func (u *unsettled) settled(n node) node {
	if i, ok := u.at[n.req.ID]; ok {
		n.from, n.changed = u.nodes[i].from, u.nodes[i].changed
		delete(u.at, n.req.ID)
	}
	return n
}

// report gives the receipts of the nodes that nobody has settled.
func (u *unsettled) report(o *operation) {
	for i := range u.nodes {
		if at, ok := u.at[u.nodes[i].req.ID]; ok && at == i {
			o.report(u.nodes[i])
		}
	}
}

// resumeOne takes up one request that is CANCELLING, if it is a leaf and leaves is set, or
// neither. If its work has not answered, the request is appended to tell.
func (o *operation) resumeOne(ctx context.Context, u CancellingRequest, leaves bool, tell *batch) error {
	r := u.Request
	n := node{req: r, from: r.State}
	if n.opensBelow() == leaves {
		return nil
	}
	if o.visited.has(r.ID) || leaves && o.visited.has(r.Parent) {
		return nil
	}
	if err := o.mendClock(ctx, &n.req, o.c.opts.Grace); err != nil {
		return err
	}
	if u.Cause == (Cause{}) {
		var err error
		if u.Cause, err = o.causeOf(ctx, r.ID); err != nil {
			o.failures.fail(err) // the tree is resumed without the cause
		}
	}
	u.Cause.Time = timeOf(u.Cause.Time) // so that == finds equal causes
	if unanswered(r) {
		if u.Cause != tell.cause || len(tell.ids) == o.c.opts.PageSize {
			o.flush(ctx, tell)
			tell.cause = u.Cause
		}
		tell.ids = append(tell.ids, r.ID)
	}
	if leaves {
		o.report(n)
		return nil
	}
	if o.cause = u.Cause; o.cause.Root == 0 {
		o.cause.Root = r.ID
	}
	return o.cascade(ctx, n)
}

// A batch has the requests to interrupt for one cause.
type batch struct {
	ids   []lifecycle.ID
	cause Cause
}

// flush interrupts the work of the requests in b and empties it.
func (o *operation) flush(ctx context.Context, b *batch) {
	o.interrupt(ctx, b.ids, b.cause)
	b.ids = b.ids[:0]
}
