package essasynq_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"example.com/ess/cancel"
	essasynq "example.com/ess/examples/asynq"
	"example.com/ess/lifecycle"
)

// BenchmarkCancel cancels a batch of 10,000 tasks that wait in asynq's queue by one call, and
// deletes as many tasks of asynq's by a loop of its Inspector's calls. The ratio is how many times
// longer the loop takes. The tasks of the batch stay in the queue until a worker drops them:
// "drain" is how many times longer than the cancel that takes, beside other work.
func BenchmarkCancel(b *testing.B) {
	const tasks = 10_000
	ctx := b.Context()
	rdb := connect(b, addr)
	inspector := asynq.NewInspectorFromRedisClient(rdb)
	client := asynq.NewClientFromRedisClient(rdb)
	var ours, loop, drain time.Duration
	for b.Loop() {
		b.StopTimer()
		jobs := essasynq.New(rdb, &essasynq.Options{Store: essasynq.StoreOptions{Prefix: prefix()}})
		queue := "q" + jobs.Prefix()
		batch, err := jobs.Batch(ctx, 0)
		if err != nil {
			b.Fatal(err)
		}
		for range tasks {
			if _, err := jobs.Enqueue(ctx, batch, "leaf", nil, asynq.Queue(queue)); err != nil {
				b.Fatal(err)
			}
			if _, err := client.Enqueue(asynq.NewTask("leaf", nil), asynq.Queue(queue+"x"), asynq.TaskID(fmt.Sprint(queue, prefix()))); err != nil {
				b.Fatal(err)
			}
		}
		infos, err := inspector.ListPendingTasks(queue+"x", asynq.PageSize(tasks))
		if err != nil || len(infos) != tasks {
			b.Fatal(len(infos), err)
		}
		b.StartTimer()

		began := time.Now()
		if _, err := jobs.Cancel(ctx, cancel.Order{ID: batch, Actor: "ann", Reason: "wrong ledger"}); err != nil {
			b.Fatal(err)
		}
		ours += time.Since(began)

		b.StopTimer()
		if live, err := jobs.Children(ctx, cancel.ChildQuery{Parents: []lifecycle.ID{batch}, States: lifecycle.Live, Limit: 1}); err != nil || len(live) > 0 {
			b.Fatal(live, err)
		}
		began = time.Now()
		for _, info := range infos {
			if err := inspector.DeleteTask(info.Queue, info.ID); err != nil {
				b.Fatal(err)
			}
		}
		loop += time.Since(began)

		began = time.Now()
		server := asynq.NewServerFromRedisClient(rdb, asynq.Config{Concurrency: 10, Queues: map[string]int{queue: 1}, LogLevel: asynq.FatalLevel})
		handler := jobs.Middleware(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
			b.Error("a task of a cancelled batch was handled")
			return nil
		}))
		if err := server.Start(handler); err != nil {
			b.Fatal(err)
		}
		within(b, "the queue is drained", func() bool {
			q, err := inspector.GetQueueInfo(queue)
			return err == nil && q.Pending+q.Active+q.Retry == 0
		})
		drain += time.Since(began)
		server.Shutdown()
		b.StartTimer()
	}
	b.ReportMetric(float64(loop)/float64(ours), "inspector/ess")
	b.ReportMetric(float64(drain)/float64(ours), "drain/ess")
	b.ReportMetric(float64(ours.Microseconds())/float64(b.N)/tasks, "us/task")
}

// BenchmarkTask enqueues and works 2,000 tasks that do nothing, below one parent, and as many of
// asynq's own. The ratio is how many times longer a task of a tree takes.
func BenchmarkTask(b *testing.B) {
	const tasks = 2000
	ctx := b.Context()
	rdb := connect(b, addr)
	client := asynq.NewClientFromRedisClient(rdb)
	inspector := asynq.NewInspectorFromRedisClient(rdb)
	drain := func(queue string, handler asynq.Handler) time.Duration {
		began := time.Now()
		server := asynq.NewServerFromRedisClient(rdb, asynq.Config{Concurrency: 10, Queues: map[string]int{queue: 1}, LogLevel: asynq.FatalLevel})
		if err := server.Start(handler); err != nil {
			b.Fatal(err)
		}
		within(b, "the queue is drained", func() bool {
			q, err := inspector.GetQueueInfo(queue)
			return err == nil && q.Pending+q.Active == 0
		})
		took := time.Since(began)
		server.Shutdown()
		return took
	}
	nothing := asynq.HandlerFunc(func(context.Context, *asynq.Task) error { return nil })
	var oursIn, oursOut, theirsIn, theirsOut time.Duration
	for b.Loop() {
		jobs := essasynq.New(rdb, &essasynq.Options{Store: essasynq.StoreOptions{Prefix: prefix()}})
		queue := "q" + jobs.Prefix()
		batch, err := jobs.Batch(ctx, 0)
		if err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		for range tasks {
			if _, err := jobs.Enqueue(ctx, batch, "leaf", nil, asynq.Queue(queue)); err != nil {
				b.Fatal(err)
			}
		}
		oursIn += time.Since(began)
		oursOut += drain(queue, jobs.Middleware(nothing))
		began = time.Now()
		for range tasks {
			if _, err := client.Enqueue(asynq.NewTask("leaf", nil), asynq.Queue(queue+"x")); err != nil {
				b.Fatal(err)
			}
		}
		theirsIn += time.Since(began)
		theirsOut += drain(queue+"x", nothing)
	}
	b.ReportMetric(float64(oursIn)/float64(theirsIn), "enqueue/asynq")
	b.ReportMetric(float64(oursOut)/float64(theirsOut), "work/asynq")
}
