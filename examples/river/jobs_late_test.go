package essriver_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"example.com/ess/cancel"
	essriver "example.com/ess/examples/river"
	"example.com/ess/lifecycle"
)

// A cancel that comes when the worker has returned, and River has not yet written how: River
// has the last word, does not retry the job, and its parent ends.
func TestCancelBetweenWorkAndCompletion(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		do   string
		want lifecycle.State
	}{
		{"end", lifecycle.StateSucceeded},
		{"fail", lifecycle.StateCancelled},
		{"snooze", lifecycle.StateCancelled},
	} {
		t.Run(tt.do, func(t *testing.T) {
			t.Parallel()
			a := &around{}
			w := newWorld(t, nil, outside(a))
			w.worker.do["fail"] = func(context.Context, *river.Job[task]) error { return errors.New("never") }
			w.worker.do["snooze"] = func(context.Context, *river.Job[task]) error { return river.JobSnooze(time.Hour) }
			root := w.parent(0)
			id := w.insert(root, tt.do, nil)
			a.after = func(*rivertype.JobRow) {
				w.cancel(root)
				if got := w.state(root); got != lifecycle.StateCancelling {
					t.Errorf("the parent is %v, want CANCELLING", got)
				}
			}
			w.start()
			w.waitFor(root, lifecycle.StateCancelled)
			if got := w.state(id); got != tt.want {
				t.Errorf("the job is %v, want %v", got, tt.want)
			}
		})
	}
}

// A worker that completes its job in a transaction, although it has been cancelled.
func TestCompleteInTransaction(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.worker.do["complete"] = func(ctx context.Context, job *river.Job[task]) error {
		<-ctx.Done()
		ctx = context.WithoutCancel(ctx)
		return pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
			_, err := river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, job)
			return err
		})
	}
	root := w.parent(0)
	id := w.insert(root, "complete", nil)
	w.start()
	w.waitForWork(id)
	w.cancel(root)
	w.waitFor(root, lifecycle.StateCancelled)
	if got := w.state(id); got != lifecycle.StateSucceeded {
		t.Errorf("the job is %v, want SUCCEEDED", got)
	}
}

// deaf returns options with which no client is told.
func deaf() *essriver.Options {
	return &essriver.Options{Cancel: cancel.Options{
		Interrupter: cancel.InterrupterFunc(func(context.Context, []lifecycle.ID, cancel.Cause) error { return nil }),
	}}
}

// A client that has not heard of the cancel finds it by itself: the mark is River's own. And
// River's own cancel is one too.
func TestRiverTells(t *testing.T) {
	t.Parallel()
	w := newWorld(t, deaf(), func(c *river.Config) { c.PollOnly = true })
	causes := make(chan error, 2)
	w.worker.do["wait"] = func(ctx context.Context, _ *river.Job[task]) error {
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return ctx.Err()
	}
	root := w.parent(0)
	first, second := w.insert(root, "wait", nil), w.insert(root, "wait", nil)
	w.start()
	w.waitForWork(first)
	w.waitForWork(second)

	if _, err := w.client.JobCancel(t.Context(), int64(first)); err != nil {
		t.Fatal(err)
	}
	if got, want := (<-causes).Error(), fmt.Sprintf("request %d was cancelled", first); got != want {
		t.Errorf("River's JobCancel: %s, want %s", got, want)
	}
	w.cancel(root)
	if got, want := (<-causes).Error(), fmt.Sprintf(`request %d was cancelled by "ann": wrong ledger`, second); got != want {
		t.Errorf("Cancel: %s, want %s", got, want)
	}
	w.waitFor(root, lifecycle.StateCancelled)
}

// A client that has not got the middleware yet is told by River, and River has the last word.
func TestWithoutMiddleware(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, func(c *river.Config) { c.Middleware = nil })
	w.worker.do["wait"] = func(ctx context.Context, _ *river.Job[task]) error {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	root := w.parent(0)
	id := w.insert(root, "wait", nil)
	w.start()
	w.waitForWork(id)
	w.cancel(root)
	w.waitFor(root, lifecycle.StateCancelled)
	if got := w.row(id); got.State != rivertype.JobStateCancelled || len(got.Errors) != 1 {
		t.Errorf("the job is %v, with %d errors", got.State, len(got.Errors))
	}
}

// A client that stops ends the contexts of its workers, which is no cancel: the jobs are
// worked again.
func TestStopIsNoCancel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	causes := make(chan error, 1)
	w.worker.do["wait"] = func(ctx context.Context, _ *river.Job[task]) error {
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return ctx.Err()
	}
	id := w.insert(0, "wait", nil)
	w.start()
	w.waitForWork(id)
	if err := w.client.StopAndCancel(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-causes; err == nil || errors.As(err, new(*cancel.CancelledError)) {
		t.Errorf("cause = %v", err)
	}
	if got := w.row(id); got.State != rivertype.JobStateAvailable || got.Attempt != 0 {
		t.Errorf("the job is %v, attempt %d, want available, 0", got.State, got.Attempt)
	}
}

// A container is completed, which admits no more children, and succeeds after the last one. It
// fails in one step, after the last one too; a child that is being inserted is waited for.
func TestEndContainer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for _, triggers := range [][]lifecycle.Trigger{{lifecycle.TriggerComplete, lifecycle.TriggerSucceed}, {lifecycle.TriggerFail}} {
		root := w.parent(0)
		transition := func(trigger lifecycle.Trigger) error {
			_, err := w.jobs.Transition(context.Background(), cancel.Order{ID: root}, trigger)
			return err
		}
		done := make(chan error, 1)
		var child lifecycle.ID
		err := pgx.BeginFunc(t.Context(), w.pool, func(tx pgx.Tx) error {
			opts, err := w.jobs.Admit(t.Context(), tx, root, &river.InsertOpts{ScheduledAt: time.Now().Add(time.Hour)})
			if err != nil {
				return err
			}
			go func() {
				var err error
				for _, trigger := range triggers {
					err = transition(trigger)
				}
				done <- err
			}()
			until(t, "it waits", func() (waits bool) {
				err := w.pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`).Scan(&waits)
				return err == nil && waits
			})
			inserted, err := w.client.InsertTx(t.Context(), tx, task{"end"}, opts)
			if err == nil {
				child = lifecycle.ID(inserted.Job.ID)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		last := triggers[len(triggers)-1]
		if err := <-done; !errors.Is(err, cancel.ErrLiveChild) {
			t.Errorf("%v above a child that is being inserted: %v", last, err)
		}
		if err := transition(last); !errors.Is(err, cancel.ErrLiveChild) {
			t.Errorf("%v above a live child: %v", last, err)
		}
		w.cancel(child)
		if err := transition(last); err != nil {
			t.Error(err)
		}
		want := map[lifecycle.Trigger]lifecycle.State{lifecycle.TriggerSucceed: lifecycle.StateSucceeded, lifecycle.TriggerFail: lifecycle.StateError}[last]
		if got := w.row(root); w.state(root) != want || got.FinalizedAt == nil {
			t.Errorf("the parent is %v, %v in River", w.state(root), got.State)
		}
	}
}
