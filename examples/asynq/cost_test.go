package essasynq_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"example.com/ess/cancel"
	essasynq "example.com/ess/examples/asynq"
	"example.com/ess/lifecycle"
)

// A counter counts the calls of Redis, but for asynq's own.
type counter struct{ n atomic.Int64 }

func (c *counter) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (c *counter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.n.Add(1)
		return next(ctx, cmd)
	}
}

func (c *counter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// The calls of Redis that the README tells of.
func TestCalls(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	p := prefix()
	requests := []lifecycle.Request{{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateRunning}}
	for i := range 10_000 {
		requests = append(requests, lifecycle.Request{ID: lifecycle.ID(2 + i), Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateReady})
	}
	opts := &essasynq.Options{Store: essasynq.StoreOptions{Prefix: p}}
	jobs := essasynq.New(connect(t, addr), opts)
	for at := 0; at < len(requests); at += 1000 {
		if err := jobs.Insert(ctx, requests[at:min(at+1000, len(requests))]...); err != nil {
			t.Fatal(err)
		}
	}
	rdb := connect(t, addr)
	var calls counter
	rdb.AddHook(&calls)
	jobs = essasynq.New(rdb, opts)
	scripts := func() int64 { return calls.n.Swap(0) }
	if _, err := jobs.Batch(ctx, 0); err != nil { // connects
		t.Fatal(err)
	}
	scripts()
	if res, err := jobs.Cancel(ctx, cancel.Order{ID: 1}); err != nil || res.Root.To != lifecycle.StateCancelled {
		t.Fatal(res.Root, err)
	}
	if n := scripts(); n > 14+3 { // three of them give the server a script
		t.Errorf("cancelling 10,000 tasks took %d calls", n)
	} else {
		t.Logf("cancelling 10,000 tasks took %d calls", n)
	}

	id, err := jobs.Enqueue(ctx, 0, "work", nil, asynq.Queue(p), asynq.ProcessIn(1<<40))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("submitting a task took %d calls, asynq's included", scripts())
	if err := jobs.Work(ctx, id, func(context.Context) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if n := scripts(); n > 14 {
		t.Errorf("working a task took %d calls beside asynq's", n)
	} else {
		t.Logf("working a task took %d calls beside asynq's", n)
	}
}
