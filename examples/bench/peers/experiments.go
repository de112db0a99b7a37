package main

import (
	"context"
	"fmt"
	"time"
)

// ends are the words that the stores have for what has ended.
var ends = map[string]bool{
	"CANCELLED": true, "SUCCEEDED": true, "ERROR": true, "WARNING": true, // ess
	"SUCCESS":   true,                                       // DBOS, which also has CANCELLED and ERROR
	"cancelled": true, "completed": true, "discarded": true, // River
	"finished": true,                                                        // go-workflows
	"Canceled": true, "Terminated": true, "Completed": true, "Failed": true, // Temporal
	"archived": true, "gone": true, // asynq, which also has completed
}

// A view is what a store says of the members of a family.
type view struct{ Parent, Working, Waiting, Finished string }

func viewOf(ctx context.Context, s system, f family) (v view, err error) {
	for state, id := range map[*string]string{&v.Parent: f.Tree.ID, &v.Working: f.Working, &v.Waiting: f.Waiting, &v.Finished: f.Finished} {
		if id == "" {
			*state = "-" // there is no such thing
		} else if *state, err = s.state(ctx, id); err != nil {
			return v, err
		}
	}
	return v, nil
}

// A showing is what a store shows while a parent is being cancelled one of whose children
// works, and listens to nobody.
type showing struct {
	Before view
	Call   view // right after the call
	End    view // when the work has returned and everything has come to rest
	// How much of the work was still to be done when the store first said that the
	// parent, or the child that works, had ended.
	ParentEarly, ChildEarly time.Duration
	Again                   string // the error of the same call in the end
}

func showFamily(ctx context.Context, s system, _ job, tell func(any)) error {
	ctx, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	f, err := s.family(ctx)
	if err != nil {
		return fmt.Errorf("making the family: %w", err)
	}
	var x showing
	if x.Before, err = viewOf(ctx, s, f); err != nil {
		return err
	}
	if err := s.cancel(ctx, f.Tree); err != nil {
		return err
	}
	if x.Call, err = viewOf(ctx, s, f); err != nil {
		return err
	}
	err = until(ctx, func() (bool, error) {
		left := time.Duration(ticks-theWork.done.Load()) * tick
		v, err := viewOf(ctx, s, f)
		if ends[v.Parent] && x.ParentEarly == 0 {
			x.ParentEarly = left
		}
		if ends[v.Working] && x.ChildEarly == 0 {
			x.ChildEarly = left
		}
		return left <= 0, err
	})
	if err != nil {
		return err
	}
	rest, stopResting := context.WithTimeout(ctx, 5*time.Second)
	defer stopResting()
	_ = until(rest, func() (bool, error) { // whatever has come of it then
		v, err := viewOf(ctx, s, f)
		return (v.Parent == "-" || ends[v.Parent]) && ends[v.Working] && ends[v.Waiting], err
	})
	if err := sleep(ctx, 500*time.Millisecond); err != nil { // something may be written over it
		return err
	}
	if x.End, err = viewOf(ctx, s, f); err != nil {
		return err
	}
	if err := s.cancel(ctx, f.Tree); err != nil {
		x.Again = err.Error()
	}
	tell(x)
	return nil
}

// An escapade is what became of children that were submitted while their parent was being
// cancelled.
type escapade struct {
	Meanwhile int // came after the cancel had begun
	Escaped   int // of all children have not ended, though the cancel has
	Census    string
}

func escape(ctx context.Context, s system, j job, tell func(any)) error {
	ctx, stop := context.WithTimeout(ctx, 5*time.Minute)
	defer stop()
	t, err := s.crowd(ctx)
	if err != nil {
		return fmt.Errorf("making the crowd: %w", err)
	}
	enough, submitted := make(chan struct{}), make(chan error, 1)
	go func() { submitted <- s.submit(ctx, t, enough) }()
	if err := sleep(ctx, 4*settle); err != nil {
		return err
	}
	before, err := s.census(ctx, t)
	if err != nil {
		return err
	}
	if err := s.cancel(ctx, t); err != nil {
		return err
	}
	if err := sleep(ctx, 4*settle); err != nil {
		return err
	}
	close(enough)
	if err := <-submitted; err != nil {
		return fmt.Errorf("submitting: %w", err)
	}
	e, err := entrantOf(j.System)
	if err != nil {
		return err
	}
	wait := settle
	if e.later {
		wait = 3 * time.Minute
	}
	rest, stopResting := context.WithTimeout(ctx, wait)
	defer stopResting()
	var last census
	_ = until(rest, func() (bool, error) { // or it stays as it is
		last, err = s.census(ctx, t)
		live := 0
		for state, n := range last.Below {
			if !ends[state] {
				live += n
			}
		}
		return live == 0 && (last.Root == "" || ends[last.Root]), err
	})
	if err != nil {
		return err
	}
	x := escapade{Census: last.String()}
	for state, n := range last.Below {
		x.Meanwhile += n
		if !ends[state] {
			x.Escaped += n
		}
	}
	for _, n := range before.Below {
		x.Meanwhile -= n
	}
	tell(x)
	return nil
}
