package cancel_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// TestWorkersOutcomes maps every way in which work can return to the state in which the
// request ends.
func TestWorkersOutcomes(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	tests := []struct {
		name string
		work func(ctx context.Context) error
		want lifecycle.State
	}{
		{"nil", func(context.Context) error { return nil }, lifecycle.StateSucceeded},
		{"the cause", context.Cause, lifecycle.StateCancelled},
		{"the cause, wrapped", func(ctx context.Context) error { return fmt.Errorf("step 3: %w", context.Cause(ctx)) }, lifecycle.StateCancelled},
		{"the context's error", func(ctx context.Context) error { return ctx.Err() }, lifecycle.StateCancelled},
		{"another error", func(context.Context) error { return boom }, lifecycle.StateError},
		{"a panic", func(context.Context) error { panic(boom) }, lifecycle.StateError},
		{"the end of its goroutine", func(context.Context) error { runtime.Goexit(); return nil }, lifecycle.StateError},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			repo := newRepo(t, "1 PARENT RUNNING; 2<1 CHILD RUNNING")
			var workers cancel.Workers
			c := cancel.New(repo, &cancel.Options{Interrupter: &workers})
			started, done := make(chan struct{}), make(chan any)
			go func() {
				defer close(done)
				defer func() {
					if p := recover(); p != nil {
						done <- p
					}
				}()
				err := workers.Run(t.Context(), c, 2, func(ctx context.Context) error {
					close(started)
					<-ctx.Done()
					return tt.work(ctx)
				})
				if tt.want != lifecycle.StateSucceeded && err == nil {
					t.Error("Run swallowed the error of the work")
				}
			}()
			<-started
			res, err := c.Cancel(t.Context(), cancel.Order{ID: 1, Actor: "ann", Reason: "ledger"})
			if err != nil || res.Interrupted != 1 {
				t.Fatalf("Cancel = %+v, %v", res, err)
			}
			if p := <-done; (p != nil) != (tt.name == "a panic") {
				t.Errorf("Run let %v pass", p)
			}
			if got := states(repo); got != "1 CANCELLED; 2 "+tt.want.String() {
				t.Error(got)
			}
		})
	}
}

// TestWorkersCause checks what work learns of its cancel.
func TestWorkersCause(t *testing.T) {
	t.Parallel()
	repo := newRepo(t, "1 PARENT RUNNING; 2<1 CHILD RUNNING")
	var workers cancel.Workers
	c := cancel.New(repo, &cancel.Options{Interrupter: &workers, Now: clock})
	err := workers.Run(t.Context(), c, 2, func(ctx context.Context) error {
		if _, err := c.Cancel(ctx, cancel.Order{ID: 1, Actor: "ann", Reason: "ledger"}); err != nil {
			t.Error(err)
		}
		if ctx.Err() == nil {
			t.Error("the context goes on after the cancel has returned")
		}
		return context.Cause(ctx)
	})
	e, ok := errors.AsType[*cancel.CancelledError](err)
	want := cancel.CancelledError{ID: 2, Cause: cancel.Cause{Root: 1, Actor: "ann", Reason: "ledger", Time: start}}
	if !ok || *e != want {
		t.Errorf("the work got %v, want %v", err, &want)
	}
}

// TestWorkersLate starts work whose request has been cancelled before: it is told at
// once, and does not begin.
func TestWorkersLate(t *testing.T) {
	t.Parallel()
	repo := newRepo(t, "1 SINGLETON RUNNING")
	var workers cancel.Workers
	c := cancel.New(repo, &cancel.Options{Interrupter: &workers})
	if _, err := c.Cancel(t.Context(), cancel.Order{ID: 1, Actor: "ann"}); err != nil {
		t.Fatal(err)
	}
	err := workers.Run(t.Context(), c, 1, func(context.Context) error {
		t.Error("the work began")
		return nil
	})
	if e, ok := errors.AsType[*cancel.CancelledError](err); !ok || e.Cause.Actor != "ann" {
		t.Errorf("Run = %v", err)
	}
	if got := states(repo); got != "1 CANCELLED" {
		t.Error(got)
	}
}

