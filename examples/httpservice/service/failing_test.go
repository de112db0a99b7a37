package service

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// A failing store can be read and written, but for what is told to fail.
type failing struct {
	Store
	reads, writes atomic.Bool // whether they fail
	calls         atomic.Int64
}

var errFailing = errors.New("the disk is full")

func (f *failing) Children(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
	f.calls.Add(1)
	if f.reads.Load() {
		return nil, errFailing
	}
	return f.Store.Children(ctx, q)
}

func (f *failing) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	f.calls.Add(1)
	if f.writes.Load() {
		return nil, errFailing
	}
	return f.Store.Apply(ctx, changes)
}

// TestFailingStore has a store fail for hours. The dispatcher says so, and neither fills
// the log nor keeps a processor busy; and when the store works again it goes on.
func TestFailingStore(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]func(*failing) *atomic.Bool{
		"reads":  func(f *failing) *atomic.Bool { return &f.reads },
		"writes": func(f *failing) *atomic.Bool { return &f.writes },
	} {
		for _, when := range []string{"before work starts", "while work runs"} {
			t.Run(name+" fail "+when, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					store := &failing{Store: insert(t)}
					var log buffer
					cfg := testConfig()
					cfg.log = newLog(&log)
					s := newService(store, *cfg)
					tree := &Tree{}
					for range 10 {
						tree.Children = append(tree.Children, &Tree{Job: Job{Seconds: 60}})
					}
					if when == "before work starts" {
						fails(store).Store(true)
					}
					if _, err := s.store.Submit(t.Context(), tree); err != nil {
						t.Fatal(err)
					}
					ctx, stop := context.WithCancel(t.Context())
					var ended sync.WaitGroup
					ended.Go(func() { s.jobs.run(ctx) })
					time.Sleep(10 * time.Second)
					fails(store).Store(true)
					const minutes = 180
					for range minutes {
						time.Sleep(time.Minute)
						s.jobs.wake() // clients call all the time
					}
					if lines := strings.Count(log.String(), "\n"); lines == 0 || lines > minutes+1 {
						t.Errorf("%d lines of log in %d minutes", lines, minutes)
					}
					if calls := store.calls.Load(); calls > minutes*400 {
						t.Errorf("%d calls of a store that fails in %d minutes", calls, minutes)
					}
					if s.jobs.well(2 * cfg.every) {
						t.Error("it is said to be well")
					}
					fails(store).Store(false)
					time.Sleep(20 * time.Second) // work that has been done is not done again, which takes 60
					if r, err := s.store.Get(t.Context(), 2); when == "while work runs" && (err != nil || r.State != lifecycle.StateSucceeded) {
						t.Errorf("soon after the store has been mended, request 2 is %v, %v", r.State, err)
					}
					time.Sleep(20 * time.Minute)
					synctest.Wait()
					if r, err := s.store.Get(t.Context(), 1); err != nil || r.State != lifecycle.StateFinished {
						t.Errorf("after the store has been mended, request 1 is %v, %v", r.State, err)
					}
					if !s.jobs.well(2 * cfg.every) {
						t.Error("it is still said to be ill")
					}
					stop()
					ended.Wait()
				})
			})
		}
	}
}

// A garbled store has requests that it cannot read.
type garbled struct {
	Store
	first, last lifecycle.ID
}

func (g garbled) garble(r *lifecycle.Request) {
	if g.first <= r.ID && r.ID <= g.last {
		*r = lifecycle.Request{ID: r.ID, Parent: r.Parent}
	}
}

func (g garbled) Get(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
	r, err := g.Store.Get(ctx, id)
	g.garble(&r)
	return r, err
}

func (g garbled) Children(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
	page, err := g.Store.Children(ctx, q)
	for i := range page {
		g.garble(&page[i])
	}
	return page, err
}

// TestUnreadable has requests that cannot be read. They are named, and live; the others
// go on.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	const bad = 2 * maxFailures
	f := start(t, garbled{insert(t), 2, 1 + bad}, nil)
	f.submit(`{"children": [` + strings.Repeat("{}, ", bad) + `{}]}`)
	f.submit(`{}`)
	f.waitFor(fmt.Sprint(2+bad), lifecycle.StateSucceeded)
	f.waitFor(fmt.Sprint(3+bad), lifecycle.StateSucceeded)
	f.waitFor("1", lifecycle.StateRunning)
	if log := f.log.String(); strings.Count(log, "level=ERROR") != 1 || !strings.Contains(log, "request 2") {
		t.Errorf("log:\n%s", log)
	}
	if a := f.call("GET", requests+"/2", "", nil); a.status != 500 {
		t.Errorf("what cannot be read: %d %s", a.status, a.body)
	}
	if d := f.details("1"); len(d.Children) != 1+bad || d.Children[0].State != 0 {
		t.Errorf("its parent: %+v", d)
	}
	if a := f.call("GET", "/health", "", nil); a.status != 503 {
		t.Errorf("health: %d %s", a.status, a.body)
	}
}

// TestDoneThenCancelled cancels work that has been done, of which the store could not be told
// before. It has succeeded.
func TestDoneThenCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &failing{Store: insert(t)}
		cfg := testConfig()
		cfg.log = newLog(t.Output())
		s := newService(store, *cfg)
		if _, err := s.store.Submit(t.Context(), &Tree{Job: Job{Seconds: 60}}); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var ended sync.WaitGroup
		ended.Go(func() { s.jobs.run(ctx) })
		time.Sleep(30 * time.Second)
		store.writes.Store(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		store.writes.Store(false)
		if _, err := s.canceller.Cancel(t.Context(), cancel.Order{ID: 1, Actor: "ann"}); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if r, err := s.store.Get(t.Context(), 1); err != nil || r.State != lifecycle.StateSucceeded {
			t.Errorf("request 1 is %v, %v", r.State, err)
		}
		stop()
		ended.Wait()
	})
}
