package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// cancelTrees has so many callers cancel the roots of t. If there is one root they all
// cancel that, and every one has to get a definite answer. Otherwise each takes the next
// that nobody has.
func cancelTrees(ctx context.Context, store cancel.Repository, t tree, page, callers int) error {
	var group sync.WaitGroup
	var next atomic.Int64
	errs := make(chan error, callers)
	for range callers {
		group.Go(func() {
			canceller := cancel.New(store, &cancel.Options{PageSize: page})
			order := func(root lifecycle.ID) error {
				res, err := canceller.Cancel(ctx, cancel.Order{ID: root})
				if callers > 1 && len(t.roots) == 1 && errors.Is(err, esserrors.CodeUnsupportedState) {
					return nil // this caller came when all was over, and was told so
				}
				if err == nil && res.Root.To != lifecycle.StateCancelled {
					err = fmt.Errorf("request %d is %v", root, res.Root.To)
				}
				if want := t.n / len(t.roots); err == nil && callers <= len(t.roots) && res.Counts[cancel.DispositionCancelled] != want {
					err = fmt.Errorf("of %d requests: %v", want, res.Counts)
				}
				return err
			}
			if len(t.roots) == 1 {
				errs <- order(t.roots[0])
				return
			}
			var err error
			for n := next.Add(1) - 1; err == nil && int(n) < len(t.roots); n = next.Add(1) - 1 {
				err = order(t.roots[n])
			}
			errs <- err
		})
	}
	group.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// A census counts requests by their states.
type census map[lifecycle.State]int

func (c *census) add(s lifecycle.State) {
	if *c == nil {
		*c = census{}
	}
	(*c)[s]++
}

// check returns an error unless all requests of t have ended as they should.
func (c census) check(t tree) error {
	if len(c) != 1 || c[lifecycle.StateCancelled] != t.n {
		return fmt.Errorf("of %d requests: %v, want all CANCELLED", t.n, map[lifecycle.State]int(c))
	}
	return nil
}
