package cancel

import (
	"context"
	"math"
	"slices"

	"example.com/ess/lifecycle"
)

// Who settles a request that is CANCELLING? It can end when it is due and none of its
// children is live. Whoever makes one of the two true then looks whether the other is:
//
//   - who ends a child looks at the parent after that write;
//   - who records the answer of the request's own work (an acknowledgement, or Force
//     instead) looks for live children after that write;
//   - who makes the request CANCELLING looks for live children after that write. Where
//     it finds none, it looks whether the work has answered meanwhile: a child may have
//     ended by itself before the answer came.
//
// If two of them come last at the same time, at least one sees what the other wrote, so
// that no request is left waiting for nobody. If both try, compare-and-set lets one win.

// maySettle reports whether this operation has to look whether n can end. It need not if
// it has seen children and none has ended: they are CANCELLING, and whoever ends the
// last of them looks at n. If it has seen no child, one may have ended by itself.
func (n *node) maySettle() bool {
	return n.failed == nil && !n.ended() && (n.mustLook || !n.children)
}

// settle ends the nodes that can end, the deepest first. A Settler does so in a few calls;
// without one, and for what it leaves, this goes level by level.
func (t *tree) settle(ctx context.Context) error {
	if t.o.c.settler != nil && t.o.planned == nil {
		if done, err := t.settleAtOnce(ctx); done || err != nil {
			return err
		}
	}
	for l, level := range slices.Backward(t.levels) {
		if err := t.o.settleLevel(ctx, level, l == 0); err != nil {
			return err
		}
		for _, n := range level {
			if l > 0 && n.ended() {
				t.parent(l, n).mustLook = true
			}
		}
	}
	return nil
}

// settleLevel ends the nodes of one level that can end. root says that it is the level of
// the root.
func (o *operation) settleLevel(ctx context.Context, level []*node, root bool) error {
	var todo []*node
	for _, n := range level {
		if n.maySettle() {
			todo = append(todo, n)
		}
	}
	todo, err := o.withoutLiveChildren(ctx, todo)
	if err != nil {
		return err
	}
	for attempt := 1; len(todo) > 0; attempt++ {
		if todo, err = o.refresh(ctx, todo, root); err != nil {
			return err
		}
		if attempt > o.c.opts.MaxAttempts {
			for _, n := range todo {
				n.failed, n.conflict = o.contended(n.req.ID), true
				o.failures.conflict(n.failed)
			}
			return nil
		}
		byID := nodesByID(todo)
		for part := range slices.Chunk(todo, o.c.opts.PageSize) {
			cause := o.now()
			o.changes = o.changes[:0]
			for _, n := range part {
				o.changes = append(o.changes, settleChange(n.req, cause))
			}
			err := o.write(ctx, o.changes, func(ch Change, made bool, err error) {
				switch n := byID[ch.Old.ID]; {
				case err != nil:
					o.fail(n, err)
				case made:
					n.req, n.settled = ch.New(), true
				default:
					n.stale = true
				}
			})
			if err != nil {
				return err
			}
		}
		todo = slices.DeleteFunc(todo, func(n *node) bool { return !n.stale })
	}
	return nil
}

func nodesByID(nodes []*node) map[lifecycle.ID]*node {
	byID := make(map[lifecycle.ID]*node, len(nodes))
	for _, n := range nodes {
		byID[n.req.ID] = n
	}
	return byID
}

