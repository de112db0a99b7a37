package cancel_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// begin starts a request that is READY, as a scheduler does.
func begin(t testing.TB, repo cancel.Repository, id lifecycle.ID) lifecycle.Request {
	t.Helper()
	r, err := fire(context.Background(), repo, id, lifecycle.TriggerStart)
	must(t, err)
	return r
}

// again ends the attempt that runs, to be tried again, and starts another.
func again(t testing.TB, repo cancel.Repository, id lifecycle.ID) lifecycle.Request {
	t.Helper()
	for _, trigger := range []lifecycle.Trigger{lifecycle.TriggerFailRetryable, lifecycle.TriggerRetry, lifecycle.TriggerDispatch} {
		_, err := fire(context.Background(), repo, id, trigger)
		must(t, err)
	}
	return begin(t, repo, id)
}

// TestRunEnds maps every way in which work can return to the state in which the
// request ends, cancelled or not.
func TestRunEnds(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	ends := func(triggers ...lifecycle.Trigger) *cancel.RunOptions {
		return &cancel.RunOptions{End: func(error) []lifecycle.Trigger { return triggers }}
	}
	tests := []struct {
		name      string
		work      func(ctx context.Context) error
		opts      *cancel.RunOptions
		want      lifecycle.State
		cancelled lifecycle.State // if it is cancelled
	}{
		{"nil", func(context.Context) error { return nil }, nil, lifecycle.StateSucceeded, lifecycle.StateSucceeded},
		{"the cause", context.Cause, nil, lifecycle.StateSucceeded, lifecycle.StateCancelled},
		{"the cause, wrapped", func(ctx context.Context) error {
			if ctx.Err() == nil {
				return nil
			}
			return fmt.Errorf("step 3: %w", context.Cause(ctx))
		}, nil, lifecycle.StateSucceeded, lifecycle.StateCancelled},
		{"the context's error", func(ctx context.Context) error { return ctx.Err() }, nil, lifecycle.StateSucceeded, lifecycle.StateCancelled},
		{"another error", func(context.Context) error { return boom }, nil, lifecycle.StateError, lifecycle.StateError},
		{"a panic", func(context.Context) error { panic(boom) }, nil, lifecycle.StateError, lifecycle.StateError},
		{"the end of its goroutine", func(context.Context) error { runtime.Goexit(); return nil }, nil, lifecycle.StateError, lifecycle.StateError},
		{"a warning", func(context.Context) error { return nil }, ends(lifecycle.TriggerComplete, lifecycle.TriggerWarn), lifecycle.StateWarning, lifecycle.StateWarning},
		{"to be tried again", func(context.Context) error { return boom }, ends(lifecycle.TriggerFailRetryable), lifecycle.StateErrorAutoRetry, lifecycle.StateError},
		{"to be recovered", func(context.Context) error { return boom }, ends(lifecycle.TriggerFailRecoverable), lifecycle.StateErrorManualRecovery, lifecycle.StateError},
		{"to be called again", func(context.Context) error { return nil }, ends(lifecycle.TriggerPause), lifecycle.StatePaused, lifecycle.StateCancelled},
		{"not over", func(context.Context) error { return nil }, ends(), lifecycle.StateRunning, lifecycle.StateCancelled},
	}
	for _, tt := range tests {
		for _, cancelled := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, cancelled %v", tt.name, cancelled), func(t *testing.T) {
				t.Parallel()
				repo := newRepo(t, "1 PARENT RUNNING; 2<1 SUBREQUEST_PARENT READY")
				var workers cancel.Workers
				c := cancel.New(repo, &cancel.Options{Interrupter: &workers})
				request := begin(t, repo, 2)
				done := make(chan any)
				go func() {
					defer close(done)
					defer func() {
						if p := recover(); p != nil {
							done <- p
						}
					}()
					_ = workers.Run(t.Context(), c, request, func(ctx context.Context) error {
						if cancelled {
							res, err := c.Cancel(context.WithoutCancel(ctx), cancel.Order{ID: 1, Actor: "ann", Reason: "ledger"})
							if err != nil || res.Interrupted != 1 || ctx.Err() == nil {
								t.Errorf("Cancel = %+v, %v, and the context of the work: %v", res, err, ctx.Err())
							}
						}
						return tt.work(ctx)
					}, tt.opts)
				}()
				if p := <-done; (p != nil) != (tt.name == "a panic") {
					t.Errorf("Run let %v pass", p)
				}
				want := "1 RUNNING; 2 " + tt.want.String()
				if cancelled {
					want = "1 CANCELLED; 2 " + tt.cancelled.String()
				}
				if got := states(repo); got != want {
					t.Errorf("%s, want %s", got, want)
				}
			})
		}
	}
}

