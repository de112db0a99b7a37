package essriver_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"example.com/ess/cancel"
	essriver "example.com/ess/examples/river"
	"example.com/ess/lifecycle"
)

// A listener is a middleware outside of ours that hears when River ends the context of a job.
type listener struct {
	river.MiddlewareDefaults
	heard chan lifecycle.ID
}

func (l *listener) Work(ctx context.Context, job *rivertype.JobRow, doInner func(context.Context) error) error {
	defer context.AfterFunc(ctx, func() {
		if errors.Is(context.Cause(ctx), rivertype.ErrJobCancelledRemotely) {
			l.heard <- lifecycle.ID(job.ID)
		}
	})()
	return doInner(ctx)
}

// forger returns a function that notifies River's clients of a cancel, as a role that may do
// nothing but connect.
func (w *world) forger() func(lifecycle.ID) {
	w.Helper()
	config := w.pool.Config().ConnConfig.Copy()
	config.User = config.Database + "_forger"
	if _, err := w.pool.Exec(context.Background(), `CREATE ROLE `+config.User+` LOGIN`); err != nil {
		w.Fatal(err)
	}
	conn, err := pgx.ConnectConfig(context.Background(), config)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { conn.Close(context.Background()) })
	if _, err := conn.Exec(context.Background(), `SELECT FROM river_job`); err == nil {
		w.Fatal("the forger may read the table")
	}
	return func(id lifecycle.ID) {
		payload := fmt.Sprintf(`{"action": "cancel", "job_id": %d, "queue": "default"}`, id)
		if _, err := conn.Exec(context.Background(), `SELECT pg_notify('public.river_control', $1)`, payload); err != nil {
			w.Fatal(err)
		}
	}
}

// Whoever may connect to the database may send the notification by which River cancels a job. With
// the middleware, the context of the worker ends only if the store says that the job is cancelled.
func TestForgedNotification(t *testing.T) {
	t.Parallel()
	l := &listener{heard: make(chan lifecycle.ID, 10)}
	w := newWorld(t, deaf(), func(c *river.Config) { c.Middleware = append([]rivertype.Middleware{l}, c.Middleware...) })
	type end struct {
		id    lifecycle.ID
		cause error
	}
	ends := make(chan end, 10)
	release := make(chan struct{})
	for do, err := range map[string]error{"succeed": nil, "fail": errors.New("disk full")} {
		w.worker.do[do] = func(ctx context.Context, job *river.Job[task]) error {
			select {
			case <-release:
				return err
			case <-ctx.Done():
				ends <- end{lifecycle.ID(job.ID), context.Cause(ctx)}
				return ctx.Err()
			}
		}
	}
	succeeds, fails, cancelled := w.insert(0, "succeed", nil), w.insert(0, "fail", nil), w.insert(0, "succeed", nil)
	w.start()
	for _, id := range []lifecycle.ID{succeeds, fails, cancelled} {
		w.waitForWork(id)
	}
	w.cancel(cancelled) // and nobody is told

	forger := w.forger()
	told := map[lifecycle.ID]bool{}
	until(t, "River ends the contexts", func() bool {
		for _, id := range []lifecycle.ID{succeeds, fails, cancelled} {
			if told[id] {
				continue
			}
			forger(id)
		}
		select {
		case id := <-l.heard:
			told[id] = true
		case <-time.After(50 * time.Millisecond):
		}
		return len(told) == 3
	})
	got := <-ends
	if c, ok := errors.AsType[*cancel.CancelledError](got.cause); !ok || got.id != cancelled || c.Cause.Actor != "ann" || c.Cause.Reason != "wrong ledger" {
		t.Errorf("the context of %d has ended: %v", got.id, got.cause)
	}
	w.waitFor(cancelled, lifecycle.StateCancelled)
	select {
	case got := <-ends:
		t.Errorf("the context of %d, which nobody has cancelled, has ended: %v", got.id, got.cause)
	case <-time.After(100 * time.Millisecond):
	}
	close(release)
	w.waitFor(succeeds, lifecycle.StateSucceeded)
	w.waitFor(fails, lifecycle.StateCancelled) // River has been told, and retries it no more
	if got := w.row(fails); len(got.Errors) != 1 || got.Attempt != 1 {
		t.Errorf("the job that failed: attempt %d, %d errors", got.Attempt, len(got.Errors))
	}
}

// After a forged notification River has nothing more to tell the worker. Run tells it of a cancel.
func TestCancelAfterForgedNotification(t *testing.T) {
	t.Parallel()
	l := &listener{heard: make(chan lifecycle.ID, 10)}
	w := newWorld(t, &essriver.Options{Every: 50 * time.Millisecond}, func(c *river.Config) { c.Middleware = append([]rivertype.Middleware{l}, c.Middleware...) })
	w.worker.do["wait"] = func(ctx context.Context, _ *river.Job[task]) error {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	id := w.insert(0, "wait", nil)
	w.start()
	w.waitForWork(id)
	forge := w.forger()
	until(t, "River ends the context", func() bool {
		forge(id)
		select {
		case <-l.heard:
			return true
		case <-time.After(50 * time.Millisecond):
			return false
		}
	})
	if got := w.state(id); got != lifecycle.StateRunning {
		t.Errorf("the job is %v, want RUNNING", got)
	}
	w.cancel(id)
	w.waitFor(id, lifecycle.StateCancelled)
}
