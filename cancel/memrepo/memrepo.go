// Package memrepo is a [cancel.Repository] in memory: the default for a scheduler
// that keeps its requests in one process, and for tests and demonstrations.
//
// It has all capabilities: [cancel.ChildCanceller], [cancel.CancellingLister] and
// [cancel.CauseReader]. To work without them, hide them:
//
//	plain := struct{ cancel.Repository }{repo}
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
	ordered bool          // ids came in ascending order, and so the records have it
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
	live int     // how many of them are live, so that those of a finished parent are passed over
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
		m.ordered = true
	}
	before := len(m.records)
	m.records = slices.Grow(m.records, len(requests))
	for _, r := range requests {
		if err := m.insert(r); err != nil {
			for _, rec := range slices.Backward(m.records[before:]) {
				k := m.kids[rec.parent]
				k.at = slices.DeleteFunc(k.at, func(at int32) bool { return int(at) == m.last() })
				m.count(&rec, -1)
				delete(m.index, rec.id)
				m.records = m.records[:m.last()]
			}
			return err
		}
	}
	return nil
}

func (m *Repo) insert(r lifecycle.Request) error {
	if err := r.Validate(); err != nil {
		return err
	}
	if _, taken := m.index[r.ID]; taken {
		return &InsertError{r.ID, "is there already"}
	}
	if _, ok := m.index[r.Parent]; !ok && r.Parent != 0 {
		return &InsertError{r.ID, fmt.Sprintf("has parent %d, which is not there", r.Parent)}
	}
	at := int32(len(m.records))
	m.records = append(m.records, record{
		id: r.ID, parent: r.Parent, checkedIn: microseconds(r.CheckedIn),
		kind: r.Kind, state: r.State, outcome: r.Outcome,
	})
	if at > 0 && m.records[at-1].id > r.ID {
		m.ordered = false
	}
	m.index[r.ID] = at
	k := m.kids[r.Parent]
	if k == nil {
		k = &kids{}
		m.kids[r.Parent] = k
	}
	pos := len(k.at)
	if pos > 0 && m.records[k.at[pos-1]].id > r.ID {
		pos = m.after(k.at, r.ID)
	}
	k.at = slices.Insert(k.at, pos, at)
	m.count(&m.records[at], 1)
	return nil
}

// last returns the position of the last record.
func (m *Repo) last() int { return len(m.records) - 1 }

// count adds by to the live children of rec's parent if rec is live.
func (m *Repo) count(rec *record, by int) {
	if lifecycle.Live.Has(rec.state) {
		m.kids[rec.parent].live += by
	}
}

// set writes to rec. All changes of a state come here.
func (m *Repo) set(rec *record, state, outcome lifecycle.State) {
	m.count(rec, -1)
	rec.state, rec.outcome = state, outcome
	m.count(rec, 1)
}

// after returns where in at, which is ordered, the ids greater than id begin.
func (m *Repo) after(at []int32, id lifecycle.ID) int {
	if id == math.MaxInt64 {
		return len(at)
	}
	pos, _ := slices.BinarySearchFunc(at, id+1, func(at int32, id lifecycle.ID) int {
		return cmp.Compare(m.records[at].id, id)
	})
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
// [esserrors.CodeUnsupportedState] if no rule permits that, or with
// [esserrors.CodeNotFound]. It is not for the triggers of a cancel, which is
// more than a change of state: use a [cancel.Canceller].
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
	if !ok || rec.state == lifecycle.StateCancelling || to == lifecycle.StateCancelling || t == lifecycle.TriggerCancel {
		return lifecycle.Request{}, esserrors.UnsupportedState(t.String(), int64(id), rec.kind.String(), rec.state.String())
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
			page = make([]lifecycle.Request, 0, min(q.Limit, len(m.records)))
		}
		if page = append(page, rec.request()); len(page) == q.Limit {
			break
		}
	}
	return page, nil
}

// children returns the records that q asks for, without a limit.
func (m *Repo) children(q cancel.ChildQuery) iter.Seq[*record] {
	return func(yield func(*record) bool) {
		first, _ := slices.BinarySearch(q.Parents, q.After.Parent)
		for _, parent := range q.Parents[first:] {
			k := m.kids[parent]
			if k == nil || k.live == 0 && q.States&lifecycle.Terminal == 0 {
				continue
			}
			children := k.at
			if parent == q.After.Parent {
				children = children[m.after(children, q.After.ID):]
			}
			for _, at := range children {
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

// ListCancelling implements [cancel.CancellingLister]. It passes over the requests
// up to after only if all ids were inserted in ascending order.
func (m *Repo) ListCancelling(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.Unfinished, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	records := m.records
	if m.ordered {
		first, _ := slices.BinarySearchFunc(records, after, func(rec record, id lifecycle.ID) int { return cmp.Compare(rec.id, id) })
		records = records[first:]
	}
	var page []cancel.Unfinished
	for i := range records {
		if rec := &records[i]; rec.state == lifecycle.StateCancelling && rec.id > after {
			page = append(page, cancel.Unfinished{Request: rec.request(), Cause: rec.why()})
			if m.ordered && len(page) == limit {
				break
			}
		}
	}
	slices.SortFunc(page, func(a, b cancel.Unfinished) int { return cmp.Compare(a.Request.ID, b.Request.ID) })
	return page[:min(limit, len(page))], nil
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