// TestRunPostProcessing runs work in COMPLETED, which ends well or with a warning.
func TestRunPostProcessing(t *testing.T) {
	t.Parallel()
	for work, want := range map[error]string{nil: "1 SUCCEEDED", errDisk: "1 WARNING"} {
		repo := newRepo(t, "1 SINGLETON COMPLETED")
		r, err := repo.Get(t.Context(), 1)
		must(t, err)
		var workers cancel.Workers
		err = workers.Run(t.Context(), cancel.New(repo, nil), r, func(context.Context) error { return work }, nil)
		if got := states(repo); got != want || err != work {
			t.Errorf("Run = %v, %s, want %s", err, got, want)
		}
	}
}

// TestRunBetween has a cancel come before each call in turn that Run makes of the store. The
// request always ends: as SUCCEEDED if its work has run, as CANCELLED if not.
func TestRunBetween(t *testing.T) {
	t.Parallel()
	calls := int64(1)
	for call := int64(1); call <= calls; call++ {
		repo := newRepo(t, "1 SINGLETON READY")
		var workers cancel.Workers
		other := cancel.New(repo, &cancel.Options{Interrupter: &workers})
		f := &fake{Repository: repo}
		worked := false
		f.before = func(n int64) error {
			calls = max(calls, n)
			if n == call {
				_, err := other.Cancel(context.Background(), cancel.Order{ID: 1})
				if err != nil && !errors.Is(err, esserrors.CodeUnsupportedState) {
					t.Error(err)
				}
			}
			return nil
		}
		err := workers.Run(t.Context(), cancel.New(f, nil), begin(t, repo, 1), func(context.Context) error {
			worked = true
			return nil
		}, nil)
		_, told := errors.AsType[*cancel.CancelledError](err)
		want := "1 SUCCEEDED"
		if !worked {
			want = "1 CANCELLED"
		}
		if got := states(repo); got != want || told == worked || worked && err != nil {
			t.Errorf("cancel at call %d of %d: worked %v, %s, want %s; Run = %v", call, calls, worked, got, want, err)
		}
	}
	if calls < 5 {
		t.Errorf("Run made %d calls", calls)
	}
}

// TestRunSuperseded has an attempt return after the scheduler has given it up and started
// another, which somebody cancels. The first attempt acknowledges nothing.
func TestRunSuperseded(t *testing.T) {
	t.Parallel()
	for _, sameProcess := range []bool{false, true} {
		repo := newRepo(t, "1 SINGLETON READY")
		first := new(cancel.Workers)
		second := first
		if !sameProcess {
			second = new(cancel.Workers)
		}
		c1 := cancel.New(repo, &cancel.Options{Interrupter: first})
		c2 := cancel.New(repo, &cancel.Options{Interrupter: second})
		err := first.Run(t.Context(), c1, begin(t, repo, 1), func(ctx context.Context) error {
			r2 := again(t, repo, 1)
			err := second.Run(t.Context(), c2, r2, func(ctx2 context.Context) error {
				must(t, first.Poll(t.Context(), c1))
				if !errors.Is(context.Cause(ctx), cancel.ErrSuperseded) || ctx2.Err() != nil {
					t.Errorf("after Poll the first attempt has %v, the second %v", context.Cause(ctx), context.Cause(ctx2))
				}
				_, err := c2.Cancel(t.Context(), cancel.Order{ID: 1, Actor: "ann"})
				must(t, err)
				return context.Cause(ctx2)
			}, &cancel.RunOptions{})
			if _, ok := errors.AsType[*cancel.CancelledError](err); !ok || states(repo) != "1 CANCELLED" {
				t.Errorf("the second attempt: %v, %s", err, states(repo))
			}
			return nil
		}, nil)
		if !errors.Is(err, cancel.ErrSuperseded) {
			t.Errorf("the first attempt: %v", err)
		}
	}
	// The other way round: the first returns while the second is at work.
	repo := newRepo(t, "1 SINGLETON READY")
	var workers cancel.Workers
	c := cancel.New(repo, &cancel.Options{Interrupter: &workers})
	for _, cancelled := range []bool{false, true} {
		r1 := begin(t, repo, 1)
		for _, work := range []error{nil, errDisk} {
			r2 := r1
			err := workers.Run(t.Context(), c, r1, func(context.Context) error {
				r2 = again(t, repo, 1)
				if cancelled {
					_, err := c.Cancel(t.Context(), cancel.Order{ID: 1})
					must(t, err)
				}
				return work
			}, nil)
			want := "1 RUNNING"
			if cancelled {
				want = "1 CANCELLING"
			}
			if got := states(repo); !errors.Is(err, cancel.ErrSuperseded) || !errors.Is(err, esserrors.CodeConflict) || work != nil && !errors.Is(err, work) || got != want {
				t.Errorf("cancelled %v, work %v: Run = %v, %s", cancelled, work, err, got)
			}
			for _, op := range []func(cancel.Order) error{
				func(o cancel.Order) error {
					_, err := c.Acknowledge(t.Context(), o, lifecycle.StateCancelled)
					return err
				},
				func(o cancel.Order) error { _, err := c.CheckIn(t.Context(), o); return err },
				func(o cancel.Order) error {
					_, err := c.Transition(t.Context(), o, lifecycle.TriggerComplete)
					return err
				},
			} {
				if err := op(cancel.Order{ID: 1, Attempt: r1.Attempt}); !errors.Is(err, cancel.ErrSuperseded) {
					t.Errorf("the first attempt did something: %v", err)
				}
			}
			if cancelled {
				return
			}
			r1 = r2
		}
		_, err := fire(t.Context(), repo, 1, lifecycle.TriggerFailRetryable)
		must(t, err)
		_, err = fire(t.Context(), repo, 1, lifecycle.TriggerRetry)
		must(t, err)
		_, err = fire(t.Context(), repo, 1, lifecycle.TriggerDispatch)
		must(t, err)
	}
}

