package simulate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/internal/rows"
	"example.com/ess/cancel/canceltest/internal/show"
	"example.com/ess/lifecycle"
)

// A history is a Repository that lets all calls through at once, and keeps of every write
// when it began, when it ended, and what the store said of it. judge looks whether that
// can have been.
type history struct {
	repo  cancel.Repository
	can   rows.Capabilities
	clock atomic.Int64 // of calls
	slow  atomic.Bool  // let others come in between more often

	mu     sync.Mutex
	first  map[lifecycle.ID]lifecycle.Request // as they began, also those submitted
	born   map[lifecycle.ID]span              // of those submitted
	last   map[lifecycle.ID]lifecycle.Request // as somebody has written them, for a guess
	ids    []lifecycle.ID                     // of the requests to pick from
	writes map[lifecycle.ID][]write
	count  int
	errs   []error
}

// A span is the time of a call.
type span struct{ begin, end int64 }

// A write is a change that the store says it made, during a call.
type write struct {
	span
	cancel.Change
}

func newHistory(repo cancel.Repository, requests []lifecycle.Request) *history {
	h := &history{
		repo: repo, can: rows.CapabilitiesOf(repo), first: map[lifecycle.ID]lifecycle.Request{}, born: map[lifecycle.ID]span{},
		last: map[lifecycle.ID]lifecycle.Request{}, writes: map[lifecycle.ID][]write{},
	}
	for _, r := range requests {
		h.add(r, span{})
	}
	return h
}

func (h *history) add(r lifecycle.Request, at span) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.first[r.ID], h.last[r.ID], h.born[r.ID] = r, r, at
	h.ids = append(h.ids, r.ID)
}

// call calls f, and lets others come in between.
func (h *history) call(f func() error) (span, error) {
	h.yield()
	at := span{begin: h.clock.Add(1)}
	err := f()
	at.end = h.clock.Add(1)
	h.yield()
	return at, err
}

// yield lets others come in between, now and then many of them.
func (h *history) yield() {
	if n := h.clock.Load(); n%16 < 2 || n%3 == 0 && h.slow.Load() {
		time.Sleep(50 * time.Microsecond)
	} else {
		runtime.Gosched()
	}
}

func (h *history) note(at span, changes ...cancel.Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, ch := range changes {
		h.writes[ch.Old.ID] = append(h.writes[ch.Old.ID], write{at, ch})
		h.last[ch.Old.ID] = ch.New()
		h.count++
	}
}

func (h *history) bad(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.errs = append(h.errs, fmt.Errorf(format, args...))
}

// Get implements [cancel.Repository].
func (h *history) Get(ctx context.Context, id lifecycle.ID) (r lifecycle.Request, err error) {
	_, err = h.call(func() error { r, err = h.repo.Get(ctx, id); return err })
	return r, err
}

// Children implements [cancel.Repository].
func (h *history) Children(ctx context.Context, q cancel.ChildQuery) (page []lifecycle.Request, err error) {
	_, err = h.call(func() error { page, err = h.repo.Children(ctx, q); return err })
	return page, err
}

// Apply implements [cancel.Repository].
func (h *history) Apply(ctx context.Context, changes []cancel.Change) (made []bool, err error) {
	changes = slices.Clone(changes)
	at, err := h.call(func() error { made, err = h.repo.Apply(ctx, changes); return err })
	if err != nil || len(made) != len(changes) {
		h.bad("Apply of %d changes answers for %d: %w", len(changes), len(made), err)
		return made, err
	}
	for i, ch := range changes {
		if made[i] {
			h.note(at, ch)
		}
	}
	return made, nil
}

// CancelChildren implements [cancel.ChildCanceller]. It asks for all changes, and keeps those
// back that the caller has not asked for.
func (h *history) CancelChildren(ctx context.Context, c cancel.ChildCancel) (page cancel.ChildPage, err error) {
	able := h.can.Children
	if able == nil {
		return page, errors.ErrUnsupported
	}
	all := c
	all.All = true
	at, err := h.call(func() error { page, err = able.CancelChildren(ctx, all); return err })
	page.Changes, page.Cancelled = h.asked(at, c.All, page.Changes, page.Cancelled)
	return page, err
}

