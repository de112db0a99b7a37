package essasynq_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	essasynq "example.com/ess/examples/asynq"
	"example.com/ess/lifecycle"
)

// A batch of which some children run, some have failed and are to be tried again, and most
// wait in asynq's queue is cancelled from a process without a server.
func TestCancelBatch(t *testing.T) {
	t.Parallel()
	var starts, stops atomic.Int32
	var told lines
	stopping, end := make(chan struct{}), make(chan struct{})
	w := newWorld(t, setting{}, func(ctx context.Context, _ *world, task *asynq.Task) error {
		n := starts.Add(1)
		if n <= 5 {
			return errors.New("not yet")
		}
		<-ctx.Done()
		if stops.Add(1) == 10 {
			close(stopping)
		}
		told.add(context.Cause(ctx))
		<-end
		switch n % 4 {
		case 0:
			return errors.New("connection lost") // asynq would try again
		case 1:
			return fmt.Errorf("leaf: %w", ctx.Err())
		case 2:
			return nil
		}
		return context.Cause(ctx)
	})
	// A task that has failed comes back at once: ten run when five have failed.
	batch, children := w.batch(200, "leaf")
	w.until("ten run", func() bool { return starts.Load() == 15 })

	res := w.cancel(batch)
	if res.Root.To != lifecycle.StateCancelling {
		t.Errorf("the batch is %v, want CANCELLING: ten children run", res.Root.To)
	}
	<-stopping
	if got := w.tally(batch); got[lifecycle.StateCancelled] != 190 || got[lifecycle.StateCancelling] != 10 {
		t.Errorf("the children are %v, want 190 CANCELLED and 10 CANCELLING", got)
	}
	for _, text := range told.all() {
		if want := `was cancelled by "ann": wrong ledger`; len(text) < len(want) || text[len(text)-len(want):] != want {
			t.Errorf("the cause is %q, want one that ends with %q", text, want)
		}
	}
	if got := w.state(batch); got != lifecycle.StateCancelling {
		t.Errorf("the batch is %v before its last child has ended", got)
	}
	close(end)
	w.is(batch, lifecycle.StateCancelled)
	if live := w.tally(batch); live[lifecycle.StateCancelling] != 0 {
		t.Errorf("the batch has ended over %v", live)
	}
	w.drained()
	if got := starts.Load(); got != 15 {
		t.Errorf("%d starts, want 15: five that failed and ten that ran", got)
	}
	if got := w.archived(); got > 3 {
		t.Errorf("%d tasks in the archive, want only those that ended in ERROR", got)
	}
	// Who puts a task of one of them back, or submits a child, gets nothing to run.
	if _, err := w.other.Enqueue(t.Context(), batch, "leaf", nil); !errors.Is(err, esserrors.CodeUnsupportedState) {
		t.Errorf("Enqueue below a batch that has ended: %v", err)
	}
	if err := w.put(children[100], "leaf"); err != nil {
		t.Fatal(err)
	}
	w.drained()
	if got := starts.Load(); got != 15 {
		t.Errorf("%d starts after a task was put back, want 15", got)
	}
}

// put puts a task of a request into the queue, whatever has become of the request.
func (w *world) put(id lifecycle.ID, typename string) error {
	_, err := asynq.NewClientFromRedisClient(w.rdb).Enqueue(asynq.NewTask(typename, nil), asynq.TaskID(w.jobs.TaskID(id)), asynq.Queue(w.queue), asynq.MaxRetry(1000))
	return err
}

