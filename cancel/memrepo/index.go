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

// A record is a request in 40 bytes. Its parent's kids and the index take the rest.
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
	at   []int32 // positions, ordered by ID
	live int     // how many of them are live
	done int     // length of the prefix with no live child; live queries skip it
}

func (rec *record) request() lifecycle.Request {
	r := lifecycle.Request{ID: rec.id, Parent: rec.parent, Kind: rec.kind, State: rec.state, Outcome: rec.outcome, Attempt: int(rec.attempt)}
	if rec.checkedIn != never {
		r.CheckedIn = time.UnixMicro(rec.checkedIn).UTC()
	}
	return r
}

func microseconds(t time.Time) int64 {
	if t.IsZero() {
		return never
	}
	return t.UnixMicro()
}

// set writes to rec. All changes of a state come here.
func (m *Repo) set(rec *record, state, outcome lifecycle.State) {
	was, is := lifecycle.Live.Has(rec.state), lifecycle.Live.Has(state)
	rec.state, rec.outcome = state, outcome
	switch k := m.kids[rec.parent]; {
	case was && !is:
		k.live--
		m.pass(k)
	case is && !was: // no rule permits it, but Apply does what it is told
		k.live++
		k.done = 0
	}
}

// keep keeps the cause with rec if it is the first.
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

// pass moves k.done behind the children that are not live.
func (m *Repo) pass(k *kids) {
	for k.done < len(k.at) && !lifecycle.Live.Has(m.records[k.at[k.done]].state) {
		k.done++
	}
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

// sort orders positions by ID.
func (m *Repo) sort(at []int32) {
	slices.SortFunc(at, func(a, b int32) int { return cmp.Compare(m.records[a].id, m.records[b].id) })
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

// after returns where in at, which is ordered, the ids greater than id begin.
func (m *Repo) after(at []int32, id lifecycle.ID) int {
	pos, found := slices.BinarySearchFunc(at, id, func(at int32, id lifecycle.ID) int {
		return cmp.Compare(m.records[at].id, id)
	})
	if found {
		pos++
	}
	return pos
}
