package canceltest_test

import (
	"context"
	"testing"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/simulate"
	"example.com/ess/cancel/memrepo"
	"example.com/ess/lifecycle"
)

// harnessOfStore says how to make a store that holds some requests: here package memrepo, with
// you an empty table of your own.
var harnessOfStore = canceltest.Harness{
	New: func(_ context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
		store := new(memrepo.Repo)
		return store, store.Insert(requests...)
	},
}

func testStore(t *testing.T) { // TestStore, with you
	canceltest.Run(t, harnessOfStore)
}

func testStoreInTrouble(t *testing.T) { // when that passes
	simulate.RunFaults(t, harnessOfStore, nil)
	simulate.RunCrashes(t, harnessOfStore, nil)
	simulate.RunRandom(t, harnessOfStore, nil)
	simulate.RunStorm(t, harnessOfStore, nil) // with -race
}

// I have a store.
func Example_store() {
	_, _ = testStore, testStoreInTrouble
	// Output:
}