// CancelTree implements [cancel.TreeCanceller]. It asks for all changes, too.
func (h *history) CancelTree(ctx context.Context, c cancel.TreeCancel) (page cancel.TreePage, err error) {
	able := h.can.Tree
	if able == nil {
		return page, errors.ErrUnsupported
	}
	all := c
	all.All = true
	at, err := h.call(func() error { page, err = able.CancelTree(ctx, all); return err })
	page.Changes, page.Cancelled = h.asked(at, c.All, page.Changes, page.Cancelled)
	return page, err
}

// asked puts changes on record, and returns those that the caller has asked for, and how
// many others became CANCELLED.
func (h *history) asked(at span, all bool, changes []cancel.Change, cancelled int) ([]cancel.Change, int) {
	var asked []cancel.Change
	for _, ch := range changes {
		if ch.State != ch.Old.State {
			h.note(at, ch)
		}
		if all || ch.State != lifecycle.StateCancelled {
			asked = append(asked, ch)
		} else {
			cancelled++
		}
	}
	return asked, cancelled
}

// Settle implements [cancel.Settler].
func (h *history) Settle(ctx context.Context, s cancel.Settlement) (made []cancel.Change, err error) {
	able := h.can.Settler
	if able == nil {
		return nil, errors.ErrUnsupported
	}
	at, err := h.call(func() error { made, err = able.Settle(ctx, s); return err })
	h.note(at, made...)
	return made, err
}

// EndParent implements [cancel.ParentEnder].
func (h *history) EndParent(ctx context.Context, ch cancel.Change) (made bool, err error) {
	able := h.can.Ender
	if able == nil {
		return false, errors.ErrUnsupported
	}
	at, err := h.call(func() error { made, err = able.EndParent(ctx, ch); return err })
	if made && err == nil {
		h.note(at, ch)
	}
	return made, err
}

// ListCancelling implements [cancel.CancellingLister].
func (h *history) ListCancelling(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
	able := h.can.Lister
	if able == nil {
		return nil, errors.ErrUnsupported
	}
	return able.ListCancelling(ctx, after, limit)
}

// Cause implements [cancel.CauseReader].
func (h *history) Cause(ctx context.Context, id lifecycle.ID) (cancel.Cause, error) {
	able := h.can.Causes
	if able == nil {
		return cancel.Cause{}, errors.ErrUnsupported
	}
	return able.Cause(ctx, id)
}

// submit has submit insert a request.
func (h *history) submit(r lifecycle.Request, submit func() error) error {
	at, err := h.call(submit)
	if err == nil {
		h.add(r, at)
	}
	return err
}

// pick returns the id of some request, if possible one that seems to be wanted.
func (h *history) pick(d *dice, wanted func(*modelRequest) bool) lifecycle.ID {
	h.mu.Lock()
	defer h.mu.Unlock()
	id := pick(d, h.ids)
	for range 8 {
		if m := modelOf(h.last[id]); wanted(&m) {
			break
		}
		id = pick(d, h.ids)
	}
	return id
}

// text is what has been written to the requests, for an error.
func (h *history) text(ids ...lifecycle.ID) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var b strings.Builder
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		r := h.first[id]
		fmt.Fprintf(&b, "\nrequest %d was %s below %d", id, show.Request(r), r.Parent)
		for _, w := range h.writes[id] {
			fmt.Fprintf(&b, "\n  from %d to %d: %s by %v, %s, of request %d", w.begin, w.end, show.Changes([]cancel.Change{w.Change}), w.Trigger, w.Cause.Actor, w.Cause.Root)
		}
	}
	return b.String()
}

