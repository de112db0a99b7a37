package main

import (
	"context"
	"fmt"
	"time"
)

// A figure is what cancelling one tree took.
type figure struct {
	Shape  shape
	Call   time.Duration // until the call, or the loop of calls, had returned
	Done   time.Duration // until the store said that all had ended
	Census string        // what the store said then
	Failed string        // why there is no figure
}

// settle is how long a tree is left alone before it is cancelled.
const settle = 50 * time.Millisecond

// measure cancels a tree of every shape, after one that nobody looks at.
func measure(ctx context.Context, s system, j job, tell func(any)) error {
	if _, err := measureOne(ctx, s, shape{Leaves: 10}, j.Limit); err != nil {
		return err
	}
	for _, shape := range j.Shapes {
		f, err := measureOne(ctx, s, shape, j.Limit)
		f.Shape = shape
		if err != nil {
			f.Failed = err.Error()
			tell(f)
			break // and what goes on in the background would be in the way
		}
		tell(f)
	}
	return nil
}

func measureOne(ctx context.Context, s system, shape shape, limit time.Duration) (f figure, err error) {
	ctx, stop := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not done after %v", limit))
	defer stop()
	t, err := s.build(ctx, shape)
	if err != nil {
		return f, fmt.Errorf("building: %w", err)
	}
	if live, err := s.live(ctx, t); err != nil || !live {
		return f, fmt.Errorf("before the cancel the tree is live: %v, %w", live, err)
	}
	if err := sleep(ctx, settle); err != nil {
		return f, err
	}
	if f, err = cancelTree(ctx, s, t); err != nil {
		return f, err
	}
	c, err := s.census(ctx, t)
	f.Census = c.String()
	return f, err
}

// cancelTree cancels a tree, and looks into the store all the while, until all has ended.
func cancelTree(ctx context.Context, s system, t *tree) (f figure, err error) {
	ended := make(chan error, 1)
	start := time.Now()
	go func() {
		err := until(ctx, func() (bool, error) {
			live, err := s.live(ctx, t)
			return !live, err
		})
		f.Done = time.Since(start)
		ended <- err
	}()
	if err := s.cancel(ctx, t); err != nil {
		return figure{}, fmt.Errorf("cancelling: %w", err)
	}
	call := time.Since(start)
	if err := <-ended; err != nil {
		return figure{}, fmt.Errorf("waiting for the end: %w", err)
	}
	f.Call = call
	return f, nil
}
