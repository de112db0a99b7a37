package memrepo

import (
	"context"
	"fmt"
	"slices"

	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// An InsertError reports a request that cannot be inserted.
type InsertError struct {
	ID      lifecycle.ID
	Problem string
}

func (e *InsertError) Error() string {
	return fmt.Sprintf("memrepo: request %d %s", e.ID, e.Problem)
}

// Insert stores requests as they are, whatever their states: parents before their
// children. It returns a [*lifecycle.RequestError] for a request that cannot exist
// and an [*InsertError] for an id that is taken or a parent that is not there,
// and has then inserted none of them.
func (m *Repo) Insert(requests ...lifecycle.Request) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.insertAll(requests...)
}

func (m *Repo) insertAll(requests ...lifecycle.Request) error {
	if m.index == nil {
		m.index = make(map[lifecycle.ID]int32, len(requests))
		m.kids = map[lifecycle.ID]*kids{}
	}
	before := len(m.records)
	m.records = slices.Grow(m.records, len(requests))
	for _, r := range requests {
		if err := m.insertable(r); err != nil {
			for _, rec := range m.records[before:] {
				delete(m.index, rec.id)
			}
			m.records = m.records[:before]
			return err
		}
		m.index[r.ID] = int32(len(m.records))
		m.records = append(m.records, record{
			id: r.ID, parent: r.Parent, checkedIn: microseconds(r.CheckedIn),
			kind: r.Kind, state: r.State, outcome: r.Outcome, attempt: int32(r.Attempt),
		})
	}
	m.link(before)
	return nil
}

// insertable returns an error if r cannot be inserted.
func (m *Repo) insertable(r lifecycle.Request) error {
	if err := r.Validate(); err != nil {
		return err
	}
	if _, taken := m.index[r.ID]; taken {
		return &InsertError{r.ID, "is there already"}
	}
	if _, ok := m.index[r.Parent]; !ok && r.Parent != 0 {
		return &InsertError{r.ID, fmt.Sprintf("has parent %d, which is not there", r.Parent)}
	}
	return nil
}

// link enters the records from position first on into the order of all and under
// their parents.
func (m *Repo) link(first int) {
	var unsorted map[*kids]struct{}
	for at := first; at < len(m.records); at++ {
		rec := &m.records[at]
		m.enter(at)
		k := m.kids[rec.parent]
		if k == nil {
			k = &kids{}
			m.kids[rec.parent] = k
		}
		live := lifecycle.Live.Has(rec.state)
		if live {
			k.live++
		}
		if n := len(k.at); n == 0 || m.records[k.at[n-1]].id < rec.id {
			k.at = append(k.at, int32(at))
			continue
		}
		if len(m.records)-first > 1 { // one by one would take a time quadratic in their number
			k.at = append(k.at, int32(at))
			if unsorted == nil {
				unsorted = map[*kids]struct{}{}
			}
			unsorted[k] = struct{}{}
			continue
		}
		pos := m.after(k.at, rec.id)
		k.at = slices.Insert(k.at, pos, int32(at))
		if live {
			k.done = min(k.done, pos)
		}
	}
	for k := range unsorted {
		m.sort(k.at)
		k.done = 0
		m.pass(k)
	}
}

// enter enters the record at a position, which is the last so far, into the order of
// all.
func (m *Repo) enter(at int) {
	id := m.records[at].id
	switch n := len(m.byID); {
	case n > 0 && m.records[m.byID[n-1]].id < id:
		m.byID = append(m.byID, int32(at))
	case n > 0, at > 0 && m.records[at-1].id > id:
		m.stale = true
	}
}

// Submit inserts a request as a scheduler does: only if its parent, if it has one,
// admits a child at this moment (see [lifecycle.Admit]). It returns an error with
// [esserrors.CodeUnsupportedState] if the parent does not, with
// [esserrors.CodeNotFound] if there is no such parent, or Insert's errors.
func (m *Repo) Submit(ctx context.Context, r lifecycle.Request) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.Parent != 0 {
		at, ok := m.index[r.Parent]
		if !ok {
			return esserrors.NotFound("submit", int64(r.Parent), nil)
		}
		if err := lifecycle.Admit(m.records[at].request()); err != nil {
			return err
		}
	}
	return m.insertAll(r)
}
