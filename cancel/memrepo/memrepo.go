// Package memrepo is a [cancel.Repository] in memory, for a scheduler that keeps its
// requests in one process, for tests and for demonstrations.
//
// A scheduler inserts requests with [Repo.Submit], and makes their transitions with
// [cancel.Canceller.Transition]. Requests are never deleted.
//
// A [Repo] has all capabilities: [cancel.TreeCanceller], [cancel.ChildCanceller],
// [cancel.Settler], [cancel.ParentEnder], [cancel.CancellingLister] and
// [cancel.CauseReader]. Embed it as a cancel.Repository to hide them:
//
//	plain := struct{ cancel.Repository }{repo}
//
// A request takes about 85 bytes, its place in the indices included.
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
	records []record               // in the order in which they were inserted
	index   map[lifecycle.ID]int32 // position in records, by ID
	kids    map[lifecycle.ID]*kids // by the ID of the parent
	byID    []int32                // positions ordered by ID; nil if records has that order
	stale   bool                   // byID has to be made anew
	cause   *cancel.Cause          // the one kept last: most records have that of another
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

// All returns the requests in the order in which they were inserted. It also returns
// requests that are inserted while the sequence is read, and may or may not show other
// changes that are made meanwhile.
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
