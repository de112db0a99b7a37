package cancel

import (
	"context"
	"fmt"
	"slices"

	"example.com/ess/lifecycle"
)

// A descent cancels the children of some nodes, at most as many as a page has.
type descent struct {
	o       *operation
	parents []*node            // ordered by ID
	states  lifecycle.StateSet // of the children to cancel
	at      int                // position of the parent of the last child
	known   visits             // children that need no record any more
	seen    int                // how many children this descent has recorded
	next    []*node            // the children that may have children
}

// descend cancels the children of parents, which are ordered by ID, that are in one of the
// states. It returns the children that may have children.
func (o *operation) descend(ctx context.Context, parents []*node, states lifecycle.StateSet) (next []*node, err error) {
	for part := range slices.Chunk(parents, o.c.opts.PageSize) {
		d := descent{o: o, parents: part, states: states, next: next}
		err = d.cancelChildren(ctx, 0)
		if next = d.next; err != nil {
			break
		}
	}
	return next, err
}

// cancelChildren cancels the children, of the first parent only those whose ids are greater than
// after. It returns an error if the operation has to stop. If the children of one parent
// cannot be read, that is recorded in the parent, and cancelChildren goes on with the others.
func (d *descent) cancelChildren(ctx context.Context, after lifecycle.ID) error {
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
		o.interruptRecorded(ctx)
		return more, err
	}, func(parent lifecycle.ID, err error) error {
		o.fail(d.parent(parent), unreadBelow(parent, err))
		return nil
	})
}

// page cancels the next page of children: in one call of a ChildCanceller if there is one,
// and otherwise, or where that declines or fails, by reading and writing the page.
func (d *descent) page(ctx context.Context, q *ChildQuery) (more bool, err error) {
	if d.o.c.children != nil && d.o.planned == nil && d.states == lifecycle.Live {
		if more, done, err := d.pageAtOnce(ctx, q); done || err != nil {
			return more, err
		}
	}
	return d.pageBySteps(ctx, q)
}

// pageBySteps cancels a page of children by reading and writing it.
func (d *descent) pageBySteps(ctx context.Context, q *ChildQuery) (more bool, err error) {
	o := d.o
	page, err := children(ctx, o.c.repo, q)
	if err != nil {
		return false, o.storeError(ctx, err)
	}
	more = len(page) > 0
	if len(d.known) > 0 {
		page = slices.DeleteFunc(page, func(r lifecycle.Request) bool { return d.known.has(r.ID) })
	}
	for attempt := 1; len(page) > 0; attempt++ {
		cause := o.now()
		o.changes = o.changes[:0]
		for _, r := range page {
			if err := r.Validate(); err != nil {
				if !o.again || !o.visited.has(r.ID) {
					d.record(r, r.State, DispositionFailed, err)
				}
				continue
			}
			switch ch, needed := cancelChange(r, cause); {
			case !needed:
				d.record(r, r.State, DispositionAlreadyCancelling, nil)
			case !o.asPlanned(ch):
				d.record(r, r.State, DispositionConflict, o.unplanned(r.ID))
			case attempt > o.c.opts.MaxAttempts:
				d.record(r, r.State, DispositionConflict, o.contended(r.ID))
			default:
				o.changes = append(o.changes, ch)
			}
		}
		var lost []lifecycle.Request
		err := o.write(ctx, o.changes, func(ch Change, made bool, err error) {
			switch {
			case err != nil:
				d.record(ch.Old, ch.Old.State, DispositionFailed, err)
			case made:
				d.recordMade(ch)
			default:
				lost = append(lost, ch.Old)
			}
		})
		if err != nil {
			return false, err
		}
		if len(lost) == 0 {
			break
		}
		if len(lost) >= 16 && len(lost) > len(o.changes)/2 {
			err = o.backOff(ctx)
		}
		if err == nil {
			page, err = d.reread(ctx, lost)
		}
		if err != nil {
			page = nil
			for _, r := range lost {
				d.record(r, r.State, DispositionFailed, err)
			}
			if o.store.note(err); o.store.giveUp(ctx) {
				return false, err
			}
		}
	}
	return more, nil
}

