package cancel_test

import (
	"context"
	"fmt"
	"log/slog"
	"os/exec"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// program is work that runs in a process of its own.
func program(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "sleep", "60")
	err := cmd.Run()
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func ExampleWorkers_process() {
	ctx := context.Background()
	repo := nightly()
	var workers cancel.Workers
	canceller := cancel.New(repo, &cancel.Options{Interrupter: &workers})
	request, _ := repo.Get(ctx, 44)
	time.AfterFunc(10*time.Millisecond, func() {
		_, _ = canceller.Cancel(ctx, cancel.Order{ID: 44, Actor: "ann"})
	})
	fmt.Println(workers.Run(ctx, canceller, request, program, nil))
	request, _ = repo.Get(ctx, 44)
	fmt.Println(request.State)
	// Output:
	// request 44 was cancelled by "ann"
	// CANCELLED
}

func ExampleRepeat() {
	ctx, stop := context.WithCancel(context.Background())
	repo := nightly()
	var workers cancel.Workers
	canceller := cancel.New(repo, &cancel.Options{Interrupter: &workers})

	go cancel.Repeat(ctx, time.Minute, func(ctx context.Context) {
		if _, err := canceller.Resume(ctx, nil); err != nil {
			slog.ErrorContext(ctx, "resume", "err", err)
		}
		if err := workers.Poll(ctx, canceller); err != nil {
			slog.ErrorContext(ctx, "poll", "err", err)
		}
	})
	stop()
	// Output:
}

func ExampleCanceller_Transition() {
	ctx := context.Background()
	repo := nightly()
	canceller := cancel.New(repo, nil)

	_, _ = canceller.Cancel(ctx, cancel.Order{ID: 44})
	request, err := canceller.Transition(ctx, cancel.Order{ID: 44}, lifecycle.TriggerComplete)
	if err != nil && request.State == lifecycle.StateCancelling {
		fmt.Println("too late: it is", request.State)
	}
	// Output:
	// too late: it is CANCELLING
}
