package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

const (
	tick  = 20 * time.Millisecond
	ticks = 100 // stubborn work takes two seconds
)

// stubborn is work that listens to nobody.
type stubborn struct{ done atomic.Int64 }

func (w *stubborn) work() string {
	for range ticks {
		time.Sleep(tick)
		w.done.Add(1)
	}
	return "the result of the work"
}

// begun waits until the work has begun.
func (w *stubborn) begun(ctx context.Context) error {
	return until(ctx, func() (bool, error) { return w.done.Load() >= 2, nil })
}

// theWork is that of the family, of which a process makes one.
var theWork stubborn

const pollEvery = 2 * time.Millisecond

// until waits until ok returns true.
func until(ctx context.Context, ok func() (bool, error)) error {
	next := time.Now()
	for {
		done, err := ok()
		if done || err != nil {
			return err
		}
		next = next.Add(pollEvery)
		if now := time.Now(); next.Before(now) {
			next = now
		}
		if err := sleep(ctx, time.Until(next)); err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// fourTimes runs submit over and over, by four at once, until it is told to stop.
func fourTimes(stop <-chan struct{}, submit func() error) error {
	var wg sync.WaitGroup
	var errs [4]error
	for i := range errs {
		wg.Go(func() {
			for errs[i] == nil {
				select {
				case <-stop:
					return
				default:
					errs[i] = submit()
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs[:]...)
}

func untilStopped(ctx context.Context, stop <-chan struct{}) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-stop:
		return nil
	}
}
