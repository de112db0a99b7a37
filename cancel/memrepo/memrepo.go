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
	"iter"
	"sync"

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

var (
	_ cancel.TreeCanceller    = (*Repo)(nil)
	_ cancel.ChildCanceller   = (*Repo)(nil)
	_ cancel.Settler          = (*Repo)(nil)
	_ cancel.ParentEnder      = (*Repo)(nil)
	_ cancel.CancellingLister = (*Repo)(nil)
	_ cancel.CauseReader      = (*Repo)(nil)
)

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
