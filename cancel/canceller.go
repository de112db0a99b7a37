package cancel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// A Canceller cancels the requests of a [Repository] and brings what has been
// cancelled to its end.
//
// It keeps nothing between calls: any number of Cancellers, in any number of
// processes, may work on one store. A Canceller is safe for concurrent use.
type Canceller struct {
	repo     Repository
	children ChildCanceller // nil if repo lacks the capability
	causes   CauseReader    // nil if repo lacks the capability
	opts     Options
}

// New returns a Canceller for the requests in repo. It copies opts, which may be
// nil. It panics if repo is nil or a count in opts is negative.
func New(repo Repository, opts *Options) *Canceller {
	if repo == nil {
		panic("cancel: New: nil Repository") //nolint:forbidigo // a mistake of the programmer
	}
	c := &Canceller{repo: repo}
	if opts != nil {
		c.opts = *opts
	}
	if c.opts.PageSize < 0 || c.opts.MaxAttempts < 0 {
		panic("cancel: New: negative PageSize or MaxAttempts") //nolint:forbidigo // a mistake of the programmer
	}
	if c.opts.PageSize == 0 {
		c.opts.PageSize = defaultPageSize
	}
	if c.opts.MaxAttempts == 0 {
		c.opts.MaxAttempts = 8
	}
	switch {
	case c.opts.Grace == 0:
		c.opts.Grace = 30 * time.Minute
	case c.opts.Grace < 0:
		c.opts.Grace = 0
	}
	if c.opts.Now == nil {
		c.opts.Now = time.Now //nolint:forbidigo // the default
	}
	c.children, _ = repo.(ChildCanceller)
	c.causes, _ = repo.(CauseReader)
	return c
}

// An Order is what is to be done to which request, on whose behalf.
type Order struct {
	// ID is the request.
	ID lifecycle.ID
	// Actor is who asks. The Authorizer judges it, and the store keeps it.
	Actor string
	// Reason is why, for the store to keep.
	Reason string
	// Receipt, if not nil, is called once for every request that the operation
	// touches, on the goroutine of the operation, as soon as it has finished
	// with the request: children before their parents.
	Receipt func(Receipt)
}

// Cancel cancels the request and everything below it.
//
// A request of which no work executes becomes CANCELLED. One whose work may
// execute becomes CANCELLING and stays so until the work has acknowledged
// (specification). A parent becomes CANCELLING first and admits no child from
// then on; every live request below it is cancelled, and the parent ends after
// its last child. Ancestors that were only waiting for this request end too
// (decision). Cancelling a request that is CANCELLING succeeds, changes nothing
// that is already done, interrupts its work again and takes up a cascade that
// was cut off (decision).
//
// Cancel returns when the tree is as far as cancelling can bring it: ended, or
// CANCELLING and waiting for work. Work is told by the [Interrupter] right after
// its request has been written.
//
// The error has [esserrors.CodeUnsupportedState] if the request has ended
// (specification), also if it did so, other than as CANCELLED, while this call
// tried to cancel it; [esserrors.CodeNotAuthorized]; [esserrors.CodeNotFound];
// [esserrors.CodeConflict] if others kept changing requests; or
// [esserrors.CodeSystem]. In the last two cases some requests may have been
// cancelled: the Result counts them, and cancelling again or [Canceller.Resume]
// goes on. If ctx is done the error matches ctx.Err() and has no code of this
// module; again Resume goes on. One request that fails never keeps the others
// from being cancelled.
func (c *Canceller) Cancel(ctx context.Context, order Order) (Result, error) {
	o := c.operation("cancel", order)
	ctx = o.start(ctx)
	res, err := o.cancel(ctx, true)
	return o.end(ctx, res, err)
}

// Fence is like [Canceller.Cancel], but of a parent it cancels nothing except the
// request itself: it makes it CANCELLING, durably, and leaves what is below it to
// [Canceller.Resume], in this process or another.
func (c *Canceller) Fence(ctx context.Context, order Order) (Result, error) {
	o := c.operation("cancel", order)
	ctx = o.start(ctx)
	res, err := o.cancel(ctx, false)
	return o.end(ctx, res, err)
}

