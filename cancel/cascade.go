package cancel

import (
	"cmp"
	"context"
	"slices"

	"example.com/ess/lifecycle"
)

// A node is a request that an operation has to come back to, because it may have
// children. Leaves do not become nodes: memory grows with the containers.
type node struct {
	req    lifecycle.Request // as last read or written
	from   lifecycle.State   // as first seen
	parent int32             // index into the level above

	changed  bool // this call made it CANCELLING or CANCELLED
	settled  bool // this call ended it
	gone     bool // it has been deleted, and so has ended
	stale    bool // others may have changed it since it was read
	children bool // a live child was seen after the fence
	mustLook bool // a child ended, by this call or by somebody who did not look
	conflict bool // failed is that others kept changing it
	failed   error
}

// ended reports whether the request has ended.
func (n *node) ended() bool { return n.gone || lifecycle.Terminal.Has(n.req.State) }

// opensBelow reports whether there may be something to do for n besides waiting
// for its own work.
func (n *node) opensBelow() bool { return n.req.Kind.HasChildren() || n.req.Outcome != 0 }

func (n *node) receipt() Receipt {
	rec := Receipt{ID: n.req.ID, Parent: n.req.Parent, Kind: n.req.Kind, From: n.from, To: n.req.State, Err: n.failed}
	if n.gone {
		rec.To = 0
	}
	switch {
	case n.failed != nil && n.conflict:
		rec.Disposition = DispositionConflict
	case n.failed != nil:
		rec.Disposition = DispositionFailed
	case n.settled && n.changed && n.req.State == lifecycle.StateCancelled:
		rec.Disposition = DispositionCancelled
	case n.settled:
		rec.Disposition = DispositionSettled
	case n.changed:
		rec.Disposition = DispositionCancelling
	case n.ended():
		rec.Disposition = DispositionEnded
	default:
		rec.Disposition = DispositionAlreadyCancelling
	}
	return rec
}

// fail notes in n that the store failed on it.
func (o *operation) fail(n *node, err error) {
	n.failed = err
	o.failures.fail(err)
}

// unanswered reports whether r is CANCELLING and its own work has not answered.
func unanswered(r lifecycle.Request) bool {
	return r.State == lifecycle.StateCancelling && r.Kind.RunsWork() && r.Outcome == 0
}

// cascade cancels what is below root, which is CANCELLING, and then settles what
// can be settled, root and its ancestors included.
//
// It goes down level by level. The children of a level are read after its nodes
// have been made CANCELLING, and since such a node admits no child and what is
// terminal stays so, one pass over them misses none.
func (o *operation) cascade(ctx context.Context, root node) error {
	o.visited.visit(root.req.ID)
	levels, err := o.sweep(ctx, [][]node{{root}})
	if err == nil {
		err = o.settle(ctx, levels)
	}
	for _, level := range slices.Backward(levels) {
		for i := range level {
			if n := &level[i]; o.resuming != nil && (err != nil || n.failed != nil) && !n.ended() {
				o.resuming.add(*n)
			} else {
				o.report(level[i])
			}
		}
	}
	if err == nil && levels[0][0].settled {
		err = o.settleUp(ctx, root.req.Parent)
	}
	return err
}

// sweep cancels what is below the one level given, and returns all levels.
func (o *operation) sweep(ctx context.Context, levels [][]node) ([][]node, error) {
	for {
		next, err := o.descend(ctx, levels[len(levels)-1])
		if len(next) > 0 {
			levels = append(levels, next)
		}
		if err != nil || len(next) == 0 {
			return levels, err
		}
	}
}

// descend cancels the children of level, which is ordered by ID, and returns those
// that may have children, ordered by ID.
func (o *operation) descend(ctx context.Context, level []node) (next []node, err error) {
	for lo := 0; lo < len(level); lo += o.c.opts.PageSize {
		d := descent{o: o, parents: level[lo:min(lo+o.c.opts.PageSize, len(level))], base: int32(lo), next: next}
		err = d.run(ctx)
		next = d.next
		if err != nil {
			break
		}
	}
	slices.SortFunc(next, func(a, b node) int { return cmp.Compare(a.req.ID, b.req.ID) })
	return next, err
}

// A descent cancels the children of up to a page of parents.
type descent struct {
	o       *operation
	parents []node // ordered by ID
	base    int32  // of parents, in its level
	at      int    // the parent that the last child belonged to
	next    []node
	tell    []lifecycle.ID // requests whose work has yet to be interrupted
}

// run returns an error if the operation has to stop. A parent whose children cannot be
// read keeps only them from being cancelled.
func (d *descent) run(ctx context.Context) error {
	o := d.o
	q := ChildQuery{States: lifecycle.Live, Limit: o.c.opts.PageSize}
	for i := range d.parents {
		q.Parents = append(q.Parents, d.parents[i].req.ID)
	}
	return eachPage(ctx, &o.store, q, func(q *ChildQuery) (more bool, err error) {
		more, err = d.page(ctx, q)
		o.interrupt(ctx, d.tell, o.now())
		d.tell = d.tell[:0]
		return more, err
	}, func(parent lifecycle.ID, err error) error {
		o.fail(&d.parents[d.parent(parent)], unreadBelow(parent, err))
		return nil
	})
}

// parent returns the index in d.parents of the parent of that id. Children come
// in order, so that it is mostly the one of the last child.
func (d *descent) parent(id lifecycle.ID) int {
	if d.parents[d.at].req.ID != id {
		d.at, _ = slices.BinarySearchFunc(d.parents, id, func(n node, id lifecycle.ID) int { return cmp.Compare(n.req.ID, id) })
	}
	return d.at
}
