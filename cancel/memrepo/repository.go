package memrepo

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// Get implements [cancel.Repository].
func (m *Repo) Get(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
	if err := ctx.Err(); err != nil {
		return lifecycle.Request{}, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	at, ok := m.index[id]
	if !ok {
		return lifecycle.Request{}, fmt.Errorf("memrepo: request %d: %w", id, cancel.ErrNotFound)
	}
	return m.records[at].request(), nil
}

// Children implements [cancel.Repository].
func (m *Repo) Children(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	var page []lifecycle.Request
	for rec := range m.children(q) {
		if page == nil {
			page = make([]lifecycle.Request, 0, m.atMost(q))
		}
		if page = append(page, rec.request()); len(page) == q.Limit {
			break
		}
	}
	return page, nil
}

// atMost returns how many records the page of q can have at most.
func (m *Repo) atMost(q cancel.ChildQuery) int {
	n := 0
	first, _ := slices.BinarySearch(q.Parents, q.After.Parent)
	for _, parent := range q.Parents[first:] {
		if k := m.kids[parent]; k != nil && q.States&lifecycle.Terminal == 0 {
			n += k.live
		} else if k != nil {
			n += len(k.at)
		}
		if n >= q.Limit {
			return q.Limit
		}
	}
	return n
}

// children returns the records that q asks for, whatever its Limit is.
func (m *Repo) children(q cancel.ChildQuery) iter.Seq[*record] {
	return func(yield func(*record) bool) {
		first, _ := slices.BinarySearch(q.Parents, q.After.Parent)
		for _, parent := range q.Parents[first:] {
			k := m.kids[parent]
			if k == nil {
				continue
			}
			begin := 0
			if parent == q.After.Parent {
				begin = m.after(k.at, q.After.ID)
			}
			if q.States&lifecycle.Terminal == 0 {
				begin = max(begin, k.done)
			}
			for _, at := range k.at[begin:] {
				if rec := &m.records[at]; q.States.Has(rec.state) && !yield(rec) {
					return
				}
			}
		}
	}
}

// Apply implements [cancel.Repository].
func (m *Repo) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	made := make([]bool, len(changes))
	m.mu.Lock()
	defer m.mu.Unlock()
	var f finder
	for i := range changes {
		if rec := f.find(m, changes[i].Old.Parent, changes[i].Old.ID); rec != nil {
			made[i] = m.change(rec, &changes[i])
		}
	}
	return made, nil
}

// A finder finds the records of a page, of which most are the next child of the same
// parent. That is faster than a look at the index for each.
type finder struct {
	parent lifecycle.ID
	kids   *kids // of parent
	next   int   // place in kids.at of the child that is expected next
}

// find returns the record with this ID, or nil if there is none. If the record is not a
// child of parent, it is found all the same.
func (f *finder) find(m *Repo, parent, id lifecycle.ID) *record {
	if f.kids == nil || f.parent != parent {
		f.parent, f.kids, f.next = parent, m.kids[parent], 0
	}
	if f.kids != nil {
		rest := f.kids.at[f.next:]
		if len(rest) > 0 && m.records[rest[0]].id != id {
			skip := m.after(rest, id-1)
			f.next, rest = f.next+skip, rest[skip:]
		}
		if len(rest) > 0 && m.records[rest[0]].id == id {
			f.next++
			return &m.records[rest[0]]
		}
	}
	at, ok := m.index[id] // out of order
	if !ok {
		return nil
	}
	return &m.records[at]
}

// change makes ch if rec still is as ch.Old says, and reports whether it has made it.
func (m *Repo) change(rec *record, ch *cancel.Change) bool {
	if rec.state != ch.Old.State || rec.outcome != ch.Old.Outcome || rec.attempt != int32(ch.Old.Attempt) ||
		rec.checkedIn != microseconds(ch.Old.CheckedIn) {
		return false
	}
	m.set(rec, ch.State, ch.Outcome)
	rec.checkedIn, rec.attempt = microseconds(ch.CheckedIn), int32(ch.Attempt)
	if ch.Trigger == lifecycle.TriggerCancel {
		m.keep(rec, &ch.Cause)
	}
	return true
}
