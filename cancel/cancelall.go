package cancel

import (
	"context"
	"iter"
	"sync"
)

// AllOptions are optional settings of [Canceller.CancelAll]. A nil *AllOptions or a
// zero field gives the default.
type AllOptions struct {
	// Concurrency is how many orders are worked on at the same time. Zero means 4.
	// Unless it is 1, the Receipt functions of the orders, and the hooks, the
	// Interrupter and the Authorizer of the Canceller, may be called concurrently.
	Concurrency int
}

// CancelAll cancels the request of each order, by an operation of its own. For each it
// yields what Cancel returns, in the order in which they are done; Root.ID always says
// for which request. An order that fails does not stop the others.
//
// CancelAll differs from Cancel in one thing: a request that is CANCELLED already is not
// refused (decision). If a tree and a part of it are both ordered, the order for the tree
// may have cancelled the part already.
//
// Each order is read on the caller's goroutine when the one before has been begun. If the
// caller stops early or ctx ends, orders that were begun are cut off, and
// [Canceller.Resume] completes them. No goroutine outlives the sequence. CancelAll panics
// if opts.Concurrency is negative.
func (c *Canceller) CancelAll(ctx context.Context, orders iter.Seq[Order], opts *AllOptions) iter.Seq2[Result, error] {
	n := 4
	if opts != nil && opts.Concurrency != 0 {
		n = opts.Concurrency
	}
	if n < 0 {
		panic("cancel: CancelAll: negative Concurrency") //nolint:forbidigo // a mistake of the programmer
	}
	type answer struct {
		result Result
		err    error
	}
	return func(yield func(Result, error) bool) {
		ctx, stop := context.WithCancel(ctx)
		todo, done := make(chan Order), make(chan answer)
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				for order := range todo {
					res, err := c.cancelOneOf(ctx, order)
					done <- answer{res, err}
				}
			})
		}
		go func() {
			wg.Wait()
			close(done)
		}()
		fed := sync.OnceFunc(func() { close(todo) })
		defer func() { // also if orders or yield panic
			stop()
			fed()
			for range done {
				continue
			}
		}()
		for order := range orders {
			for sent := false; !sent; {
				select {
				case todo <- order:
					sent = true
				case a := <-done:
					if !yield(a.result, a.err) {
						return
					}
				}
			}
		}
		fed()
		for a := range done {
			if !yield(a.result, a.err) {
				return
			}
		}
	}
}

// cancelOneOf cancels the request of one order of a CancelAll.
func (c *Canceller) cancelOneOf(ctx context.Context, order Order) (Result, error) {
	o := c.operation(OpCancel, order)
	o.many = true
	res, err := o.run(ctx, func(ctx context.Context) error { return o.cancel(ctx, true) })
	res.Root.ID = order.ID
	return res, err
}
