package cancel

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"example.com/ess/lifecycle"
)

// pageAtOnce cancels the next page of children in one call of a ChildCanceller. done
// reports whether it did. If the store declines, fails, or answers what cannot be true,
// done is false, and pageBySteps has to cancel the page: the failure may be about one
// request, which must not keep its siblings from being cancelled.
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
		// Children may have been changed that the page does not have.
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
			o.tellTransition(ctx, ch)
			d.recordMade(*ch)
		} else if err := ch.Old.Validate(); err != nil {
			d.record(ch.Old, ch.Old.State, DispositionFailed, err)
		} else {
			d.record(ch.Old, ch.Old.State, DispositionAlreadyCancelling, nil)
		}
	}
	o.result.Counts[DispositionCancelled] += page.Cancelled
	if ended {
		// The store need not say whose children have ended. A look that finds nothing
		// is harmless. It is taken also if all changes are listed, so that Receipts are
		// the same in both cases.
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

// checkPage returns an error if page, the answer to ask, cannot be true. If the store has
// failed, the page need not say where to go on.
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

// checkChange returns an error if ch cannot be true, which a store says that it has made to
// a child.
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
