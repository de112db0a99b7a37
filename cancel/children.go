package cancel

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"example.com/ess/lifecycle"
)

// page cancels the next page of children, by the store's own means if it has any.
func (d *descent) page(ctx context.Context, q *ChildQuery) (more bool, err error) {
	if d.o.c.children != nil && d.o.planned == nil && d.states == lifecycle.Live {
		if more, done, err := d.pageAtOnce(ctx, q); done || err != nil {
			return more, err
		}
	}
	return d.pageBySteps(ctx, q)
}

// pageAtOnce cancels a page of children in one call of the store. It reports in done
// whether the store has done that. If it declines, fails or answers nonsense, the page
// is left to pageBySteps: what failed may be one request, which must not keep its
// siblings from being cancelled.
func (d *descent) pageAtOnce(ctx context.Context, q *ChildQuery) (more, done bool, err error) {
	o := d.o
	ask := ChildCancel{Query: *q, Cause: o.now(), All: o.receipt != nil || o.c.opts.Hooks.Transition != nil}
	page, err := o.c.children.CancelChildren(ctx, ask)
	if errors.Is(err, errors.ErrUnsupported) {
		return false, false, nil
	}
	failed := err != nil
	if nonsense := checkPage(ask, page, failed); nonsense != nil {
		o.failures.fail(o.storeError(ctx, nonsense))
		failed, page = true, ChildPage{}
	}
	if failed {
		// Some may have been changed, and their parents be left to us.
		for i := range d.parents {
			d.parents[i].children, d.parents[i].mustLook = true, true
		}
	}
	ended := page.Cancelled > 0
	for i := range page.Changes {
		ch := &page.Changes[i]
		ended = ended || ch.State == lifecycle.StateCancelled
		if d.known.has(ch.Old.ID) {
			continue
		}
		if failed {
			d.known.visit(ch.Old.ID)
		}
		if ch.State != ch.Old.State {
			o.stored(ctx, ch)
			d.recordMade(*ch)
		} else if err := ch.Old.Validate(); err != nil {
			d.record(ch.Old, ch.Old.State, DispositionFailed, err)
		} else {
			d.record(ch.Old, ch.Old.State, DispositionAlreadyCancelling, nil)
		}
	}
	o.result.Counts[DispositionCancelled] += page.Cancelled
	if ended {
		// The store need not say whose they were. To look in vain is harmless, and it
		// is done with receipts as without, so that they tell the same.
		for i := range d.parents {
			if p := d.parents[i]; p.req.ID >= q.After.Parent && (!page.More || p.req.ID <= page.Last.Parent) {
				p.children, p.mustLook = true, true
			}
		}
	}
	if failed {
		if ctx.Err() != nil {
			return false, false, o.storeError(ctx, err)
		}
		return false, false, nil
	}
	q.After = page.Last
	return page.More, true, nil
}

// checkPage returns an error if page, the answer to ask, cannot be true. Where the store
// has failed besides, the page has less to say.
func checkPage(ask ChildCancel, page ChildPage, failed bool) error {
	q := ask.Query
	switch {
	case page.Cancelled < 0 || len(page.Changes)+page.Cancelled > q.Limit:
		return fmt.Errorf("cancel: CancelChildren answered for %d and %d children, the limit is %d", len(page.Changes), page.Cancelled, q.Limit)
	case page.More && !failed && page.Last.Compare(q.After) <= 0:
		return errors.New("cancel: CancelChildren does not advance")
	}
	after := q.After
	for _, ch := range page.Changes {
		at := Cursor{ch.Old.Parent, ch.Old.ID}
		if _, ok := slices.BinarySearch(q.Parents, at.Parent); !ok || at.Compare(after) <= 0 {
			return fmt.Errorf("cancel: CancelChildren returned request %d of parent %d, which was not asked for or is out of order", at.ID, at.Parent)
		}
		after = at
		if err := checkChange(ch, ask.Cause); err != nil {
			return err
		}
	}
	return nil
}

// checkChange returns an error if ch, which a store says to have made of a child, cannot
// be true.
func checkChange(ch Change, cause Cause) error {
	unreadable := !ch.Old.State.Valid()
	want, needed := cancelChange(ch.Old, cause)
	if !needed {
		want = Change{Old: ch.Old, State: ch.Old.State, Outcome: ch.Old.Outcome}
	}
	switch {
	case unreadable && ch.State == ch.Old.State:
	case unreadable, ch.Old.Validate() != nil, lifecycle.Terminal.Has(ch.Old.State),
		ch.State != want.State, ch.Outcome != want.Outcome, ch.Trigger != want.Trigger:
		return fmt.Errorf("cancel: the store says that request %d went from %v to %v (then %v) by %v", ch.Old.ID, ch.Old.State, ch.State, ch.Outcome, ch.Trigger)
	}
	return nil
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
