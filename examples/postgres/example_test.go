package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/examples/postgres"
	"example.com/ess/lifecycle"
)

// exampleURL returns the address of a new database. In a program it comes from the
// configuration.
func exampleURL() string {
	name, err := createDatabase(context.Background(), serverURL)
	if err != nil {
		log.Fatal(err)
	}
	u, err := url.Parse(serverURL)
	if err != nil || u.Scheme == "" {
		return serverURL + " dbname=" + name // it consists of keywords and values
	}
	u.Path = "/" + name
	return u.String()
}

func connect(ctx context.Context) *pgxpool.Pool {
	pool, err := pgxpool.New(ctx, exampleURL())
	if err != nil {
		log.Fatal(err)
	}
	if err := postgres.Migrate(ctx, pool); err != nil {
		log.Fatal(err)
	}
	return pool
}

func Example() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, exampleURL())
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	if err := postgres.Migrate(ctx, pool); err != nil {
		log.Fatal(err)
	}

	store := postgres.New(pool, postgres.DefaultTable())
	for _, r := range []lifecycle.Request{
		{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateRunning},
		{ID: 2, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateRunning},
		{ID: 3, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateWait},
	} {
		if err := store.Submit(ctx, r); err != nil {
			log.Fatal(err)
		}
	}

	canceller := cancel.New(store, nil)
	result, err := canceller.Cancel(ctx, cancel.Order{ID: 1, Actor: "ann", Reason: "wrong ledger"})
	fmt.Println(result.Counts, err)

	err = store.Submit(ctx, lifecycle.Request{ID: 4, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateWait})
	fmt.Println("admits no child any more:", errors.Is(err, esserrors.CodeUnsupportedState))

	result, err = canceller.Acknowledge(ctx, cancel.Order{ID: 2}, lifecycle.StateSucceeded)
	fmt.Println(result.Counts, err)
	// Output:
	// 1 cancelled, 2 cancelling <nil>
	// admits no child any more: true
	// 2 settled <nil>
}

// Cancelling in a transaction of the caller's.
func ExampleNew_transaction() {
	ctx := context.Background()
	pool := connect(ctx)
	defer pool.Close()
	store := postgres.New(pool, postgres.DefaultTable())
	if err := store.Submit(ctx, lifecycle.Request{ID: 1, Kind: lifecycle.KindSingleton, State: lifecycle.StateWait}); err != nil {
		log.Fatal(err)
	}

	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		canceller := cancel.New(store.On(tx), &cancel.Options{
			Interrupter: &postgres.Notifier{DB: tx}, // tells nobody before the commit
		})
		if _, err := canceller.Cancel(ctx, cancel.Order{ID: 1}); err != nil {
			return err
		}
		// … what else belongs to it …
		return fmt.Errorf("something went wrong")
	})
	fmt.Println(err)

	r, err := store.Get(ctx, 1)
	fmt.Println(r.State, err)
	// Output:
	// something went wrong
	// WAIT <nil>
}

// A scheduler with a table of its own.
func ExampleTable() {
	ctx := context.Background()
	pool := connect(ctx)
	defer pool.Close()
	for _, file := range []string{"testdata/jobs.sql", "testdata/adopt.sql"} {
		runFile(ctx, pool, file)
	}

	store := postgres.New(pool, postgres.Table{
		Name:      pgx.Identifier{"public", "jobs"},
		ID:        "job_id",
		Parent:    "parent_id",
		Kind:      "job_type",
		State:     "status",
		Outcome:   "cancel_outcome",
		CheckedIn: "cancel_checked_in",
		Audit:     pgx.Identifier{"ess_audit"}, // leave it out for none
	})

	if _, err := pool.Exec(ctx, `INSERT INTO jobs VALUES (1, NULL, 'SINGLETON', 'RUNNING', '…')`); err != nil {
		log.Fatal(err)
	}
	result, err := cancel.New(store, nil).Cancel(ctx, cancel.Order{ID: 1})
	fmt.Println(result.Root, err)
	// Output: 1 RUNNING -> CANCELLING: cancelling <nil>
}

func runFile(ctx context.Context, pool *pgxpool.Pool, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		log.Fatal(err)
	}
	for statement := range strings.SplitSeq(string(text), ";\n") { // one by one: CONCURRENTLY wants no transaction
		if _, err := pool.Exec(ctx, statement); err != nil {
			log.Fatal(err)
		}
	}
}

// Inserting a child with columns of the scheduler's own.
func ExampleStore_Admit() {
	ctx := context.Background()
	pool := connect(ctx)
	defer pool.Close()
	store := postgres.New(pool, postgres.DefaultTable())
	parent := lifecycle.ID(1)
	if err := store.Submit(ctx, lifecycle.Request{ID: parent, Kind: lifecycle.KindParent, State: lifecycle.StateRunning}); err != nil {
		log.Fatal(err)
	}
	if _, err := pool.Exec(ctx, `ALTER TABLE ess_requests ADD COLUMN payload text`); err != nil {
		log.Fatal(err)
	}

	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if err := store.On(tx).Admit(ctx, parent); err != nil {
			return err // it is being cancelled, or has ended
		}
		_, err := tx.Exec(ctx, `INSERT INTO ess_requests (id, parent, kind, state, payload) VALUES (2, $1, 'CHILD', 'WAIT', $2)`, parent, "…")
		return err
	})

	fmt.Println(err)
	// Output: <nil>
}

// Telling work in another process.
func ExampleListener() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	url := exampleURL()
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	if err := postgres.Migrate(ctx, pool); err != nil {
		log.Fatal(err)
	}
	store := postgres.New(pool, postgres.DefaultTable())
	if err := store.Submit(ctx, lifecycle.Request{ID: 1, Kind: lifecycle.KindSingleton, State: lifecycle.StateReady}); err != nil {
		log.Fatal(err)
	}

	canceller := cancel.New(store, &cancel.Options{Interrupter: &postgres.Notifier{DB: pool}})

	// The process that runs the work.
	var workers cancel.Workers
	listener := postgres.Listener{
		Connect: func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, url) },
		Every:   10 * time.Second,
		Trouble: func(err error) { log.Print(err) },
	}
	go func() {
		_ = listener.Run(ctx, &workers, canceller) // returns when ctx is done
	}()

	request, err := canceller.Transition(ctx, cancel.Order{ID: 1}, lifecycle.TriggerStart)
	if err != nil {
		log.Fatal(err) // it is being cancelled, or somebody else has started it
	}
	started, ended := make(chan bool), make(chan error)
	go func() {
		ended <- workers.Run(ctx, canceller, request, func(ctx context.Context) error {
			close(started)
			<-ctx.Done() // the work
			return context.Cause(ctx)
		}, nil)
	}()
	<-started

	// Another process.
	if _, err := canceller.Cancel(ctx, cancel.Order{ID: 1, Actor: "ann", Reason: "wrong ledger"}); err != nil {
		log.Fatal(err)
	}

	fmt.Println(<-ended)
	r, err := store.Get(ctx, 1)
	fmt.Println(r.State, err)
	// Output:
	// request 1 was cancelled by "ann": wrong ledger
	// CANCELLED <nil>
}
