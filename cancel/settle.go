package cancel

import (
	"context"
	"errors"
	"math"
	"slices"

	esserrors "example.com/ess/errors"
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
// it is live, or 0 if its own work has to answer first. A container has no work,
// so that nothing is missing where whoever made it CANCELLING set no outcome.
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

// settle ends the nodes that can end, the deepest first.
func (o *operation) settle(ctx context.Context, levels [][]node) error {
	for l, level := range slices.Backward(levels) {
		var above []node
		if l > 0 {
			above = levels[l-1]
		}
		if err := o.settleLevel(ctx, level, above); err != nil {
			return err
		}
		for i := range level {
			if n := &level[i]; n.ended() && l > 0 {
				above[n.parent].mustLook = true
			}
		}
	}
	return nil
}

// settleLevel ends the nodes of one level that can end. above is the level of
// their parents, or nil.
func (o *operation) settleLevel(ctx context.Context, level, above []node) error {
	var todo []*node
	for i := range level {
		// Where children were seen and none ended, each of them is CANCELLING,
		// and whoever ends it looks. Where no child was seen, one may have ended
		// by itself after the work's answer had been recorded because of it.
		if n := &level[i]; n.mustLook || !n.children {
			todo = append(todo, n)
		}
	}
	todo, err := o.withoutLiveChildren(ctx, todo)
	if err != nil {
		return err
	}
	for attempt := 1; len(todo) > 0; attempt++ {
		if todo, err = o.refresh(ctx, todo, above); err != nil {
			return err
		}
		if attempt > o.c.opts.MaxAttempts {
			for _, n := range todo {
				n.failed = o.contended(n.req.ID)
				o.failures.add(n.failed)
			}
			return nil
		}
		byID := make(map[lifecycle.ID]*node, len(todo))
		for _, n := range todo {
			byID[n.req.ID] = n
		}
		for part := range slices.Chunk(todo, o.c.opts.PageSize) {
			cause := o.now()
			o.changes = o.changes[:0]
			for _, n := range part {
				o.changes = append(o.changes, settleChange(n.req, cause))
			}
			err := o.write(ctx, o.changes, func(ch Change, made bool, err error) {
				switch n := byID[ch.Old.ID]; {
				case err != nil:
					o.failures.add(err)
					n.failed = err
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
		for {
			page, err := children(ctx, o.c.repo, &q)
			if err != nil {
				return nil, o.storeError(ctx, err)
			}
			if len(page) == 0 {
				break
			}
			for _, r := range page {
				live[r.Parent] = true
			}
			// One live child of a parent is enough.
			if q.After.ID = math.MaxInt64; q.After.Parent == part[len(part)-1] {
				break
			}
		}
	}
	return slices.DeleteFunc(nodes, func(n *node) bool { return live[n.req.ID] }), nil
}

// refresh reads again those nodes that others may have changed in what matters
// here: whose work had not answered, or that could not be written. It returns
// the nodes that can be settled now.
func (o *operation) refresh(ctx context.Context, nodes []*node, above []node) ([]*node, error) {
	var old []*node
	for _, n := range nodes {
		if n.stale || due(n.req) == 0 {
			old = append(old, n)
		}
	}
	if above == nil {
		for _, n := range old {
			if err := o.reget(ctx, n); err != nil {
				return nil, err
			}
		}
	} else if err := o.refreshBelow(ctx, old, above); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(nodes, func(n *node) bool {
		return n.req.State != lifecycle.StateCancelling || due(n.req) == 0
	}), nil
}

// refreshBelow reads nodes again through their parents: a few calls however many
// there are.
func (o *operation) refreshBelow(ctx context.Context, nodes []*node, above []node) error {
	byID := make(map[lifecycle.ID]*node, len(nodes))
	var parents []lifecycle.ID
	for _, n := range nodes {
		byID[n.req.ID] = n
		parents = append(parents, above[n.parent].req.ID)
	}
	slices.Sort(parents)
	for part := range slices.Chunk(slices.Compact(parents), o.c.opts.PageSize) {
		q := ChildQuery{Parents: part, States: lifecycle.SetOf(lifecycle.StateCancelling), Limit: o.c.opts.PageSize}
		for {
			page, err := children(ctx, o.c.repo, &q)
			if err != nil {
				return o.storeError(ctx, err)
			}
			if len(page) == 0 {
				break
			}
			for _, r := range page {
				if n := byID[r.ID]; n != nil {
					n.req, n.stale = r, false
					delete(byID, r.ID)
				}
			}
		}
	}
	for _, n := range nodes {
		if byID[n.req.ID] == nil {
			continue
		}
		// No longer CANCELLING.
		if n.stale = false; o.receipt != nil || due(n.req) == 0 {
			if err := o.reget(ctx, n); err != nil {
				return err
			}
		} else {
			n.req.State, n.req.Outcome = due(n.req), 0
		}
	}
	return nil
}

// reget reads one node again.
func (o *operation) reget(ctx context.Context, n *node) error {
	r, err := o.get(ctx, n.req.ID)
	if errors.Is(err, esserrors.CodeNotFound) {
		n.failed = err
		o.failures.add(err)
		n.stale, n.req.State = false, 0
		return nil
	}
	if err != nil {
		return err
	}
	n.req, n.stale = r, false
	return nil
}

// settleUp ends the request id if it is waiting for nothing any more, then its
// parent, and so on. It is called after a child of id has ended. Ancestors that have
// ended already are passed: whoever ended them may have been cut off before it
// looked at theirs.
func (o *operation) settleUp(ctx context.Context, id lifecycle.ID) error {
	var passed visits // in a broken store they may be above one another
	for id != 0 {
		n, err := o.settleOne(ctx, id)
		switch {
		case errors.Is(err, esserrors.CodeNotFound):
			return nil // a parent that is gone waits for nothing
		case err != nil:
			return err
		case n.settled:
			if o.unsettled != nil {
				n = o.unsettled.settled(n)
			}
			o.report(n)
			o.visited.visit(id)
		case !n.ended() || !passed.visit(id):
			return nil
		}
		id = n.req.Parent
	}
	return nil
}

// settleOne ends the request id if it is waiting for nothing any more.
func (o *operation) settleOne(ctx context.Context, id lifecycle.ID) (node, error) {
	for attempt := 1; ; attempt++ {
		r, err := o.get(ctx, id)
		if err != nil {
			return node{}, err
		}
		n := node{req: r, from: r.State}
		if r.State != lifecycle.StateCancelling || due(r) == 0 {
			return n, nil
		}
		q := ChildQuery{Parents: []lifecycle.ID{id}, States: lifecycle.Live, Limit: 1}
		live, err := children(ctx, o.c.repo, &q)
		if err != nil {
			return node{}, o.storeError(ctx, err)
		}
		if len(live) > 0 {
			return n, nil
		}
		if attempt > o.c.opts.MaxAttempts {
			return node{}, o.contended(id)
		}
		ch := settleChange(r, o.now())
		made, err := o.applyOne(ctx, ch)
		if err != nil {
			return node{}, err
		}
		if made {
			return node{req: ch.New(), from: r.State, settled: true}, nil
		}
	}
}