// Batches that nobody cancels end after their last child.
func TestEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setting{}, func(ctx context.Context, w *world, task *asynq.Task) error {
		switch task.Type() {
		case "month":
			for i := range 3 {
				if _, err := w.jobs.EnqueueParent(ctx, essasynq.RequestID(ctx), "day", nil, asynq.Queue(w.queue), asynq.TaskID(fmt.Sprint(i))); err != nil {
					return err
				}
			}
		case "day":
			for range 5 {
				if _, err := w.jobs.Enqueue(ctx, essasynq.RequestID(ctx), "leaf", nil, asynq.Queue(w.queue)); err != nil {
					return err
				}
			}
		case "bad":
			return asynq.SkipRetry
		}
		return nil
	})
	month := w.enqueueParent(0, "month")
	w.is(month, lifecycle.StateSucceeded)
	if got := w.tally(month); got[lifecycle.StateSucceeded] != 3 {
		t.Error(got)
	}

	batch, err := w.other.Batch(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	bad := w.enqueue(batch, "bad")
	w.is(bad, lifecycle.StateError)
	if got := w.state(batch); got != lifecycle.StateRunning {
		t.Errorf("a batch that may be given more children is %v", got)
	}
	if err := w.other.Complete(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if got := w.state(batch); got != lifecycle.StateWarning {
		t.Errorf("a batch of which a child has failed is %v, want WARNING", got)
	}
	w.drained()
	if got := w.archived(); got != 1 {
		t.Errorf("%d tasks in asynq's archive, want the one that failed", got)
	}
}

// Parents whose handlers have returned, and that only wait for their children, end with the last
// of them when they are cancelled: nobody has to wait for work that is done.
func TestCancelWaitingParents(t *testing.T) {
	t.Parallel()
	stopped, end := make(chan error, 4), make(chan struct{})
	w := newWorld(t, setting{concurrency: 4}, func(ctx context.Context, w *world, task *asynq.Task) error {
		enqueue, typename, n := w.jobs.EnqueueParent, "day", 2
		switch task.Type() {
		case "leaf":
			<-ctx.Done()
			stopped <- context.Cause(ctx)
			<-end
			return ctx.Err()
		case "day":
			enqueue, typename, n = w.jobs.Enqueue, "leaf", 5
		}
		for range n {
			if _, err := enqueue(ctx, essasynq.RequestID(ctx), typename, nil, asynq.Queue(w.queue)); err != nil {
				return err
			}
		}
		return nil
	})
	month := w.enqueueParent(0, "month")
	w.until("four leaves run", func() bool {
		n := 0
		for _, r := range below(t, w.jobs.Store, month) {
			if r.Kind == lifecycle.KindChild && r.State == lifecycle.StateRunning {
				n++
			}
		}
		return n == 4
	})
	w.cancel(month)
	for range 4 {
		if _, ok := errors.AsType[*cancel.CancelledError](<-stopped); !ok {
			t.Error("a leaf was not told of the cancel")
		}
	}
	if got := w.state(month); got != lifecycle.StateCancelling {
		t.Errorf("the month is %v while leaves run", got)
	}
	close(end)
	w.is(month, lifecycle.StateCancelled)
	for _, r := range below(t, w.jobs.Store, month) {
		if r.State != lifecycle.StateCancelled {
			t.Errorf("request %d (%v) is %v", r.ID, r.Kind, r.State)
		}
	}
}

// What a handler returns is how its request ends, and how often it is tried.
func TestTries(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setting{}, func(ctx context.Context, w *world, task *asynq.Task) error {
		r, err := w.jobs.Get(ctx, essasynq.RequestID(ctx))
		if err != nil {
			return err
		}
		switch {
		case task.Type() == "second" && r.Attempt == 2:
			return nil
		case task.Type() == "skip":
			return fmt.Errorf("never again: %w", asynq.SkipRetry)
		case task.Type() == "revoke":
			return asynq.RevokeTask
		case task.Type() == "panic":
			panic("a bug")
		}
		return errors.New("again")
	})
	for _, test := range []struct {
		typename string
		retries  int
		want     lifecycle.State
		attempts int
	}{
		{"second", 5, lifecycle.StateSucceeded, 2},
		{"never", 2, lifecycle.StateError, 3},
		{"never", 0, lifecycle.StateError, 1},
		{"skip", 5, lifecycle.StateError, 1},
		{"revoke", 5, lifecycle.StateWarning, 1},
		{"panic", 1, lifecycle.StateError, 2},
	} {
		id := w.enqueue(0, test.typename, asynq.MaxRetry(test.retries))
		w.until(test.typename+" has ended", func() bool { return lifecycle.Terminal.Has(w.state(id)) })
		if r := w.get(id); r.State != test.want || r.Attempt != test.attempts {
			t.Errorf("%s ends as %v after %d attempts, want %v after %d", test.typename, r.State, r.Attempt, test.want, test.attempts)
		}
		if test.typename == "never" {
			w.drained()
			if info, err := w.inspector.GetTaskInfo(w.queue, w.jobs.TaskID(id)); err != nil || !strings.HasSuffix(info.LastErr, "again") {
				t.Errorf("asynq's archive has %+v, %v", info, err)
			}
		}
	}
	w.drained()
}