// reread reads the children in lost again, which could not be written because others had
// changed them. It returns those that are live, and records those that have ended. lost
// is ordered as children are.
func (d *descent) reread(ctx context.Context, lost []lifecycle.Request) ([]lifecycle.Request, error) {
	o := d.o
	first, last := Cursor{lost[0].Parent, lost[0].ID - 1}, Cursor{lost[len(lost)-1].Parent, lost[len(lost)-1].ID}
	q := ChildQuery{States: lifecycle.Live, After: first, Limit: o.c.opts.PageSize}
	for _, r := range lost {
		if n := len(q.Parents); n == 0 || q.Parents[n-1] != r.Parent {
			q.Parents = append(q.Parents, r.Parent)
		}
	}
	live := make([]lifecycle.Request, 0, len(lost))
	for q.After.Compare(last) < 0 {
		page, err := children(ctx, o.c.repo, &q)
		if err != nil {
			return nil, o.storeError(ctx, err)
		}
		if len(page) == 0 {
			break
		}
		live = append(live, page...)
	}
	// Of the live requests in this range only those in lost are wanted. Those in lost
	// that are not live have ended.
	fresh, ended, i := live[:0], lost[:0], 0
	for _, r := range lost {
		for i < len(live) && (Cursor{live[i].Parent, live[i].ID}).Compare(Cursor{r.Parent, r.ID}) < 0 {
			i++
		}
		if i < len(live) && live[i].ID == r.ID {
			fresh = append(fresh, live[i])
			i++
		} else {
			ended = append(ended, r)
		}
	}
	for _, r := range ended {
		from := r.State
		r.State = 0
		if o.receipt != nil { // only a Receipt says in which state it ended
			if now, ok, err := o.read(ctx, r.ID); err == nil && ok {
				r.State = now.State
			}
		}
		d.record(r, from, DispositionEnded, nil)
	}
	return fresh, nil
}

// write applies changes and calls each for every one of them. If the store fails on several
// at once, write tries them in smaller parts, so that one request which cannot be written
// does not keep its siblings from being cancelled. It returns an error if the operation
// has to stop.
func (o *operation) write(ctx context.Context, changes []Change, each func(ch Change, made bool, err error)) error {
	if len(changes) == 0 {
		return nil
	}
	for todo := [][]Change{changes}; len(todo) > 0; {
		part := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		made, err := o.apply(ctx, part)
		if o.store.note(err); err == nil {
			for i, ch := range part {
				if made[i] {
					o.tellTransition(ctx, &part[i])
				}
				each(ch, made[i], nil)
			}
			continue
		}
		switch err := o.storeError(ctx, err); {
		case o.store.giveUp(ctx):
			for _, part := range slices.Backward(append(todo, part)) {
				for _, ch := range part {
					each(ch, false, err)
				}
			}
			return err
		case len(part) == 1:
			each(part[0], false, err)
		default:
			half := len(part) / 2
			todo = append(todo, part[half:], part[:half:half])
		}
	}
	return nil
}

// parent returns the parent with this id. Children come in order, so it mostly is the
// parent of the last child.
func (d *descent) parent(id lifecycle.ID) *node {
	if d.parents[d.at].req.ID != id {
		d.at = position(d.parents, id)
	}
	return d.parents[d.at]
}

// record records what was done to a child that was found in state from and is r now.
func (d *descent) record(r lifecycle.Request, from lifecycle.State, what Disposition, err error) {
	d.seen++
	if n := d.o.record(d.parent(r.Parent), r, from, what, err); n != nil {
		d.next = append(d.next, n)
	}
}

// recordMade records that a change of a child was made.
func (d *descent) recordMade(ch Change) {
	d.record(ch.New(), ch.Old.State, madeOf(ch), nil)
}

// madeOf returns the disposition of a child whose change ch was made.
func madeOf(ch Change) Disposition {
	if ch.State == lifecycle.StateCancelling {
		return DispositionCancelling
	}
	return DispositionCancelled
}

// record records what was done to a child of parent that was found in state from and is r
// now. If something may have to be done for the child besides interrupting its work,
// record returns a node for it, and the node is reported later; otherwise the child is
// reported now.
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
	case DispositionFailed:
		parent.mustLook = true // the child may have been changed
		o.visited.visit(r.ID)  // if this Resume finds it too, it leaves it to the next
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

// interruptRecorded interrupts the work of the children that were recorded since the last interruptRecorded.
func (o *operation) interruptRecorded(ctx context.Context) {
	o.interrupt(ctx, o.tell, o.now())
	o.tell = o.tell[:0]
}
