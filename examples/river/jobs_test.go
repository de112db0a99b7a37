package essriver_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
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

var order = cancel.Order{Actor: "ann", Reason: "wrong ledger"}

func (w *world) cancel(id lifecycle.ID) cancel.Result {
	w.Helper()
	o := order
	o.ID = id
	res, err := w.jobs.Cancel(context.Background(), o)
	if err != nil {
		w.Fatal(err)
	}
	if res.InterruptErr != nil {
		w.Fatal(res.InterruptErr)
	}
	return res
}

// Workers are told by whom and why, and each job ends as its worker says. Nothing is
// retried, and the parents end last.
func TestWorkersAnswer(t *testing.T) {
	t.Parallel()
	answers := []struct {
		name   string
		answer func(ctx context.Context) error
		want   lifecycle.State
		river  rivertype.JobState
		errors int
		kept   string
	}{
		{"cause", context.Cause, lifecycle.StateCancelled, rivertype.JobStateCancelled, 1, `by "ann": wrong ledger`},
		{"context's error", func(ctx context.Context) error { return fmt.Errorf("stopped: %w", ctx.Err()) }, lifecycle.StateCancelled, rivertype.JobStateCancelled, 1, "stopped"},
		{"River's cancel", func(context.Context) error { return river.JobCancel(errors.New("enough")) }, lifecycle.StateCancelled, rivertype.JobStateCancelled, 1, "enough"},
		{"snooze", func(context.Context) error { return river.JobSnooze(time.Second) }, lifecycle.StateCancelled, rivertype.JobStateCancelled, 1, `by "ann"`},
		{"done all the same", func(context.Context) error { return nil }, lifecycle.StateSucceeded, rivertype.JobStateCompleted, 0, ""},
		{"an error", func(context.Context) error { return errors.New("disk full") }, lifecycle.StateError, rivertype.JobStateDiscarded, 1, "disk full"},
		{"panic", func(context.Context) error { panic("oops") }, lifecycle.StateError, rivertype.JobStateDiscarded, 0, ""},
	}
	w := newWorld(t, nil)
	var mu sync.Mutex
	causes := map[lifecycle.ID]error{}
	for _, a := range answers {
		w.worker.do[a.name] = func(ctx context.Context, job *river.Job[task]) error {
			<-ctx.Done()
			mu.Lock()
			causes[lifecycle.ID(job.ID)] = context.Cause(ctx)
			mu.Unlock()
			return a.answer(ctx)
		}
	}
	root := w.parent(0)
	middle := w.parent(root)
	ids := map[string]lifecycle.ID{}
	for _, a := range answers {
		ids[a.name] = w.insert(middle, a.name, nil)
	}
	w.start()
	for _, id := range ids {
		w.waitForWork(id)
	}

	res := w.cancel(root)

	if res.Interrupted != len(answers) {
		t.Errorf("%d were told, want %d", res.Interrupted, len(answers))
	}
	w.waitFor(root, lifecycle.StateCancelled)
	for _, a := range answers {
		id := ids[a.name]
		if got := w.state(id); got != a.want {
			t.Errorf("%s: %v, want %v", a.name, got, a.want)
		}
		if got := w.row(id); got.State != a.river || got.FinalizedAt == nil {
			t.Errorf("%s: River has it as %v, finalized at %v, want %v", a.name, got.State, got.FinalizedAt, a.river)
		}
		mu.Lock()
		cancelled, ok := errors.AsType[*cancel.CancelledError](causes[id])
		mu.Unlock()
		if !ok || cancelled.ID != id || cancelled.Cause.Root != root || cancelled.Cause.Actor != "ann" || cancelled.Cause.Reason != "wrong ledger" {
			t.Errorf("%s: cause = %v, want who and why", a.name, causes[id])
		}
	}
	// River's completer comes after that, and changes nothing.
	if err := w.client.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, a := range answers {
		if got := w.row(ids[a.name]); got.State != a.river || got.Attempt != 1 {
			t.Errorf("%s: in the end River has it as %v, attempt %d, want %v", a.name, got.State, got.Attempt, a.river)
		}
		var kept []string
		for _, e := range w.row(ids[a.name]).Errors {
			kept = append(kept, e.Error)
		}
		if len(kept) != a.errors || len(kept) > 0 && !strings.Contains(kept[0], a.kept) {
			t.Errorf("%s: River has kept %q, want %d, with %q", a.name, kept, a.errors, a.kept)
		}
	}
}

