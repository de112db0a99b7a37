package table_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"log/slog"
	"os"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/examples/table"
	"example.com/ess/lifecycle"
)

// Example is a scheduler with a flow of two tasks, one of which runs when the flow is
// cancelled.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	dir, err := os.MkdirTemp("", "table")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := open(ctx, dir)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()

	store := table.New(db)
	for _, r := range []lifecycle.Request{
		{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateRunning},
		{ID: 2, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateReady},
		{ID: 3, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateReady},
	} {
		if err := store.Submit(ctx, r); err != nil {
			log.Fatal(err)
		}
	}

	var workers cancel.Workers
	canceller := cancel.New(store, &cancel.Options{Interrupter: &workers})
	go cancel.Repeat(ctx, time.Minute, func(ctx context.Context) {
		if _, err := canceller.Resume(ctx, nil); err != nil {
			slog.ErrorContext(ctx, "resume", "err", err)
		}
		if err := workers.Poll(ctx, canceller); err != nil {
			slog.ErrorContext(ctx, "poll", "err", err)
		}
	})

	started, mayAnswer, answered := make(chan bool), make(chan bool), make(chan error)
	work := func(ctx context.Context) error {
		close(started)
		<-ctx.Done()
		<-mayAnswer
		return context.Cause(ctx)
	}
	task, err := canceller.Transition(ctx, cancel.Order{ID: 2}, lifecycle.TriggerStart)
	if err != nil {
		log.Fatal(err) // somebody else has started it, or cancelled it
	}
	go func() { answered <- workers.Run(ctx, canceller, task, work, nil) }()
	<-started
	show(ctx, db, "before")

	if _, err := canceller.Cancel(ctx, cancel.Order{ID: 1, Actor: "ann"}); err != nil {
		log.Fatal(err)
	}
	show(ctx, db, "right after")
	close(mayAnswer)
	<-answered
	show(ctx, db, "in the end")
	// Output:
	// before:       1 running, 2 running, 3 queued
	// right after:  1 stopping>stopped, 2 stopping, 3 stopped
	// in the end:   1 stopped, 2 stopped, 3 stopped
}

func show(ctx context.Context, db *sql.DB, when string) {
	var statuses string
	if err := db.QueryRowContext(ctx, "SELECT group_concat(id || ' ' || status, ', ') FROM (SELECT * FROM job ORDER BY id)").Scan(&statuses); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%-13s %s\n", when+":", statuses)
}