// TestWorkersBetween has the cancel come between the registration and the look at the
// store, and between that and the first line of the work.
func TestWorkersBetween(t *testing.T) {
	t.Parallel()
	for call := int64(1); call <= 2; call++ {
		repo := newRepo(t, "1 SINGLETON RUNNING")
		var workers cancel.Workers
		other := cancel.New(repo, &cancel.Options{Interrupter: &workers})
		f := &fake{Repository: repo}
		f.before = func(n int64) error {
			if n == call {
				if _, err := other.Cancel(context.Background(), cancel.Order{ID: 1}); err != nil {
					t.Error(err)
				}
			}
			return nil
		}
		err := workers.Run(t.Context(), cancel.New(f, nil), 1, func(ctx context.Context) error {
			if call == 1 {
				t.Error("the work began")
			}
			return context.Cause(ctx)
		})
		if _, ok := errors.AsType[*cancel.CancelledError](err); call == 1 && !ok {
			t.Errorf("cancel at call %d: Run = %v", call, err)
		}
		if got := states(repo); call == 1 && got != "1 CANCELLED" {
			t.Errorf("cancel at call %d: %s", call, got)
		}
		// At call 2 the work had returned nil and the request was cancelled after:
		// that is the acknowledgement's part.
		if got := states(repo); call == 2 && got != "1 SUCCEEDED" {
			t.Errorf("cancel at call %d: %s", call, got)
		}
	}
}

// TestWorkersOwnEnd lets the work end its request itself, as the scheduler's part, once
// before and once after a cancel.
func TestWorkersOwnEnd(t *testing.T) {
	t.Parallel()
	for _, cancelled := range []bool{false, true} {
		repo := newRepo(t, "1 SINGLETON RUNNING")
		var workers cancel.Workers
		c := cancel.New(repo, &cancel.Options{Interrupter: &workers})
		err := workers.Run(t.Context(), c, 1, func(ctx context.Context) error {
			if cancelled {
				if _, err := c.Cancel(ctx, cancel.Order{ID: 1}); err != nil {
					t.Error(err)
				}
			}
			ctx = context.WithoutCancel(ctx)
			_, err := repo.Fire(ctx, 1, lifecycle.TriggerComplete)
			if err == nil {
				_, err = repo.Fire(ctx, 1, lifecycle.TriggerWarn)
			}
			if errors.Is(err, esserrors.CodeUnsupportedState) {
				err = nil // a cancel was quicker; the work is done all the same
			}
			return err
		})
		want := "1 WARNING"
		if cancelled {
			want = "1 SUCCEEDED"
		}
		if got := states(repo); err != nil || got != want {
			t.Errorf("cancelled %v: Run = %v, %s, want %s", cancelled, err, got, want)
		}
	}
}

// TestWorkersUncancelled runs work that nobody cancels.
func TestWorkersUncancelled(t *testing.T) {
	t.Parallel()
	repo := newRepo(t, "1 SINGLETON RUNNING")
	var workers cancel.Workers
	c := cancel.New(repo, &cancel.Options{Interrupter: &workers})
	if err := workers.Run(t.Context(), c, 1, func(context.Context) error { return errDisk }); !errors.Is(err, errDisk) {
		t.Errorf("Run = %v", err)
	}
	if got := states(repo); got != "1 RUNNING" {
		t.Errorf("nobody cancelled it, and it is %s", got)
	}
}

func TestWorkersRefuse(t *testing.T) {
	t.Parallel()
	repo := newRepo(t, "1 SINGLETON READY; 2 SINGLETON CANCELLED; 3 PARENT RUNNING; 4 SINGLETON RUNNING")
	var workers cancel.Workers
	c := cancel.New(repo, &cancel.Options{Interrupter: &workers})
	never := func(context.Context) error {
		t.Error("the work began")
		return errDisk
	}
	for id, want := range map[lifecycle.ID]esserrors.Code{
		1: esserrors.CodeUnsupportedState, 2: esserrors.CodeUnsupportedState, 3: esserrors.CodeUnsupportedState, 99: esserrors.CodeNotFound,
	} {
		if err := workers.Run(t.Context(), c, id, never); esserrors.CodeOf(err) != want {
			t.Errorf("Run(%d) = %v, want %v", id, err, want)
		}
	}
	err := workers.Run(t.Context(), c, 4, func(ctx context.Context) error { return workers.Run(ctx, c, 4, never) })
	if !errors.Is(err, esserrors.CodeConflict) {
		t.Errorf("twice at once: %v", err)
	}
	// Afterwards it may run again.
	if err := workers.Run(t.Context(), c, 4, func(context.Context) error { return nil }); err != nil {
		t.Error(err)
	}
}