// Jobs that do not run are CANCELLED at once, and never start.
func TestCancelBeforeStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	started := make(chan int64, 10)
	w.worker.do["start"] = func(_ context.Context, job *river.Job[task]) error {
		started <- job.ID
		return nil
	}
	root := w.parent(0)
	ids := map[string]lifecycle.ID{
		"available": w.insert(root, "start", nil),
		"scheduled": w.insert(root, "start", &river.InsertOpts{ScheduledAt: time.Now().Add(time.Second)}),
		"pending":   w.insert(root, "start", &river.InsertOpts{Pending: true}),
		"retryable": w.insert(root, "start", nil),
	}
	if _, err := w.pool.Exec(t.Context(), `UPDATE river_job SET state = 'retryable', scheduled_at = now() + interval '1 second' WHERE id = $1`, ids["retryable"]); err != nil {
		t.Fatal(err)
	}

	res := w.cancel(root)

	if got, want := res.Counts.String(), "5 cancelled"; got != want || res.Root.To != lifecycle.StateCancelled {
		t.Errorf("cancel: %s, the parent %v, want %s", got, res.Root, want)
	}
	last := w.insert(0, "start", &river.InsertOpts{ScheduledAt: time.Now().Add(2 * time.Second)})
	w.start()
	w.waitFor(last, lifecycle.StateSucceeded) // River's scheduler has been at work
	for name, id := range ids {
		if got := w.row(id); got.State != rivertype.JobStateCancelled || got.Attempt != 0 {
			t.Errorf("%s: %v, attempt %d", name, got.State, got.Attempt)
		}
	}
	if got := <-started; got != int64(last) || len(started) > 0 {
		t.Errorf("job %d has started", got)
	}
}

// River goes on as ever with jobs that nobody cancels.
func TestNobodyCancels(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, func(c *river.Config) {
		c.RetryPolicy = retryAtOnce{}
	})
	w.worker.do["retry"] = func(_ context.Context, job *river.Job[task]) error {
		if job.Attempt < 3 {
			return errors.New("not yet")
		}
		return nil
	}
	w.worker.do["fail"] = func(context.Context, *river.Job[task]) error { return errors.New("never") }
	w.worker.do["panic"] = func(context.Context, *river.Job[task]) error { panic("never") }
	w.worker.do["give up"] = func(context.Context, *river.Job[task]) error { return river.JobCancel(errors.New("no use")) }
	var snoozed sync.Map
	w.worker.do["snooze"] = func(_ context.Context, job *river.Job[task]) error {
		if _, again := snoozed.LoadOrStore(job.ID, true); !again {
			return river.JobSnooze(10 * time.Millisecond)
		}
		return nil
	}
	w.worker.do["in a transaction"] = func(ctx context.Context, job *river.Job[task]) error {
		return pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
			_, err := river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, job)
			return err
		})
	}
	w.worker.do["output"] = func(ctx context.Context, _ *river.Job[task]) error { return river.RecordOutput(ctx, "well") }
	root := w.parent(0)
	for _, parent := range []lifecycle.ID{0, root} {
		for _, tt := range []struct {
			do      string
			want    rivertype.JobState
			attempt int
			errors  int
		}{
			{"end", rivertype.JobStateCompleted, 1, 0},
			{"retry", rivertype.JobStateCompleted, 3, 2},
			{"fail", rivertype.JobStateDiscarded, 4, 4},
			{"panic", rivertype.JobStateDiscarded, 4, 4},
			{"give up", rivertype.JobStateCancelled, 1, 1},
			{"snooze", rivertype.JobStateCompleted, 1, 0},
			{"in a transaction", rivertype.JobStateCompleted, 1, 0},
			{"output", rivertype.JobStateCompleted, 1, 0},
		} {
			id := w.insert(parent, tt.do, &river.InsertOpts{MaxAttempts: 4})
			t.Cleanup(func() {
				// The world has stopped.
				got := w.row(id)
				if got.State != tt.want || got.Attempt != tt.attempt || len(got.Errors) != tt.errors {
					t.Errorf("%s below %d: %v, attempt %d, %d errors, want %v, %d, %d", tt.do, parent, got.State, got.Attempt, len(got.Errors), tt.want, tt.attempt, tt.errors)
				}
				if tt.do == "output" && string(got.Output()) != `"well"` {
					t.Errorf("output = %s", got.Output())
				}
			})
		}
	}
	w.start()
	until(t, "all have ended", func() bool {
		live, err := w.jobs.Children(t.Context(), cancel.ChildQuery{Parents: []lifecycle.ID{0, root}, States: lifecycle.Live, Limit: 100})
		return err == nil && len(live) == 1 // the parent
	})
	if got := w.state(root); got != lifecycle.StateRunning {
		t.Errorf("the parent is %v", got)
	}
}

