package essasynq_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	essasynq "example.com/ess/examples/asynq"
	"example.com/ess/lifecycle"
)

// The tests start this program once more to have worker processes that can be killed. Such a
// process is told what to do by an environment variable.
const workerEnv = "ESS_TEST_WORKER"

// A place is where a worker works.
type place struct{ Addr, Queue string }

const (
	workerEvery = 200 * time.Millisecond
	workerGrace = 2 * time.Second
)

func (p place) jobs(rdb redis.UniversalClient) *essasynq.Jobs {
	return essasynq.New(rdb, &essasynq.Options{Every: workerEvery, Cancel: cancel.Options{Grace: workerGrace, PageSize: 8}})
}

// work is a process with a server of asynq's, until it is killed.
func work() {
	redis.SetLogger(silent{})
	var p place
	if err := json.Unmarshal([]byte(os.Getenv(workerEnv)), &p); err != nil {
		panic(err)
	}
	rdb := redis.NewClient(&redis.Options{Addr: p.Addr, DialerRetries: 1})
	jobs := p.jobs(rdb)
	server := asynq.NewServerFromRedisClient(rdb, asynq.Config{
		Concurrency: 6, Queues: map[string]int{p.Queue: 1}, LogLevel: asynq.FatalLevel,
		TaskCheckInterval: 10 * time.Millisecond, DelayedTaskCheckInterval: 50 * time.Millisecond,
		RetryDelayFunc: func(int, error, *asynq.Task) time.Duration { return 0 },
	})
	mux := asynq.NewServeMux()
	mux.Use(jobs.Middleware)
	children := func(ctx context.Context, n int, enqueue func(context.Context, lifecycle.ID, string, []byte, ...asynq.Option) (lifecycle.ID, error), typename string) error {
		for i := range n {
			if _, err := enqueue(ctx, essasynq.RequestID(ctx), typename, nil, asynq.Queue(p.Queue), asynq.TaskID(fmt.Sprint(i))); err != nil {
				return err
			}
		}
		return nil
	}
	mux.HandleFunc("month", func(ctx context.Context, _ *asynq.Task) error { return children(ctx, days, jobs.EnqueueParent, "day") })
	mux.HandleFunc("day", func(ctx context.Context, _ *asynq.Task) error { return children(ctx, leaves, jobs.Enqueue, "leaf") })
	mux.HandleFunc("leaf", func(ctx context.Context, _ *asynq.Task) error {
		id := essasynq.RequestID(ctx)
		r, err := jobs.Get(ctx, id)
		if err != nil {
			return err
		}
		fmt.Println("start", int64(id), r.Attempt, time.Now().UnixMicro())
		select {
		case <-time.After(time.Duration(10+rand.IntN(100)) * time.Millisecond):
			return nil
		case <-ctx.Done():
			fmt.Println("told", int64(id), r.Attempt, time.Now().UnixMicro(), context.Cause(ctx))
			return context.Cause(ctx)
		}
	})
	if err := server.Start(mux); err != nil {
		panic(err)
	}
	jobs.Run(context.Background())
}

const days, leaves = 3, 12

// A worker is such a process.
type worker struct {
	cmd  *exec.Cmd
	done chan struct{} // closed at the end of its output
}

// A start is when the handler of an attempt of a request was called.
type start struct {
	id      lifecycle.ID
	attempt int
	micros  int64
}

// A crew is the workers that there have been.
type crew struct {
	*testing.T
	place   place
	mu      sync.Mutex
	starts  []start
	told    []string
	workers []*worker
}

func (c *crew) hire() {
	c.Helper()
	text, err := json.Marshal(c.place)
	if err != nil {
		c.Fatal(err)
	}
	w := &worker{cmd: exec.Command(os.Args[0]), done: make(chan struct{})}
	w.cmd.Env = append(os.Environ(), workerEnv+"="+string(text))
	w.cmd.Stderr = os.Stderr
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		c.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		c.Fatal(err)
	}
	c.workers = append(c.workers, w)
	go c.hear(w, out)
}

func (c *crew) hear(w *worker, out io.Reader) {
	defer close(w.done)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		c.mu.Lock()
		switch word {
		case "start":
			var s start
			if n, _ := fmt.Sscan(rest, &s.id, &s.attempt, &s.micros); n == 3 {
				c.starts = append(c.starts, s)
			} // or else the process died in the middle of a line
		case "told":
			c.told = append(c.told, rest)
		}
		c.mu.Unlock()
	}
}

// kill kills the oldest worker with SIGKILL.
func (c *crew) kill() {
	w := c.workers[0]
	c.workers = c.workers[1:]
	_ = w.cmd.Process.Kill()
	<-w.done
	_ = w.cmd.Wait() // killed
}

func (c *crew) dismiss() {
	for len(c.workers) > 0 {
		c.kill()
	}
}

// explain shows, if the test has failed, what is live, and what asynq has of it.
func (c *crew) explain(jobs *essasynq.Jobs, roots ...lifecycle.ID) {
	if !c.Failed() {
		return
	}
	inspector := asynq.NewInspector(asynq.RedisClientOpt{Addr: c.place.Addr})
	defer inspector.Close()
	for _, root := range roots {
		for _, r := range below(c, jobs.Store, root) {
			if lifecycle.Live.Has(r.State) {
				info, err := inspector.GetTaskInfo(c.place.Queue, jobs.TaskID(r.ID))
				c.Logf("%v below %d: asynq has %+v, %v", r, r.Parent, info, err)
			}
		}
	}
}