func (o *operation) cancel(ctx context.Context, whole bool) (Result, error) {
	if err := o.authorize(ctx); err != nil {
		return Result{}, err
	}
	root, err := o.cancelRoot(ctx)
	if err != nil {
		return o.result, err
	}
	if unanswered(root.req) {
		o.interrupt(ctx, []lifecycle.ID{root.req.ID}, o.now())
	}
	switch {
	case root.ended():
		o.report(root)
		if root.changed {
			o.stopOn(o.settleUp(ctx, root.req.Parent))
		}
	case !whole || !root.opensBelow():
		o.report(root)
	default:
		o.stopOn(o.cascade(ctx, root))
	}
	return o.result, o.err()
}

// An operation is one call of a Canceller's method.
type operation struct {
	c       *Canceller
	name    string
	id      lifecycle.ID
	cause   Cause // but for the time
	receipt func(Receipt)

	result Result
	// visited has every container that the operation has come upon, so that none is
	// done twice and a cycle in a broken store ends.
	visited *visits
	own     visits // what visited points to, unless operations share one
	// overlaps says that other roots may be above or below this one.
	overlaps bool
	// unsettled has what is to be reported at the end. It is nil but in Resume.
	unsettled *unsettled
	// planned has what may be done, if that is limited to a plan.
	planned map[lifecycle.ID]Step

	changes  []Change // the batch being written, kept to save allocations
	backoffs int
	failures failures
	stopped  error // what ended the operation before it was through
}

// visits is a set of ids. It is safe for concurrent use.
type visits struct {
	mu   sync.Mutex
	seen map[lifecycle.ID]struct{}
}

// visit adds id and reports whether it was not there.
func (v *visits) visit(id lifecycle.ID) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, ok := v.seen[id]; ok {
		return false
	}
	if v.seen == nil {
		v.seen = map[lifecycle.ID]struct{}{}
	}
	v.seen[id] = struct{}{}
	return true
}

func (v *visits) has(id lifecycle.ID) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	_, ok := v.seen[id]
	return ok
}

func (c *Canceller) operation(name string, order Order) *operation {
	o := &operation{
		c:       c,
		name:    name,
		id:      order.ID,
		cause:   Cause{Root: order.ID, Actor: order.Actor, Reason: order.Reason},
		receipt: order.Receipt,
	}
	o.visited = &o.own
	return o
}

// now returns the cause of a change made now.
func (o *operation) now() Cause {
	cause := o.cause
	cause.Time = timeOf(o.c.opts.Now())
	return cause
}

func (o *operation) authorize(ctx context.Context) (err error) {
	if o.c.opts.Authorizer == nil {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = esserrors.NotAuthorized(o.name, int64(o.id), fmt.Errorf("authorizer panicked: %v", p))
		}
	}()
	err = o.c.opts.Authorizer.Authorize(ctx, Access{Op: o.name, ID: o.id, Actor: o.cause.Actor})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return o.storeError(ctx, err)
	default:
		return esserrors.NotAuthorized(o.name, int64(o.id), err)
	}
}

// get reads a request and does not trust the answer.
func (o *operation) get(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
	if id <= 0 {
		return lifecycle.Request{}, esserrors.NotFound(o.name, int64(id), nil)
	}
	r, err := o.c.repo.Get(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound):
		return lifecycle.Request{}, esserrors.NotFound(o.name, int64(id), err)
	case err != nil:
		return lifecycle.Request{}, o.storeError(ctx, err)
	case r.ID != id:
		return lifecycle.Request{}, o.storeError(ctx, fmt.Errorf("cancel: Get(%d) returned request %d", id, r.ID))
	}
	if err := r.Validate(); err != nil {
		return lifecycle.Request{}, o.storeError(ctx, err)
	}
	return r, nil
}

// apply writes changes and does not trust the answer.
func (o *operation) apply(ctx context.Context, changes []Change) ([]bool, error) {
	made, err := o.c.repo.Apply(ctx, changes)
	if err == nil && len(made) != len(changes) {
		err = fmt.Errorf("cancel: Apply of %d changes answered for %d", len(changes), len(made))
	}
	return made, err
}