// TestRunOverChildren ends the work of parents that have live children.
func TestRunOverChildren(t *testing.T) {
	t.Parallel()
	tests := []struct {
		err  error
		want string
	}{
		{nil, "1 COMPLETED; 2 RUNNING"},
		{errDisk, "1 RUNNING; 2 RUNNING"}, // the error says why
	}
	for _, tt := range tests {
		repo := newRepo(t, "1 SUBREQUEST_PARENT READY; 2<1 CHILD RUNNING")
		var workers cancel.Workers
		c := cancel.New(repo, nil)
		err := workers.Run(t.Context(), c, begin(t, repo, 1), func(context.Context) error { return tt.err }, nil)
		if got := states(repo); got != tt.want || errors.Is(err, cancel.ErrLiveChild) != (tt.err != nil) || (err == nil) != (tt.err == nil) {
			t.Errorf("work %v: Run = %v, %s", tt.err, err, got)
		}
	}
	// Where no child is live, a store that is no ParentEnder cannot make sure of it.
	repo := newRepo(t, "1 SUBREQUEST_PARENT READY; 2<1 CHILD SUCCEEDED")
	var workers cancel.Workers
	c := cancel.New(struct{ cancel.Repository }{repo}, nil)
	err := workers.Run(t.Context(), c, begin(t, repo, 1), func(context.Context) error { return errDisk }, nil)
	if got := states(repo); got != "1 RUNNING; 2 SUCCEEDED" || !errors.Is(err, errDisk) || !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("without a ParentEnder: Run = %v, %s", err, got)
	}
}

// TestRunDeleted has the request end, and its row deleted, while its work runs.
func TestRunDeleted(t *testing.T) {
	t.Parallel()
	for _, work := range []error{nil, errDisk} {
		for _, gone := range []bool{false, true} {
			repo := newRepo(t, "1 SINGLETON READY")
			f := &fake{Repository: repo}
			var workers cancel.Workers
			c := cancel.New(f, nil)
			err := workers.Run(t.Context(), c, begin(t, repo, 1), func(ctx context.Context) error {
				_, err := fire(t.Context(), repo, 1, lifecycle.TriggerFail)
				must(t, err)
				if gone {
					f.get = func(context.Context, lifecycle.ID) (lifecycle.Request, error) {
						return lifecycle.Request{}, fmt.Errorf("no row: %w", esserrors.NotFound("select", 7, nil))
					}
				}
				must(t, workers.Poll(t.Context(), c))
				if !errors.Is(context.Cause(ctx), cancel.ErrSuperseded) {
					t.Errorf("after Poll: %v", context.Cause(ctx))
				}
				return work
			}, nil)
			if err != work {
				t.Errorf("work %v, gone %v: Run = %v", work, gone, err)
			}
		}
	}
}

