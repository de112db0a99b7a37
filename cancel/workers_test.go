package cancel_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	"example.com/ess/lifecycle"
)

// A forgetful store keeps no attempts.
type forgetful struct{ cancel.Repository }

func (f forgetful) Get(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
	r, err := f.Repository.Get(ctx, id)
	r.Attempt = 0
	return r, err
}

func (f forgetful) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	for i := range changes {
		changes[i].Attempt, changes[i].Old.Attempt = 0, 0
	}
	return f.Repository.Apply(ctx, changes)
}

// TestRunWithoutAttempts runs work over a store that keeps no attempts.
func TestRunWithoutAttempts(t *testing.T) {
	t.Parallel()
	repo := newRepo(t, "1 SINGLETON READY")
	f := forgetful{repo}
	var workers cancel.Workers
	c := cancel.New(f, &cancel.Options{Interrupter: &workers})
	err := workers.Run(t.Context(), c, begin(t, f, 1), func(ctx context.Context) error {
		_, err := c.Cancel(t.Context(), cancel.Order{ID: 1})
		must(t, err)
		must(t, workers.Poll(t.Context(), c))
		return context.Cause(ctx)
	}, nil)
	if _, ok := errors.AsType[*cancel.CancelledError](err); !ok || states(repo) != "1 CANCELLED" {
		t.Errorf("Run = %v, %s", err, states(repo))
	}
}

// A mute store is a memrepo whose Cause fails.
type mute struct{ *memrepo.Repo }

func (mute) Cause(context.Context, lifecycle.ID) (cancel.Cause, error) {
	return cancel.Cause{}, errDisk
}

// TestRunWithoutCause has Run, CheckIn and Resume do without the cause of a cancel.
func TestRunWithoutCause(t *testing.T) {
	t.Parallel()
	repo := mute{newRepo(t, "1 SINGLETON READY; 2 PARENT RUNNING; 3<2 CHILD WAIT")}
	c := cancel.New(repo, nil)
	request := begin(t, repo, 1)
	_, err := c.Cancel(t.Context(), cancel.Order{ID: 1, Actor: "ann"})
	must(t, err)
	in, err := c.CheckIn(t.Context(), cancel.Order{ID: 1})
	if err != nil || !in.Cancelling || in.Cause != (cancel.Cause{}) {
		t.Errorf("CheckIn = %+v, %v", in, err)
	}
	var workers cancel.Workers
	err = workers.Run(t.Context(), c, request, nil, nil)
	if e, ok := errors.AsType[*cancel.CancelledError](err); !ok || e.Cause != (cancel.Cause{}) {
		t.Errorf("Run = %v", err)
	}
	// Resume does its work without it, and returns the error.
	_, err = c.Fence(t.Context(), cancel.Order{ID: 2})
	must(t, err)
	noList := struct {
		cancel.Repository
		cancel.CauseReader
	}{struct{ cancel.Repository }{repo}, repo}
	_, err = cancel.New(struct {
		cancel.Repository
		causes
	}{noList.Repository, causes{repo}}, nil).Resume(t.Context(), nil)
	if !errors.Is(err, errDisk) || states(repo.Repo) != "1 CANCELLED; 2 CANCELLED; 3 CANCELLED" {
		t.Errorf("Resume = %v, %s", err, states(repo.Repo))
	}
}

// causes has only the capability CauseReader.
type causes struct{ of mute }

func (c causes) Cause(ctx context.Context, id lifecycle.ID) (cancel.Cause, error) {
	return c.of.Cause(ctx, id)
}

// TestPoll interrupts work that no Interrupter was told of.
func TestPoll(t *testing.T) {
	t.Parallel()
	repo := newRepo(t, "1 SINGLETON READY; 2 SINGLETON READY")
	f := &fake{Repository: repo}
	var workers cancel.Workers
	c := cancel.New(f, nil)
	run := func(id lifecycle.ID, work func(ctx context.Context)) {
		_ = workers.Run(t.Context(), c, begin(t, repo, id), func(ctx context.Context) error {
			work(ctx)
			return context.Cause(ctx)
		}, nil)
	}
	run(1, func(ctx1 context.Context) {
		run(2, func(ctx2 context.Context) {
			_, err := cancel.New(repo, nil).Cancel(t.Context(), cancel.Order{ID: 2, Actor: "ann"})
			must(t, err)
			must(t, workers.Poll(t.Context(), c, 1, 99))
			if ctx1.Err() != nil || ctx2.Err() != nil {
				t.Error("work was told that was not asked for, or that nobody has cancelled")
			}
			f.get = func(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
				if id == 1 {
					return lifecycle.Request{}, errDisk
				}
				return repo.Get(ctx, id)
			}
			if err := workers.Poll(t.Context(), c); !errors.Is(err, errDisk) {
				t.Errorf("Poll = %v", err)
			}
			if _, ok := errors.AsType[*cancel.CancelledError](context.Cause(ctx2)); !ok || ctx1.Err() != nil {
				t.Errorf("after Poll: %v, %v", ctx1.Err(), context.Cause(ctx2))
			}
			f.get = nil
		})
	})
	if got := states(repo); got != "1 SUCCEEDED; 2 CANCELLED" {
		t.Error(got)
	}
}

