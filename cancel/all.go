package cancel

import (
	"context"
	"iter"
	"sync"
	"sync/atomic"

	"example.com/ess/lifecycle"
)

// AllOptions are optional settings of [Canceller.CancelAll]. A nil *AllOptions or a
// zero field gives the default.
type AllOptions struct {
	// Concurrency is how many orders are worked on at the same time. Zero means
	// 4. Their Receipt functions, and whatever the Canceller's Options name, may
	// then be called concurrently.
	Concurrency int
}

// CancelAll cancels every request that is ordered, and returns for each, in the order
// in which they are done, what Cancel returns; Root.ID always says which it is. One
// that fails never stops the others.
//
// Where the trees of two orders overlap, what they share is done and counted once. A
// request that another of these orders has cancelled with its tree is not refused:
// its result says what became of it.
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
	return func(yield func(Result, error) bool) {
		ctx, stop := context.WithCancel(ctx)
		all := &cancelAll{c: c, todo: make(chan Order), done: make(chan allDone)}
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() { all.work(ctx) })
		}
		go func() {
			wg.Wait()
			close(all.done)
		}()
		fed := sync.OnceFunc(func() { close(all.todo) })
		defer func() { // also if orders or yield panic
			stop()
			fed()
			for range all.done {
				continue
			}
		}()
		if !all.feed(orders, yield) {
			return
		}
		fed()
		for d := range all.done {
			if !all.take(d, yield) {
				return
			}
		}
		for _, d := range all.later {
			if !yield(all.again(ctx, d)) {
				return
			}
		}
	}
}

// A cancelAll is one call of CancelAll.
type cancelAll struct {
	c     *Canceller
	roots visits
	seen  visits // by all orders together
	todo  chan Order
	done  chan allDone
	later []allDone // looked at when all others are done

	failed atomic.Bool // an order has, and may have left something in its tree
}

type allDone struct {
	order    Order
	repeats  bool // it has been ordered twice
	overlaps bool // it is in the tree of another order, which has come upon it
	result   Result
	err      error
}

// take passes on what is done. It reports whether the caller wants more.
func (a *cancelAll) take(d allDone, yield func(Result, error) bool) bool {
	if d.repeats || d.overlaps {
		a.later = append(a.later, d)
		return true
	}
	return yield(d.result, d.err)
}

// feed hands out the orders and passes on what is done meanwhile. It reports whether
// the caller wants more.
func (a *cancelAll) feed(orders iter.Seq[Order], yield func(Result, error) bool) bool {
	for order := range orders {
		for sent := false; !sent; {
			select {
			case a.todo <- order:
				sent = true
			case d := <-a.done:
				if !a.take(d, yield) {
					return false
				}
			}
		}
	}
	return true
}

func (a *cancelAll) work(ctx context.Context) {
	for order := range a.todo {
		d := allDone{order: order}
		switch {
		case !a.roots.visit(order.ID):
			d.repeats = true
		case !a.seen.visit(order.ID):
			d.overlaps = true
		default:
			if d.result, d.err = a.one(ctx, order); d.err != nil {
				a.failed.Store(true)
			}
		}
		a.done <- d
	}
}

func (a *cancelAll) one(ctx context.Context, order Order) (Result, error) {
	o := a.c.operation("cancel", order)
	o.visited, o.overlaps = &a.seen, true
	ctx = o.start(ctx)
	res, err := o.cancel(ctx, true)
	res.Root.ID = order.ID
	return o.end(ctx, res, err)
}

// again answers for a request that has been ordered twice, or that another order has
// come upon. If that may not have cancelled all of it, it is cancelled now.
func (a *cancelAll) again(ctx context.Context, d allDone) (Result, error) {
	o := a.c.operation("cancel", d.order)
	if d.overlaps {
		if err := o.authorize(ctx); err != nil {
			return Result{Root: Receipt{ID: o.id}}, err
		}
		r, err := o.get(ctx, o.id)
		if err != nil {
			return Result{Root: Receipt{ID: o.id}}, err
		}
		if r.State == lifecycle.StateCancelled || r.State == lifecycle.StateCancelling && !a.failed.Load() {
			n := node{req: r, from: r.State}
			return Result{Root: n.receipt()}, nil
		}
	}
	res, err := a.c.Cancel(ctx, d.order)
	res.Root.ID = o.id
	return res, err
}
