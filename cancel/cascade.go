package cancel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	esserrors "example.com/ess/errors"
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
	stale    bool // others may have changed it since it was read
	children bool // a live child was seen after the fence
	mustLook bool // a child ended, by this call or by somebody who did not look
	failed   error
}

// ended reports whether the request is terminal.
func (n *node) ended() bool { return lifecycle.Terminal.Has(n.req.State) }

// opensBelow reports whether there may be something to do for n besides waiting
// for its own work.
func (n *node) opensBelow() bool { return n.req.Kind.HasChildren() || n.req.Outcome != 0 }

func (n *node) receipt() Receipt {
	rec := Receipt{ID: n.req.ID, Parent: n.req.Parent, Kind: n.req.Kind, From: n.from, To: n.req.State, Err: n.failed}
	switch {
	case n.failed != nil && errors.Is(n.failed, esserrors.CodeConflict):
		rec.Disposition = DispositionConflict
	case n.failed != nil:
		rec.Disposition = DispositionFailed
	case n.ended() && n.changed && n.req.State == lifecycle.StateCancelled:
		rec.Disposition = DispositionCancelled
	case n.settled || n.ended() && n.changed:
		rec.Disposition = DispositionSettled
	case n.ended():
		rec.Disposition = DispositionEnded
	case n.changed:
		rec.Disposition = DispositionCancelling
	default:
		rec.Disposition = DispositionAlreadyCancelling
	}
	return rec
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
			if err != nil && o.unsettled != nil && !level[i].ended() {
				o.unsettled.add(level[i])
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
	ids := make([]lifecycle.ID, 0, min(len(level), o.c.opts.PageSize))
	for lo := 0; lo < len(level); lo += o.c.opts.PageSize {
		d := descent{o: o, parents: level[lo:min(lo+o.c.opts.PageSize, len(level))], base: int32(lo), next: next}
		ids = ids[:0]
		for i := range d.parents {
			ids = append(ids, d.parents[i].req.ID)
		}
		err = d.run(ctx, ids)
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

func (d *descent) run(ctx context.Context, ids []lifecycle.ID) error {
	o := d.o
	q := ChildQuery{Parents: ids, States: lifecycle.Live, Limit: o.c.opts.PageSize}
	for {
		more, err := d.page(ctx, &q)
		o.interrupt(ctx, d.tell, o.now())
		d.tell = d.tell[:0]
		if err != nil || !more {
			return err
		}
	}
}

// page cancels the next page of children, by the store's own means if it has any.
func (d *descent) page(ctx context.Context, q *ChildQuery) (more bool, err error) {
	if d.o.c.children != nil && d.o.planned == nil {
		if more, done, err := d.pageAtOnce(ctx, q); done || err != nil {
			return more, err
		}
	}
	return d.pageBySteps(ctx, q)
}

// pageAtOnce cancels a page of children in one call of the store. It reports in done
// whether the store has done that. If it declines, or fails, the page is left to
// pageBySteps: what failed may be one request, which must not keep its siblings
// from being cancelled.
func (d *descent) pageAtOnce(ctx context.Context, q *ChildQuery) (more, done bool, err error) {
	o := d.o
	page, err := o.c.children.CancelChildren(ctx, ChildCancel{Query: *q, Cause: o.now(), All: o.receipt != nil || o.c.opts.Hooks.Transition != nil})
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return false, false, o.storeError(ctx, err)
	case errors.Is(err, errors.ErrUnsupported):
		return false, false, nil
	default:
		// Some may have been changed all the same, and their parents be left to us.
		for i := range d.parents {
			d.parents[i].children, d.parents[i].mustLook = true, true
		}
		return false, false, nil
	}
	if page.More && page.Last.Compare(q.After) <= 0 {
		return false, false, o.storeError(ctx, errors.New("cancel: CancelChildren does not advance"))
	}
	for _, ch := range page.Changes {
		if _, ok := slices.BinarySearch(q.Parents, ch.Old.Parent); !ok {
			return false, false, o.storeError(ctx, fmt.Errorf("cancel: CancelChildren returned request %d of parent %d, which was not asked for", ch.Old.ID, ch.Old.Parent))
		}
		if ch.State == ch.Old.State {
			d.take(ch.Old, ch.Old.State, DispositionAlreadyCancelling, nil)
		} else {
			o.stored(ctx, &ch)
			d.made(ch)
		}
	}
	if page.Cancelled > 0 {
		o.result.Counts[DispositionCancelled] += page.Cancelled
		// The store does not say whose they were. To look in vain is harmless.
		for i := range d.parents {
			if p := &d.parents[i]; p.req.ID >= q.After.Parent && (!page.More || p.req.ID <= page.Last.Parent) {
				p.children, p.mustLook = true, true
			}
		}
	}
	q.After = page.Last
	return page.More, true, nil
}

// pageBySteps cancels a page of children by reading and writing it.
func (d *descent) pageBySteps(ctx context.Context, q *ChildQuery) (more bool, err error) {
	o := d.o
	page, err := children(ctx, o.c.repo, q)
	if err != nil {
		return false, o.storeError(ctx, err)
	}
	more = len(page) > 0
	for attempt := 1; len(page) > 0; attempt++ {
		cause := o.now()
		o.changes = o.changes[:0]
		for _, r := range page {
			if err := r.Validate(); err != nil {
				d.take(r, r.State, DispositionFailed, err)
				continue
			}
			switch ch, needed := cancelChange(r, cause); {
			case !needed:
				d.take(r, r.State, DispositionAlreadyCancelling, nil)
			case !o.asPlanned(ch):
				d.take(r, r.State, DispositionConflict, o.unplanned(r.ID))
			case attempt > o.c.opts.MaxAttempts:
				d.take(r, r.State, DispositionConflict, o.contended(r.ID))
			default:
				o.changes = append(o.changes, ch)
			}
		}
		var lost []lifecycle.Request
		err := o.write(ctx, o.changes, func(ch Change, made bool, err error) {
			switch {
			case err != nil:
				d.take(ch.Old, ch.Old.State, DispositionFailed, err)
			case made:
				d.made(ch)
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
			if err := o.backOff(ctx); err != nil {
				return false, err
			}
		}
		if page, err = d.reread(ctx, lost); err != nil {
			return false, err
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
	fresh, i := live[:0], 0
	for _, r := range lost {
		for i < len(live) && (Cursor{live[i].Parent, live[i].ID}).Compare(Cursor{r.Parent, r.ID}) < 0 {
			i++
		}
		if i < len(live) && live[i].ID == r.ID {
			fresh = append(fresh, live[i])
			i++
			continue
		}
		from := r.State
		r.State = 0
		if o.receipt != nil {
			now, err := o.get(ctx, r.ID)
			if err != nil && !errors.Is(err, esserrors.CodeNotFound) {
				return nil, err
			}
			r.State = now.State
		}
		d.take(r, from, DispositionEnded, nil)
	}
	return fresh, nil
}

// made takes a change that has been made.
func (d *descent) made(ch Change) {
	if ch.State == lifecycle.StateCancelling {
		d.take(ch.New(), ch.Old.State, DispositionCancelling, nil)
	} else {
		d.take(ch.New(), ch.Old.State, DispositionCancelled, nil)
	}
}

// take takes note of a child, now r, that was in state from.
func (d *descent) take(r lifecycle.Request, from lifecycle.State, what Disposition, err error) {
	o := d.o
	parent := d.parent(r.Parent)
	d.parents[parent].children = true
	switch what {
	case DispositionCancelling, DispositionAlreadyCancelling:
		if unanswered(r) {
			d.tell = append(d.tell, r.ID)
		}
		n := node{req: r, from: from, parent: d.base + int32(parent), changed: what == DispositionCancelling}
		if n.opensBelow() {
			if o.visited.visit(r.ID) {
				d.next = append(d.next, n)
			} else if !o.overlaps {
				o.failures.add(fmt.Errorf("cancel: request %d is below itself", r.ID))
			}
			return
		}
	case DispositionFailed: // it may have been changed
		d.parents[parent].mustLook = true
		o.visited.visit(r.ID) // should Resume come upon it, it is for the next Resume
		o.failures.add(err)
	case DispositionConflict:
		o.visited.visit(r.ID)
		o.failures.add(err)
	default:
		d.parents[parent].mustLook = true
	}
	o.give(Receipt{ID: r.ID, Parent: r.Parent, Kind: r.Kind, Disposition: what, From: from, To: r.State, Err: err})
}

// parent returns the index in d.parents of the parent of that id. Children come
// in order, so that it is mostly the one of the last child.
func (d *descent) parent(id lifecycle.ID) int {
	if d.parents[d.at].req.ID != id {
		d.at, _ = slices.BinarySearchFunc(d.parents, id, func(n node, id lifecycle.ID) int { return cmp.Compare(n.req.ID, id) })
	}
	return d.at
}

// maxStoreErrors is how often in a row the store may fail on smaller and smaller
// parts of a batch before the operation stops. It is more than halving a page
// down to a single request takes.
const maxStoreErrors = 16

// write applies changes and calls each for every one of them. If the store fails on
// several at once it tries them in smaller parts, so that one request which
// cannot be written does not keep its siblings from being cancelled. It returns
// an error if the operation has to stop.
func (o *operation) write(ctx context.Context, changes []Change, each func(ch Change, made bool, err error)) error {
	if len(changes) == 0 {
		return nil
	}
	todo := [][]Change{changes}
	for failed := 0; len(todo) > 0; {
		part := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		made, err := o.apply(ctx, part)
		if err == nil {
			failed = 0
			for i, ch := range part {
				if made[i] {
					o.stored(ctx, &part[i])
				}
				each(ch, made[i], nil)
			}
			continue
		}
		failed++
		switch err := o.storeError(ctx, err); {
		case ctx.Err() != nil || failed == maxStoreErrors:
			for _, ch := range part {
				each(ch, false, err)
			}
			for _, part := range slices.Backward(todo) {
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
