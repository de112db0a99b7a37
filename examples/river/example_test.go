package essriver_test

import (
	"context"
	"fmt"
	"log"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"example.com/ess/cancel"
	essriver "example.com/ess/examples/river"
	"example.com/ess/lifecycle"
)

type NightlyArgs struct{}

func (NightlyArgs) Kind() string { return "nightly" }

type LedgerArgs struct {
	Region string `json:"region"`
}

func (LedgerArgs) Kind() string { return "ledger" }

type LedgerWorker struct {
	river.WorkerDefaults[LedgerArgs]
	started chan string
	stopped chan error
}

func (w *LedgerWorker) Work(ctx context.Context, job *river.Job[LedgerArgs]) error {
	w.started <- job.Args.Region
	<-ctx.Done() // the work
	w.stopped <- context.Cause(ctx)
	return ctx.Err()
}

// A nightly close of three ledgers is cancelled while the first of them is worked.
func Example() {
	ctx := context.Background()
	pool, err := newDatabase(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	if err := essriver.Migrate(ctx, pool, ""); err != nil {
		log.Fatal(err)
	}
	worker := &LedgerWorker{started: make(chan string), stopped: make(chan error)}
	workers := river.NewWorkers()
	river.AddWorker(workers, worker)
	river.AddWorker(workers, &essriver.NoWork[NightlyArgs]{})

	jobs := essriver.New(pool, nil)
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		Queues:     map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 1}},
		Workers:    workers,
		Middleware: []rivertype.Middleware{jobs},
		Logger:     quiet,
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := client.Start(ctx); err != nil {
		log.Fatal(err)
	}
	go jobs.Run(ctx, client)

	var nightly lifecycle.ID
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		parent, err := client.InsertTx(ctx, tx, NightlyArgs{}, essriver.Container(nil))
		if err != nil {
			return err
		}
		nightly = lifecycle.ID(parent.Job.ID)
		child, err := jobs.Admit(ctx, tx, nightly, nil)
		if err != nil {
			return err // the parent is being cancelled, or has ended
		}
		_, err = client.InsertManyTx(ctx, tx, []river.InsertManyParams{
			{Args: LedgerArgs{"Europe"}, InsertOpts: child},
			{Args: LedgerArgs{"Asia"}, InsertOpts: child},
			{Args: LedgerArgs{"America"}, InsertOpts: child},
		})
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-worker.started, "is worked")

	result, err := jobs.Cancel(ctx, cancel.Order{ID: nightly, Actor: "ann", Reason: "wrong rates"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Counts)
	fmt.Println(<-worker.stopped)

	if err := client.Stop(ctx); err != nil { // waits for the workers
		log.Fatal(err)
	}
	job, err := client.JobGet(ctx, int64(nightly))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the nightly close is", job.State)
	// Output:
	// Europe is worked
	// 2 cancelled, 2 cancelling
	// request 2 was cancelled by "ann": wrong rates
	// the nightly close is cancelled
}