// A handler that does not heed its timeout goes on while asynq hands its task out again. It is
// superseded, and what it returns does not count.
func TestTimeout(t *testing.T) {
	t.Parallel()
	late, ended := make(chan struct{}), make(chan error, 10)
	w := newWorld(t, setting{}, func(ctx context.Context, w *world, _ *asynq.Task) error {
		r, err := w.jobs.Get(ctx, essasynq.RequestID(ctx))
		if err != nil {
			return err
		}
		<-ctx.Done()
		if r.Attempt == 1 {
			<-late
		}
		ended <- context.Cause(ctx)
		return context.Cause(ctx)
	})
	id := w.enqueue(0, "slow", asynq.Timeout(time.Second))
	w.until("the second attempt runs", func() bool { r := w.get(id); return r.Attempt == 2 && r.State == lifecycle.StateRunning })
	w.cancel(id)
	if err := <-ended; err == nil {
		t.Error("the second attempt was not told")
	} else if _, ok := errors.AsType[*cancel.CancelledError](err); !ok {
		t.Errorf("the second attempt was told %v", err)
	}
	w.is(id, lifecycle.StateCancelled)
	close(late)
	if err := <-ended; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the first attempt ended with %v, want its timeout", err)
	}
	w.drained()
	if r := w.get(id); r.State != lifecycle.StateCancelled || r.Attempt != 2 {
		t.Errorf("in the end it is %v, attempt %d", r.State, r.Attempt)
	}
}

// A parent that has failed for good takes its children with it.
func TestParentFails(t *testing.T) {
	t.Parallel()
	stopped := make(chan error, 1)
	w := newWorld(t, setting{concurrency: 2}, func(ctx context.Context, w *world, task *asynq.Task) error {
		if task.Type() == "leaf" {
			<-ctx.Done()
			stopped <- context.Cause(ctx)
			return ctx.Err()
		}
		for range 5 {
			if _, err := w.jobs.Enqueue(ctx, essasynq.RequestID(ctx), "leaf", nil, asynq.Queue(w.queue)); err != nil {
				return err
			}
		}
		w.until("a child runs", func() bool { return w.tally(essasynq.RequestID(ctx))[lifecycle.StateRunning] > 0 })
		return fmt.Errorf("no more paper\nforged: %w", asynq.SkipRetry)
	})
	id := w.enqueueParent(0, "month")
	w.is(id, lifecycle.StateError)
	if got := w.tally(id); got[lifecycle.StateCancelled] != 5 {
		t.Errorf("the children are %v, want 5 CANCELLED", got)
	}
	cancelled, ok := errors.AsType[*cancel.CancelledError](<-stopped)
	if !ok || cancelled.Cause.Actor != "asynq" || cancelled.Cause.Reason == "" {
		t.Errorf("the child that ran was told %v", cancelled)
	}
	w.drained()
	if got := w.archived(); got != 1 {
		t.Errorf("%d tasks in the archive, want the parent's", got)
	}
}

