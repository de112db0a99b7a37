package cancel

import (
	"cmp"
	"context"
	"slices"

	"example.com/ess/lifecycle"
)

// A node is a request to which an operation has to come back, because it may have
// children. Leaves do not become nodes, so that memory grows with the parents only.
type node struct {
	req   lifecycle.Request // as last read or written
	from  lifecycle.State   // as this operation found it
	level int               // in the tree; only where CancelTree is used

	changed    bool // this operation made it CANCELLING or CANCELLED
	settled    bool // this operation ended it
	gone       bool // it has been deleted, and so has ended
	stale      bool // others may have changed it since it was read
	children   bool // the cascade has found a live child
	mustLook   bool // a child may have ended, so that settling has to look for live ones
	looked     bool // its children have been read since it became CANCELLING
	doneBefore bool // it belongs to a tree that this operation has cancelled before
	failed     error
	conflict   bool // failed is a conflict with others, not a failure of the store
}

// ended reports whether the request has ended.
func (n *node) ended() bool { return n.gone || lifecycle.Terminal.Has(n.req.State) }

// opensBelow reports whether something may have to be done for n besides interrupting its
// work: it may have children, or its outcome is known.
func (n *node) opensBelow() bool { return n.req.Kind.HasChildren() || n.req.Outcome != 0 }

// receipt returns what this operation did to n.
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

// fail records that the store failed on n.
func (o *operation) fail(n *node, err error) {
	n.failed = err
	o.failures.fail(err)
}

// cascade cancels what is below root, which is CANCELLING, and then settles what can be
// settled, root and its ancestors included.
//
// It goes down level by level. The children of a level are read after the nodes of the
// level have become CANCELLING. Such a node admits no child, and a child that has ended
// stays so: reading the children once finds all. How a TreeCanceller is used instead,
// sweepAtOnce says.
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

// A tree has the nodes that a cascade has come upon, level by level.
type tree struct {
	o      *operation
	levels [][]*node // each ordered by ID; the first is the root

	byID     map[lifecycle.ID]*node // only where CancelTree is used
	declined bool                   // CancelTree has declined
}

// sweep cancels what is below the root, level by level.
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

// parent returns the parent of n, which is in level l and not the root.
func (t *tree) parent(l int, n *node) *node {
	if t.byID != nil {
		return t.byID[n.req.Parent]
	}
	above := t.levels[l-1]
	return above[position(above, n.req.Parent)]
}

// compareNodes orders nodes by ID.
func compareNodes(a, b *node) int { return cmp.Compare(a.req.ID, b.req.ID) }

// position returns the position of id in nodes, which are ordered by ID.
func position(nodes []*node, id lifecycle.ID) int {
	at, _ := slices.BinarySearchFunc(nodes, id, func(n *node, id lifecycle.ID) int { return cmp.Compare(n.req.ID, id) })
	return at
}
