// Package memrepo is a [cancel.Repository] in memory: the default for a scheduler
// that keeps its requests in one process, and for tests and demonstrations.
//
// It has all capabilities: [cancel.ChildCanceller], [cancel.CancellingLister] and
// [cancel.CauseReader]. To work without them, hide them:
//
//	plain := struct{ cancel.Repository }{repo}
//
// A request takes about 85 bytes, its place in the indices included.
//
// Beside cancelling, [Repo.Submit] and [Repo.Fire] let a scheduler drive the rest
// of a request's life by the same rules.
package memrepo

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"sync"
	"time"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
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
	kind       lifecycle.Kind
	state      lifecycle.State
	outcome    lifecycle.State
}

// kids are the children of one parent.
type kids struct {
	at   []int32 // positions, ordered by ID
	live int     // how many of them are live
	done int     // so many at the beginning are not, and are passed over where live ones are wanted
}

const never = math.MinInt64

var (
	_ cancel.ChildCanceller   = (*Repo)(nil)
	_ cancel.CancellingLister = (*Repo)(nil)
	_ cancel.CauseReader      = (*Repo)(nil)
)

func (rec *record) request() lifecycle.Request {
	r := lifecycle.Request{ID: rec.id, Parent: rec.parent, Kind: rec.kind, State: rec.state, Outcome: rec.outcome}
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
		if err := m.admit(r); err != nil {
			for _, rec := range m.records[before:] {
				delete(m.index, rec.id)
			}
			m.records = m.records[:before]
			return err
		}
		m.index[r.ID] = int32(len(m.records))
		m.records = append(m.records, record{
			id: r.ID, parent: r.Parent, checkedIn: microseconds(r.CheckedIn),
			kind: r.Kind, state: r.State, outcome: r.Outcome,
		})
	}
	m.link(before)
	return nil
}

// admit says why r cannot be inserted, if it cannot.
func (m *Repo) admit(r lifecycle.Request) error {
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

// Submit inserts a request as a scheduler does: only if its parent, if it has one,
// admits a child at this moment (see [lifecycle.AdmitsChildren]). It returns an
// error with [esserrors.CodeUnsupportedState] if the parent does not, with
// [esserrors.CodeNotFound] if there is no such parent, or an error as of Insert.
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
		if p := m.records[at]; !lifecycle.AdmitsChildren(p.kind, p.state) {
			return esserrors.UnsupportedState("submit", int64(r.Parent), p.kind.String(), p.state.String())
		}
	}
	return m.insertAll(r)
}

// Fire applies a trigger of the scheduler's own to a request by the rules of package
// lifecycle, and returns the request as it is then. It returns an error with
// [esserrors.CodeUnsupportedState] if no rule permits that, with
// [esserrors.CodeConflict] if it would end a request that has live children, or with
// [esserrors.CodeNotFound].
//
// Fire is not for the triggers of a cancel, which is more than a change of state:
// what begins or ends CANCELLING is not supported. Use a [cancel.Canceller].
func (m *Repo) Fire(ctx context.Context, id lifecycle.ID, t lifecycle.Trigger) (lifecycle.Request, error) {
	if err := ctx.Err(); err != nil {
		return lifecycle.Request{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	at, ok := m.index[id]
	if !ok {
		return lifecycle.Request{}, esserrors.NotFound(t.String(), int64(id), nil)
	}
	rec := &m.records[at]
	to, ok := lifecycle.Next(rec.kind, rec.state, t)
	if !ok || rec.state == lifecycle.StateCancelling || t == lifecycle.TriggerCancel {
		return lifecycle.Request{}, esserrors.UnsupportedState(t.String(), int64(id), rec.kind.String(), rec.state.String())
	}
	if k := m.kids[id]; k != nil && k.live > 0 && lifecycle.Terminal.Has(to) {
		return lifecycle.Request{}, esserrors.Conflict(t.String(), int64(id), fmt.Sprintf("Request %d has %d live children.", id, k.live), nil)
	}
	m.set(rec, to, 0)
	return rec.request(), nil
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

// atMost returns how long a page can be.
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

// children returns the records that q asks for, without a limit.
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
	for i := range changes {
		ch := &changes[i]
		at, ok := m.index[ch.Old.ID]
		if !ok {
			continue
		}
		rec := &m.records[at]
		if rec.state != ch.Old.State || rec.outcome != ch.Old.Outcome || rec.checkedIn != microseconds(ch.Old.CheckedIn) {
			continue
		}
		m.set(rec, ch.State, ch.Outcome)
		rec.checkedIn = microseconds(ch.CheckedIn)
		m.keep(rec, &ch.Cause)
		made[i] = true
	}
	return made, nil
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

// decisions[k][s] is what a cancel makes of a request of kind k in state s.
var decisions = func() (tab [256][32]cancel.Decision) {
	for d := range cancel.Decisions() {
		tab[d.Kind][d.From] = d
	}
	return tab
}()

// CancelChildren implements [cancel.ChildCanceller].
func (m *Repo) CancelChildren(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
	if err := ctx.Err(); err != nil {
		return cancel.ChildPage{}, err
	}
	var page cancel.ChildPage
	entered := microseconds(c.Cause.Time)
	n := 0
	m.mu.Lock()
	defer m.mu.Unlock()
	for rec := range m.children(c.Query) {
		page.Last = cancel.Cursor{Parent: rec.parent, ID: rec.id}
		if d := decisions[rec.kind][rec.state]; d.State == 0 { // CANCELLING already
			r := rec.request()
			page.Changes = append(page.Changes, cancel.Change{Old: r, State: r.State, Outcome: r.Outcome, CheckedIn: r.CheckedIn})
		} else {
			ch := cancel.Change{Trigger: lifecycle.TriggerCancel, State: d.State, Outcome: d.Outcome, Cause: c.Cause}
			listed := c.All || d.State == lifecycle.StateCancelling
			if listed {
				ch.Old = rec.request()
			}
			m.set(rec, d.State, d.Outcome)
			if d.State == lifecycle.StateCancelling {
				rec.checkedIn = entered
			}
			m.keep(rec, &c.Cause)
			if listed {
				ch.CheckedIn = rec.request().CheckedIn
				page.Changes = append(page.Changes, ch)
			} else {
				page.Cancelled++
			}
		}
		if n++; n == c.Query.Limit {
			page.More = true
			break
		}
	}
	return page, nil
}

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
