package memrepo

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

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

// order makes byID. It is put off until somebody needs it.
func (m *Repo) order() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.stale {
		return
	}
	m.byID = m.byID[:0]
	for at := range m.records {
		m.byID = append(m.byID, int32(at))
	}
	m.sort(m.byID)
	m.stale = false
}

// from returns the records with ids greater than id, ordered by ID.
func (m *Repo) from(id lifecycle.ID) iter.Seq[*record] {
	return func(yield func(*record) bool) {
		if m.byID != nil {
			for _, at := range m.byID[m.after(m.byID, id):] {
				if !yield(&m.records[at]) {
					return
				}
			}
			return
		}
		first, found := slices.BinarySearchFunc(m.records, id, func(rec record, id lifecycle.ID) int { return cmp.Compare(rec.id, id) })
		if found {
			first++
		}
		for at := first; at < len(m.records); at++ {
			if !yield(&m.records[at]) {
				return
			}
		}
	}
}

func (rec *record) why() cancel.Cause {
	if rec.cause == nil {
		return cancel.Cause{}
	}
	return *rec.cause
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
