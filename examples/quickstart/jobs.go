package main

import (
	"context"
	"errors"
	"sync"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// A manner is how the work of a request takes a cancel.
type manner string

const (
	stops    manner = "stops"
	finishes manner = "finishes"
	fails    manner = "fails"
	ignores  manner = "ignores"
)

var manners = []manner{stops, finishes, fails, ignores}

// A job is a request whose work runs in a goroutine.
type job struct {
	id     lifecycle.ID
	manner manner
	answer func() // lets the work return
	done   chan struct{}
	err    error // what the work returned, once done is closed
}

// runs reports whether r is a request for which a job is started.
func runs(r lifecycle.Request) bool {
	return lifecycle.Executes(r.Kind, r.State) && r.State != lifecycle.StateCancelling
}

// startJob starts the work of a request that is RUNNING or COMPLETED, and returns
// when it runs.
//
// The work does nothing until its context ends. Then it would return at once, but
// here it waits to be let, so that what the program shows is the same every time.
func startJob(ctx context.Context, workers *cancel.Workers, c *cancel.Canceller, r lifecycle.Request, m manner) *job {
	started, mayAnswer := make(chan struct{}), make(chan struct{})
	j := &job{
		id:     r.ID,
		manner: m,
		answer: sync.OnceFunc(func() { close(mayAnswer) }),
		done:   make(chan struct{}),
	}
	work := func(ctx context.Context) error {
		close(started)
		if m != ignores {
			<-ctx.Done()
		}
		<-mayAnswer
		switch m {
		case finishes, ignores:
			return nil // acknowledged as SUCCEEDED
		case fails:
			return errors.New("connection lost") // ERROR
		default:
			return context.Cause(ctx) // CANCELLED
		}
	}
	go func() {
		defer close(j.done)
		j.err = workers.Run(ctx, c, r, work, nil)
	}()
	select {
	case <-started:
	case <-j.done: // Run has refused it
	}
	return j
}

// finish lets the work return and waits until Run has acknowledged for it.
func (j *job) finish() {
	j.answer()
	<-j.done
}
