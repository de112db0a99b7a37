// Package memrepo is a [cancel.Repository] in memory: the default for a scheduler
// that keeps its requests in one process, and for tests and demonstrations.
//
// It has all capabilities: [cancel.TreeCanceller], [cancel.ChildCanceller],
// [cancel.Settler], [cancel.ParentEnder], [cancel.CancellingLister] and
// [cancel.CauseReader]. To work without them, hide them:
//
//	plain := struct{ cancel.Repository }{repo}
//
// A request takes about 85 bytes, its place in the indices included.
//
// A scheduler submits its requests with [Repo.Submit] and drives the rest of their lives
// with [cancel.Canceller.Transition].
package memrepo

import (
	"cmp"
	"iter"
	"math"
	"slices"
	"sync"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// A Repo keeps requests in memory. The zero Repo is empty and ready to use. It is
// safe for concurrent use and must not be copied.
type Repo struct {
	mu      sync.RWMutex
	index   map[lifecycle.ID]int32 // position in records
	records []record
	kids    map[lifecycle.ID]*kids
	byID    []int32       // positions ordered by ID; nil if the records have that order
	stale   bool          // byID has to be made anew
	cause   *cancel.Cause // the last one kept: most are kept many times
}

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

const never = math.MinInt64

var (
	_ cancel.TreeCanceller    = (*Repo)(nil)
	_ cancel.ChildCanceller   = (*Repo)(nil)
	_ cancel.Settler          = (*Repo)(nil)
	_ cancel.ParentEnder      = (*Repo)(nil)
	_ cancel.CancellingLister = (*Repo)(nil)
	_ cancel.CauseReader      = (*Repo)(nil)
)

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

// sort orders positions by ID.
func (m *Repo) sort(at []int32) {
	slices.SortFunc(at, func(a, b int32) int { return cmp.Compare(m.records[a].id, m.records[b].id) })
}

// pass moves k.done behind the children that are not live.
func (m *Repo) pass(k *kids) {
	for k.done < len(k.at) && !lifecycle.Live.Has(m.records[k.at[k.done]].state) {
		k.done++
	}
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

// Len returns how many requests there are.
func (m *Repo) Len() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.records)
}

// All returns the requests in the order in which they were inserted. A change made
// while the sequence is read may or may not be seen in it.
func (m *Repo) All() iter.Seq[lifecycle.Request] {
	return func(yield func(lifecycle.Request) bool) {
		for at := 0; ; at++ {
			m.mu.RLock()
			if at >= len(m.records) {
				m.mu.RUnlock()
				return
			}
			r := m.records[at].request()
			m.mu.RUnlock()
			if !yield(r) {
				return
			}
		}
	}
}
