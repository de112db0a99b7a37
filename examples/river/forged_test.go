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

	config := w.pool.Config().ConnConfig.Copy()
	role := config.Database + "_forger"
	if _, err := w.pool.Exec(t.Context(), `CREATE ROLE `+role+` LOGIN`); err != nil {
		t.Fatal(err)
	}
	config.User = role
	forger, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer forger.Close(context.Background())
	if _, err := forger.Exec(t.Context(), `SELECT FROM river_job`); err == nil {
		t.Fatal("the forger may read the table")
	}
	told := map[lifecycle.ID]bool{}
	until(t, "River ends the contexts", func() bool {
		for _, id := range []lifecycle.ID{succeeds, fails, cancelled} {
			if told[id] {
				continue
			}
			payload := fmt.Sprintf(`{"action": "cancel", "job_id": %d, "queue": "default"}`, id)
			if _, err := forger.Exec(t.Context(), `SELECT pg_notify('public.river_control', $1)`, payload); err != nil {
				t.Fatal(err)
			}
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
