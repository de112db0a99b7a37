package cancel

import (
	"context"
	"fmt"
	"slices"

	"example.com/ess/lifecycle"
)

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

// page cancels the next page of children, by the store's own means if it has any.
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

// reread returns those of lost, which is ordered, that are still live.
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
	// Of the live requests in this range only the lost ones are wanted, and
	// the lost ones that are not live have ended.
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
		if o.receipt != nil { // only a receipt says how it ended
			if now, ok, err := o.read(ctx, r.ID); err == nil && ok {
				r.State = now.State
			}
		}
		d.record(r, from, DispositionEnded, nil)
	}
	return fresh, nil
}

// write applies changes and calls each for every one of them. If the store fails on
// several at once it tries them in smaller parts, so that one request which
// cannot be written does not keep its siblings from being cancelled. It returns
// an error if the operation has to stop.
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
					o.stored(ctx, &part[i])
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
