package memrepo

import (
	"cmp"
	"context"
	"slices"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

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
	slices.SortFunc(ids, func(a, b lifecycle.ID) int { return cmp.Compare(b, a) }) // mostly children first
	for _, id := range ids {
		// Whatever has ended may be what the one above it has waited for.
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
