package mysql_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"log/slog"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/examples/mysql"
	"example.com/ess/lifecycle"
)

// exampleDSN returns the DSN of a new database. In a program it comes from the configuration.
func exampleDSN() string {
	name := fmt.Sprintf("example%d", databases.Add(1))
	db, err := mysql.Open(server.DSN(""))
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE DATABASE " + name); err != nil {
		log.Fatal(err)
	}
	return server.DSN(name)
}

func Example() {
	ctx := context.Background()
	dsn := exampleDSN()

	db, err := mysql.Open(dsn) // with the settings below, whatever dsn says of them
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, mysql.Schema); err != nil {
		log.Fatal(err)
	}
	store := mysql.New(db, "jobs")
	var workers cancel.Workers
	canceller := cancel.New(store, &cancel.Options{Interrupter: &workers})

	flow, err := store.Submit(ctx, lifecycle.Request{Kind: lifecycle.KindParent, State: lifecycle.StateReady})
	if err != nil {
		log.Fatal(err)
	}
	step, err := store.Submit(ctx, lifecycle.Request{Parent: flow, Kind: lifecycle.KindChild, State: lifecycle.StateReady})
	if err != nil {
		log.Fatal(err) // its parent admits no child any more, for example
	}
	started, err := canceller.Transition(ctx, cancel.Order{ID: step}, lifecycle.TriggerStart)
	if err != nil {
		log.Fatal(err) // a cancel was quicker, for example
	}
	ended := make(chan error)
	go func() {
		ended <- workers.Run(ctx, canceller, started, func(ctx context.Context) error {
			<-ctx.Done() // the work
			return context.Cause(ctx)
		}, nil)
	}()

	result, err := canceller.Cancel(ctx, cancel.Order{ID: flow, Actor: "ann", Reason: "wrong ledger"})
	fmt.Println(result.Counts, err)
	fmt.Println(<-ended)
	// Output:
	// 2 cancelling <nil>
	// request 2 was cancelled by "ann": wrong ledger
}

// Inserting a child with columns of the scheduler's own.
func ExampleStore_Admit() {
	ctx := context.Background()
	db, err := mysql.Open(exampleDSN())
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, mysql.Schema); err != nil {
		log.Fatal(err)
	}
	if _, err := db.ExecContext(ctx, "ALTER TABLE jobs ADD COLUMN payload TEXT"); err != nil {
		log.Fatal(err)
	}
	store := mysql.New(db, "jobs")
	flow, err := store.Submit(ctx, lifecycle.Request{Kind: lifecycle.KindParent, State: lifecycle.StateReady})
	if err != nil {
		log.Fatal(err)
	}

	submit := func(tx *sql.Tx) error {
		if err := store.Admit(ctx, tx, flow); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO jobs (parent_id, type, status, payload) VALUES (?, 'step', 'planned', ?)", flow, "…")
		return err
	}

	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := submit(tx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(tx.Commit())
	// Output: <nil>
}

// What every process of the scheduler does besides.
func ExampleOpen_repeat() {
	ctx, stop := context.WithCancel(context.Background())
	db, err := mysql.Open(exampleDSN())
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, mysql.Schema); err != nil {
		log.Fatal(err)
	}
	var workers cancel.Workers
	canceller := cancel.New(mysql.New(db, "jobs"), &cancel.Options{Interrupter: &workers})
	time.AfterFunc(50*time.Millisecond, stop)

	// MariaDB notifies nobody: work in other processes is told of its cancel by asking.
	cancel.Repeat(ctx, 5*time.Second, func(ctx context.Context) {
		if err := workers.Poll(ctx, canceller); err != nil {
			slog.ErrorContext(ctx, "poll", "err", err)
		}
		if _, err := canceller.Resume(ctx, nil); err != nil {
			slog.ErrorContext(ctx, "resume", "err", err)
		}
	})
	// Output:
}