// TestWorkersLastWords has the context of the work end with its process: it still
// acknowledges. A store that fails then is reported.
func TestWorkersLastWords(t *testing.T) {
	t.Parallel()
	repo := newRepo(t, "1 SINGLETON RUNNING; 2 SINGLETON RUNNING")
	var workers cancel.Workers
	f := &fake{Repository: repo}
	c := cancel.New(f, &cancel.Options{Interrupter: &workers})
	ctx, stop := context.WithCancel(t.Context())
	err := workers.Run(ctx, c, 1, func(context.Context) error {
		if _, err := c.Cancel(t.Context(), cancel.Order{ID: 1}); err != nil {
			t.Error(err)
		}
		stop()
		return nil
	})
	if got := states(repo); err != nil || got != "1 SUCCEEDED; 2 RUNNING" {
		t.Errorf("Run = %v, %s", err, got)
	}
	err = workers.Run(t.Context(), c, 2, func(ctx context.Context) error {
		if _, err := c.Cancel(t.Context(), cancel.Order{ID: 2}); err != nil {
			t.Error(err)
		}
		f.before = func(int64) error { return errDisk }
		return context.Cause(ctx)
	})
	_, told := errors.AsType[*cancel.CancelledError](err)
	if !told || !errors.Is(err, errDisk) {
		t.Errorf("Run = %v, want both errors", err)
	}
	// Work that stops because its process does, and is cancelled meanwhile, has been
	// stopped.
	stopping := newRepo(t, "3 SINGLETON RUNNING")
	f.Repository, f.before = stopping, nil
	ctx, stop = context.WithCancel(t.Context())
	err = workers.Run(ctx, c, 3, func(ctx context.Context) error {
		stop()
		if _, err := c.Cancel(t.Context(), cancel.Order{ID: 3}); err != nil {
			t.Error(err)
		}
		return fmt.Errorf("copying: %w", ctx.Err())
	})
	if got := states(stopping); !errors.Is(err, context.Canceled) || got != "3 CANCELLED" {
		t.Errorf("Run = %v, %s", err, got)
	}
	// What ends the context without a cancel is the work's own error.
	ctx, stop = context.WithCancel(t.Context())
	stop()
	f.before = nil
	err = workers.Run(ctx, cancel.New(background{repo}, nil), 2, func(ctx context.Context) error { return ctx.Err() })
	if err == nil {
		t.Error("Run with an ended context succeeded")
	}
}

// background ignores the caller's context.
type background struct{ *memrepo.Repo }

func (b background) Get(_ context.Context, id lifecycle.ID) (lifecycle.Request, error) {
	return b.Repo.Get(context.Background(), id)
}

// TestWorkersConcurrentSafe runs, cancels and forces a tree of real goroutines.
func TestWorkersConcurrentSafe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var text strings.Builder
		text.WriteString("1 PARENT RUNNING")
		for i := 2; i < 42; i++ {
			fmt.Fprintf(&text, "; %d<1 CHILD RUNNING", i)
		}
		repo := newRepo(t, text.String())
		var workers cancel.Workers
		c := cancel.New(repo, &cancel.Options{Interrupter: &workers})
		var wg sync.WaitGroup
		for id := lifecycle.ID(2); id < 42; id++ {
			wg.Go(func() {
				_ = workers.Run(t.Context(), c, id, func(ctx context.Context) error {
					select {
					case <-ctx.Done():
						time.Sleep(time.Duration(id) * time.Second)
						return context.Cause(ctx)
					case <-time.After(time.Duration(id) * 100 * time.Millisecond):
						_, err := repo.Fire(context.WithoutCancel(ctx), id, lifecycle.TriggerFail)
						if err != nil {
							return nil
						}
						return errDisk
					}
				})
			})
		}
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
