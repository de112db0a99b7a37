package essasynq_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"example.com/ess/cancel"
	essasynq "example.com/ess/examples/asynq"
	"example.com/ess/lifecycle"
)

// A world is Jobs in one process, a server of asynq's in it, and Jobs in another process
// that has no server.
type world struct {
	testing.TB
	rdb       redis.UniversalClient
	jobs      *essasynq.Jobs // beside the server
	other     *essasynq.Jobs
	queue     string
	inspector *asynq.Inspector
	trouble   lines
}

// setting are the settings of a world.
type setting struct {
	grace       time.Duration
	every       time.Duration // an hour if 0, so that a test sees what happens without Run's help
	concurrency int
	store       essasynq.StoreOptions
	quiet       bool // no Run
}

// newWorld starts a server whose tasks are worked by handle.
func newWorld(t testing.TB, set setting, handle func(ctx context.Context, w *world, t *asynq.Task) error) *world {
	t.Helper()
	return newWorldOn(t, connect(t, addr), set, handle)
}

func newWorldOn(t testing.TB, rdb redis.UniversalClient, set setting, handle func(ctx context.Context, w *world, t *asynq.Task) error) *world {
	t.Helper()
	w := &world{TB: t, rdb: rdb}
	if set.store.Prefix == "" {
		set.store.Prefix = prefix()
	}
	w.queue = "q" + set.store.Prefix
	if set.every == 0 {
		set.every = time.Hour
	}
	if set.concurrency == 0 {
		set.concurrency = 10
	}
	opts := essasynq.Options{Store: set.store, Every: set.every, Cancel: cancel.Options{Grace: set.grace}, Trouble: w.trouble.add}
	w.jobs = essasynq.New(rdb, &opts)
	w.other = essasynq.New(rdb, &opts)
	w.inspector = asynq.NewInspectorFromRedisClient(rdb)
	server := w.server(set.concurrency)
	handler := w.jobs.Middleware(asynq.HandlerFunc(func(ctx context.Context, t *asynq.Task) error { return handle(ctx, w, t) }))
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	if !set.quiet {
		subscribed := w.subscribers()
		running.Go(func() { w.jobs.Run(ctx) })
		w.until("Run listens", func() bool { return w.subscribers() > subscribed })
	}
	if err := server.Start(handler); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Shutdown()
		stop()
		running.Wait()
	})
	return w
}

// subscribers returns how many listen for cancels.
func (w *world) subscribers() int64 {
	channel := w.jobs.Channel()
	n, err := w.rdb.PubSubNumSub(context.Background(), channel).Result()
	if err != nil {
		w.Fatal(err)
	}
	return n[channel]
}

// server returns a server of asynq's for the queue of the world.
func (w *world) server(concurrency int) *asynq.Server {
	return asynq.NewServerFromRedisClient(w.rdb, asynq.Config{
		Concurrency: concurrency, Queues: map[string]int{w.queue: 1}, LogLevel: asynq.FatalLevel,
		TaskCheckInterval: 20 * time.Millisecond, DelayedTaskCheckInterval: 50 * time.Millisecond,
		RetryDelayFunc:  func(int, error, *asynq.Task) time.Duration { return 0 },
		ShutdownTimeout: time.Second,
	})
}

// enqueue enqueues a task of the given type below parent.
func (w *world) enqueue(parent lifecycle.ID, typename string, opts ...asynq.Option) lifecycle.ID {
	w.Helper()
	id, err := w.other.Enqueue(w.Context(), parent, typename, nil, append(opts, asynq.Queue(w.queue))...)
	if err != nil {
		w.Fatal(err)
	}
	return id
}

func (w *world) enqueueParent(parent lifecycle.ID, typename string, opts ...asynq.Option) lifecycle.ID {
	w.Helper()
	id, err := w.other.EnqueueParent(w.Context(), parent, typename, nil, append(opts, asynq.Queue(w.queue))...)
	if err != nil {
		w.Fatal(err)
	}
	return id
}

// batch submits a batch with n children of the given type.
func (w *world) batch(n int, typename string, opts ...asynq.Option) (batch lifecycle.ID, children []lifecycle.ID) {
	w.Helper()
	batch, err := w.other.Batch(w.Context(), 0)
	if err != nil {
		w.Fatal(err)
	}
	for range n {
		children = append(children, w.enqueue(batch, typename, opts...))
	}
	if err := w.other.Complete(w.Context(), batch); err != nil {
		w.Fatal(err)
	}
	return batch, children
}

// cancel cancels from the other process.
func (w *world) cancel(id lifecycle.ID) cancel.Result {
	w.Helper()
	res, err := w.other.Cancel(w.Context(), cancel.Order{ID: id, Actor: "ann", Reason: "wrong ledger"})
	if err != nil {
		w.Fatal(err)
	}
	return res
}

func (w *world) get(id lifecycle.ID) lifecycle.Request {
	w.Helper()
	r, err := w.jobs.Get(context.Background(), id)
	if err != nil {
		w.Fatal(err)
	}
	return r
}

func (w *world) state(id lifecycle.ID) lifecycle.State {
	w.Helper()
	return w.get(id).State
}

// is waits until the request is in the state.
func (w *world) is(id lifecycle.ID, state lifecycle.State) {
	w.Helper()
	w.until(state.String(), func() bool { return w.state(id) == state })
}

// tally counts the children of a request by state.
func (w *world) tally(parent lifecycle.ID) map[lifecycle.State]int {
	w.Helper()
	n := map[lifecycle.State]int{}
	q := cancel.ChildQuery{Parents: []lifecycle.ID{parent}, States: lifecycle.Live | lifecycle.Terminal}
	for r, err := range cancel.Children(context.Background(), w.jobs.Store, q) {
		if err != nil {
			w.Fatal(err)
		}
		n[r.State]++
	}
	return n
}

// drained waits until asynq has no task left that it might hand out.
func (w *world) drained() {
	w.Helper()
	w.until("the queue is drained", func() bool {
		q, err := w.inspector.GetQueueInfo(w.queue)
		return err == nil && q.Pending+q.Active+q.Scheduled+q.Retry == 0
	})
}

func (w *world) archived() int {
	w.Helper()
	q, err := w.inspector.GetQueueInfo(w.queue)
	if err != nil {
		w.Fatal(err)
	}
	return q.Archived
}

func (w *world) until(what string, f func() bool) {
	w.Helper()
	for end := time.Now().Add(30 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			w.Fatalf("not within half a minute: %s", what)
		}
	}
}

// lines are what somebody has said.
type lines struct {
	mu   sync.Mutex
	said []string
}

func (l *lines) add(err error) { l.say(err.Error()) }

func (l *lines) say(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.said = append(l.said, s)
}

func (l *lines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.said...)
}
