package cancel

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// An operation is one call of a method of a Canceller.
type operation struct {
	c       *Canceller
	info    StartInfo
	verb    string // names the operation in errors
	id      lifecycle.ID
	actor   string // as the order has it, not cleaned
	attempt int    // of the order, or 0
	cause   Cause  // of the changes, without the time
	receipt func(Receipt)

	result Result
	// visited has every parent that the operation has come upon, so that it goes below
	// each once, and a cycle in a broken store ends.
	visited visits
	// many says that this is one order of a CancelAll: a request that is CANCELLED
	// already is not refused.
	many bool
	// again says that children which have been recorded may be read again.
	again bool
	// resuming is set only by Resume, whose roots may be above or below each other.
	resuming *unsettled
	// planned has the steps that may be made. It is nil if there is no plan.
	planned map[lifecycle.ID]Step

	tell     []lifecycle.ID // requests whose work has yet to be interrupted
	changes  []Change       // the batch being written, kept to save allocations
	backoffs int
	store    storeErrors
	failures failures
	stopped  error // what ended the operation early
}

// operation returns the operation that an order asks for.
func (c *Canceller) operation(op Op, order Order) *operation {
	cause := Cause{Root: order.ID, Actor: cleanText(order.Actor, MaxActor), Reason: cleanText(order.Reason, MaxReason)}
	return &operation{
		c:       c,
		info:    StartInfo{Op: op, ID: order.ID, Actor: cause.Actor, Reason: cause.Reason},
		verb:    string(op),
		id:      order.ID,
		actor:   order.Actor,
		attempt: order.Attempt,
		cause:   cause,
		receipt: order.Receipt,
		store:   newStoreErrors(c.opts.PageSize),
	}
}

// visits is a set of ids.
type visits map[lifecycle.ID]struct{}

// visit adds id and reports whether it was not there.
func (v *visits) visit(id lifecycle.ID) bool {
	if v.has(id) {
		return false
	}
	if *v == nil {
		*v = visits{}
	}
	(*v)[id] = struct{}{}
	return true
}

// has reports whether id is in the set.
func (v visits) has(id lifecycle.ID) bool {
	_, ok := v[id]
	return ok
}

// now returns the Cause of a change that is made now.
func (o *operation) now() Cause {
	cause := o.cause
	cause.Time = timeOf(o.c.opts.Now())
	return cause
}

// read reads a request. It reports false if there is no such request. It does not trust
// the store: an answer that cannot be true is an error, and so is an unreadable row.
func (o *operation) read(ctx context.Context, id lifecycle.ID) (r lifecycle.Request, ok bool, err error) {
	if id <= 0 {
		return r, false, nil
	}
	r, err = o.c.repo.Get(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound):
		return lifecycle.Request{}, false, nil
	case err == nil && r.ID != id:
		err = fmt.Errorf("cancel: Get(%d) returned request %d", id, r.ID)
	case err == nil:
		err = r.Validate()
	}
	if err != nil {
		return lifecycle.Request{}, false, o.storeError(ctx, err)
	}
	return r, true, nil
}

// get is like read, but returns an error if there is no such request.
func (o *operation) get(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
	r, ok, err := o.read(ctx, id)
	if err == nil && !ok {
		err = esserrors.NotFound(o.verb, int64(id), nil)
	}
	return r, err
}

// apply writes changes. It does not trust the store: an answer of another length is an
// error.
func (o *operation) apply(ctx context.Context, changes []Change) ([]bool, error) {
	made, err := o.c.repo.Apply(ctx, changes)
	if err == nil && len(made) != len(changes) {
		err = fmt.Errorf("cancel: Apply of %d changes answered for %d", len(changes), len(made))
	}
	return made, err
}

// applyOne writes one change, and reports whether it was made.
func (o *operation) applyOne(ctx context.Context, ch Change) (made bool, err error) {
	o.changes = append(o.changes[:0], ch)
	answer, err := o.apply(ctx, o.changes)
	if err != nil {
		return false, o.storeError(ctx, err)
	}
	if answer[0] {
		o.tellTransition(ctx, &o.changes[0])
	}
	return answer[0], nil
}

