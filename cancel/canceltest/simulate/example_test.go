package simulate_test

import (
	"context"
	"fmt"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/simulate"
	"example.com/ess/cancel/memrepo"
	"example.com/ess/lifecycle"
)

func ExampleCheckRandom() {
	commands, err := simulate.CheckRandom(context.Background(), inMemory, &simulate.RandomOptions{Seed: 7, Worlds: 20})
	fmt.Println(commands, err)
	// Output:
	// 800 <nil>
}

// A forgetful store has no column for the outcome: somebody thought that the state
// would do.
type forgetful struct{ cancel.Repository }

func (f forgetful) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	stripped := make([]cancel.Change, len(changes))
	for i, ch := range changes {
		ch.Outcome, ch.Old.Outcome = 0, 0
		stripped[i] = ch
	}
	return f.Repository.Apply(ctx, stripped)
}

// The random worlds find the mistake, and shrink it to what is needed to see it.
func ExampleCheckRandom_wrongStore() {
	harness := canceltest.Harness{
		New: func(_ context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
			var repo memrepo.Repo
			return forgetful{&repo}, repo.Insert(requests...)
		},
	}
	_, err := simulate.CheckRandom(context.Background(), harness, nil)
	fmt.Print(err)
	// Output:
	// the world of seed 1, shrunk from 8 requests and 40 commands (store: plain)
	//   call 2 of "cancel 2": "cancel 2" changed request 2 from PAUSED to CANCELLING: 2 (only rules' transitions): a cancel makes it CANCELLING (then CANCELLED)
	//
	// 1. cancel 2
	//      1 Get 2: 2 PAUSED
	//      2 Apply 2 PAUSED -> CANCELLING (then CANCELLED): made
	//      3 Children of 2 that are live: none
	//      4 Apply 2 CANCELLING (then CANCELLED) -> CANCELLED: made
	//      receipt: 2 PAUSED -> CANCELLED: cancelled
	//      -> 1 cancelled
	//
	// before:
	//   2 PARENT PAUSED
	//
	// after:
	//   2 PARENT CANCELLED
	//
	// expected:
	//   2 PARENT CANCELLED
	//
	// play it again with simulate.PlayScript and this script:
	//
	// plain
	//
	// 2 PARENT PAUSED
	//
	// cancel 2
}

func ExamplePlayScript() {
	err := simulate.PlayScript(context.Background(), inMemory, `
plain, pages of 2

1 PARENT RUNNING
  2 CHILD WAIT
  3 CHILD RUNNING

transition 2 dispatch
cancel 1, crash after call 3
resume
acknowledge 3 SUCCEEDED
`)
	fmt.Println(err)
	// Output:
	// <nil>
}

func ExampleCheckStorm() {
	writes, err := simulate.CheckStorm(context.Background(), inMemory, &simulate.StormOptions{Storms: 1})
	fmt.Println(writes > 100, err)
	// Output:
	// true <nil>
}

func ExampleCheckCrashes() {
	harness := canceltest.Harness{
		New: func(_ context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
			var repo memrepo.Repo // or your own store
			return &repo, repo.Insert(requests...)
		},
	}
	tree := simulate.Tree{Name: "nightly", Requests: []lifecycle.Request{
		{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateRunning},
		{ID: 2, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateRunning},
	}}
	points, err := simulate.CheckCrashes(context.Background(), harness, &simulate.TreeOptions{Trees: []simulate.Tree{tree}, Trials: -1})
	fmt.Println(points > 100, err)
	// Output:
	// true <nil>
}

func ExampleCheckFaults() {
	tree := simulate.Tree{Name: "nightly", Requests: []lifecycle.Request{
		{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateRunning},
		{ID: 2, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateRunning},
	}}
	points, err := simulate.CheckFaults(context.Background(), inMemory, &simulate.TreeOptions{Trees: []simulate.Tree{tree}, Trials: -1})
	fmt.Println(points > 100, err)
	// Output:
	// true <nil>
}
