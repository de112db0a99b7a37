package essasynq_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"example.com/ess/cancel"
	essasynq "example.com/ess/examples/asynq"
	"example.com/ess/lifecycle"
)

// untilDone is a handler that works until its context ends, and tells of that.
func untilDone(started chan<- lifecycle.ID, ended chan<- error) func(context.Context, *world, *asynq.Task) error {
	return func(ctx context.Context, _ *world, _ *asynq.Task) error {
		started <- essasynq.RequestID(ctx)
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return context.Cause(ctx)
	}
}

// A message proves nothing: whoever can send one ends no work with it, and nothing that it says
// gets into a log.
func TestForgedMessage(t *testing.T) {
	t.Parallel()
	started, ended := make(chan lifecycle.ID, 1), make(chan error, 1)
	w := newWorld(t, setting{}, untilDone(started, ended))
	id := w.enqueue(0, "work")
	<-started
	ctx := t.Context()
	for _, payload := range []string{
		fmt.Sprint(int64(id)), fmt.Sprintf("%d\n%d", id, id), "",
		fmt.Sprintf(`{"ids":[%d],"actor":"forged","reason":"forged"}`, id),
		"2026/11/25 12:00:00 ERROR forged\n", "\x00\x1b[2Jforged", strings.Repeat("9", 1<<20), "-1", "99999999999999999999",
	} {
		if n, err := w.rdb.Publish(ctx, w.jobs.Channel(), payload).Result(); err != nil || n == 0 {
			t.Fatal(n, err)
		}
	}
	// Messages are read in order: when the cancel has come through, the forged ones have too.
	select {
	case err := <-ended:
		t.Fatalf("a forged message has ended the work: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	w.cancel(id)
	if err := <-ended; err == nil || !strings.Contains(err.Error(), `by "ann": wrong ledger`) {
		t.Errorf("the work was told %v", err)
	}
	w.is(id, lifecycle.StateCancelled)
	for _, line := range w.trouble.all() {
		t.Errorf("trouble: %q", line)
	}
}

// What is in a record cannot forge a log line either, and keeps nobody from the rest.
func TestUnreadableTask(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setting{every: 50 * time.Millisecond}, func(context.Context, *world, *asynq.Task) error { return nil })
	bad, err := w.jobs.SubmitOnly(t.Context(), 0, "\n2026/11/25 12:00:00 ERROR forged")
	if err != nil {
		t.Fatal(err)
	}
	good, err := w.jobs.SubmitOnly(t.Context(), 0, fmt.Sprintf(`{"type":"work","queue":%q}`, w.queue))
	if err != nil {
		t.Fatal(err)
	}
	w.is(good, lifecycle.StateSucceeded)
	w.until("it is reported", func() bool { return len(w.trouble.all()) > 0 })
	for _, line := range w.trouble.all() {
		if !strings.Contains(line, fmt.Sprint(int64(bad))) || strings.Contains(line, "forged") {
			t.Errorf("trouble: %q", line)
		}
	}
}

// A cancel whose message nobody has heard is found by Run.
func TestLostMessage(t *testing.T) {
	t.Parallel()
	started, ended := make(chan lifecycle.ID, 1), make(chan error, 1)
	w := newWorld(t, setting{every: 50 * time.Millisecond}, untilDone(started, ended))
	id := w.enqueue(0, "work")
	<-started
	if _, err := cancel.New(w.jobs.Store, nil).Cancel(t.Context(), cancel.Order{ID: id, Actor: "ann", Reason: "wrong ledger"}); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), `by "ann": wrong ledger`) {
		t.Errorf("the work was told %v", err)
	}
	w.is(id, lifecycle.StateCancelled)
}

