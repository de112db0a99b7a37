//go:build unix

// Demo starts a private PostgreSQL server, runs a nightly close in it, one part of it in another
// process, and has somebody cancel it.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/ess/cancel"
	"example.com/ess/examples/postgres"
	"example.com/ess/examples/postgres/pgserver"
	"example.com/ess/lifecycle"
)

func main() {
	run := demo
	if len(os.Args) > 1 {
		run = worker
	}
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// demo is the process of the scheduler.
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
	if err := postgres.Migrate(ctx, pool); err != nil {
		return err
	}
	store := postgres.New(pool, postgres.DefaultTable())
	for _, r := range []lifecycle.Request{
		{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateRunning},
		{ID: 2, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateReady},
		{ID: 3, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateReady},
		{ID: 4, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateWait},
	} {
		if err := store.Submit(ctx, r); err != nil {
			return err
		}
	}

	other := exec.CommandContext(ctx, os.Args[0], server.URL())
	other.Stderr = os.Stderr
	pipe, err := other.StdoutPipe()
	if err != nil {
		return err
	}
	shown, err := other.StdinPipe()
	if err != nil {
		return err
	}
	if err := other.Start(); err != nil {
		return err
	}
	said := bufio.NewScanner(pipe)
	said.Scan() // it has started
	fmt.Fprintln(out, said.Text())
	if err := show(ctx, pool, out); err != nil {
		return err
	}

	canceller := cancel.New(store, &cancel.Options{Interrupter: &postgres.Notifier{DB: pool}})
	result, err := canceller.Cancel(ctx, cancel.Order{ID: 1, Actor: "ann", Reason: "wrong ledger"})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "\nann:     ", result.Counts)
	shown.Close()
	said.Scan() // it has ended
	fmt.Fprintln(out, "the work:", said.Text())
	fmt.Fprintln(out, "too late:", store.Submit(ctx, lifecycle.Request{ID: 5, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateWait}))
	if err := other.Wait(); err != nil {
		return err
	}
	fmt.Fprintln(out)
	return show(ctx, pool, out)
}

// worker is the other process. It starts request 2, and listens.
func worker(ctx context.Context, out io.Writer) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	url := os.Args[1]
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	var workers cancel.Workers
	canceller := cancel.New(postgres.New(pool, postgres.DefaultTable()), nil)
	listener := postgres.Listener{Connect: func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, url) }}
	go listener.Run(ctx, &workers, canceller)

	request, err := canceller.Transition(ctx, cancel.Order{ID: 2}, lifecycle.TriggerStart)
	if err != nil {
		return err
	}
	err = workers.Run(ctx, canceller, request, func(ctx context.Context) error {
		fmt.Fprintln(out, "request 2 is running in another process")
		<-ctx.Done()                // the work
		_, _ = io.ReadAll(os.Stdin) // only so that the demo prints the same every time
		return context.Cause(ctx)
	}, nil)
	fmt.Fprintln(out, err)
	return nil
}

// show shows the table, and why what is in it was cancelled.
func show(ctx context.Context, pool *pgxpool.Pool, out io.Writer) error {
	rows, err := pool.Query(ctx, `
SELECT r.id, coalesce(r.parent, 0), r.kind, r.state, coalesce(a.actor || ': ' || a.reason, '')
FROM ess_requests r LEFT JOIN ess_audit a ON a.request = r.id AND a.trigger = 'cancel'
ORDER BY r.id`)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "id parent kind   state     cancelled by")
	var id, parent int
	var kind, state, cause string
	_, err = pgx.ForEachRow(rows, []any{&id, &parent, &kind, &state, &cause}, func() error {
		line := fmt.Sprintf("%2d %6d %-6s %-9s %s", id, parent, kind, state, cause)
		_, err := fmt.Fprintln(out, strings.TrimRight(line, " "))
		return err
	})
	return err
}
