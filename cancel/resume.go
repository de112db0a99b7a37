package cancel

import (
	"context"

	"example.com/ess/lifecycle"
)

// ResumeOptions are optional settings of [Canceller.Resume]. A nil *ResumeOptions
// or a zero field gives the default.
type ResumeOptions struct {
	// Receipt is as in [Order].
	Receipt func(Receipt)
}

// Resume takes up everything that a cancel has left unfinished, wherever it was
// cut off: it cancels what is live below requests that are CANCELLING, settles
// those that wait for nothing any more, and interrupts again the work that has not
// acknowledged. It finds them as [ListCancelling] does.
//
// Call it when a scheduler starts, and from time to time (see [Repeat]) if processes
// may die or [Canceller.Fence] is used. It may run at any time, beside any other
// operation, in several processes at once, and twice in a row changes nothing. Changes
// are kept with the Cause of the cancel that they complete if the store can tell it,
// and otherwise with one that names only the request where Resume began.
//
// A tree or a request that cannot be read or written does not keep the others from being
// resumed. The error has [esserrors.CodeSystem] or [esserrors.CodeConflict], or matches
// ctx.Err(); what is left is for the next Resume.
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

// resume returns an error if it had to stop before it was through.
func (o *operation) resume(ctx context.Context, tell *batch) error {
	// First what may have something below it, then the leaves that this has not
	// come upon. Keeping the leaves instead would need memory for all of them.
	for _, leaves := range []bool{false, true} {
		for u, err := range listCancelling(ctx, o.c.repo, o.c.opts.PageSize) {
			switch {
			case err == nil:
				err = o.resumeOne(ctx, u, leaves, tell)
			case leaves && u.Request.ID != 0:
				continue // has been reported
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

// unsettled has the nodes of trees that failed in Resume: another tree may yet settle
// them on its way up, so that it is known at the end only what became of them.
type unsettled struct {
	nodes []node
	at    map[lifecycle.ID]int
}

func (u *unsettled) add(n node) {
	if u.at == nil {
		u.at = map[lifecycle.ID]int{}
	}
	u.at[n.req.ID] = len(u.nodes)
	u.nodes = append(u.nodes, n)
}

// settled returns n, which has just been settled, with what was known of it before.
func (u *unsettled) settled(n node) node {
	if i, ok := u.at[n.req.ID]; ok {
		n.from, n.changed = u.nodes[i].from, u.nodes[i].changed
		delete(u.at, n.req.ID)
	}
	return n
}

func (u *unsettled) report(o *operation) {
	for i := range u.nodes {
		if at, ok := u.at[u.nodes[i].req.ID]; ok && at == i {
			o.report(u.nodes[i])
		}
	}
}

// resumeOne takes up one request that is CANCELLING, if it is a leaf or not as
// asked. Its work, if it has not answered, is appended to tell.
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
			o.failures.fail(err) // the tree is resumed all the same
		}
	}
	u.Cause.Time = timeOf(u.Cause.Time) // so that equal ones are equal
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

// A batch is requests to interrupt for one cause.
type batch struct {
	ids   []lifecycle.ID
	cause Cause
}

func (o *operation) flush(ctx context.Context, b *batch) {
	o.interrupt(ctx, b.ids, b.cause)
	b.ids = b.ids[:0]
}