// A process that dies between the request and its task leaves no request without one, and one
// that dies between the last child and its parent no parent that has not ended.
func TestCutOff(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t, setting{every: 100 * time.Millisecond}, func(context.Context, *world, *asynq.Task) error { return nil })
	batch, err := w.jobs.Batch(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	child, err := w.jobs.SubmitOnly(ctx, batch, fmt.Sprintf(`{"type":"work","queue":%q,"maxRetry":3}`, w.queue))
	if err != nil {
		t.Fatal(err)
	}
	w.is(child, lifecycle.StateSucceeded)

	inner, err := w.jobs.Batch(ctx, batch)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []lifecycle.ID{inner, batch} { // without Complete, which would end them
		if _, err := w.jobs.Transition(ctx, cancel.Order{ID: id}, lifecycle.TriggerComplete); err != nil {
			t.Fatal(err)
		}
	}
	w.is(batch, lifecycle.StateSucceeded)

	// The last child ends after its parent has been completed, and whoever ended it dies.
	batch, err = w.jobs.Batch(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	last := lifecycle.Request{ID: batch + 1<<45, Parent: batch, Kind: lifecycle.KindChild, State: lifecycle.StateReady}
	if err := w.jobs.Submit(ctx, last); err != nil {
		t.Fatal(err)
	}
	if err := w.jobs.Complete(ctx, batch); err != nil {
		t.Fatal(err)
	}
	if _, err := w.jobs.Transition(ctx, cancel.Order{ID: last.ID}, lifecycle.TriggerExpire); err != nil {
		t.Fatal(err)
	}
	w.is(batch, lifecycle.StateSucceeded)
	if n, err := w.rdb.ZCard(ctx, w.jobs.Prefix()+":{0}:todo").Result(); n != 0 || err != nil {
		t.Errorf("%d are left to do, %v", n, err)
	}
	for _, line := range w.trouble.all() {
		t.Errorf("trouble: %q", line)
	}
}

// Work that takes longer to stop than the grace is left alone while its process lives. When
// that is dead, the request ends.
func TestGrace(t *testing.T) {
	t.Parallel()
	const grace = 300 * time.Millisecond
	started, ended, goOn := make(chan lifecycle.ID, 1), make(chan error, 1), make(chan struct{})
	w := newWorld(t, setting{every: 50 * time.Millisecond, grace: grace}, func(ctx context.Context, _ *world, _ *asynq.Task) error {
		started <- essasynq.RequestID(ctx)
		<-ctx.Done()
		<-goOn
		ended <- context.Cause(ctx)
		return nil
	})
	slow := w.enqueue(0, "work")
	<-started
	w.cancel(slow)
	time.Sleep(4 * grace)
	if got := w.state(slow); got != lifecycle.StateCancelling {
		t.Errorf("work that takes long to stop is %v", got)
	}
	close(goOn)
	<-ended
	w.is(slow, lifecycle.StateSucceeded)

	dead := lifecycle.Request{ID: 7, Kind: lifecycle.KindSingleton, State: lifecycle.StateRunning, Attempt: 1} // by nobody
	if err := w.jobs.Insert(t.Context(), dead); err != nil {
		t.Fatal(err)
	}
	w.cancel(7)
	w.is(7, lifecycle.StateCancelled)
}

// asynq hands a task out again whose worker has died: the request is started again, or, if it
// was not to be tried again, or was cancelled, it is not.
func TestHandedOutAgain(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	attempts := make(chan int, 10)
	w := newWorld(t, setting{}, func(ctx context.Context, w *world, _ *asynq.Task) error {
		r, err := w.jobs.Get(ctx, essasynq.RequestID(ctx))
		attempts <- r.Attempt
		return err
	})
	again := func(id lifecycle.ID, retries int, state lifecycle.State, attempt int, want lifecycle.State) {
		t.Helper()
		r := lifecycle.Request{ID: id, Kind: lifecycle.KindSingleton, State: state, Attempt: attempt}
		if err := w.jobs.Insert(ctx, r); err != nil {
			t.Fatal(err)
		}
		task := asynq.NewTask("work", nil)
		if _, err := asynq.NewClientFromRedisClient(w.rdb).Enqueue(task, asynq.TaskID(w.jobs.TaskID(id)), asynq.Queue(w.queue), asynq.MaxRetry(retries+1000)); err != nil {
			t.Fatal(err)
		}
		w.drained()
		if got := w.state(id); got != want {
			t.Errorf("%v after it is handed out again: %v, want %v", r, got, want)
		}
	}
	again(1, 1, lifecycle.StateRunning, 1, lifecycle.StateSucceeded)
	again(2, 1, lifecycle.StateErrorAutoRetry, 1, lifecycle.StateSucceeded)
	again(3, 1, lifecycle.StateReady, 0, lifecycle.StateSucceeded)
	again(4, 1, lifecycle.StateWait, 0, lifecycle.StateSucceeded)
	if len(attempts) != 4 {
		t.Errorf("%d handlers were called, want 4", len(attempts))
	}
	again(5, 1, lifecycle.StateCancelling, 1, lifecycle.StateCancelling)
	again(6, 1, lifecycle.StateCancelled, 1, lifecycle.StateCancelled)
	again(7, 1, lifecycle.StateError, 1, lifecycle.StateError)
	again(8, 1, lifecycle.StateCompleted, 1, lifecycle.StateCompleted) // for Run to end
	again(9, -1, lifecycle.StateRunning, 1, lifecycle.StateError)      // it had its last try
	again(10, -1, lifecycle.StateErrorAutoRetry, 1, lifecycle.StateError)
	if len(attempts) != 4 {
		t.Errorf("%d handlers were called, want 4", len(attempts))
	}
}

// The earlier attempt of a request hears that it has been superseded, and its answer does not
// count, not even for a cancel.
func TestSuperseded(t *testing.T) {
	t.Parallel()
	started, ended := make(chan lifecycle.ID, 1), make(chan error, 1)
	w := newWorld(t, setting{every: 50 * time.Millisecond}, func(ctx context.Context, _ *world, _ *asynq.Task) error {
		started <- essasynq.RequestID(ctx)
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return nil
	})
	id := w.enqueue(0, "work")
	<-started
	// Another process has it, as far as asynq knows, and starts it.
	for _, tr := range []lifecycle.Trigger{lifecycle.TriggerFailRetryable, lifecycle.TriggerRetry, lifecycle.TriggerDispatch, lifecycle.TriggerStart} {
		if _, err := w.other.Transition(t.Context(), cancel.Order{ID: id}, tr); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-ended; !errors.Is(err, cancel.ErrSuperseded) {
		t.Errorf("the earlier attempt was told %v", err)
	}
	// It has returned nil. asynq, for which it has been the only one, hands the task out again.
	<-started
	if r := w.get(id); r.State != lifecycle.StateRunning || r.Attempt != 3 {
		t.Errorf("it is %v, attempt %d, want RUNNING, attempt 3", r.State, r.Attempt)
	}
	w.cancel(id)
	<-ended
	w.is(id, lifecycle.StateSucceeded)
}
