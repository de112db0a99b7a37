package sqlite_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
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
	for _, r := range []lifecycle.Request{
		{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateWait},
		{ID: 2, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateWait},
		{ID: 3, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateWait},
	} {
		if err := store.Submit(ctx, r); err != nil {
			log.Fatal(err)
		}
	}
	canceller := cancel.New(store, nil)
	for _, t := range []lifecycle.Trigger{lifecycle.TriggerDispatch, lifecycle.TriggerStart} {
		if _, err := canceller.Transition(ctx, cancel.Order{ID: 2}, t); err != nil {
			log.Fatal(err)
		}
	}

	// Somebody cancels it.
	result, err := canceller.Cancel(ctx, cancel.Order{ID: 1, Actor: "ann", Reason: "wrong ledger"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Counts)

	// No child slips in.
	err = store.Submit(ctx, lifecycle.Request{ID: 4, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateWait})
	fmt.Println(esserrors.CodeOf(err))

	// The work that runs has the last word.
	result, err = canceller.Acknowledge(ctx, cancel.Order{ID: 2}, lifecycle.StateCancelled)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Counts)

	// Output:
	// 1 cancelled, 2 cancelling
	// unsupported state
	// 2 settled
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
	for unfinished, err := range cancel.ListCancelling(ctx, store) {
		if err != nil {
			log.Fatal(err)
		}
		result, err := canceller.Force(ctx, cancel.Order{ID: unfinished.Request.ID, Actor: "watchdog"})
		fmt.Println(result.Root, err)
	}
	// Output:
	// 7 CANCELLING -> CANCELLED: settled <nil>
}
