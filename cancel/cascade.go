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
