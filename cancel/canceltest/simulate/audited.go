package simulate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/internal/rows"
	"example.com/ess/cancel/canceltest/internal/show"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// An audited is a Repository that checks every write against the rules, in the order
// in which they take effect: it lets one write through at a time. Reads pass.
type audited struct {
	repo  cancel.Repository
	plain bool
	reads atomic.Int64
	slow  atomic.Bool // let others come in between more often

	mu       sync.Mutex
	requests map[lifecycle.ID]lifecycle.Request // as they have been written
	live     map[lifecycle.ID]int               // live children
	log      map[lifecycle.ID][]string
	ids      []lifecycle.ID // of the requests to pick from
	writes   int
	errs     []error
}

var (
	_ cancel.ChildCanceller   = (*audited)(nil)
	_ cancel.CancellingLister = (*audited)(nil)
	_ cancel.CauseReader      = (*audited)(nil)
)

func newAudited(repo cancel.Repository, requests []lifecycle.Request, plain bool) *audited {
	s := &audited{repo: repo, plain: plain, requests: map[lifecycle.ID]lifecycle.Request{}, live: map[lifecycle.ID]int{}, log: map[lifecycle.ID][]string{}}
	for _, r := range requests {
		s.add(r)
	}
	return s
}

func (s *audited) add(r lifecycle.Request) {
	s.requests[r.ID] = r
	s.ids = append(s.ids, r.ID)
	if m := modelOf(r); m.live() {
		s.live[r.Parent]++
	}
	s.log[r.ID] = append(s.log[r.ID], fmt.Sprintf("it is %s below %d", show.Request(r), r.Parent))
}

func (s *audited) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes
}

func (s *audited) err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return show.Errors(slices.Clone(s.errs))
}

// agrees checks that nothing was written past the audit.
func (s *audited) agrees(snap canceltest.Snapshot) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for id, r := range s.requests {
		if is, ok := snap[id]; !ok || !rows.SameState(is, r) {
			errs = append(errs, fmt.Errorf("request %d is %s, what was written is %s", id, show.State(is), show.State(r)))
		}
	}
	return show.Errors(errs)
}

// note takes note of a write that has taken effect, and checks it. s.mu is held.
func (s *audited) note(is lifecycle.Request, t lifecycle.Trigger, cause cancel.Cause) {
	was := s.requests[is.ID]
	s.writes++
	what := "check in"
	if t != 0 {
		what = t.String()
	}
	line := fmt.Sprintf("write %d: %s -> %s by %s", s.writes, show.State(was), show.State(is), what)
	if cause.Actor != "" {
		line += ", " + cause.Actor
	}
	if cause.Root != is.ID && cause.Root != 0 {
		line += fmt.Sprintf(", of request %d", cause.Root)
	}
	s.log[is.ID] = append(s.log[is.ID], line)
	if err := s.check(was, is, t, cause); err != nil {
		err = fmt.Errorf("request %d: %w", is.ID, err)
		for _, id := range []lifecycle.ID{is.ID, is.Parent} {
			for _, line := range s.log[id] {
				err = fmt.Errorf("%w\n  %d: %s", err, id, line)
			}
		}
		s.errs = append(s.errs, err)
	}
	before, after := modelOf(was), modelOf(is)
	if before.live() && !after.live() {
		s.live[is.Parent]--
	}
	s.requests[is.ID] = is
}

// modelEnds is in which state each answer ends a request.
var modelEnds = map[string]string{
	"acknowledge": "CANCELLED", "succeed": "SUCCEEDED", "warn": "WARNING", "fail": "ERROR", "force": "CANCELLED", "settle": "CANCELLED",
}

// check checks one write. s.mu is held.
func (s *audited) check(was, is lifecycle.Request, t lifecycle.Trigger, cause cancel.Cause) error {
	r, to, trigger := modelOf(was), modelOf(is), t.String()
	moved := !to.since.Equal(r.since)
	ends := r.live() && !to.live()
	switch {
	case !r.live():
		return errors.New("1 (terminal is final)")
	case ends && s.live[is.ID] > 0:
		return fmt.Errorf("4 (a parent ends last): %d of its children are live", s.live[is.ID])
	case r.state != "CANCELLING" && trigger != "cancel":
		if next := modelLife[trigger][r.state]; next[0] != to.state || next[1] != "" && next[1] != r.kind || to.outcome != "" || moved {
			return errors.New("2 (only rules' transitions): a scheduler may not")
		}
	case r.state != "CANCELLING":
		if state, outcome := r.cancelled(); to.state != state || to.outcome != outcome {
			return errors.New("2 (only rules' transitions): a cancel may not")
		}
		if to.state == "CANCELLING" && !to.since.Equal(cause.Time) {
			return errors.New("5 (a way out): the clock of Force does not start")
		}
		if above := s.requests[is.Parent]; cause.Root != is.ID && above.State != lifecycle.StateCancelling {
			return fmt.Errorf("3 (no escape): its parent is %v and admits children", above.State)
		}
	case t == 0:
		if to.state != r.state || to.outcome != r.outcome || to.since.Before(r.since) {
			return errors.New("5 (a way out): a check-in moves the clock forward and nothing else")
		}
	case modelEnds[trigger] == "" || moved:
		return errors.New("2 (only rules' transitions): no rule permits it")
	case !ends:
		if r.outcome != "" || to.outcome != modelEnds[trigger] || !r.runsWork() || trigger == "settle" {
			return errors.New("9 (work has the last word): that is not an answer")
		}
	case r.outcome != "":
		if to.state != r.outcome {
			return errors.New("9 (work has the last word): the answer was another")
		}
	case r.runsWork() && (r.hasKids() || trigger == "settle"):
		return errors.New("9 (work has the last word): its work has not answered")
	case to.state != modelEnds[trigger], !r.runsWork() && to.state != "CANCELLED":
		return errors.New("2 (only rules' transitions): it ends otherwise")
	}
	return nil
}

