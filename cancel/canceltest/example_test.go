package canceltest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/memrepo"
	"example.com/ess/lifecycle"
)

// All that an implementer of cancel.Repository writes to test it. Here the store is
// package memrepo.
func ExampleRun() {
	_ = func(t *testing.T) { // TestStore
		canceltest.Run(t, canceltest.Harness{
			New: func(_ context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
				store := new(memrepo.Repo)
				return store, store.Insert(requests...)
			},
		})
	}
}

// absentMinded is a store that does not write outcomes.
type absentMinded struct{ *memrepo.Repo }

func (f absentMinded) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	changes = slices.Clone(changes)
	for i := range changes {
		changes[i].Outcome = 0
	}
	return f.Repo.Apply(ctx, changes)
}

func ExampleCheck() {
	err := canceltest.Check(context.Background(), canceltest.Harness{
		New: func(_ context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
			store := new(memrepo.Repo)
			return absentMinded{store}, store.Insert(requests...)
		},
	})
	if failed, ok := errors.AsType[*canceltest.CheckError](err); ok { // the first of them
		fmt.Println(failed.Check)
		fmt.Println(failed.Contract)
	}
	// Output:
	// Apply/MakesTheChange
	// Apply writes State, Outcome and CheckedIn, and nothing else, of a request that is as Old says.
}

func ExamplePlain() {
	store := new(memrepo.Repo)
	_, can := cancel.Repository(store).(cancel.ChildCanceller)
	_, plainCan := canceltest.Plain(store).(cancel.ChildCanceller)
	fmt.Println(can, plainCan)
	// Output: true false
}
