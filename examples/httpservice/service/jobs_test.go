package service

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
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
	f := start(t, insert(t, rows...), nil)
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
		if a.status != 200 && (whole || a.status != 503) {
			t.Errorf("stopped after %d writes: %d %s", writes, a.status, a.body)
		}
		repo.release(errors.New("the store is gone"))
		<-stopped

		f = start(t, struct{ Store }{inner}, cfg)
		if writes == 0 { // not cancelled, and of the work this service knows only that it was running
			f.waitFor("1", lifecycle.StateFinished)
			continue
		}
		for id := 1; id <= 8; id++ {
			f.waitFor(fmt.Sprint(id), lifecycle.StateCancelled)
		}
		if writes > 20 {
			t.Fatal("the cascade does not end")
		}
	}
}

// TestShutdown has a service stop in the middle of a call, which is still answered.
func TestShutdown(t *testing.T) {
	t.Parallel()
	inner := insert(t)
	repo := newHalting(inner)
	f := start(t, repo, nil)
	f.submit(`{"children": [{"seconds": 3600}, {"seconds": 3600, "deaf": true}]}`)
	f.submit(`{"seconds": 3600}`)
	f.submit(`{"seconds": 3600, "deaf": true}`)
	for _, id := range []string{"2", "3", "4", "5"} {
		f.waitFor(id, lifecycle.StateRunning)
	}
	repo.haltAfter(1)
	answered := f.begin("1", "cancel")
	<-repo.halted
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		f.stop()
	}()
	for { // until it listens no more
		conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
		if err != nil {
			break
		}
		_ = conn.Close()
	}
	select {
	case <-stopped:
		t.Error("it did not wait for the call")
	case a := <-answered:
		t.Errorf("too early: %d %s", a.status, a.body)
	case <-time.After(20 * time.Millisecond):
	}
	repo.release(nil)
	if a := <-answered; a.status != 200 {
		t.Errorf("the call in progress: %d %s", a.status, a.body)
	}
	<-stopped
	if strings.Contains(f.log.String(), "level=ERROR") {
		t.Errorf("log:\n%s", f.log.String())
	}
	// Work that was cancelled has answered, or will by the next service; other work is
	// as it was.
	want := map[lifecycle.ID]lifecycle.State{
		1: lifecycle.StateCancelled, 2: lifecycle.StateCancelled, 3: lifecycle.StateCancelled,
		4: lifecycle.StateRunning, 5: lifecycle.StateRunning,
	}
	for r := range inner.All() {
		if r.State != want[r.ID] {
			t.Errorf("request %d is %v, want %v", r.ID, r.State, want[r.ID])
		}
	}
	f = start(t, inner, nil)
	f.waitFor("4", lifecycle.StateSucceeded)
	f.waitFor("5", lifecycle.StateSucceeded)
}

// A hooked store calls hook before it does something, if hook is not nil.
type hooked struct {
	Store
	submit, complete func()
}

func (h *hooked) Submit(ctx context.Context, r lifecycle.Request) error {
	if r.Parent != 0 && h.submit != nil {
		h.submit()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return h.Store.Submit(ctx, r)
}

func (h *hooked) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	if changes[0].Trigger == lifecycle.TriggerComplete && h.complete != nil {
		h.complete()
	}
	return h.Store.Apply(ctx, changes)
}

// TestSubmitterGoes has a client hang up while its tree is stored, which all of it is.
func TestSubmitterGoes(t *testing.T) {
	t.Parallel()
	repo := &hooked{Store: insert(t)}
	ctx, hangUp := context.WithCancel(t.Context())
	repo.submit = func() {
		hangUp()
		time.Sleep(20 * time.Millisecond)
	}
	f := start(t, repo, nil)
	r := f.request(ctx, "POST", requests, strings.NewReader(`{"children": [{}, {}]}`), ann("Content-Type", "application/json"))
	if _, err := f.do(r); !errors.Is(err, context.Canceled) {
		t.Errorf("submit: %v", err)
	}
	f.waitFor("1", lifecycle.StateFinished)
	f.waitFor("3", lifecycle.StateSucceeded)
}

// TestShutdownAtTheEnd has a service stop when some work has just been done: that it has
// is stored all the same.
func TestShutdownAtTheEnd(t *testing.T) {
	t.Parallel()
	inner := insert(t, lifecycle.Request{ID: 1, Kind: lifecycle.KindSingleton, State: lifecycle.StateWait})
	done := make(chan struct{})
	repo := &hooked{Store: inner, complete: func() {
		close(done)
		time.Sleep(50 * time.Millisecond)
	}}
	f := start(t, repo, nil)
	<-done
	f.stop()
	if r, err := inner.Get(t.Context(), 1); err != nil || r.State != lifecycle.StateSucceeded {
		t.Errorf("request 1 is %v, %v; log:\n%s", r.State, err, f.log.String())
	}
}

// TestProgram has the program itself be ended by a signal.
func TestProgram(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("no signals")
	}
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), "HTTPSERVICE_ARGS=-addr 127.0.0.1:0 -operators ann,bob")
		stderr, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(stderr)
		if !lines.Scan() {
			t.Fatal("it says nothing")
		}
		_, addr, _ := strings.Cut(lines.Text(), "addr=")
		f := &fixture{t: t, url: "http://" + addr}
		f.submit(`{"seconds": 3600}`)
		f.waitFor("1", lifecycle.StateRunning)
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		var rest []string
		for lines.Scan() {
			rest = append(rest, lines.Text())
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %v", sig, err)
		}
		if log := strings.Join(rest, "\n"); !strings.Contains(log, "stopping") || strings.Contains(log, "level=ERROR") {
			t.Errorf("%v: log:\n%s", sig, log)
		}
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ args, want string }{
		{"-help", "flag: help requested"},
		{"-no-such-flag", "flag provided but not defined: -no-such-flag"},
		{"-every 0s", "-grace, -slots and -every must be positive"},
		{"-slots -1", "-grace, -slots and -every must be positive"},
		{"-grace 0s", "-grace, -slots and -every must be positive"},
		{"-addr 127.0.0.1:-1", "listen tcp: address -1: invalid port"},
	} {
		var stderr buffer
		flags := flag.NewFlagSet("httpservice", flag.ContinueOnError)
		flags.SetOutput(&stderr)
		if err := run(t.Context(), flags, strings.Fields(tt.args), inMemory, &stderr); err == nil || err.Error() != tt.want {
			t.Errorf("%s: %v, want %s", tt.args, err, tt.want)
		}
	}
}