// Apply implements [cancel.Repository].
func (s *audited) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	made, err := s.repo.Apply(ctx, changes)
	if err != nil || len(made) != len(changes) {
		s.errs = append(s.errs, fmt.Errorf("Apply of %d changes answers for %d: %w", len(changes), len(made), err))
		return made, err
	}
	for i, ch := range changes {
		is := s.requests[ch.Old.ID]
		same := rows.SameState(is, ch.Old)
		switch {
		case made[i] && !same:
			s.errs = append(s.errs, fmt.Errorf("request %d is %s, and a change of it from %s was made: an update is lost", is.ID, show.State(is), show.State(ch.Old)))
		case !made[i] && same:
			s.errs = append(s.errs, fmt.Errorf("request %d is %s, and a change of it from just that was not made", is.ID, show.State(is)))
		}
		if made[i] {
			s.note(ch.New(), ch.Trigger, ch.Cause)
		}
	}
	return made, nil
}

// CancelChildren implements [cancel.ChildCanceller].
func (s *audited) CancelChildren(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
	able, ok := s.repo.(cancel.ChildCanceller)
	if !ok || s.plain {
		return cancel.ChildPage{}, errors.ErrUnsupported
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	page, err := able.CancelChildren(ctx, c)
	if err != nil {
		return page, err
	}
	// The store need not name what it has made CANCELLED, so look.
	q := c.Query
	q.States, q.Limit = lifecycle.Live|lifecycle.Terminal, 1000
	for {
		kids, err := s.repo.Children(ctx, q)
		if err != nil {
			return page, err
		}
		if len(kids) == 0 {
			return page, nil
		}
		for _, r := range kids {
			if q.After = (cancel.Cursor{Parent: r.Parent, ID: r.ID}); !rows.SameState(r, s.requests[r.ID]) {
				s.note(r, lifecycle.TriggerCancel, c.Cause)
			}
		}
	}
}

// insert inserts a request if its parent admits it, and gives it an id.
func (s *audited) insert(r lifecycle.Request, do func(lifecycle.Request) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if parent := modelOf(s.requests[r.Parent]); r.Parent != 0 && !parent.admits() {
		return esserrors.UnsupportedState("submit", int64(r.Parent), parent.kind, parent.state)
	}
	r.ID = lifecycle.ID(len(s.requests) + 1)
	if err := do(r); err != nil {
		return err
	}
	s.add(r)
	return nil
}

// pick returns the id of some request, if possible one that is wanted.
func (s *audited) pick(d *dice, wanted func(*modelRequest) bool) lifecycle.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := pick(d, s.ids)
	for range 8 {
		if m := modelOf(s.requests[id]); wanted(&m) {
			break
		}
		id = pick(d, s.ids)
	}
	return id
}

// all returns the ids of the requests that are wanted.
func (s *audited) all(wanted func(*modelRequest) bool) (ids []lifecycle.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(s.requests)) {
		if m := modelOf(s.requests[id]); wanted(&m) {
			ids = append(ids, id)
		}
	}
	return ids
}

// yield lets others come in between, now and then many of them.
func (s *audited) yield() {
	if n := s.reads.Add(1); n%16 == 0 || n%3 == 0 && s.slow.Load() {
		time.Sleep(50 * time.Microsecond)
	} else {
		runtime.Gosched()
	}
}

// Get implements [cancel.Repository].
func (s *audited) Get(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
	s.yield()
	defer s.yield()
	return s.repo.Get(ctx, id)
}

// Children implements [cancel.Repository].
func (s *audited) Children(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
	s.yield()
	defer s.yield()
	return s.repo.Children(ctx, q)
}

// ListCancelling implements [cancel.CancellingLister].
func (s *audited) ListCancelling(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
	able, ok := s.repo.(cancel.CancellingLister)
	if !ok || s.plain {
		return nil, errors.ErrUnsupported
	}
	return able.ListCancelling(ctx, after, limit)
}

// Cause implements [cancel.CauseReader].
func (s *audited) Cause(ctx context.Context, id lifecycle.ID) (cancel.Cause, error) {
	able, ok := s.repo.(cancel.CauseReader)
	if !ok || s.plain {
		return cancel.Cause{}, errors.ErrUnsupported
	}
	return able.Cause(ctx, id)
}
