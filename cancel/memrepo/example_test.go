package memrepo_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

func Example() {
	ctx := context.Background()
	var repo memrepo.Repo // the zero Repo is ready
	err := repo.Insert(
		lifecycle.Request{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateRunning},
		lifecycle.Request{ID: 2, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateRunning},
		lifecycle.Request{ID: 3, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateWait},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := cancel.New(&repo, nil).Cancel(ctx, cancel.Order{ID: 1, Actor: "ann", Reason: "wrong ledger"})
	fmt.Println(result.Counts, err)
	for r := range repo.All() {
		fmt.Println(r.ID, r.State)
	}
	// Output:
	// 1 cancelled, 2 cancelling <nil>
	// 1 CANCELLING
	// 2 CANCELLING
	// 3 CANCELLED
}

func ExampleRepo_Insert() {
	var repo memrepo.Repo
	err := repo.Insert(
		lifecycle.Request{ID: 1, Kind: lifecycle.KindSingleton, State: lifecycle.StateHold},
		lifecycle.Request{ID: 2, Parent: 7, Kind: lifecycle.KindChild, State: lifecycle.StateWait},
	)
	fmt.Println(err)
	fmt.Println(repo.Len(), "requests") // all or none
	// Output:
	// memrepo: request 2 has parent 7, which is not there
	// 0 requests
}

func ExampleInsertError() {
	var repo memrepo.Repo
	r := lifecycle.Request{ID: 1, Kind: lifecycle.KindSingleton, State: lifecycle.StateHold}
	err := repo.Insert(r, r)
	if e, ok := errors.AsType[*memrepo.InsertError](err); ok {
		fmt.Println(e.ID, e.Problem)
	}
	fmt.Println(err)
	// Output:
	// 1 is there already
	// memrepo: request 1 is there already
}

func ExampleRepo_Submit() {
	ctx := context.Background()
	var repo memrepo.Repo
	err := repo.Insert(lifecycle.Request{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateRunning})
	if err != nil {
		fmt.Println(err)
		return
	}
	submit := func(id lifecycle.ID) error {
		return repo.Submit(ctx, lifecycle.Request{ID: id, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateWait})
	}
	fmt.Println(submit(2))
	if _, err := cancel.New(&repo, nil).Fence(ctx, cancel.Order{ID: 1}); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(submit(3)) // the parent is CANCELLING and admits no child any more
	// Output:
	// <nil>
	// submit request 1: unsupported state: Operation "submit" is not supported for a PARENT request in state CANCELLING
}

func ExampleRepo_transition() {
	ctx := context.Background()
	var repo memrepo.Repo
	err := repo.Insert(lifecycle.Request{ID: 1, Kind: lifecycle.KindSingleton, State: lifecycle.StateWait})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, t := range []lifecycle.Trigger{lifecycle.TriggerDispatch, lifecycle.TriggerStart, lifecycle.TriggerDispatch} {
		r, err := cancel.New(&repo, nil).Transition(ctx, cancel.Order{ID: 1}, t)
		if errors.Is(err, esserrors.CodeUnsupportedState) {
			fmt.Println("not supported:", t)
			continue
		}
		fmt.Println(r.State)
	}
	// Output:
	// READY
	// RUNNING
	// not supported: dispatch
}

func ExampleRepo_Len() {
	var repo memrepo.Repo
	fmt.Println(repo.Len())
	// Output: 0
}

func ExampleRepo_All() {
	var repo memrepo.Repo
	err := repo.Insert(
		lifecycle.Request{ID: 8, Kind: lifecycle.KindSingleton, State: lifecycle.StateHold},
		lifecycle.Request{ID: 3, Kind: lifecycle.KindSingleton, State: lifecycle.StateRunning},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	for r := range repo.All() {
		fmt.Println(r.ID, r.State)
	}
	// Output:
	// 8 HOLD
	// 3 RUNNING
}

func ExampleRepo_Get() {
	var repo memrepo.Repo
	_, err := repo.Get(context.Background(), 7)
	fmt.Println(err, errors.Is(err, cancel.ErrNotFound))
	// Output: memrepo: request 7: request not found true
}

// family inserts a parent with three children.
func family(repo *memrepo.Repo) {
	err := repo.Insert(
		lifecycle.Request{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateRunning},
		lifecycle.Request{ID: 2, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateRunning},
		lifecycle.Request{ID: 3, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateSucceeded},
		lifecycle.Request{ID: 4, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateWait},
	)
	if err != nil {
		panic(err)
	}
}

func ExampleRepo_Children() {
	var repo memrepo.Repo
	family(&repo)
	page, err := repo.Children(context.Background(), cancel.ChildQuery{
		Parents: []lifecycle.ID{1}, States: lifecycle.Live, Limit: 10,
	})
	for _, r := range page {
		fmt.Println(r.ID, r.State)
	}
	fmt.Println(err)
	// Output:
	// 2 RUNNING
	// 4 WAIT
	// <nil>
}

func ExampleRepo_Apply() {
	ctx := context.Background()
	var repo memrepo.Repo
	family(&repo)
	old, err := repo.Get(ctx, 4)
	if err != nil {
		fmt.Println(err)
		return
	}
	change := cancel.Change{Old: old, Trigger: lifecycle.TriggerCancel, State: lifecycle.StateCancelled, Cause: cancel.Cause{Root: 4, Actor: "ann"}}
	for range 2 {
		fmt.Println(repo.Apply(ctx, []cancel.Change{change})) // the second time it is not as Old says
	}
	// Output:
	// [true] <nil>
	// [false] <nil>
}

func ExampleRepo_CancelChildren() {
	var repo memrepo.Repo
	family(&repo)
	page, err := repo.CancelChildren(context.Background(), cancel.ChildCancel{
		Query: cancel.ChildQuery{Parents: []lifecycle.ID{1}, States: lifecycle.Live, Limit: 1000},
		Cause: cancel.Cause{Root: 1, Time: time.Date(2026, 3, 31, 22, 0, 0, 0, time.UTC)},
	})
	for _, ch := range page.Changes {
		fmt.Println(ch.Old.ID, ch.Old.State, "->", ch.State)
	}
	fmt.Println(page.Cancelled, "cancelled, more:", page.More, err)
	// Output:
	// 2 RUNNING -> CANCELLING
	// 1 cancelled, more: false <nil>
}

func ExampleRepo_ListCancelling() {
	ctx := context.Background()
	var repo memrepo.Repo
	family(&repo)
	if _, err := cancel.New(&repo, nil).Cancel(ctx, cancel.Order{ID: 1, Actor: "ann"}); err != nil {
		fmt.Println(err)
		return
	}
	page, err := repo.ListCancelling(ctx, 0, 10)
	for _, u := range page {
		fmt.Println(u.Request.ID, u.Request.State, "by", u.Cause.Actor)
	}
	fmt.Println(err)
	// Output:
	// 1 CANCELLING by ann
	// 2 CANCELLING by ann
	// <nil>
}

func ExampleRepo_Cause() {
	ctx := context.Background()
	var repo memrepo.Repo
	family(&repo)
	if _, err := cancel.New(&repo, nil).Cancel(ctx, cancel.Order{ID: 1, Actor: "ann", Reason: "wrong ledger"}); err != nil {
		fmt.Println(err)
		return
	}
	cause, err := repo.Cause(ctx, 4)
	fmt.Println(cause.Root, cause.Actor, cause.Reason, err)
	// Output: 1 ann wrong ledger <nil>
}
