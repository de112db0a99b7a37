//go:build unix

// Demo starts a private MariaDB server, runs a nightly close in it, and has somebody stop it.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
	"strings"

	"example.com/ess/cancel"
	"example.com/ess/examples/mysql"
	"example.com/ess/examples/mysql/mariadb"
	"example.com/ess/lifecycle"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	server, err := mariadb.Start(ctx, mariadb.Options{Fast: true})
	if err != nil {
		return err
	}
	defer server.Stop()
	db, err := mysql.Open(server.DSN("test"))
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, mysql.Schema); err != nil {
		return err
	}
	store := mysql.New(db, "jobs")
	var workers cancel.Workers
	canceller := cancel.New(store, &cancel.Options{Interrupter: &workers})

	// The scheduler submits a flow of three steps, and starts it and the first of them.
	flow, err := store.Submit(ctx, lifecycle.Request{Kind: lifecycle.KindParent, State: lifecycle.StateReady})
	if err != nil {
		return err
	}
	step := lifecycle.Request{Parent: flow, Kind: lifecycle.KindChild, State: lifecycle.StateReady}
	var steps []lifecycle.ID
	for range 3 {
		id, err := store.Submit(ctx, step)
		if err != nil {
			return err
		}
		steps = append(steps, id)
	}
	if _, err := canceller.Transition(ctx, cancel.Order{ID: flow}, lifecycle.TriggerStart); err != nil {
		return err
	}
	first, err := canceller.Transition(ctx, cancel.Order{ID: steps[0]}, lifecycle.TriggerStart)
	if err != nil {
		return err
	}
	started, stopped := make(chan struct{}), make(chan error)
	go func() {
		stopped <- workers.Run(ctx, canceller, first, func(ctx context.Context) error {
			close(started)
			<-ctx.Done() // the work
			return context.Cause(ctx)
		}, nil)
	}()
	<-started
	if err := show(ctx, db, out); err != nil {
		return err
	}

	result, err := canceller.Cancel(ctx, cancel.Order{ID: flow, Actor: "ann", Reason: "wrong ledger"})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "\nann:     ", result.Counts)
	fmt.Fprintln(out, "the work:", <-stopped)
	_, err = store.Submit(ctx, step)
	fmt.Fprintln(out, "too late:", err)
	fmt.Fprintln(out)
	return show(ctx, db, out)
}

func show(ctx context.Context, db *sql.DB, out io.Writer) error {
	rows, err := db.QueryContext(ctx, "SELECT id, parent_id, type, status, IFNULL(stop_actor, ''), IFNULL(stop_reason, '') FROM jobs ORDER BY id")
	if err != nil {
		return err
	}
	defer rows.Close()
	fmt.Fprintln(out, "id parent type status  stopped by")
	for rows.Next() {
		var id, parent int
		var typ, status, actor, reason string
		if err := rows.Scan(&id, &parent, &typ, &status, &actor, &reason); err != nil {
			return err
		}
		line := fmt.Sprintf("%2d %6d %-4s %-7s %s %s", id, parent, typ, status, actor, reason)
		fmt.Fprintln(out, strings.TrimRight(line, " "))
	}
	return rows.Err()
}
