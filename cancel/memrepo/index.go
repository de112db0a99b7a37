package memrepo

import (
	"cmp"
	"iter"
	"math"
	"slices"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

const never = math.MinInt64

// A record is a request in 40 bytes. Its places in kids and index take the rest.
type record struct {
	id, parent lifecycle.ID
	checkedIn  int64 // microseconds since 1970, or never
	cause      *cancel.Cause
	attempt    int32
	kind       lifecycle.Kind
	state      lifecycle.State
	outcome    lifecycle.State
}

// kids are the children of one parent.
type kids struct {
	at   []int32 // positions in records, ordered by ID
	live int     // how many of them are live
	done int     // length of a prefix of at with no live child, which queries for live ones skip
}

// request returns rec as a request.
func (rec *record) request() lifecycle.Request {
	r := lifecycle.Request{ID: rec.id, Parent: rec.parent, Kind: rec.kind, State: rec.state, Outcome: rec.outcome, Attempt: int(rec.attempt)}
	if rec.checkedIn != never {
		r.CheckedIn = time.UnixMicro(rec.checkedIn).UTC()
	}
	return r
}

// microseconds returns t as a record keeps it.
func microseconds(t time.Time) int64 {
	if t.IsZero() {
		return never
	}
	return t.UnixMicro()
}

// set writes the state and the outcome of rec, and keeps its parent's kids right. All
// changes of a state are made by it.
func (m *Repo) set(rec *record, state, outcome lifecycle.State) {
	was, is := lifecycle.Live.Has(rec.state), lifecycle.Live.Has(state)
	rec.state, rec.outcome = state, outcome
	switch k := m.kids[rec.parent]; {
	case was && !is:
		k.live--
		m.pass(k)
	case is && !was: // no rule permits this, but Apply does not look at the rules
		k.live++
		k.done = 0
	}
}

// keep keeps cause with rec, unless rec has one already.
func (m *Repo) keep(rec *record, cause *cancel.Cause) {
	if rec.cause != nil {
		return
	}
	if m.cause == nil || *m.cause != *cause {
		kept := *cause
		m.cause = &kept
	}
	rec.cause = m.cause
}

// link enters the records from position first on into byID and kids.
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
		if len(m.records)-first > 1 { // to insert each where it belongs would take quadratic time
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

// enter enters the last record, which is at position at, into byID, or marks byID as stale.
func (m *Repo) enter(at int) {
	id := m.records[at].id
	switch n := len(m.byID); {
	case n > 0 && m.records[m.byID[n-1]].id < id:
		m.byID = append(m.byID, int32(at))
	case n > 0, at > 0 && m.records[at-1].id > id:
		m.stale = true
	}
}

// pass moves k.done to the first live child.
func (m *Repo) pass(k *kids) {
	for k.done < len(k.at) && !lifecycle.Live.Has(m.records[k.at[k.done]].state) {
		k.done++
	}
}

// order makes byID anew if it is stale. That is not done before somebody needs it.
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

// sort orders positions by the IDs of their records.
func (m *Repo) sort(at []int32) {
	slices.SortFunc(at, func(a, b int32) int { return cmp.Compare(m.records[a].id, m.records[b].id) })
}

// from returns the records with ids greater than id, ordered by ID. byID must not be stale.
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

// after returns the first place in at, which is ordered by ID, of an id greater than id.
func (m *Repo) after(at []int32, id lifecycle.ID) int {
	pos, found := slices.BinarySearchFunc(at, id, func(at int32, id lifecycle.ID) int {
		return cmp.Compare(m.records[at].id, id)
	})
	if found {
		pos++
	}
	return pos
}
