// Command demo starts a private Redis server and a server of asynq's, and has ann cancel a nightly
// close while one of its ledgers is worked.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"example.com/ess/cancel"
	essasynq "example.com/ess/examples/asynq"
	"example.com/ess/examples/asynq/redisserver"
	"example.com/ess/lifecycle"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer) error {
	private, err := redisserver.Start(ctx)
	if err != nil {
		return err
	}
	defer private.Stop()

	rdb := redis.NewClient(&redis.Options{Addr: private.Addr()})
	defer rdb.Close()
	jobs := essasynq.New(rdb, nil)

	l := &ledgers{jobs: jobs, started: make(chan string), stopped: make(chan error)}
	mux := asynq.NewServeMux()
	mux.Use(jobs.Middleware)
	mux.HandleFunc("nightly", l.nightly)
	mux.HandleFunc("ledger", l.ledger)
	server := asynq.NewServerFromRedisClient(rdb, asynq.Config{Concurrency: 1, LogLevel: asynq.FatalLevel})
	if err := server.Start(mux); err != nil {
		return err
	}
	defer server.Shutdown()
	go jobs.Run(ctx)

	nightly, err := jobs.EnqueueParent(ctx, 0, "nightly", nil)
	if err != nil {
		return err
	}
	region := <-l.started
	fmt.Fprintf(out, "%-8s is worked\n", region+":")
	if err := show(ctx, out, jobs, nightly); err != nil {
		return err
	}

	result, err := jobs.Cancel(ctx, cancel.Order{ID: nightly, Actor: "ann", Reason: "wrong rates"})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%-8s %v\n", "ann:", result.Counts)
	fmt.Fprintf(out, "%-8s %v\n", region+":", <-l.stopped)

	for ended := false; !ended; time.Sleep(10 * time.Millisecond) {
		queue, err := asynq.NewInspectorFromRedisClient(rdb).GetQueueInfo("default")
		if err != nil {
			return err
		}
		ended = queue.Pending+queue.Active == 0
	}
	fmt.Fprintf(out, "%-8s has nothing left to do\n", "asynq:")
	return show(ctx, out, jobs, nightly)
}

type ledgers struct {
	jobs    *essasynq.Jobs
	started chan string
	stopped chan error
}

// nightly enqueues a task for each ledger. With asynq.TaskID it enqueues none of them twice.
func (l *ledgers) nightly(ctx context.Context, _ *asynq.Task) error {
	for _, region := range []string{"Europe", "Asia", "America"} {
		_, err := l.jobs.Enqueue(ctx, essasynq.RequestID(ctx), "ledger", []byte(region), asynq.TaskID(region))
		if err != nil {
			return err // the nightly close is being cancelled, or Redis is away
		}
	}
	return nil
}

// ledger works until it is told to stop.
func (l *ledgers) ledger(ctx context.Context, t *asynq.Task) error {
	l.started <- string(t.Payload())
	<-ctx.Done() // the work
	by, ok := context.Cause(ctx).(*cancel.CancelledError)
	if !ok {
		return ctx.Err()
	}
	l.stopped <- fmt.Errorf("cancelled by %q: %s", by.Cause.Actor, by.Cause.Reason)
	return ctx.Err()
}

// show shows the nightly close and how many of its ledgers are in which state.
func show(ctx context.Context, out io.Writer, jobs *essasynq.Jobs, nightly lifecycle.ID) error {
	r, err := jobs.Get(ctx, nightly)
	if err != nil {
		return err
	}
	var starts int
	ledgers := map[lifecycle.State]int{}
	q := cancel.ChildQuery{Parents: []lifecycle.ID{nightly}, States: lifecycle.Live | lifecycle.Terminal}
	for r, err := range cancel.Children(ctx, jobs.Store, q) {
		if err != nil {
			return err
		}
		ledgers[r.State]++
		starts += r.Attempt
	}
	fmt.Fprintf(out, "%-8s %v; ledgers: %v, %d started\n", "", r.State, ledgers, starts)
	return nil
}
