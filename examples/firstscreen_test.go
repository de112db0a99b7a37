package examples_test

import (
	"context"
	"fmt"
	"log"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	"example.com/ess/lifecycle"
)

// Example_firstScreen runs what the README begins with.
func Example_firstScreen() {
	repo := new(memrepo.Repo)
	err := repo.Insert(
		lifecycle.Request{ID: 42, Kind: lifecycle.KindParent, State: lifecycle.StateRunning},
		lifecycle.Request{ID: 43, Parent: 42, Kind: lifecycle.KindChild, State: lifecycle.StateWait},
		lifecycle.Request{ID: 44, Parent: 42, Kind: lifecycle.KindChild, State: lifecycle.StateReady},
	)
	shown, done := make(chan struct{}), make(chan error, 1)
	if err == nil {
		err = firstScreen(context.Background(), repo, done, func(ctx context.Context) error {
			<-ctx.Done()
			<-shown // so that it does not answer before the cancel has returned
			return context.Cause(ctx)
		})
	}
	close(shown)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-done)
	// Output:
	// 1 cancelled, 2 cancelling
	// request 44 was cancelled by "ann": wrong ledger
}

func firstScreen(ctx context.Context, repo cancel.Repository, done chan<- error, work func(context.Context) error) error {
	var workers cancel.Workers
	canceller := cancel.New(repo, &cancel.Options{Interrupter: &workers})

	// Where work is started. Its context ends when request 44 is cancelled.
	request, err := canceller.Transition(ctx, cancel.Order{ID: 44}, lifecycle.TriggerStart)
	if err != nil {
		return err
	}
	go func() { done <- workers.Run(ctx, canceller, request, work, nil) }()

	// Where somebody cancels 42, and with it 43 and 44, which are below it.
	result, err := canceller.Cancel(ctx, cancel.Order{ID: 42, Actor: "ann", Reason: "wrong ledger"})
	fmt.Println(result.Counts) // 1 cancelled, 2 cancelling
	return err
}
