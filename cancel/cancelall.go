package cancel

import (
	"context"
	"iter"
	"sync"
)

// AllOptions are optional settings of [Canceller.CancelAll]. A nil *AllOptions or a
// zero field gives the default.
type AllOptions struct {
	// Concurrency is how many orders are worked on at the same time. Zero means
	// 4. Receipt functions, and the hooks, the Interrupter and the Authorizer of the
	// Canceller, may then be called concurrently.
	Concurrency int
}

// CancelAll cancels every request that is ordered, each by an operation of its own,
// and returns for each, in the order in which they are done, what Cancel returns;
// Root.ID always says which it is. One that fails never stops the others.
//
// It differs from Cancel in one thing: a request that is CANCELLED already is not
// refused (decision). Where a tree and a part of it are ordered together, the one may
// have cancelled the other before its turn comes.
//
// The orders are read on the caller's goroutine, as they can be worked on. The
// caller may stop at any time, or end ctx: orders that have been begun are then cut
// off, and [Canceller.Resume] takes them up. No goroutine outlives the sequence.
// CancelAll panics if opts.Concurrency is negative.
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

func (c *Canceller) cancelOneOf(ctx context.Context, order Order) (Result, error) {
	o := c.operation(OpCancel, order)
	o.many = true
	res, err := o.run(ctx, func(ctx context.Context) error { return o.cancel(ctx, true) })
	res.Root.ID = order.ID
	return res, err
}
