package cancel

import (
	"context"
	"math"
	"slices"

	"example.com/ess/lifecycle"
)

// settleLevel ends the nodes of one level that can end.
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

// withoutLiveChildren returns those nodes, ordered by ID, that have no live child.
// Nodes of which that is known already are not looked at again.
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
			live[parent] = true // for all that is known
			o.fail(nodes[position(nodes, parent)], unreadBelow(parent, err))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(nodes, func(n *node) bool { return live[n.req.ID] }), nil
}

// refresh reads again those nodes that others may have changed in what matters
// here: whose work had not answered, or that could not be written. It returns
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
		if err := o.reget(ctx, n); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(nodes, func(n *node) bool {
		return n.failed != nil || n.gone || n.req.State != lifecycle.StateCancelling || due(n.req) == 0
	}), nil
}

// refreshBelow reads nodes again through their parents: a few calls however many
// there are. It returns those of which this does not tell enough.
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
		// It is no longer CANCELLING. If its work had answered, it can only have
		// ended as it was due.
		if due(n.req) == 0 || unread.has(n.req.Parent) {
			return false
		}
		n.stale = false
		n.req.State, n.req.Outcome = due(n.req), 0
		return true
	}), nil
}

// reget reads one node again. It returns an error if the operation has to stop.
func (o *operation) reget(ctx context.Context, n *node) error {
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
	case due(n.req) != 0: // it can only have ended so
		n.req.State, n.req.Outcome = due(n.req), 0
	default:
		n.gone = true
	}
	return nil
}
