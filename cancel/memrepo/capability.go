package memrepo

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// decisions[k][s] says what a cancel does to a request of kind k in state s. It is zero for
// CANCELLING and for terminal states.
var decisions = func() (tab [256][32]cancel.Decision) {
	for d := range cancel.Decisions() {
		tab[d.Kind][d.From] = d
	}
	return tab
}()

// CancelChildren implements [cancel.ChildCanceller].
func (m *Repo) CancelChildren(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
	if err := ctx.Err(); err != nil {
		return cancel.ChildPage{}, err
	}
	var page cancel.ChildPage
	n := 0
	m.mu.Lock()
	defer m.mu.Unlock()
	for rec := range m.children(c.Query) {
		page.Last = cancel.Cursor{Parent: rec.parent, ID: rec.id}
		if ch, listed := m.cancelChild(rec, &c.Cause, c.All); listed {
			page.Changes = append(page.Changes, ch)
		} else {
			page.Cancelled++
		}
		if n++; n == c.Query.Limit {
			page.More = true
			break
		}
	}
	return page, nil
}

// cancelChild cancels rec, which is live. It reports whether the child has to be listed in
// Changes, and if so returns its Change.
func (m *Repo) cancelChild(rec *record, cause *cancel.Cause, all bool) (ch cancel.Change, listed bool) {
	d := decisions[rec.kind][rec.state]
	if d.State == 0 { // CANCELLING already
		r := rec.request()
		return cancel.Change{Old: r, State: r.State, Outcome: r.Outcome, CheckedIn: r.CheckedIn, Attempt: r.Attempt}, true
	}
	if listed = all || d.State == lifecycle.StateCancelling; listed {
		ch = cancel.Change{Old: rec.request(), Trigger: lifecycle.TriggerCancel, State: d.State, Outcome: d.Outcome, Attempt: int(rec.attempt), Cause: *cause}
	}
	m.set(rec, d.State, d.Outcome)
	if d.State == lifecycle.StateCancelling {
		rec.checkedIn = microseconds(cause.Time)
	}
	m.keep(rec, cause)
	if listed {
		ch.CheckedIn = rec.request().CheckedIn
	}
	return ch, listed
}

// CancelTree implements [cancel.TreeCanceller].
func (m *Repo) CancelTree(ctx context.Context, c cancel.TreeCancel) (cancel.TreePage, error) {
	if err := ctx.Err(); err != nil {
		return cancel.TreePage{}, err
	}
	var page cancel.TreePage
	n := 0
	m.mu.Lock()
	defer m.mu.Unlock()
	todo := slices.Clone(c.From)
	for at := 0; at < len(todo); at++ {
		k := m.kids[todo[at].Parent]
		if k == nil {
			continue
		}
		for _, pos := range k.at[max(m.after(k.at, todo[at].ID), k.done):] {
			rec := &m.records[pos]
			if !lifecycle.Live.Has(rec.state) {
				continue
			}
			if n == c.Limit {
				page.Rest = slices.Clone(todo[at:])
				return page, nil
			}
			n++
			if ch, listed := m.cancelChild(rec, &c.Cause, c.All); listed {
				page.Changes = append(page.Changes, ch)
			} else {
				page.Cancelled++
			}
			if rec.kind.HasChildren() {
				todo = append(todo, cancel.Cursor{Parent: rec.id})
			}
			todo[at].ID = rec.id
		}
	}
	return page, nil
}

// Settle implements [cancel.Settler].
func (m *Repo) Settle(ctx context.Context, s cancel.Settlement) ([]cancel.Change, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var made []cancel.Change
	asked := make(map[lifecycle.ID]bool, len(s.IDs))
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range s.IDs {
		asked[id] = true
	}
	ids := slices.Clone(s.IDs)
	slices.SortFunc(ids, func(a, b lifecycle.ID) int { return cmp.Compare(b, a) }) // children mostly have greater ids than their parents
	for _, id := range ids {
		// If the parent of what has ended was asked for too, it may wait for nothing now.
		for asked[id] {
			at, ok := m.index[id]
			if k := m.kids[id]; !ok || k != nil && k.live > 0 {
				break
			}
			rec := &m.records[at]
			ch, due := cancel.SettleChange(rec.request(), s.Cause)
			if !due {
				break
			}
			m.set(rec, ch.State, 0)
			made = append(made, ch)
			id = rec.parent
		}
	}
	return made, nil
}

// EndParent implements [cancel.ParentEnder].
func (m *Repo) EndParent(ctx context.Context, ch cancel.Change) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	at, ok := m.index[ch.Old.ID]
	if k := m.kids[ch.Old.ID]; !ok || k != nil && k.live > 0 {
		return false, nil
	}
	return m.change(&m.records[at], &ch), nil
}

// ListCancelling implements [cancel.CancellingLister].
func (m *Repo) ListCancelling(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.RLock()
	for m.stale {
		m.mu.RUnlock()
		m.order()
		m.mu.RLock()
	}
	defer m.mu.RUnlock()
	var page []cancel.CancellingRequest
	for rec := range m.from(after) {
		if rec.state == lifecycle.StateCancelling {
			if page = append(page, cancel.CancellingRequest{Request: rec.request(), Cause: rec.why()}); len(page) == limit {
				break
			}
		}
	}
	return page, nil
}

// Cause implements [cancel.CauseReader].
func (m *Repo) Cause(ctx context.Context, id lifecycle.ID) (cancel.Cause, error) {
	if err := ctx.Err(); err != nil {
		return cancel.Cause{}, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	at, ok := m.index[id]
	if !ok {
		return cancel.Cause{}, fmt.Errorf("memrepo: request %d: %w", id, cancel.ErrNotFound)
	}
	return m.records[at].why(), nil
}

// why returns why rec was cancelled, or the zero Cause.
func (rec *record) why() cancel.Cause {
	if rec.cause == nil {
		return cancel.Cause{}
	}
	return *rec.cause
}