// judge looks whether what the store said can have been, and how the requests are now.
func (h *history) judge(now canceltest.Snapshot) error {
	errs := slices.Clone(h.errs)
	ends := map[lifecycle.ID]span{} // when each request has ended
	for id, r := range h.first {
		if lifecycle.Terminal.Has(r.State) {
			ends[id] = span{}
		}
		for _, w := range h.writes[id] {
			if lifecycle.Terminal.Has(w.State) {
				ends[id] = w.span
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(h.first)) {
		err := h.judgeChain(id, now[id])
		for _, w := range h.writes[id] {
			err = errors.Join(err, h.judgeWrite(w))
		}
		err = errors.Join(err, h.judgeFamily(id, ends))
		if err != nil {
			errs = append(errs, fmt.Errorf("%w%s", err, h.text(id, h.first[id].Parent)))
		}
	}
	return show.Errors(errs)
}

// judgeChain looks whether the writes of a request can have followed each other: each takes
// it from where it was once, so that it was left as often as it was reached.
func (h *history) judgeChain(id lifecycle.ID, now lifecycle.Request) error {
	key := func(r lifecycle.Request) string {
		return fmt.Sprintf("%s, checked in at %d", show.State(r), r.CheckedIn.UnixMicro())
	}
	times := map[string]int{key(h.first[id]): 1}
	for _, w := range h.writes[id] {
		times[key(w.Old)]--
		times[key(w.New())]++
	}
	times[key(now)]--
	for state, n := range times {
		if n != 0 {
			return fmt.Errorf("request %d is %s now, and an update is lost: it came %d times more often to %q than it left it", id, show.State(now), n, state)
		}
	}
	return nil
}

// modelEnds is in which state each answer ends a request.
var modelEnds = map[string]string{
	"acknowledge": "CANCELLED", "succeed": "SUCCEEDED", "warn": "WARNING", "fail": "ERROR", "force": "CANCELLED", "settle": "CANCELLED",
}

// judgeWrite looks whether the rules permit a write.
func (h *history) judgeWrite(w write) error {
	r, to, trigger := modelOf(w.Old), modelOf(w.New()), w.Trigger.String()
	moved := !to.since.Equal(r.since)
	switch {
	case !r.live():
		return errors.New("1 (terminal is final)")
	case r.state != "CANCELLING" && trigger != "cancel":
		if next := modelLife[trigger][r.state]; next[0] != to.state || next[1] != "" && next[1] != r.kind || to.outcome != "" || moved {
			return errors.New("2 (only rules' transitions): a scheduler may not")
		}
	case r.state != "CANCELLING":
		if state, outcome := r.cancelled(); to.state != state || to.outcome != outcome {
			return errors.New("2 (only rules' transitions): a cancel may not")
		}
		if to.state == "CANCELLING" && !to.since.Equal(w.Cause.Time) {
			return errors.New("5 (a way out): the clock of Force does not start")
		}
		if w.Cause.Root != w.Old.ID && !h.fencedBefore(w.Old.Parent, w.end) {
			return errors.New("3 (no escape): its parent admits children")
		}
	case w.Trigger == 0:
		if to.state != r.state || to.outcome != r.outcome || to.since.Before(r.since) {
			return errors.New("5 (a way out): a check-in moves the clock forward and nothing else")
		}
	case modelEnds[trigger] == "" || moved:
		return errors.New("2 (only rules' transitions): no rule permits it")
	case to.live():
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

// fencedBefore reports whether a request can have been CANCELLING before a time.
func (h *history) fencedBefore(id lifecycle.ID, end int64) bool {
	return h.first[id].State == lifecycle.StateCancelling || slices.ContainsFunc(h.writes[id], func(w write) bool {
		return w.State == lifecycle.StateCancelling && w.begin < end
	})
}

// judgeFamily looks whether a request was live, or came, when its parent had ended already.
func (h *history) judgeFamily(id lifecycle.ID, ends map[lifecycle.ID]span) error {
	parent, ended := ends[h.first[id].Parent]
	if !ended || h.first[id].Parent == 0 {
		return nil
	}
	own, gone := ends[id]
	switch {
	case h.born[id].begin > parent.end:
		return fmt.Errorf("3 (no escape): request %d was admitted below %d, which had ended", id, h.first[id].Parent)
	case !gone, own.begin > parent.end:
		return fmt.Errorf("4 (a parent ends last): request %d was live when %d ended", id, h.first[id].Parent)
	}
	return nil
}

// agrees checks that the requests that are there are those that began.
func (h *history) agrees(snap canceltest.Snapshot) error {
	var errs []error
	for id := range h.first {
		if _, ok := snap[id]; !ok {
			errs = append(errs, fmt.Errorf("request %d is not there", id))
		}
	}
	return show.Errors(errs)
}

// unanswered returns the ids of the requests whose work has yet to answer.
func unanswered(snap canceltest.Snapshot) (ids []lifecycle.ID) {
	for _, r := range snap.Below(0) {
		if rows.Unanswered(r) {
			ids = append(ids, r.ID)
		}
	}
	return ids
}
