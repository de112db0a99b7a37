package service

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// A halting store has the three methods only, and can be told to halt at some write.
type halting struct {
	Store
	mu     sync.Mutex
	left   int           // writes until it halts; negative for any number
	halted chan struct{} // closed when it has halted
	goOn   chan struct{} // closed when it is to go on
	err    error         // what becomes then of the writes that wait
}

func newHalting(s Store) *halting { return &halting{Store: s, left: -1} }

// haltAfter has the store make n more writes.
func (h *halting) haltAfter(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.left, h.halted, h.goOn, h.err = n, make(chan struct{}), make(chan struct{}), nil
}

// release lets it go on; writes that wait fail with err if that is not nil.
func (h *halting) release(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.err = err
	close(h.goOn)
}

// next returns what the next write has to wait for, or nil.
func (h *halting) next() (goOn <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.left < 0:
		return nil
	case h.left > 0:
		h.left--
		return nil
	}
	select {
	case <-h.halted:
	default:
		close(h.halted)
	}
	return h.goOn
}

func (h *halting) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	if goOn := h.next(); goOn != nil {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-goOn:
		}
		h.mu.Lock()
		err := h.err
		h.mu.Unlock()
		if err != nil {
			return nil, err
		}
	}
	return h.Store.Apply(ctx, changes)
}

// TestRuns has a tree run to its end: every parent after its children.
func TestRuns(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.slots = 2
	f := start(t, nil, cfg)
	f.submit(`{"children": [{}, {"children": [{"seconds": 0.01}, {"seconds": 0.01}, {}]}, {"seconds": 0.02}]}`)
	f.submit(`{}`)
	f.waitFor("1", lifecycle.StateFinished)
	f.waitFor("8", lifecycle.StateSucceeded)
	for id, want := range map[string]lifecycle.State{
		"2": lifecycle.StateSucceeded, "3": lifecycle.StateFinished, "4": lifecycle.StateSucceeded, "7": lifecycle.StateSucceeded,
	} {
		if got := f.details(id).State; got != want {
			t.Errorf("request %s is %v, want %v", id, got, want)
		}
	}
	f.submit(`{"children": [{"seconds": 3600}]}`)
	f.submit(`{"parent": 9}`)
	f.waitFor("11", lifecycle.StateSucceeded)
	f.waitFor("9", lifecycle.StateRunning)
	f.order("10", "cancel")
	f.waitFor("10", lifecycle.StateCancelled)
	f.waitFor("9", lifecycle.StateFinished)
}

// TestSlots has more work than may run at once.
func TestSlots(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.slots = 2
	f := start(t, nil, cfg)
	f.submit(`{"children": [` + strings.Repeat(`{"seconds": 0.01}, `, 20) + `{"seconds": 3600}]}`)
	for range 100 {
		running := 0
		for _, c := range f.details("1").Children {
			if c.State == lifecycle.StateRunning || c.State == lifecycle.StateCompleted {
				running++
			}
		}
		if running > cfg.slots {
			t.Fatalf("%d requests run at once, %d may", running, cfg.slots)
		}
	}
	f.waitFor("21", lifecycle.StateSucceeded)
	f.waitFor("22", lifecycle.StateRunning)
}

// TestLeftovers has a service start over what another may have left.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	var rows []lifecycle.Request
	want := map[lifecycle.ID]lifecycle.State{}
	add := func(id, parent lifecycle.ID, k lifecycle.Kind, from, to lifecycle.State) {
		rows = append(rows, lifecycle.Request{ID: id, Parent: parent, Kind: k, State: from})
		want[id] = to
	}
	const leaf, parent = lifecycle.KindChild, lifecycle.KindParent
	add(1, 0, leaf, lifecycle.StateWait, lifecycle.StateSucceeded)
	add(2, 0, leaf, lifecycle.StateReady, lifecycle.StateSucceeded)
	add(3, 0, leaf, lifecycle.StateRunning, lifecycle.StateSucceeded)
	add(4, 0, leaf, lifecycle.StateCompleted, lifecycle.StateSucceeded)
	add(5, 0, leaf, lifecycle.StateCancelling, lifecycle.StateCancelled)
	add(6, 0, leaf, lifecycle.StateHold, lifecycle.StateHold)
	add(10, 0, parent, lifecycle.StateHold, lifecycle.StateHold)
	add(11, 10, leaf, lifecycle.StateWait, lifecycle.StateWait)
	add(12, 10, leaf, lifecycle.StateRunning, lifecycle.StateSucceeded)
	add(13, 10, parent, lifecycle.StateRunning, lifecycle.StateRunning)
	add(14, 13, leaf, lifecycle.StateReady, lifecycle.StateReady)
	add(20, 0, parent, lifecycle.StatePendingValidation, lifecycle.StatePendingValidation)
	add(21, 20, leaf, lifecycle.StateWait, lifecycle.StateWait)
	add(30, 0, parent, lifecycle.StateCancelling, lifecycle.StateCancelled)
	add(31, 30, leaf, lifecycle.StateWait, lifecycle.StateCancelled)
	add(32, 30, leaf, lifecycle.StateRunning, lifecycle.StateCancelled)
	add(33, 30, parent, lifecycle.StateRunning, lifecycle.StateCancelled)
	add(40, 0, parent, lifecycle.StateScheduleEnded, lifecycle.StateFinished)
	add(41, 40, leaf, lifecycle.StateWait, lifecycle.StateSucceeded)
	add(50, 0, parent, lifecycle.StateRunning, lifecycle.StateFinished)
	store := insert(t, rows...)
	store.jobs = map[lifecycle.ID]Job{4: {Seconds: 3600}} // which it has done
	f := start(t, store, nil)
	for _, r := range rows {
		f.waitFor(fmt.Sprint(r.ID), want[r.ID])
	}
	f.submit(`{}`)
	f.waitFor("51", lifecycle.StateSucceeded)
	for _, r := range rows { // still
		f.waitFor(fmt.Sprint(r.ID), want[r.ID])
	}
}