// withoutLiveChildren returns those of nodes, which are ordered by ID, that have no live
// child. It asks the store only about nodes with mustLook: the others had no live child
// when the cascade read their children.
func (o *operation) withoutLiveChildren(ctx context.Context, nodes []*node) ([]*node, error) {
	live := map[lifecycle.ID]bool{}
	var ids []lifecycle.ID
	for _, n := range nodes {
		if n.mustLook {
			ids = append(ids, n.req.ID)
		}
	}
	for part := range slices.Chunk(ids, o.c.opts.PageSize) {
		q := ChildQuery{Parents: part, States: lifecycle.Live, Limit: o.c.opts.PageSize}
		err := eachPage(ctx, &o.store, q, func(q *ChildQuery) (more bool, err error) {
			page, err := children(ctx, o.c.repo, q)
			if err != nil {
				return false, o.storeError(ctx, err)
			}
			for _, r := range page {
				live[r.Parent] = true
			}
			// One live child of a parent is enough.
			q.After.ID = math.MaxInt64
			return len(page) > 0 && q.After.Parent < q.Parents[len(q.Parents)-1], nil
		}, func(parent lifecycle.ID, err error) error {
			live[parent] = true // nobody knows better
			o.fail(nodes[position(nodes, parent)], unreadBelow(parent, err))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(nodes, func(n *node) bool { return live[n.req.ID] }), nil
}

// refresh reads again those nodes that others may have changed: nodes that are not due,
// whose work may have answered since, and nodes that could not be written. It returns
// the nodes that can be settled now.
func (o *operation) refresh(ctx context.Context, nodes []*node, root bool) ([]*node, error) {
	var old []*node
	for _, n := range nodes {
		if n.stale || due(n.req) == 0 {
			old = append(old, n)
		}
	}
	if !root {
		var err error
		if old, err = o.refreshBelow(ctx, old); err != nil {
			return nil, err
		}
	}
	for _, n := range old {
		if err := o.rereadNode(ctx, n); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(nodes, func(n *node) bool {
		return n.failed != nil || n.gone || n.req.State != lifecycle.StateCancelling || due(n.req) == 0
	}), nil
}

// refreshBelow reads nodes again as children of their parents, which takes few calls. It
// returns the nodes that have to be read one by one, because this has not told what
// became of them.
func (o *operation) refreshBelow(ctx context.Context, nodes []*node) ([]*node, error) {
	byID, unread := nodesByID(nodes), visits{}
	var parents []lifecycle.ID
	for _, n := range nodes {
		parents = append(parents, n.req.Parent)
	}
	slices.Sort(parents)
	for part := range slices.Chunk(slices.Compact(parents), o.c.opts.PageSize) {
		q := ChildQuery{Parents: part, States: lifecycle.SetOf(lifecycle.StateCancelling), Limit: o.c.opts.PageSize}
		err := eachPage(ctx, &o.store, q, func(q *ChildQuery) (more bool, err error) {
			page, err := children(ctx, o.c.repo, q)
			if err != nil {
				return false, o.storeError(ctx, err)
			}
			for _, r := range page {
				if n := byID[r.ID]; n != nil {
					if err := r.Validate(); err != nil {
						o.fail(n, err)
					}
					n.req, n.stale = r, false
					delete(byID, r.ID)
				}
			}
			return len(page) > 0, nil
		}, func(parent lifecycle.ID, _ error) error {
			unread.visit(parent)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(nodes, func(n *node) bool {
		if byID[n.req.ID] == nil {
			return true
		}
		// It is no longer CANCELLING. If it was due, it has ended as it was due to.
		if due(n.req) == 0 || unread.has(n.req.Parent) {
			return false
		}
		n.stale = false
		n.req.State, n.req.Outcome = due(n.req), 0
		return true
	}), nil
}

// rereadNode reads n again. It returns an error if the operation has to stop.
func (o *operation) rereadNode(ctx context.Context, n *node) error {
	r, ok, err := o.read(ctx, n.req.ID)
	n.stale = false
	switch o.store.note(err); {
	case err != nil:
		o.fail(n, err)
		if o.store.giveUp(ctx) {
			return err
		}
	case ok:
		n.req = r
	case due(n.req) != 0: // it is gone, and has ended as it was due to
		n.req.State, n.req.Outcome = due(n.req), 0
	default:
		n.gone = true
	}
	return nil
}