// interrupt has the Interrupter, if there is one, tell the work of the requests to stop.
func (o *operation) interrupt(ctx context.Context, ids []lifecycle.ID, cause Cause) {
	if o.c.opts.Interrupter == nil || len(ids) == 0 {
		return
	}
	err := func() (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("cancel: interrupter panicked: %v", p)
			}
		}()
		return o.c.opts.Interrupter.Interrupt(ctx, ids, cause)
	}()
	if err == nil {
		o.result.Interrupted += len(ids)
	} else if o.result.InterruptErr == nil {
		o.result.InterruptErr = err
	}
}

// report gives the receipt of a node.
func (o *operation) report(n node) { o.give(n.receipt()) }

// leave reports that this operation leaves r as it found it because of err, which is a
// conflict, and returns err.
func (o *operation) leave(r lifecycle.Request, err error) error {
	o.report(node{req: r, from: r.State, failed: err, conflict: true})
	return err
}

// give counts a receipt, keeps it if it is that of the request of the order, and hands it to
// the caller.
func (o *operation) give(rec Receipt) {
	o.result.Counts[rec.Disposition]++
	if rec.ID == o.id {
		o.result.Root = rec
	}
	if o.receipt != nil {
		o.receipt(rec)
	}
}

// backOff waits, because somebody else is cancelling the same requests. Without a wait, all
// would try and all but one fail at every request. Each wait is about twice the one
// before, so that all of them take about as long as the other does.
func (o *operation) backOff(ctx context.Context) error {
	d := time.Millisecond << min(o.backoffs, 14)
	o.backoffs++
	timer := time.NewTimer(d/2 + rand.N(d))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return o.storeError(ctx, ctx.Err())
	}
}

// storeError returns the error of an operation whose store failed with err. If ctx is done,
// that is the error of ctx, without a code: a caller that has stopped is not a store that
// failed.
func (o *operation) storeError(ctx context.Context, err error) error {
	switch stop := ctx.Err(); {
	case stop == nil:
		return esserrors.System(o.verb, int64(o.id), err)
	case errors.Is(err, stop):
		return esserrors.Stopped(o.verb, int64(o.id), err)
	default:
		return esserrors.Stopped(o.verb, int64(o.id), errors.Join(stop, err))
	}
}

// contended returns the error about a request that others kept changing.
func (o *operation) contended(id lifecycle.ID) error {
	return esserrors.Conflict(o.verb, int64(id), fmt.Sprintf("Others kept changing request %d.", id), nil)
}

// stopOn has the operation return err, if that is its first such error.
func (o *operation) stopOn(err error) {
	if o.stopped == nil {
		o.stopped = err
	}
}

// err returns the error of the operation: what stopped it or, if nothing did, what failed
// with single requests.
func (o *operation) err() error {
	if o.stopped != nil {
		return o.stopped
	}
	return o.failures.err(o.verb, o.id)
}

// authorize returns an error if the Authorizer does not permit the operation.
func (o *operation) authorize(ctx context.Context) (err error) {
	if o.c.opts.Authorizer == nil {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = esserrors.NotAuthorized(o.verb, int64(o.id), fmt.Errorf("authorizer panicked: %v", p))
		}
	}()
	err = o.c.opts.Authorizer.Authorize(ctx, Access{Op: o.info.Op, ID: o.id, Actor: o.actor})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return o.storeError(ctx, err)
	default:
		return esserrors.NotAuthorized(o.verb, int64(o.id), err)
	}
}

// errLeft is what the End hook is told of an operation that a panic has left.
var errLeft = errors.New("cancel: a function of the caller panicked")

// run calls f between the hooks Start and End, and returns the Result that f has made in o.
func (o *operation) run(ctx context.Context, f func(ctx context.Context) error) (res Result, err error) {
	hooks := &o.c.opts.Hooks
	if hooks.Start != nil {
		ctx = hooks.Start(ctx, o.info)
	}
	if hooks.End != nil {
		err = errLeft
		defer func() { hooks.End(ctx, EndInfo{StartInfo: o.info, Result: o.result, Err: err}) }()
	}
	err = f(ctx)
	return o.result, err
}

// tellTransition tells the Transition hook of a change that is stored.
func (o *operation) tellTransition(ctx context.Context, ch *Change) {
	if o.c.opts.Hooks.Transition != nil && ch.Trigger != 0 {
		o.c.opts.Hooks.Transition(ctx, TransitionInfo{
			ID: ch.Old.ID, Parent: ch.Old.Parent, Kind: ch.Old.Kind,
			From: ch.Old.State, To: ch.State, Trigger: ch.Trigger, Cause: ch.Cause,
		})
	}
}
