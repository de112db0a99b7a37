package memrepo

import (
	"context"
	"fmt"
	"slices"

	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// An InsertError reports a request that cannot be inserted because of those that are
// there.
type InsertError struct {
	ID      lifecycle.ID
	Problem string // what is wrong with it
}

func (e *InsertError) Error() string {
	return fmt.Sprintf("memrepo: request %d %s", e.ID, e.Problem)
}

// Insert inserts requests as they are, whatever their states, for example to load what was
// saved. A parent has to come before its children. CheckedIn is kept in whole
// microseconds, and Version is not kept.
//
// The error is a [*lifecycle.RequestError] for a request that cannot exist, and an
// [*InsertError] for an id that is there already or a parent that is not. With an error,
// Insert has inserted none of the requests.
func (m *Repo) Insert(requests ...lifecycle.Request) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.insertAll(requests...)
}

// insertAll is Insert without the lock.
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

// Submit inserts a request as a scheduler does. If the request has a parent, the parent
// has to admit a child: see [lifecycle.Admit]. Submit looks at the parent and inserts the
// request in one atomic step.
//
// The error has [esserrors.CodeUnsupportedState] if the parent admits no child, or
// [esserrors.CodeNotFound] if there is no such parent. Other errors are those of
// [Repo.Insert], or match ctx.Err().
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
