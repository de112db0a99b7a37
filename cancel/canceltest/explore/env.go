package explore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/internal/rows"
	"example.com/ess/cancel/canceltest/internal/show"
	"example.com/ess/lifecycle"
)

// worldTime is the time in every world.
var worldTime = time.Date(2026, 3, 31, 22, 0, 0, 0, time.UTC)

// An Env is what an actor has to do with the world. It is not safe for concurrent
// use.
type Env struct {
	a         *worldActor
	repo      cancel.Repository // what the Canceller works on
	canceller *cancel.Canceller
}

// Name returns the name of the actor.
func (e *Env) Name() string { return e.a.spec.Name }

// Now returns the time of the actor's clock. It stands still.
func (e *Env) Now() time.Time { return worldTime.Add(e.a.spec.Ahead) }

// Repository returns the store with a step for every call.
func (e *Env) Repository() cancel.Repository { return e.a.gated }

// Canceller returns the actor's own Canceller, for code that needs one. The methods of
// Env use it too, and check besides that what it returned is true: prefer them, or
// call [Env.Cancelled].
func (e *Env) Canceller() *cancel.Canceller { return e.canceller }

// Cancelled notes that a cancel of the request has returned without an error. From
// now on nothing below it may be live and not CANCELLING. [Env.Cancel] does this.
func (e *Env) Cancelled(id lifecycle.ID) {
	e.a.ended = append(e.a.ended, &worldOp{name: opCancelled, id: id, done: true})
}

// Step does something to the store, or looks at it, in one atomic step: f gets the
// repository that Harness.New returned, and may reach around its interface, as a
// statement of a scheduler's own does. The name is for traces, and belongs to what the
// actor does: see [Actor].
//
// Where the actor has [Actor.Faults], a step may fail with an error matching [ErrFault],
// before or after f has been called.
func (e *Env) Step(ctx context.Context, name string, f func(ctx context.Context, store cancel.Repository) error) error {
	call := worldCall{kind: callStep, blind: true, fallible: true}
	call.args.text(name)
	return e.a.do(call, func() string { return name }, func() error { return f(ctx, e.a.run.raw) })
}

// Submit inserts a request if its parent admits a child, in one atomic step, by
// Harness.Submit or the store's own method. Without either, Explore returns an error
// matching errors.ErrUnsupported: use Step.
func (e *Env) Submit(ctx context.Context, r lifecycle.Request) error {
	submit := rows.Submitter(e.a.run.w.Harness.Submit, e.a.run.raw)
	if submit == nil {
		e.a.giveUp(fmt.Errorf("explore: world %q needs Harness.Submit: %w", e.a.run.w.Name, errors.ErrUnsupported))
	}
	call := worldCall{kind: callSubmit, fallible: true}
	call.args.request(r)
	return e.a.do(call, func() string { return "submit " + show.Request(r) + show.Below(r) }, func() error { return submit(ctx, r) })
}

// Delete deletes requests that have ended, in one atomic step, by Harness.Delete.
func (e *Env) Delete(ctx context.Context, ids ...lifecycle.ID) error {
	h := e.a.run.w.Harness
	if h.Delete == nil {
		e.a.giveUp(fmt.Errorf("explore: world %q needs Harness.Delete: %w", e.a.run.w.Name, errors.ErrUnsupported))
	}
	call := worldCall{kind: callDelete, fallible: true}
	for _, id := range ids {
		call.args = call.args.add(uint64(id))
	}
	return e.a.do(call, func() string { return fmt.Sprintf("delete %v", ids) }, func() error { return h.Delete(ctx, e.a.run.raw, ids) })
}

// Await waits until ctx, a context that [Env.Run] has given, is done. The step is the
// end of the wait.
func (e *Env) Await(ctx context.Context) {
	e.a.gate(worldCall{kind: callAwait, pure: true, ready: func(canceltest.Snapshot) bool { return ctx.Err() != nil }}, func() string { return "notices that it is cancelled" })
	e.a.answer(nil)
}

// Until waits until the requests are as wanted, which is asked in between the steps of
// others and must have no effect. The step is the end of the wait.
func (e *Env) Until(what string, wanted func(canceltest.Snapshot) bool) {
	e.a.gate(worldCall{kind: callUntil, pure: true, ready: wanted}, func() string { return "sees that " + what })
	e.a.answer(nil)
}

// Cancel calls [cancel.Canceller.Cancel] with the actor's name. When it returns
// without an error, nothing below the request may ever again be live and not
// CANCELLING, and all its work must have been told. Whatever it returns, every
// receipt has to be true.
func (e *Env) Cancel(ctx context.Context, id lifecycle.ID) (cancel.Result, error) {
	return e.order(opCancel, cancel.Order{ID: id}, 0, func(order cancel.Order) (cancel.Result, error) { return e.canceller.Cancel(ctx, order) })
}