type retryAtOnce struct{}

func (retryAtOnce) NextRetry(*rivertype.JobRow) time.Time { return time.Now().Add(time.Millisecond) }

// around is a middleware of the user's, outside of ours.
type around struct {
	river.MiddlewareDefaults
	before, after func(job *rivertype.JobRow)
}

func (a *around) Work(ctx context.Context, job *rivertype.JobRow, doInner func(context.Context) error) error {
	if a.before != nil {
		a.before(job)
	}
	err := doInner(ctx)
	if a.after != nil {
		a.after(job)
	}
	return err
}

func outside(a *around) func(*river.Config) {
	return func(c *river.Config) { c.Middleware = append([]rivertype.Middleware{a}, c.Middleware...) }
}

// A job that is cancelled when River has it RUNNING, but has not called its worker yet, ends
// without it.
func TestCancelBetweenFetchAndWork(t *testing.T) {
	t.Parallel()
	a := &around{}
	w := newWorld(t, deaf(), outside(a), func(c *river.Config) { c.ErrorHandler = noError{t} })
	root := w.parent(0)
	id := w.insert(root, "never", nil)
	a.before = func(*rivertype.JobRow) { w.cancel(root) }
	w.worker.do["never"] = func(context.Context, *river.Job[task]) error {
		t.Error("the worker has been called")
		return nil
	}
	w.start()
	w.waitFor(root, lifecycle.StateCancelled)
	if got := w.state(id); got != lifecycle.StateCancelled {
		t.Errorf("the job is %v", got)
	}
}

// noError wants to hear of no error: a cancel is none.
type noError struct{ *testing.T }

func (t noError) HandleError(_ context.Context, _ *rivertype.JobRow, err error) *river.ErrorHandlerResult {
	t.Errorf("River's ErrorHandler hears of %v", err)
	return nil
}

func (t noError) HandlePanic(_ context.Context, _ *rivertype.JobRow, p any, _ string) *river.ErrorHandlerResult {
	t.Errorf("River's ErrorHandler hears of a panic, %v", p)
	return nil
}

// What a process that has died left unfinished, Run takes up: at once, and from time to time.
func TestRunResumes(t *testing.T) {
	t.Parallel()
	for every, later := range map[time.Duration]bool{time.Hour: false, 50 * time.Millisecond: true} {
		w := newWorld(t, &essriver.Options{Every: every, Trouble: func(err error) { t.Error(err) }})
		if later {
			w.start()
		}
		root := w.parent(0)
		id := w.insert(root, "end", &river.InsertOpts{ScheduledAt: time.Now().Add(time.Hour)})
		if _, err := w.jobs.Fence(t.Context(), cancel.Order{ID: root}); err != nil {
			t.Fatal(err)
		}
		if !later {
			w.start()
		}
		w.waitFor(root, lifecycle.StateCancelled)
		if got := w.state(id); got != lifecycle.StateCancelled {
			t.Errorf("the child is %v", got)
		}
	}
}
