package essasynq_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"example.com/ess/lifecycle"
)

// What somebody does to tasks with asynq's Inspector, or its web page, and what comes of it.
func TestInspector(t *testing.T) {
	t.Parallel()
	var starts atomic.Int32
	stopped := make(chan struct{})
	w := newWorld(t, setting{}, func(ctx context.Context, _ *world, task *asynq.Task) error {
		n := starts.Add(1)
		switch task.Type() {
		case "fail":
			return asynq.SkipRetry
		case "work":
			if n == 1 {
				<-ctx.Done()
				close(stopped)
			}
			return ctx.Err()
		}
		return nil
	})
	far := asynq.ProcessIn(time.Hour)

	// CancelProcessing ends a context, and asynq tries again: it is no cancel.
	work := w.enqueue(0, "work")
	w.is(work, lifecycle.StateRunning)
	if err := w.inspector.CancelProcessing(w.jobs.TaskID(work)); err != nil {
		t.Fatal(err)
	}
	<-stopped
	w.is(work, lifecycle.StateSucceeded)
	if r := w.get(work); r.Attempt != 2 {
		t.Errorf("after CancelProcessing it has had %d attempts, want 2", r.Attempt)
	}

	// RunTask does not make a request run again that has ended, nor one that was cancelled.
	failed, cancelled := w.enqueue(0, "fail"), w.enqueue(0, "never", far)
	w.is(failed, lifecycle.StateError)
	w.cancel(cancelled)
	before := starts.Load()
	for _, id := range []lifecycle.ID{failed, cancelled} {
		w.until("asynq runs the task", func() bool { return w.inspector.RunTask(w.queue, w.jobs.TaskID(id)) == nil })
	}
	w.drained()
	if got := starts.Load(); got != before {
		t.Errorf("RunTask has called %d handlers", got-before)
	}

	// DeleteTask and ArchiveTask take the task from a request, which waits until it is cancelled.
	batch, ids := w.batch(2, "never", far)
	if err := w.inspector.DeleteTask(w.queue, w.jobs.TaskID(ids[0])); err != nil {
		t.Fatal(err)
	}
	if err := w.inspector.ArchiveTask(w.queue, w.jobs.TaskID(ids[1])); err != nil {
		t.Fatal(err)
	}
	if got := w.tally(batch); got[lifecycle.StateReady] != 2 {
		t.Errorf("the requests whose tasks were taken away are %v", got)
	}
	w.cancel(batch)
	w.is(batch, lifecycle.StateCancelled)
}
