package cancel

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"example.com/ess/lifecycle"
)

// Who settles a request that is CANCELLING? It may end once its own work has
// answered (Outcome is set) and no child of it is live. Whoever brings about the
// last of these looks whether the other holds:
//
//   - who ends a child looks at the parent after that write;
//   - who records the answer of the request's own work looks for live children
//     after that write;
//   - who makes the request CANCELLING looks for live children after that write,
//     and where it finds none, whether the work has answered meanwhile: a child may
//     have ended by itself, and nobody looks then.
//
// Of two that come last at the same time, at least one sees what the other
// wrote, so that the request never waits for nobody; both may try, and
// compare-and-set lets one win.

// due returns the state in which r, which is CANCELLING, ends as soon as no child of
// it is live, or 0 if its own work has to answer first. A container needs no
// outcome: it always settles to CANCELLED.
func due(r lifecycle.Request) lifecycle.State {
	if r.Outcome == 0 && !r.Kind.RunsWork() {
		return lifecycle.StateCancelled
	}
	return r.Outcome
}

// answerTrigger returns the trigger by which work answers with outcome.
func answerTrigger(outcome lifecycle.State) lifecycle.Trigger {
	switch outcome {
	case lifecycle.StateSucceeded:
		return lifecycle.TriggerSucceed
	case lifecycle.StateWarning:
		return lifecycle.TriggerWarn
	case lifecycle.StateError:
		return lifecycle.TriggerFail
	default:
		return lifecycle.TriggerAcknowledge
	}
}

// settleChange returns the change that ends r, which is due.
func settleChange(r lifecycle.Request, cause Cause) Change {
	t := answerTrigger(due(r))
	if t == lifecycle.TriggerAcknowledge && r.Kind.HasChildren() {
		t = lifecycle.TriggerSettle
	}
	return change(r, t, due(r), 0, cause)
}

// settle ends the nodes that can end, the deepest first: in a few calls if the store is a
// [Settler], and what that leaves level by level.
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

// maySettle reports whether somebody has to look whether n can end. Where children
// were seen and none ended, each of them is CANCELLING, and whoever ends it looks.
// Where no child was seen, one may have ended by itself after the work's answer had been
// recorded because of it.
func (n *node) maySettle() bool {
	return n.failed == nil && !n.ended() && (n.mustLook || !n.children)
}

// settleAtOnce ends the nodes that can end by the store's own means. It reports false if
// the store declines, fails or answers nonsense: then what is left is for the other way.
func (t *tree) settleAtOnce(ctx context.Context) (done bool, err error) {
	o := t.o
	ask := map[lifecycle.ID]*node{}
	var ids []lifecycle.ID
	for l, level := range slices.Backward(t.levels) {
		for _, n := range level {
			if !n.maySettle() && ask[n.req.ID] == nil {
				continue
			}
			ask[n.req.ID] = n
			ids = append(ids, n.req.ID)
			if l > 0 { // its end may be what the one above waits for
				if p := t.parent(l, n); p.failed == nil && !p.ended() && !p.passed {
					ask[p.req.ID] = p
				}
			}
		}
	}
	for part := range slices.Chunk(ids, treePages*o.c.opts.PageSize) {
		made, err := o.c.settler.Settle(ctx, Settlement{IDs: part, Cause: o.now()})
		if errors.Is(err, errors.ErrUnsupported) {
			return false, nil
		}
		for _, ch := range made {
			n := ask[ch.Old.ID]
			want, due := SettleChange(ch.Old, ch.Cause)
			if n == nil || n.ended() || !due || ch.Old.Validate() != nil || ch.State != want.State || ch.Trigger != want.Trigger {
				o.failures.fail(fmt.Errorf("cancel: Settle says that request %d went from %v (then %v) to %v by %v", ch.Old.ID, ch.Old.State, ch.Old.Outcome, ch.State, ch.Trigger))
				return false, nil
			}
			o.stored(ctx, &ch)
			n.req, n.settled = ch.New(), true
		}
		if err != nil && ctx.Err() != nil {
			return false, o.storeError(ctx, err)
		}
		if err != nil {
			return false, nil
		}
	}
	// Whether somebody else has ended the root is what the caller wants to know.
	if root := t.levels[0][0]; ask[root.req.ID] != nil && !root.ended() {
		return true, o.reget(ctx, root)
	}
	return true, nil
}

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

// settleUp ends the request id if it is waiting for nothing any more, then its
// parent, and so on. It is called after a child of id has ended. Ancestors that have
// ended already are passed: whoever ended them may have been cut off before it
// looked at theirs.
func (o *operation) settleUp(ctx context.Context, id lifecycle.ID) error {
	passed := visits{} // in a broken store they may be above one another
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
			return nil // it waits for nothing, and who is above it is not known
		case !n.ended() || !passed.visit(id):
			return nil
		}
		id = n.req.Parent
	}
	return nil
}

// settleOne ends the request id if it is waiting for nothing any more. If it is gone,
// the node is zero but for that.
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
