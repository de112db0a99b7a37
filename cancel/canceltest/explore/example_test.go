package explore_test

import (
	"context"
	"errors"
	"fmt"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/explore"
	"example.com/ess/cancel/memrepo"
	"example.com/ess/lifecycle"
)

// scheduler is what a user has written: code that submits requests and starts them,
// over a store that here is a memrepo.Repo. A statement of it is a step.
type scheduler struct{ env *explore.Env }

// submit inserts a child if the parent admits one: in one statement, as it has to be.
func (s scheduler) submit(ctx context.Context, r lifecycle.Request) error {
	return s.env.Step(ctx, fmt.Sprintf("submits %d", r.ID), func(ctx context.Context, store cancel.Repository) error {
		return store.(*memrepo.Repo).Submit(ctx, r)
	})
}

// submitCarelessly looks first, and inserts then.
func (s scheduler) submitCarelessly(ctx context.Context, r lifecycle.Request) error {
	parent, err := s.env.Repository().Get(ctx, r.Parent)
	if err != nil || !lifecycle.AdmitsChildren(parent.Kind, parent.State) {
		return err
	}
	return s.env.Step(ctx, fmt.Sprintf("inserts %d", r.ID), func(_ context.Context, store cancel.Repository) error {
		return store.(*memrepo.Repo).Insert(r)
	})
}

// start makes a request RUNNING if it is READY.
func (s scheduler) start(ctx context.Context, id lifecycle.ID) error {
	return s.env.Step(ctx, fmt.Sprintf("starts %d", id), func(ctx context.Context, store cancel.Repository) error {
		_, err := cancel.New(store, nil).Transition(ctx, cancel.Order{ID: id}, lifecycle.TriggerStart)
		return err
	})
}

// A scheduler submits a child and starts it while ann cancels the parent.
func ExampleExplore() {
	world := explore.World{
		Name: "submit and start",
		Tree: `
			1 PARENT RUNNING`,
		Actors: []explore.Actor{
			explore.Cancels("ann", 1),
			{Name: "scheduler", Run: func(ctx context.Context, env *explore.Env) error {
				s := scheduler{env}
				child := lifecycle.Request{ID: 2, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateReady}
				if s.submit(ctx, child) == nil {
					_ = s.start(ctx, 2) // refused if ann was quicker
				}
				return nil
			}},
		},
	}
	report, err := explore.Explore(context.Background(), world)
	if err != nil {
		fmt.Println(err)
		return
	}
	for i, end := range report.Ends {
		fmt.Printf("End %d:\n%s", i+1, end)
	}
	// Output:
	// End 1:
	// 1 PARENT CANCELLED
	// End 2:
	// 1 PARENT CANCELLED
	//   2 CHILD CANCELLED
	// End 3:
	// 1 PARENT CANCELLING (then CANCELLED)
	//   2 CHILD CANCELLING
}

// A scheduler that first looks whether the parent admits a child, and then inserts it,
// is found out. The trace shows how.
func ExampleExplore_violation() {
	world := explore.World{
		Name: "careless submit",
		Tree: `
			1 PARENT RUNNING`,
		Actors: []explore.Actor{
			explore.Cancels("ann", 1),
			{Name: "scheduler", Run: func(ctx context.Context, env *explore.Env) error {
				child := lifecycle.Request{ID: 2, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateReady}
				return scheduler{env}.submitCarelessly(ctx, child)
			}},
		},
	}
	_, err := explore.Explore(context.Background(), world)
	if v, ok := errors.AsType[*explore.Violation](err); ok {
		fmt.Println(v.Err)
		fmt.Println(v.Trace)
		fmt.Println(v.Schedule)
	}
	// Output:
	// 3 (no escape): child 2 slipped in under parent 1, which was CANCELLED
	// 3 (no escape): request 2 is READY after request 1 was cancelled
	// In the beginning
	//
	//     1 PARENT RUNNING
	//
	//   1. scheduler: Get(1) => RUNNING
	//   2. ann: Get(1) => RUNNING
	//   3. ann: Apply(1 RUNNING -> CANCELLING (then CANCELLED)) => made
	//   4. ann: CancelTree(below 1) => none
	//   5. ann: Settle([1]) => 1 CANCELLING (then CANCELLED) -> CANCELLED
	//      ann: Cancel 1 returns: 1 cancelled
	//        receipt: 1 RUNNING -> CANCELLED: cancelled
	//   6. scheduler: inserts 2 => ok
	//        2 CHILD READY below 1 is new
	//
	// Before the last step
	//
	//     1 PARENT CANCELLED
	//
	// and after it
	//
	//     1 PARENT CANCELLED
	//       2 CHILD READY
	//
	// scheduler ann*4 scheduler
}

// The worlds of this package are explored over a store of one's own.
func ExampleWorlds() {
	mine := canceltest.Harness{New: func(_ context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
		var repo memrepo.Repo // or a transaction on your own table
		return &repo, repo.Insert(requests...)
	}}
	for _, world := range explore.Worlds() {
		world.Harness = mine
		world.MaxRuns = 20 // to have an impression; in a test, call Run without it
		_, err := explore.Explore(context.Background(), world)
		if err != nil && !errors.Is(err, errors.ErrUnsupported) { // this store cannot delete
			fmt.Println(err)
		}
	}
	// Output:
}

// A schedule, such as that in the text of a Violation, is told again.
func ExampleReplay() {
	world := explore.World{
		Name: "leaf",
		Tree: `
			1 SINGLETON RUNNING`,
		Actors: []explore.Actor{
			explore.Cancels("ann", 1),
			explore.Acknowledges("work", 1, lifecycle.StateSucceeded),
		},
	}
	trace, err := explore.Replay(context.Background(), world, "ann*2 work*3")
	fmt.Println(trace, err)
	// Output:
	// In the beginning
	//
	//     1 SINGLETON RUNNING
	//
	//   1. ann: Get(1) => RUNNING
	//   2. ann: Apply(1 RUNNING -> CANCELLING) => made
	//      ann: Cancel 1 returns: 1 cancelling
	//        receipt: 1 RUNNING -> CANCELLING: cancelling
	//   3. work: sees that request 1 is CANCELLING
	//   4. work: Get(1) => CANCELLING
	//   5. work: Apply(1 CANCELLING -> SUCCEEDED) => made
	//      work: Acknowledge 1 returns: 1 settled
	//        receipt: 1 CANCELLING -> SUCCEEDED: settled
	//
	// Then there is
	//
	//     1 SINGLETON SUCCEEDED
	//  <nil>
}