// TestRepeat checks the intervals between calls.
func TestRepeat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		begun := time.Now()
		var at []time.Duration
		cancel.Repeat(ctx, time.Minute, func(context.Context) {
			if at = append(at, time.Since(begun)); len(at) == 100 {
				stop()
			}
		})
		lo, hi := time.Hour, time.Duration(0)
		for i := 1; i < len(at); i++ {
			lo, hi = min(lo, at[i]-at[i-1]), max(hi, at[i]-at[i-1])
		}
		if len(at) != 100 || at[0] != 0 || lo < 54*time.Second || hi > 66*time.Second+1 || lo == hi {
			t.Errorf("%d calls, the first after %v, then every %v to %v", len(at), at[0], lo, hi)
		}
	})
	defer func() {
		if recover() == nil {
			t.Error("an interval of 0 did not panic")
		}
	}()
	cancel.Repeat(t.Context(), 0, nil)
}

// TestRunConcurrentSafe runs the work of a tree in goroutines, and cancels the tree.
func TestRunConcurrentSafe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var text strings.Builder
		text.WriteString("1 PARENT RUNNING")
		for i := 2; i < 42; i++ {
			fmt.Fprintf(&text, "; %d<1 CHILD READY", i)
		}
		repo := newRepo(t, text.String())
		var workers cancel.Workers
		c := cancel.New(repo, &cancel.Options{Interrupter: &workers})
		var wg sync.WaitGroup
		for id := lifecycle.ID(2); id < 42; id++ {
			request := begin(t, repo, id)
			wg.Go(func() {
				_ = workers.Run(t.Context(), c, request, func(ctx context.Context) error {
					select {
					case <-ctx.Done():
						time.Sleep(time.Duration(id) * time.Second)
						return context.Cause(ctx)
					case <-time.After(time.Duration(id) * 100 * time.Millisecond):
						return errDisk
					}
				}, nil)
			})
		}
		go cancel.Repeat(t.Context(), time.Second/3, func(ctx context.Context) { _ = workers.Poll(ctx, c) })
		time.Sleep(2 * time.Second)
		if _, err := c.Cancel(t.Context(), cancel.Order{ID: 1}); err != nil {
			t.Error(err)
		}
		wg.Wait()
		for r := range repo.All() {
			want := lifecycle.StateCancelled
			if r.ID > 1 && r.ID <= 20 {
				want = lifecycle.StateError
			}
			if r.State != want && r.ID != 20 {
				t.Errorf("%d is %v, want %v", r.ID, r.State, want)
			}
		}
	})
}

// TestCancelAfterRun cancels a parent whose work has returned while a child is live: it
// waits for an acknowledgement, which the scheduler has to give.
func TestCancelAfterRun(t *testing.T) {
	t.Parallel()
	repo := newRepo(t, "1 SUBREQUEST_PARENT READY; 2<1 CHILD RUNNING")
	var workers cancel.Workers
	c := cancel.New(repo, &cancel.Options{Interrupter: &workers})
	must(t, workers.Run(t.Context(), c, begin(t, repo, 1), func(context.Context) error { return nil }, nil))
	_, err := c.Cancel(t.Context(), cancel.Order{ID: 1})
	must(t, err)
	for _, step := range []struct {
		id   lifecycle.ID
		want string
	}{{2, "1 CANCELLING; 2 SUCCEEDED"}, {1, "1 SUCCEEDED; 2 SUCCEEDED"}} {
		_, err := c.Acknowledge(t.Context(), cancel.Order{ID: step.id}, lifecycle.StateSucceeded)
		if got := states(repo); err != nil || got != step.want {
			t.Errorf("after the acknowledgement of %d: %v, %s, want %s", step.id, err, got, step.want)
		}
	}
}