// CancelAll calls [cancel.Canceller.CancelAll] for the requests, and checks each result as
// Cancel does. It returns the first error.
func (e *Env) CancelAll(ctx context.Context, ids ...lifecycle.ID) error {
	op := e.a.begin(opCancelAll, cancel.Order{}, 0)
	orders := func(yield func(cancel.Order) bool) {
		for _, id := range ids {
			if !yield(cancel.Order{ID: id, Actor: e.Name()}) {
				return
			}
		}
	}
	e.a.softly(func() {
		// One after the other: what runs at once would not be in steps.
		for res, err := range e.canceller.CancelAll(ctx, orders, &cancel.AllOptions{Concurrency: 1}) {
			if err == nil {
				e.Cancelled(res.Root.ID)
			} else if op.err == nil {
				op.err = err
			}
		}
	})
	e.a.end(op, func() string { return show.Answer(op.err) })
	return op.err
}

// Fence calls [cancel.Canceller.Fence] with the actor's name, and checks the receipts.
func (e *Env) Fence(ctx context.Context, id lifecycle.ID) (cancel.Result, error) {
	return e.order(opFence, cancel.Order{ID: id}, 0, func(order cancel.Order) (cancel.Result, error) { return e.canceller.Fence(ctx, order) })
}

// Acknowledge calls [cancel.Canceller.Acknowledge], and checks the receipts and that
// the answer was kept.
func (e *Env) Acknowledge(ctx context.Context, id lifecycle.ID, outcome lifecycle.State) (cancel.Result, error) {
	return e.order(opAcknowledge, cancel.Order{ID: id}, outcome, func(order cancel.Order) (cancel.Result, error) {
		return e.canceller.Acknowledge(ctx, order, outcome)
	})
}

// Force calls [cancel.Canceller.Force] with the actor's name, and checks the receipts.
// Mind [Actor.Ahead] and the grace.
func (e *Env) Force(ctx context.Context, id lifecycle.ID) (cancel.Result, error) {
	return e.order(opForce, cancel.Order{ID: id}, 0, func(order cancel.Order) (cancel.Result, error) { return e.canceller.Force(ctx, order) })
}

// Resume calls [cancel.Canceller.Resume], and checks the receipts.
func (e *Env) Resume(ctx context.Context) (cancel.Result, error) {
	return e.order(opResume, cancel.Order{}, 0, func(order cancel.Order) (cancel.Result, error) {
		return e.canceller.Resume(ctx, &cancel.ResumeOptions{Receipt: order.Receipt})
	})
}

// Transition calls [cancel.Canceller.Transition] with the actor's name, and checks that
// the request has gone where it says.
func (e *Env) Transition(ctx context.Context, order cancel.Order, t lifecycle.Trigger) (r lifecycle.Request, err error) {
	_, err = e.order(opTransition, order, 0, func(order cancel.Order) (cancel.Result, error) {
		order.Receipt = nil
		r, err = e.canceller.Transition(ctx, order, t)
		e.a.op.trigger, e.a.op.moved = t, r
		return cancel.Result{}, err
	})
	return r, err
}

// CheckIn calls [cancel.Canceller.CheckIn].
func (e *Env) CheckIn(ctx context.Context, id lifecycle.ID) (cancel.CheckInResult, error) {
	op := e.a.begin(opCheckIn, cancel.Order{ID: id}, 0)
	in, err := e.canceller.CheckIn(ctx, op.order)
	op.err = err
	e.a.end(op, func() string {
		if err != nil {
			return show.Answer(err)
		}
		return fmt.Sprintf("cancelling: %v", in.Cancelling)
	})
	return in, err
}

func (e *Env) order(name opName, order cancel.Order, outcome lifecycle.State, do func(cancel.Order) (cancel.Result, error)) (cancel.Result, error) {
	order.Actor = e.Name()
	op := e.a.begin(name, order, outcome)
	if !e.a.run.w.NoReceipts {
		order.Receipt = func(r cancel.Receipt) { op.receipts = append(op.receipts, r) }
	}
	op.result, op.err = do(order)
	e.a.end(op, func() string { return showResult(op) })
	return op.result, op.err
}

// Run runs the work of a request as [cancel.Workers.Run] does: r is the request as its
// start returned it. The context that work gets is done when the request is cancelled
// by anybody in this world: work may wait for that with [Env.Await].
func (e *Env) Run(ctx context.Context, r lifecycle.Request, work func(ctx context.Context) error, opts *cancel.RunOptions) error {
	a := e.a
	if !a.run.w.Workers {
		a.giveUp(errors.New("explore: Env.Run needs World.Workers"))
	}
	// Others may act between the start of a request and that of its work.
	a.gate(worldCall{kind: callBegin, pure: true, args: digest{}.add(uint64(r.ID))}, func() string { return fmt.Sprintf("takes up the work of request %d", r.ID) })
	a.answer(nil)
	op := a.begin(opRun, cancel.Order{ID: r.ID, Attempt: r.Attempt}, 0)
	a.told = digest{}
	op.err = a.workers.Run(ctx, e.canceller, r, work, opts)
	a.end(op, func() string { return "the work ended: " + show.Answer(op.err) })
	return op.err
}