// applyOne writes one change.
func (o *operation) applyOne(ctx context.Context, ch Change) (made bool, err error) {
	o.changes = append(o.changes[:0], ch)
	answer, err := o.apply(ctx, o.changes)
	if err != nil {
		return false, o.storeError(ctx, err)
	}
	if answer[0] {
		o.stored(ctx, &o.changes[0])
	}
	return answer[0], nil
}

// cancelRoot makes the request CANCELLED or CANCELLING.
func (o *operation) cancelRoot(ctx context.Context) (node, error) {
	var from lifecycle.State
	for attempt := 1; ; attempt++ {
		r, err := o.get(ctx, o.id)
		if err != nil {
			return node{}, err
		}
		switch ch, needed := cancelChange(r, o.now()); {
		case needed && !o.asPlanned(ch):
			return node{}, o.unplanned(o.id)
		case needed && attempt > o.c.opts.MaxAttempts:
			o.result.Root = Receipt{ID: o.id, Parent: r.Parent, Kind: r.Kind, Disposition: DispositionConflict, From: r.State, To: r.State}
			return node{}, o.contended(o.id)
		case needed:
			from = r.State
			made, err := o.applyOne(ctx, ch)
			if err != nil {
				return node{}, err
			}
			if made {
				return node{req: ch.New(), from: from, changed: true}, nil
			}
		case r.State == lifecycle.StateCancelling:
			return node{req: r, from: r.State}, nil
		case r.State == lifecycle.StateCancelled && (from != 0 || o.overlaps && o.visited.has(r.Parent)):
			// It was live when this call first saw it, and somebody else cancelled
			// it, or another order of this call has: what the caller wanted is done.
			return node{req: r, from: cmp.Or(from, r.State)}, nil
		default:
			return node{}, esserrors.UnsupportedState(o.name, int64(o.id), r.Kind.String(), r.State.String())
		}
	}
}

// interrupt tells the work of the requests to stop.
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

// report counts what became of a request and gives its receipt.
func (o *operation) report(n node) { o.give(n.receipt()) }

func (o *operation) give(rec Receipt) {
	o.result.Counts[rec.Disposition]++
	if rec.ID == o.id {
		o.result.Root = rec
	}
	if o.receipt != nil {
		o.receipt(rec)
	}
}

// backOff waits because somebody else is cancelling the same requests. Going on
// at once would have everybody try, and all but one fail, at each of them. The
// waits double, so that they at most double the time that the other takes.
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

// storeError returns the error of an operation whose store failed with err. The
// caller's own context error passes through without a code: a caller that has
// stopped is not a failed sub-system.
func (o *operation) storeError(ctx context.Context, err error) error {
	switch stop := ctx.Err(); {
	case stop == nil:
		return esserrors.System(o.name, int64(o.id), err)
	case errors.Is(err, stop):
		return fmt.Errorf("cancel: %s request %d: %w", o.name, o.id, err)
	default:
		return fmt.Errorf("cancel: %s request %d: %w: %w", o.name, o.id, stop, err)
	}
}

func (o *operation) contended(id lifecycle.ID) error {
	return esserrors.Conflict(o.name, int64(id), fmt.Sprintf("Others kept changing request %d.", id), nil)
}

// stopOn ends the operation with err, if there is one.
func (o *operation) stopOn(err error) {
	if o.stopped == nil {
		o.stopped = err
	}
}

// err returns how the operation ended.
func (o *operation) err() error {
	if o.stopped != nil {
		return o.stopped
	}
	return o.failures.err(o.name, o.id)
}

// failures collects what went wrong with single requests while the operation
// went on with the others.
type failures struct {
	conflicts, others int
	first             []error // of each sort together, at most maxFailures
}

const maxFailures = 8

func (f *failures) add(err error) {
	if errors.Is(err, esserrors.CodeConflict) {
		f.conflicts++
	} else {
		f.others++
	}
	if len(f.first) < maxFailures {
		f.first = append(f.first, err)
	}
}

func (f *failures) err(op string, id lifecycle.ID) error {
	switch cause := errors.Join(f.first...); {
	case f.others > 0:
		return esserrors.System(op, int64(id), fmt.Errorf("%d failures: %w", f.others+f.conflicts, cause))
	case f.conflicts > 0:
		return esserrors.Conflict(op, int64(id), fmt.Sprintf("Others kept changing %d of the requests.", f.conflicts), cause)
	default:
		return nil
	}
}