// TestRestart stops a service at every write of a cascade. Another over the same Store
// brings the tree to its end.
func TestRestart(t *testing.T) {
	t.Parallel()
	for writes, whole := 0, false; !whole; writes++ {
		inner := insert(t)
		repo := newHalting(inner)
		cfg := testConfig()
		cfg.slots = 2
		f := startDraining(t, repo, cfg, 10*time.Millisecond)
		f.submit(`{"children": [{"seconds": 3600}, {"seconds": 3600}, {"children": [{}, {"children": [{}]}, {}]}]}`)
		f.waitFor("3", lifecycle.StateRunning)
		f.waitFor("4", lifecycle.StateRunning)

		repo.haltAfter(writes)
		answered := f.begin("1", "cancel")
		var a answer
		select {
		case <-repo.halted: // by the cancel, or by work that acknowledges
		case a = <-answered:
			whole = true
		}
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			f.stop()
		}()
		if !whole {
			a = <-answered
		}
		// Once the request itself is CANCELLING the operation is initiated.
		if want := 200; a.status != want && (writes > 0 || a.status != 503) {
			t.Errorf("stopped after %d writes: %d %s, want %d", writes, a.status, a.body, want)
		}
		repo.release(errors.New("the store is gone"))
		<-stopped

		f = start(t, struct{ Store }{inner}, cfg)
		if writes == 0 { // not cancelled
			f.waitFor("1", lifecycle.StateRunning)
			f.order("1", "cancel")
		}
		for id := 1; id <= 8; id++ {
			f.waitFor(fmt.Sprint(id), lifecycle.StateCancelled)
		}
		if writes > 20 {
			t.Fatal("the cascade does not end")
		}
	}
}

// A hooked store calls hook before it does something, if hook is not nil.
type hooked struct {
	Store
	submit    func(context.Context)
	submitted chan error // what became of it
	complete  func()
}

func (h *hooked) Submit(ctx context.Context, t *Tree) (lifecycle.ID, error) {
	if h.submit == nil {
		return h.Store.Submit(ctx, t)
	}
	h.submit(ctx)
	id, err := h.Store.Submit(ctx, t)
	h.submitted <- err
	return id, err
}

func (h *hooked) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	if changes[0].Trigger == lifecycle.TriggerComplete && h.complete != nil {
		h.complete()
	}
	return h.Store.Apply(ctx, changes)
}

// TestSubmitterGoes has a client hang up while its tree is stored. That stores all of
// it, or nothing.
func TestSubmitterGoes(t *testing.T) {
	t.Parallel()
	store := insert(t)
	repo := &hooked{Store: store, submitted: make(chan error, 1)}
	ctx, hangUp := context.WithCancel(t.Context())
	repo.submit = func(ctx context.Context) {
		hangUp()
		<-ctx.Done()
	}
	f := start(t, repo, nil)
	r := f.request(ctx, "POST", requests, strings.NewReader(`{"children": [{}, {}]}`), ann("Content-Type", "application/json"))
	if _, err := f.do(r); !errors.Is(err, context.Canceled) {
		t.Errorf("submit: %v", err)
	}
	if err := <-repo.submitted; err != nil {
		for r := range store.All() {
			t.Errorf("the submission failed, %v, and request %d is there", err, r.ID)
		}
		return
	}
	f.waitFor("1", lifecycle.StateFinished)
	f.waitFor("3", lifecycle.StateSucceeded)
}

// TestForcedElsewhere has another process cancel a request whose work runs here, and force
// it before this one has heard of it. The work ends, and gives up its slot.
func TestForcedElsewhere(t *testing.T) {
	t.Parallel()
	store := insert(t)
	cfg := testConfig()
	cfg.every = 200 * time.Millisecond // after the force
	f := start(t, store, cfg)
	f.submit(`{"seconds": 3600}`)
	f.waitFor("1", lifecycle.StateRunning)
	other := cancel.New(store, &cancel.Options{Grace: -1})
	for _, do := range []func(context.Context, cancel.Order) (cancel.Result, error){other.Cancel, other.Force} {
		if _, err := do(t.Context(), cancel.Order{ID: 1}); err != nil && f.details("1").State != lifecycle.StateCancelled {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(f.call("GET", "/health", "", nil).body, `"running": 0`); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the work still runs")
		}
	}
}
