package sqlite_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sync"
	"time"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/examples/sqlite"
	"example.com/ess/lifecycle"
)

func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "requests")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	store, err := sqlite.Open(ctx, filepath.Join(dir, "requests.db"))
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	// The scheduler submits a job set with two steps, and starts one of them.
	set, err := store.NewIDs(ctx, 3)
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range []lifecycle.Request{
		{ID: set, Kind: lifecycle.KindParent, State: lifecycle.StateWait},
		{ID: set + 1, Parent: set, Kind: lifecycle.KindChild, State: lifecycle.StateReady},
		{ID: set + 2, Parent: set, Kind: lifecycle.KindChild, State: lifecycle.StateWait},
	} {
		if err := store.Submit(ctx, r); err != nil {
			log.Fatal(err)
		}
	}
	canceller := cancel.New(store, nil)
	step, err := canceller.Transition(ctx, cancel.Order{ID: set + 1}, lifecycle.TriggerStart)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("step", step.State)

	// Somebody cancels it.
	result, err := canceller.Cancel(ctx, cancel.Order{ID: set, Actor: "ann", Reason: "wrong ledger"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("cancel:", result.Counts)

	// No child slips in.
	err = store.Submit(ctx, lifecycle.Request{ID: set + 3, Parent: set, Kind: lifecycle.KindChild, State: lifecycle.StateWait})
	fmt.Println("submit:", esserrors.CodeOf(err))

	// The work that runs has the last word.
	result, err = canceller.Acknowledge(ctx, cancel.Order{ID: set + 1}, lifecycle.StateCancelled)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("acknowledge:", result.Counts)

	// Output:
	// step RUNNING
	// cancel: 1 cancelled, 2 cancelling
	// submit: unsupported state
	// acknowledge: 2 settled
}

// Two processes share the file: one runs work, another cancels it.
func ExampleStore() {
	ctx, stop := context.WithCancel(context.Background())
	dir, err := os.MkdirTemp("", "requests")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store, err := sqlite.Open(ctx, filepath.Join(dir, "requests.db"))
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	if err := store.Submit(ctx, lifecycle.Request{ID: 7, Kind: lifecycle.KindSingleton, State: lifecycle.StateReady}); err != nil {
		log.Fatal(err)
	}

	// The process that runs work. SQLite notifies nobody, so it asks.
	canceller := cancel.New(store, nil)
	var workers cancel.Workers
	var asking sync.WaitGroup
	asking.Go(func() {
		cancel.Repeat(ctx, 50*time.Millisecond, func(ctx context.Context) {
			if err := workers.Poll(ctx, canceller); err != nil && ctx.Err() == nil {
				log.Print(err)
			}
		})
	})
	started, err := canceller.Transition(ctx, cancel.Order{ID: 7}, lifecycle.TriggerStart)
	if err != nil {
		log.Fatal(err)
	}
	running := make(chan struct{})
	done := make(chan error)
	go func() {
		done <- workers.Run(ctx, canceller, started, func(ctx context.Context) error {
			close(running)
			<-ctx.Done() // work that looks at its context
			return context.Cause(ctx)
		}, nil)
	}()

	// Another process, which knows nothing of the first.
	<-running
	other, err := sqlite.Open(ctx, filepath.Join(dir, "requests.db"))
	if err != nil {
		log.Fatal(err)
	}
	defer other.Close()
	if _, err := cancel.New(other, nil).Cancel(ctx, cancel.Order{ID: 7, Actor: "ann", Reason: "wrong ledger"}); err != nil {
		log.Fatal(err)
	}

	fmt.Println(<-done)
	r, err := other.Get(ctx, 7)
	fmt.Println(r.State, err)
	stop()
	asking.Wait()

	// Output:
	// request 7 was cancelled by "ann": wrong ledger
	// CANCELLED <nil>
}

// What a scheduler does at every start, and from time to time: it takes up what was cut
// off, and forces work that is gone.
func ExampleStore_ListCancelling() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "requests")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store, err := sqlite.Open(ctx, filepath.Join(dir, "requests.db"))
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	if err := store.Insert(ctx, lifecycle.Request{
		ID: 7, Kind: lifecycle.KindSingleton, State: lifecycle.StateCancelling,
		CheckedIn: time.Now().Add(-time.Hour), // its worker is gone
	}); err != nil {
		log.Fatal(err)
	}

	canceller := cancel.New(store, nil)
	if _, err := canceller.Resume(ctx, nil); err != nil {
		log.Fatal(err)
	}
	for overdue, err := range canceller.Overdue(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		result, err := canceller.Force(ctx, cancel.Order{ID: overdue.Request.ID, Actor: "watchdog"})
		fmt.Println(result.Root, err)
	}
	// Output:
	// 7 CANCELLING -> CANCELLED: settled <nil>
}