// A task of the same name is the same request, and one that asynq refuses is none.
func TestEnqueue(t *testing.T) {
	t.Parallel()
	var starts atomic.Int32
	w := newWorld(t, setting{}, func(context.Context, *world, *asynq.Task) error {
		starts.Add(1)
		return nil
	})
	ctx := t.Context()
	batch, err := w.other.Batch(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	first := w.enqueue(batch, "leaf", asynq.TaskID("Europe"))
	w.is(first, lifecycle.StateSucceeded)
	if again := w.enqueue(batch, "leaf", asynq.TaskID("Europe")); again != first {
		t.Errorf("the second task of a name has request %d, want %d", again, first)
	}
	if elsewhere := w.enqueue(0, "leaf", asynq.TaskID("Europe")); elsewhere == first {
		t.Error("a name is only a name below its parent")
	}
	w.drained()
	if got := starts.Load(); got != 2 {
		t.Errorf("%d starts, want 2", got)
	}
	if _, err := w.other.Enqueue(ctx, batch, "leaf", nil, asynq.Group("g")); err == nil {
		t.Error("a task with a group was accepted")
	}
	far := asynq.ProcessIn(time.Hour)
	w.enqueue(batch, "unique", asynq.Unique(time.Minute), far)
	_, err = w.other.Enqueue(ctx, batch, "unique", nil, asynq.Unique(time.Minute), asynq.Queue(w.queue), far)
	if !errors.Is(err, asynq.ErrDuplicateTask) {
		t.Errorf("a second task of a unique kind: %v", err)
	}
	// A name whose task was refused is free.
	unique := []asynq.Option{asynq.Unique(time.Minute), asynq.Queue(w.queue), far, asynq.TaskID("named")}
	refused, err := w.other.Enqueue(ctx, 0, "unique", nil, unique...)
	if !errors.Is(err, asynq.ErrDuplicateTask) || w.state(refused) != lifecycle.StateExpired {
		t.Errorf("a second task of a unique kind: %v", err)
	}
	if again := w.enqueue(0, "leaf", asynq.TaskID("named")); again == refused {
		t.Error("the name of a task that was refused is not free")
	}
	if got := w.tally(batch); got[lifecycle.StateExpired] != 1 || got[lifecycle.StateReady] != 1 {
		t.Errorf("the children are %v, want one EXPIRED and one READY", got)
	}
	if _, err := w.other.Enqueue(ctx, 12345, "leaf", nil); !errors.Is(err, esserrors.CodeNotFound) {
		t.Errorf("Enqueue below nobody: %v", err)
	}
	if err := w.other.Complete(ctx, batch); err != nil {
		t.Fatal(err)
	}
	if _, err := w.other.Enqueue(ctx, batch, "leaf", nil); !errors.Is(err, esserrors.CodeUnsupportedState) {
		t.Errorf("Enqueue below a batch that was given all its children: %v", err)
	}
	w.cancel(batch)
	w.is(batch, lifecycle.StateCancelled)
}

// Tasks that are not ours pass through.
func TestForeignTask(t *testing.T) {
	t.Parallel()
	seen := make(chan lifecycle.ID, 1)
	w := newWorld(t, setting{}, func(ctx context.Context, _ *world, _ *asynq.Task) error {
		seen <- essasynq.RequestID(ctx)
		return nil
	})
	client := asynq.NewClientFromRedisClient(w.rdb)
	for _, id := range []string{"x", "007", w.jobs.TaskID(7) + "x"} {
		if _, err := client.Enqueue(asynq.NewTask("foreign", nil), asynq.Queue(w.queue), asynq.TaskID(id)); err != nil {
			t.Fatal(err)
		}
		if got := <-seen; got != 0 {
			t.Errorf("task %q has request %d", id, got)
		}
	}
	w.drained()
}