// expire has the leases of all tasks that asynq takes to be worked expire, of dead workers and
// of those that live. asynq itself would wait for a minute. A server looks when it starts.
func (c *crew) expire(rdb redis.UniversalClient) (n int) {
	key := "asynq:{" + c.place.Queue + "}:lease"
	ctx := context.Background()
	tasks, _ := rdb.ZRange(ctx, key, 0, -1).Result()
	for _, task := range tasks {
		if rdb.ZAddXX(ctx, key, redis.Z{Score: float64(time.Now().Add(-time.Hour).Unix()), Member: task}).Err() == nil {
			n++
		}
	}
	return n
}

// Workers are killed with SIGKILL, and so is redis-server, and leases expire of workers that
// live, while one tree is worked and another is cancelled.
func TestKilled(t *testing.T) {
	t.Parallel()
	const rounds = 4
	ctx := t.Context()
	server := startServer(t, durable...)
	rdb := connect(t, server.Addr())
	var workersKilled, serversKilled, leases, starts, told, live int
	for round := range rounds {
		c := &crew{T: t, place: place{server.Addr(), fmt.Sprintf("q%d", round)}}
		t.Cleanup(c.dismiss)
		jobs := c.place.jobs(rdb)
		month := func() (id lifecycle.ID) {
			within(t, "a month is enqueued", func() (ok bool) {
				var err error
				id, err = jobs.EnqueueParent(ctx, 0, "month", nil, asynq.Queue(c.place.Queue))
				return err == nil
			})
			return id
		}
		good, bad := month(), month()
		c.hire()
		c.hire()
		watch := watchTrees(t, jobs, good, bad)
		cancelAt := rand.IntN(4)
		var gone map[lifecycle.ID]bool // CANCELLED by the cancel, when it had returned
		var cancelled int64
		for step := range 8 {
			time.Sleep(time.Duration(20+rand.IntN(120)) * time.Millisecond)
			if step == cancelAt {
				gone = map[lifecycle.ID]bool{}
				late := false // it has ended before
				within(t, "the cancel has an answer", func() bool {
					order := cancel.Order{ID: bad, Actor: "ann", Reason: "wrong month", Receipt: func(r cancel.Receipt) {
						if r.To == lifecycle.StateCancelled && r.Err == nil {
							gone[r.ID] = true
						}
					}}
					_, err := jobs.Cancel(ctx, order)
					late = errors.Is(err, esserrors.CodeUnsupportedState)
					return err == nil || late
				})
				cancelled = time.Now().UnixMicro()
				if !late {
					watch.cancelled(bad)
				}
			}
			switch rand.IntN(3) {
			case 0:
				restart(t, server, rdb)
				serversKilled++
			case 1:
				leases += c.expire(rdb)
				c.hire()
				c.kill()
				workersKilled++
			default:
				c.kill()
				workersKilled++
				leases += c.expire(rdb)
				c.hire()
			}
		}
		defer c.explain(jobs, good, bad)
		within(t, "both trees have ended", func() bool {
			if watch.ended(good) && watch.ended(bad) {
				return true
			}
			time.Sleep(200 * time.Millisecond)
			leases += c.expire(rdb) // what a dead worker has left
			c.hire()
			c.kill()
			workersKilled++
			return false
		})
		c.dismiss()
		live += watch.stop()
		starts += len(c.starts)
		told += len(c.told)
		checkRound(t, c, jobs, good, bad, gone, cancelled)
	}
	t.Logf("%d rounds: %d workers and %d servers killed, %d leases expired; %d handlers started, %d told of the cancel; %d looks at the trees", rounds, workersKilled, serversKilled, leases, starts, told, live)
	if workersKilled == 0 || serversKilled == 0 || leases == 0 {
		t.Error("some sort of fault did not happen")
	}
}

// checkRound checks that the good month was worked to its end, each day and leaf of it once, and
// that of the bad one nothing was started that had been cancelled.
func checkRound(t *testing.T, c *crew, jobs *essasynq.Jobs, good, bad lifecycle.ID, gone map[lifecycle.ID]bool, cancelled int64) {
	t.Helper()
	snap := below(t, jobs.Store, good)
	if len(snap) != 1+days+days*leaves {
		t.Errorf("the good month has %d requests, want %d", len(snap), 1+days+days*leaves)
	}
	for _, r := range snap {
		if r.State != lifecycle.StateSucceeded {
			t.Errorf("of the good month, request %d (%v) is %v after %d attempts", r.ID, r.Kind, r.State, r.Attempt)
		}
	}
	badSnap := below(t, jobs.Store, bad)
	for _, r := range badSnap {
		if lifecycle.Live.Has(r.State) {
			t.Errorf("of the bad month, request %d is %v", r.ID, r.State)
		}
	}
	if r := badSnap[bad]; r.State != lifecycle.StateCancelled && r.State != lifecycle.StateSucceeded && r.State != lifecycle.StateError {
		t.Errorf("the bad month is %v", r.State)
	}
	seen := map[[2]int64]bool{}
	for _, s := range c.starts {
		key := [2]int64{int64(s.id), int64(s.attempt)}
		if seen[key] {
			t.Errorf("attempt %d of request %d was started twice", s.attempt, s.id)
		}
		seen[key] = true
		if gone[s.id] && s.micros > cancelled {
			t.Errorf("request %d had been CANCELLED, and was started %d µs after the cancel", s.id, s.micros-cancelled)
		}
		r := badSnap[s.id]
		if r.ID == 0 {
			r = snap[s.id]
		}
		if s.attempt > r.Attempt {
			t.Errorf("attempt %d of request %d was started, of %d that are recorded", s.attempt, s.id, r.Attempt)
		}
	}
}