// TestRunRefuses checks when Run does not call work.
func TestRunRefuses(t *testing.T) {
	t.Parallel()
	repo := newRepo(t, "1 SINGLETON READY; 2 SINGLETON RUNNING; 3 PARENT RUNNING; 4 SINGLETON RUNNING")
	var workers cancel.Workers
	c := cancel.New(repo, &cancel.Options{Interrupter: &workers})
	never := func(context.Context) error {
		t.Error("the work began")
		return errDisk
	}
	running := func(id lifecycle.ID, kind lifecycle.Kind) lifecycle.Request {
		return lifecycle.Request{ID: id, Kind: kind, State: lifecycle.StateRunning}
	}
	ready := running(1, lifecycle.KindSingleton)
	ready.State = lifecycle.StateReady
	for _, tt := range []struct {
		name string
		r    lifecycle.Request
		want esserrors.Code
	}{
		{"not started", ready, esserrors.CodeUnsupportedState},
		{"not started in the store", running(1, lifecycle.KindSingleton), esserrors.CodeUnsupportedState},
		{"a container", running(3, lifecycle.KindParent), esserrors.CodeUnsupportedState},
		{"gone", running(99, lifecycle.KindSingleton), esserrors.CodeNotFound},
	} {
		if err := workers.Run(t.Context(), c, tt.r, never, nil); esserrors.CodeOf(err) != tt.want {
			t.Errorf("%s: Run = %v, want %v", tt.name, err, tt.want)
		}
	}
	request := running(4, lifecycle.KindSingleton)
	err := workers.Run(t.Context(), c, request, func(ctx context.Context) error {
		return workers.Run(ctx, c, request, never, nil)
	}, &cancel.RunOptions{End: func(error) []lifecycle.Trigger { return nil }})
	if !errors.Is(err, esserrors.CodeConflict) {
		t.Errorf("twice at once: %v", err)
	}
	// Afterwards it may run again.
	if err := workers.Run(t.Context(), c, request, func(context.Context) error { return nil }, nil); err != nil {
		t.Error(err)
	}
}

// TestRunLastWords has the context of Run end while work runs. Run still ends the request,
// and reports a store that fails then.
func TestRunLastWords(t *testing.T) {
	t.Parallel()
	repo := newRepo(t, "1 SINGLETON READY; 2 SINGLETON READY; 3 SINGLETON READY; 4 SINGLETON READY")
	var workers cancel.Workers
	f := &fake{Repository: repo}
	c := cancel.New(f, &cancel.Options{Interrupter: &workers})
	cancels := func(id lifecycle.ID) {
		_, err := c.Cancel(t.Context(), cancel.Order{ID: id})
		must(t, err)
	}
	ctx, stop := context.WithCancel(t.Context())
	err := workers.Run(ctx, c, begin(t, repo, 1), func(context.Context) error {
		cancels(1)
		stop()
		return nil
	}, nil)
	if got, _ := repo.Get(t.Context(), 1); err != nil || got.State != lifecycle.StateSucceeded {
		t.Errorf("Run = %v, %v", err, got)
	}
	err = workers.Run(t.Context(), c, begin(t, repo, 2), func(ctx context.Context) error {
		cancels(2)
		f.before = func(int64) error { return errDisk }
		return context.Cause(ctx)
	}, nil)
	_, told := errors.AsType[*cancel.CancelledError](err)
	if !told || !errors.Is(err, errDisk) {
		t.Errorf("Run = %v, want both errors", err)
	}
	f.before = nil
	// If work stops because its process does, the request is left for another process,
	// unless it was cancelled meanwhile: then Run acknowledges.
	for id, want := range map[lifecycle.ID]lifecycle.State{3: lifecycle.StateCancelled, 4: lifecycle.StateRunning} {
		ctx, stop := context.WithCancel(t.Context())
		err = workers.Run(ctx, c, begin(t, repo, id), func(ctx context.Context) error {
			stop()
			if id == 3 {
				cancels(3)
			}
			return fmt.Errorf("copying: %w", ctx.Err())
		}, nil)
		if got, _ := repo.Get(t.Context(), id); !errors.Is(err, context.Canceled) || got.State != want {
			t.Errorf("Run = %v, %v, want %v", err, got, want)
		}
	}
}
