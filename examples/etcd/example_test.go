package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/examples/etcd"
	"example.com/ess/lifecycle"
)

// endpoints returns the addresses of a cluster.
func endpoints() []string {
	c, err := sharedCluster()
	if err != nil {
		log.Fatal(err)
	}
	return []string{c.members[0].client, c.members[1].client, c.members[2].client}
}

func Example() {
	ctx := context.Background()
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints(), Logger: zap.NewNop()})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	store := etcd.New(client, "/scheduler/requests/")

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

// A process runs work; another one cancels it.
func ExampleWatcher() {
	ctx, stop := context.WithCancel(context.Background())
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints(), Logger: zap.NewNop()})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	store := etcd.New(client, "/scheduler/watched/")
	if err := store.Submit(ctx, lifecycle.Request{ID: 7, Kind: lifecycle.KindSingleton, State: lifecycle.StateReady}); err != nil {
		log.Fatal(err)
	}

	// The process that runs work: one Watcher for all of it.
	canceller := cancel.New(store, nil)
	var workers cancel.Workers
	watcher := etcd.Watcher{Store: store}
	watching := make(chan error)
	go func() { watching <- watcher.Run(ctx, canceller, &workers) }()

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
	other := cancel.New(etcd.New(client, "/scheduler/watched/"), nil)
	if _, err := other.Cancel(ctx, cancel.Order{ID: 7, Actor: "ann", Reason: "wrong ledger"}); err != nil {
		log.Fatal(err)
	}

	fmt.Println(<-done)
	r, err := store.Get(ctx, 7)
	fmt.Println(r.State, err)
	stop()
	fmt.Println(errors.Is(<-watching, context.Canceled))

	// Output:
	// request 7 was cancelled by "ann": wrong ledger
	// CANCELLED <nil>
	// true
}
