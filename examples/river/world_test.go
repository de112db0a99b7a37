package essriver_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	essriver "example.com/ess/examples/river"
	"example.com/ess/lifecycle"
)

// A task is a job that does what a test says.
type task struct {
	Do string `json:"do"`
}

func (task) Kind() string { return "task" }

type taskWorker struct {
	river.WorkerDefaults[task]
	do      map[string]func(ctx context.Context, job *river.Job[task]) error
	started sync.Map // by id
}

func (w *taskWorker) Work(ctx context.Context, job *river.Job[task]) error {
	w.started.Store(lifecycle.ID(job.ID), true)
	return w.do[job.Args.Do](ctx, job)
}

// A world is a database with jobs, and a client that works them.
type world struct {
	testing.TB
	pool   *pgxpool.Pool
	jobs   *essriver.Jobs
	worker *taskWorker
	client *river.Client[pgx.Tx]
}

// newWorld returns a world in which nothing happens before start.
func newWorld(t testing.TB, opts *essriver.Options, configure ...func(*river.Config)) *world {
	t.Helper()
	w := &world{TB: t, pool: setup(t), worker: &taskWorker{do: map[string]func(context.Context, *river.Job[task]) error{}}}
	w.worker.do["end"] = func(context.Context, *river.Job[task]) error { return nil }
	w.jobs = essriver.New(w.pool, opts)
	config := &river.Config{
		Queues:          map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 50}},
		Workers:         river.NewWorkers(),
		Middleware:      []rivertype.Middleware{w.jobs},
		Logger:          quiet,
		TestOnly:        true, // no staggered starts
		FetchCooldown:   10 * time.Millisecond,
		SoftStopTimeout: time.Second,
	}
	for _, f := range configure {
		f(config)
	}
	river.AddWorker(config.Workers, w.worker)
	var err error
	if w.client, err = river.NewClient(riverpgxv5.New(w.pool), config); err != nil {
		t.Fatal(err)
	}
	return w
}

// start starts the client, and Run beside it. Both end with the test.
func (w *world) start() *world {
	w.Helper()
	ctx, stop := context.WithCancel(context.Background())
	if err := w.client.Start(ctx); err != nil {
		w.Fatal(err)
	}
	running := make(chan error)
	go func() { running <- w.jobs.Run(ctx, w.client) }()
	w.Cleanup(func() {
		if err := w.client.StopAndCancel(context.Background()); err != nil {
			w.Error(err)
		}
		stop()
		if err := <-running; !errors.Is(err, context.Canceled) {
			w.Errorf("Run = %v, want the error of its context", err)
		}
	})
	return w
}

// parent inserts a container, below a parent if that is not 0.
func (w *world) parent(parent lifecycle.ID) lifecycle.ID {
	w.Helper()
	return w.insert(parent, "nothing", essriver.Container(nil))
}

// insert inserts a task, as a child if parent is not 0.
func (w *world) insert(parent lifecycle.ID, do string, opts *river.InsertOpts) (id lifecycle.ID) {
	w.Helper()
	ctx := context.Background()
	err := pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) (err error) {
		if parent != 0 {
			if opts, err = w.jobs.Admit(ctx, tx, parent, opts); err != nil {
				return err
			}
		}
		inserted, err := w.client.InsertTx(ctx, tx, task{do}, opts)
		if err == nil {
			id = lifecycle.ID(inserted.Job.ID)
		}
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
	return id
}

func (w *world) state(id lifecycle.ID) lifecycle.State { return stateOf(w, w.jobs, id) }

func (w *world) waitFor(id lifecycle.ID, state lifecycle.State) {
	w.Helper()
	until(w, state.String(), func() bool { return w.state(id) == state })
}

// waitForWork waits until the worker of a job has been called.
func (w *world) waitForWork(id lifecycle.ID) {
	w.Helper()
	until(w, "the worker is called", func() bool {
		_, ok := w.worker.started.Load(id)
		return ok
	})
}

// row returns a job as River has it.
func (w *world) row(id lifecycle.ID) *rivertype.JobRow {
	w.Helper()
	job, err := w.client.JobGet(context.Background(), int64(id))
	if err != nil {
		w.Fatal(err)
	}
	return job
}
