package cancel_test

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

// nightly returns a repository with a small tree: a job set with a step that waits and
// one that runs.
func nightly() *memrepo.Repo {
	var repo memrepo.Repo
	err := repo.Insert(
		lifecycle.Request{ID: 42, Kind: lifecycle.KindParent, State: lifecycle.StateRunning},
		lifecycle.Request{ID: 43, Parent: 42, Kind: lifecycle.KindChild, State: lifecycle.StateWait},
		lifecycle.Request{ID: 44, Parent: 42, Kind: lifecycle.KindChild, State: lifecycle.StateRunning},
	)
	if err != nil {
		panic(err)
	}
	return &repo
}

func Example() {
	ctx := context.Background()
	repo := nightly() // or your own store
	canceller := cancel.New(repo, nil)

	result, err := canceller.Cancel(ctx, cancel.Order{ID: 42, Actor: "ann", Reason: "wrong ledger"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(result.Root)
	fmt.Println(result.Counts)

	// The work of request 44 has stopped and says so.
	result, err = canceller.Acknowledge(ctx, cancel.Order{ID: 44}, lifecycle.StateCancelled)
	fmt.Println(result.Counts, err)
	root, _ := repo.Get(ctx, 42)
	fmt.Println(root.State)
	// Output:
	// 42 RUNNING -> CANCELLING: cancelling
	// 1 cancelled, 2 cancelling
	// 2 settled <nil>
	// CANCELLED
}

func ExampleNew() {
	canceller := cancel.New(nightly(), &cancel.Options{
		Authorizer: cancel.AuthorizerFunc(func(_ context.Context, a cancel.Access) error {
			if a.Actor != "ann" {
				return errors.New("only ann may cancel")
			}
			return nil
		}),
		Grace: 10 * time.Minute,
	})
	_, err := canceller.Cancel(context.Background(), cancel.Order{ID: 42, Actor: "eve"})
	fmt.Println(esserrors.ProblemOf(err, nil).Detail)
	// Output:
	// Not authorized to cancel request 42.
}

func ExampleCanceller_Cancel() {
	canceller := cancel.New(nightly(), nil)
	_, err := canceller.Cancel(context.Background(), cancel.Order{
		ID:      42,
		Receipt: func(r cancel.Receipt) { fmt.Println(r) },
	})
	fmt.Println(err)

	_, err = canceller.Cancel(context.Background(), cancel.Order{ID: 43})
	fmt.Println(errors.Is(err, esserrors.CodeUnsupportedState))
	// Output:
	// 43 WAIT -> CANCELLED: cancelled
	// 44 RUNNING -> CANCELLING: cancelling
	// 42 RUNNING -> CANCELLING: cancelling
	// <nil>
	// true
}

func ExampleCanceller_Fence() {
	ctx := context.Background()
	repo := nightly()

	// A handler answers at once: the request is fenced, durably.
	result, _ := cancel.New(repo, nil).Fence(ctx, cancel.Order{ID: 42})
	fmt.Println(result.Counts)

	// Any process does the rest.
	result, _ = cancel.New(repo, nil).Resume(ctx, nil)
	fmt.Println(result.Counts)
	// Output:
	// 1 cancelling
	// 1 cancelled, 1 cancelling, 1 already cancelling
}

func ExampleCanceller_Acknowledge() {
	ctx := context.Background()
	canceller := cancel.New(nightly(), nil)
	_, err := canceller.Acknowledge(ctx, cancel.Order{ID: 44}, lifecycle.StateSucceeded)
	fmt.Println(err)

	if _, err := canceller.Cancel(ctx, cancel.Order{ID: 44}); err != nil {
		fmt.Println(err)
	}
	// The work had finished all the same.
	result, err := canceller.Acknowledge(ctx, cancel.Order{ID: 44}, lifecycle.StateSucceeded)
	fmt.Println(result.Root, err)
	// Output:
	// acknowledge request 44: unsupported state: Operation "acknowledge" is not supported for a CHILD request in state RUNNING
	// 44 CANCELLING -> SUCCEEDED: settled <nil>
}

func ExampleCanceller_CheckIn() {
	ctx := context.Background()
	canceller := cancel.New(nightly(), nil)
	in, _ := canceller.CheckIn(ctx, cancel.Order{ID: 44})
	fmt.Println(in.Cancelling)

	if _, err := canceller.Cancel(ctx, cancel.Order{ID: 42, Actor: "ann", Reason: "wrong ledger"}); err != nil {
		fmt.Println(err)
	}
	in, _ = canceller.CheckIn(ctx, cancel.Order{ID: 44})
	fmt.Println(in.Cancelling, in.Cause.Actor, in.Cause.Reason)
	// Output:
	// false
	// true ann wrong ledger
}

func ExampleCanceller_Force() {
	ctx := context.Background()
	now := time.Date(2026, 3, 31, 22, 0, 0, 0, time.UTC)
	canceller := cancel.New(nightly(), &cancel.Options{Now: func() time.Time { return now }})
	if _, err := canceller.Cancel(ctx, cancel.Order{ID: 44}); err != nil {
		fmt.Println(err)
	}

	now = now.Add(10 * time.Minute)
	_, err := canceller.Force(ctx, cancel.Order{ID: 44})
	wait, early := esserrors.RetryAfter(err)
	fmt.Println(early, wait)

	now = now.Add(wait)
	result, err := canceller.Force(ctx, cancel.Order{ID: 44})
	fmt.Println(result.Root, err)
	// Output:
	// true 20m0s
	// 44 CANCELLING -> CANCELLED: settled <nil>
}

func ExampleCanceller_Resume() {
	ctx := context.Background()
	repo := nightly()
	// A process died right after it had fenced the parent.
	if _, err := cancel.New(repo, nil).Fence(ctx, cancel.Order{ID: 42}); err != nil {
		fmt.Println(err)
	}

	_, err := cancel.New(repo, nil).Resume(ctx, &cancel.ResumeOptions{
		Receipt: func(r cancel.Receipt) { fmt.Println(r) },
	})
	fmt.Println(err)
	// Output:
	// 43 WAIT -> CANCELLED: cancelled
	// 44 RUNNING -> CANCELLING: cancelling
	// 42 CANCELLING -> CANCELLING: already cancelling
	// <nil>
}

// A caller shows the progress of a long cascade while it runs.
func ExampleOrder() {
	ctx := context.Background()
	var repo memrepo.Repo
	err := repo.Insert(lifecycle.Request{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateRunning})
	for id := lifecycle.ID(2); err == nil && id <= 2500; id++ {
		err = repo.Insert(lifecycle.Request{ID: id, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateWait})
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	var sofar cancel.Counts
	order := cancel.Order{ID: 1, Receipt: func(r cancel.Receipt) {
		if sofar[r.Disposition]++; sofar.Total()%1000 == 0 {
			fmt.Println(sofar, "so far")
		}
	}}
	result, err := cancel.New(&repo, nil).Cancel(ctx, order)
	fmt.Println(result.Counts, err)
	// Output:
	// 1000 cancelled so far
	// 2000 cancelled so far
	// 2500 cancelled <nil>
}

func ExampleListCancelling() {
	ctx := context.Background()
	repo := nightly()
	if _, err := cancel.New(repo, nil).Cancel(ctx, cancel.Order{ID: 42, Actor: "ann"}); err != nil {
		fmt.Println(err)
	}
	for u, err := range cancel.ListCancelling(ctx, repo) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(u.Request.ID, "cancelled by", u.Cause.Actor)
	}
	// Output:
	// 42 cancelled by ann
	// 44 cancelled by ann
}

func ExampleChildren() {
	ctx := context.Background()
	live := cancel.ChildQuery{Parents: []lifecycle.ID{42}, States: lifecycle.Live}
	for r, err := range cancel.Children(ctx, nightly(), live) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(r.ID, r.State)
	}
	// Output:
	// 43 WAIT
	// 44 RUNNING
}

func ExampleCanceller_Overdue() {
	ctx := context.Background()
	now := time.Date(2026, 3, 31, 22, 0, 0, 0, time.UTC)
	canceller := cancel.New(nightly(), &cancel.Options{Now: func() time.Time { return now }})
	if _, err := canceller.Cancel(ctx, cancel.Order{ID: 42}); err != nil {
		fmt.Println(err)
	}

	now = now.Add(30 * time.Minute)
	for u, err := range canceller.Overdue(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(u.Request.ID, "has been silent since", u.Request.CheckedIn.Format(time.TimeOnly))
	}
	// Output:
	// 44 has been silent since 22:00:00
}

func ExampleWorkers() {
	ctx := context.Background()
	var repo memrepo.Repo
	err := repo.Insert(
		lifecycle.Request{ID: 42, Kind: lifecycle.KindParent, State: lifecycle.StateRunning},
		lifecycle.Request{ID: 43, Parent: 42, Kind: lifecycle.KindChild, State: lifecycle.StateReady},
	)
	if err != nil {
		panic(err)
	}
	var workers cancel.Workers
	canceller := cancel.New(&repo, &cancel.Options{Interrupter: &workers})

	// The scheduler starts the request and runs its work. Run ends it.
	request, err := canceller.Transition(ctx, cancel.Order{ID: 43}, lifecycle.TriggerStart)
	if err != nil {
		fmt.Println(err)
	}
	started, done := make(chan struct{}), make(chan error)
	go func() {
		done <- workers.Run(ctx, canceller, request, func(ctx context.Context) error {
			close(started)
			<-ctx.Done() // the work notices, cleans up
			return context.Cause(ctx)
		}, nil)
	}()
	<-started
	if _, err := canceller.Cancel(ctx, cancel.Order{ID: 42, Actor: "ann", Reason: "wrong ledger"}); err != nil {
		fmt.Println(err)
	}
	fmt.Println(<-done)
	root, _ := repo.Get(ctx, 42)
	fmt.Println(root.State)
	// Output:
	// request 43 was cancelled by "ann": wrong ledger
	// CANCELLED
}

func ExampleDecisions() {
	for d := range cancel.Decisions() {
		if d.From == lifecycle.StateRunning {
			fmt.Println(d.Kind, d.From, "->", d.State)
		}
	}
	// Output:
	// SINGLETON RUNNING -> CANCELLING
	// CHILD RUNNING -> CANCELLING
	// PARENT RUNNING -> CANCELLING
	// SUBREQUEST_PARENT RUNNING -> CANCELLING
}

func ExampleDispositions() {
	for d := range cancel.Dispositions() {
		fmt.Println(d)
	}
	// Output:
	// cancelled
	// cancelling
	// already cancelling
	// settled
	// recorded
	// ended
	// conflict
	// failed
}
