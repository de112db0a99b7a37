//go:build unix

// Demo starts a private PostgreSQL server with a River client on it, has it work a nightly close
// of three ledgers, and has somebody cancel that while the first of them is worked.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"

	"example.com/ess/cancel"
	"example.com/ess/examples/postgres/pgserver"
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

func main() {
	if err := demo(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func demo(ctx context.Context, out io.Writer) error {
	server, err := pgserver.Start(ctx, pgserver.Options{Fast: true})
	if err != nil {
		return err
	}
	defer server.Stop()
	pool, err := pgxpool.New(ctx, server.URL())
	if err != nil {
		return err
	}
	defer pool.Close()
	quiet := slog.New(slog.DiscardHandler)
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: quiet})
	if err != nil {
		return err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	if err := essriver.Migrate(ctx, pool, ""); err != nil {
		return err
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
		return err
	}
	if err := client.Start(ctx); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
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
		return err
	}
	region := <-worker.started
	if _, err := jobs.Transition(ctx, cancel.Order{ID: nightly}, lifecycle.TriggerComplete); err != nil {
		return err // it is being cancelled
	}
	if err := show(ctx, pool, out); err != nil {
		return err
	}

	result, err := jobs.Cancel(ctx, cancel.Order{ID: nightly, Actor: "ann", Reason: "wrong rates"})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "\nann:         ", result.Counts)
	fmt.Fprintf(out, "%-13s %v\n\n", region+":", <-worker.stopped)

	if err := client.Stop(ctx); err != nil { // waits for the workers
		return err
	}
	return show(ctx, pool, out)
}

// show shows the jobs as River has them.
func show(ctx context.Context, pool *pgxpool.Pool, out io.Writer) error {
	rows, err := pool.Query(ctx, `SELECT id, coalesce((metadata->'ess'->>'parent')::bigint, 0), kind, state, coalesce(args->>'region', '-') FROM river_job ORDER BY id`)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "id parent kind    region  state in River")
	var id, parent int
	var kind, state, region string
	_, err = pgx.ForEachRow(rows, []any{&id, &parent, &kind, &state, &region}, func() error {
		_, err := fmt.Fprintf(out, "%2d %6d %-7s %-7s %s\n", id, parent, kind, region, state)
		return err
	})
	return err
}
