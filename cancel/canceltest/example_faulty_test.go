package canceltest_test

import (
	"context"
	"errors"
	"fmt"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/memrepo"
)

// A scheduler wants to know what its users see when the database fails in the middle of a
// cancel, and whether the next start makes it good.
func ExampleNewFaulty() {
	ctx := context.Background()
	var repo memrepo.Repo
	requests, _ := canceltest.ParseTree(`
		1 PARENT RUNNING
		  2 CHILD WAIT
		  3 CHILD RUNNING`)
	if err := repo.Insert(requests...); err != nil {
		fmt.Println(err)
	}

	faulty := canceltest.NewFaulty(canceltest.Plain(&repo),
		canceltest.Fault{Call: 4, After: true, Times: -1, Err: errors.New("connection reset")})
	_, err := cancel.New(faulty, nil).Cancel(ctx, cancel.Order{ID: 1})
	fmt.Println(err != nil)
	for _, call := range faulty.Trace() {
		fmt.Println(call)
	}

	_, err = cancel.New(&repo, nil).Resume(ctx, nil)
	fmt.Println("resumed:", err)
	// Output:
	// true
	// 1 Get 1: 1 RUNNING
	// 2 Apply 1 RUNNING -> CANCELLING (then CANCELLED): made
	// 3 Children of 1 that are live: 2 WAIT, 3 RUNNING
	// 4 Apply 2 WAIT -> CANCELLED; 3 RUNNING -> CANCELLING: 2 made, 3 made, but the answer is lost: connection reset <- fails after its effect
	// 5 Apply 2 WAIT -> CANCELLED: lost, but the answer is lost: connection reset <- fails after its effect
	// 6 Apply 3 RUNNING -> CANCELLING: lost, but the answer is lost: connection reset <- fails after its effect
	// 7 Children of 1 that are live, after 3 below 1: none, but the answer is lost: connection reset <- fails after its effect
	// resumed: <nil>
}

func ExampleCrash() {
	ctx := context.Background()
	repo := nightly()
	for call := 1; ; call++ {
		faulty := canceltest.NewFaulty(repo, canceltest.Crash(call, true)...)
		_, _ = cancel.New(faulty, nil).Cancel(ctx, cancel.Order{ID: 1}) // nobody is left to see this
		if faulty.Struck() == 0 {
			break
		}
	}
	snapshot, _ := canceltest.TakeSnapshot(ctx, repo)
	fmt.Print(snapshot)
	// Output:
	// 1 PARENT CANCELLING (then CANCELLED)
	//   2 CHILD CANCELLED
	//   3 CHILD CANCELLING
}

// nightly returns a small tree.
func nightly() *memrepo.Repo {
	var repo memrepo.Repo
	requests, err := canceltest.ParseTree(`
		1 PARENT RUNNING
		  2 CHILD WAIT
		  3 CHILD RUNNING`)
	if err == nil {
		err = repo.Insert(requests...)
	}
	if err != nil {
		panic(err)
	}
	return &repo
}
