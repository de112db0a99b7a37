package cancel

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"example.com/ess/lifecycle"
)

// A node is a request that an operation has to come back to, because it may have
// children. Leaves do not become nodes: memory grows with the containers.
type node struct {
	req   lifecycle.Request // as last read or written
	from  lifecycle.State   // as first seen
	level int               // only where CancelTree is used

	changed  bool // this call made it CANCELLING or CANCELLED
	settled  bool // this call ended it
	gone     bool // it has been deleted, and so has ended
	stale    bool // others may have changed it since it was read
	children bool // a live child was seen after the fence
	mustLook bool // a child ended, by this call or by somebody who did not look
	looked   bool // its children have been read when it was CANCELLING already
	passed   bool // it belongs to a tree that this operation has done before
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
	t := &tree{o: o, levels: [][]*node{{&root}}}
	var err error
	if o.c.trees != nil && o.planned == nil {
		err = t.sweepAtOnce(ctx)
	} else if err = t.sweep(ctx); err == nil {
		err = t.settle(ctx)
	}
	for _, level := range slices.Backward(t.levels) {
		for _, n := range level {
			if o.resuming != nil && (err != nil || n.failed != nil) && !n.ended() {
				o.resuming.add(*n)
			} else {
				o.report(*n)
			}
		}
	}
	if err == nil && root.settled {
		err = o.settleUp(ctx, root.req.Parent)
	}
	return err
}

// A tree is the nodes that a cascade has come upon, level by level.
type tree struct {
	o      *operation
	levels [][]*node // each ordered by ID

	byID     map[lifecycle.ID]*node // only where CancelTree is used
	declined bool                   // by CancelTree
}

// sweep cancels what is below the last level.
func (t *tree) sweep(ctx context.Context) error {
	for {
		next, err := t.o.descend(ctx, t.levels[len(t.levels)-1], lifecycle.Live)
		if len(next) > 0 {
			slices.SortFunc(next, compareNodes)
			t.levels = append(t.levels, next)
		}
		if err != nil || len(next) == 0 {
			return err
		}
	}
}

// parent returns the parent of n, which is in level l.
func (t *tree) parent(l int, n *node) *node {
	if t.byID != nil {
		return t.byID[n.req.Parent]
	}
	above := t.levels[l-1]
	return above[position(above, n.req.Parent)]
}

func compareNodes(a, b *node) int { return cmp.Compare(a.req.ID, b.req.ID) }

// position returns where in nodes, which are ordered by ID, that id is.
func position(nodes []*node, id lifecycle.ID) int {
	at, _ := slices.BinarySearchFunc(nodes, id, func(n *node, id lifecycle.ID) int { return cmp.Compare(n.req.ID, id) })
	return at
}

// descend cancels those children of the parents, which are ordered by ID, that are in
// one of the states, and returns those that may have children.
func (o *operation) descend(ctx context.Context, parents []*node, states lifecycle.StateSet) (next []*node, err error) {
	for part := range slices.Chunk(parents, o.c.opts.PageSize) {
		d := descent{o: o, parents: part, states: states, next: next}
		err = d.run(ctx, 0)
		if next = d.next; err != nil {
			break
		}
	}
	return next, err
}

// A descent cancels the children of up to a page of parents.
type descent struct {
	o       *operation
	parents []*node // ordered by ID
	states  lifecycle.StateSet
	at      int    // the parent that the last child belonged to
	known   visits // children that have been recorded before
	seen    int    // how many children have been recorded
	next    []*node
}

// run begins after a child of the first parent. It returns an error if the operation has
// to stop. A parent whose children cannot be read keeps only them from being
// cancelled.
func (d *descent) run(ctx context.Context, after lifecycle.ID) error {
	o := d.o
	q := ChildQuery{States: d.states, Limit: o.c.opts.PageSize}
	if after != 0 {
		q.After = Cursor{d.parents[0].req.ID, after}
	}
	for _, n := range d.parents {
		q.Parents = append(q.Parents, n.req.ID)
	}
	return eachPage(ctx, &o.store, q, func(q *ChildQuery) (more bool, err error) {
		more, err = d.page(ctx, q)
		o.tellAll(ctx)
		return more, err
	}, func(parent lifecycle.ID, err error) error {
		o.fail(d.parent(parent), unreadBelow(parent, err))
		return nil
	})
}

// parent returns the parent of that id. Children come in order, so that it is mostly the
// one of the last child.
func (d *descent) parent(id lifecycle.ID) *node {
	if d.parents[d.at].req.ID != id {
		d.at = position(d.parents, id)
	}
	return d.parents[d.at]
}

// record records the result for one child, now r, that was in state from.
func (d *descent) record(r lifecycle.Request, from lifecycle.State, what Disposition, err error) {
	d.seen++
	if n := d.o.record(d.parent(r.Parent), r, from, what, err); n != nil {
		d.next = append(d.next, n)
	}
}

// recordMade records the result for a child whose change has been made.
func (d *descent) recordMade(ch Change) {
	d.record(ch.New(), ch.Old.State, madeOf(ch), nil)
}

// madeOf returns what a change that has been made is to a cancel.
func madeOf(ch Change) Disposition {
	if ch.State == lifecycle.StateCancelling {
		return DispositionCancelling
	}
	return DispositionCancelled
}

// record records the result for one child of parent, now r, that was in state from. If it
// may have children it returns a node for it.
func (o *operation) record(parent *node, r lifecycle.Request, from lifecycle.State, what Disposition, err error) *node {
	parent.children = true
	switch what {
	case DispositionCancelling, DispositionAlreadyCancelling:
		if unanswered(r) {
			o.tell = append(o.tell, r.ID)
		}
		n := &node{req: r, from: from, changed: what == DispositionCancelling}
		if n.opensBelow() {
			if o.visited.visit(r.ID) {
				return n
			}
			if o.resuming == nil && !o.again {
				o.failures.fail(fmt.Errorf("cancel: request %d is below itself", r.ID))
			}
			return nil
		}
	case DispositionFailed: // it may have been changed
		parent.mustLook = true
		o.visited.visit(r.ID) // should Resume come upon it, it is for the next Resume
		o.failures.fail(err)
	case DispositionConflict:
		o.visited.visit(r.ID)
		o.failures.conflict(err)
	default:
		parent.mustLook = true
	}
	o.give(Receipt{ID: r.ID, Parent: r.Parent, Kind: r.Kind, Disposition: what, From: from, To: r.State, Err: err})
	return nil
}

// tellAll interrupts the work of the children that have been recorded.
func (o *operation) tellAll(ctx context.Context) {
	o.interrupt(ctx, o.tell, o.now())
	o.tell = o.tell[:0]
}
