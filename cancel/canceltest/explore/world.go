package explore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/internal/show"
	"example.com/ess/cancel/memrepo"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// A World is a small tree of requests and some actors that work on it at the same
// time. [Explore] runs it in every order in which their steps can happen.
//
// Keep worlds small: two to four actors and two to five requests already have
// millions of orders, and show what can go wrong.
type World struct {
	// Name is for reports.
	Name string
	// Tree is what the store holds in the beginning, drawn as Snapshot.String draws
	// it: a line for each request, with id, kind, state and perhaps an outcome, as
	// in "7 PARENT CANCELLING (then CANCELLED)", and children indented below
	// their parents.
	Tree string
	// Requests are what it holds if Tree is empty, parents before their children.
	Requests []lifecycle.Request
	// Actors are who is at work. Their names are different from each other.
	Actors []Actor

	// Options are those of every Canceller in this world. Now and Interrupter are
	// replaced: the time stands still (see [Actor.Ahead]), and work is told
	// through [Env.Run].
	Options *cancel.Options
	// Harness makes the store. The zero Harness makes a memrepo.Repo.
	Harness canceltest.Harness
	// Plain hides the capabilities of the store.
	Plain bool
	// Repository, if not nil, returns what an actor's Canceller works on. By
	// default that is [Env.Repository]: the store, with a step for every call. A
	// repository under test that is made of several statements makes each of
	// them a step with [Env.Step].
	Repository func(env *Env) cancel.Repository

	// NoReceipts calls every operation without a [cancel.Order] Receipt, which takes
	// shorter ways through package cancel.
	NoReceipts bool
	// Workers makes the tracing of work a step of its own. It must be set where
	// an actor calls [Env.Run].
	Workers bool
	// Resume adds an actor that calls Resume when all others have finished, died or
	// wait for something, and again if one dies after that. It is implied by an
	// actor that may die or fail. Set it where an actor only begins a cancel, or
	// gives up.
	Resume bool

	// OneEnd says that every order has to end in the same tree.
	OneEnd bool
	// Check, if not nil, is called after every step, with the requests before and
	// after it, for invariants of your own.
	Check func(before, after canceltest.Snapshot) error

	// MaxRuns bounds how often the world is run. Zero means no bound. A
	// report of an exploration that was cut short has Complete unset.
	MaxRuns int
	// MaxSteps is how many steps one run may have before it counts as endless. Zero
	// means 1000.
	MaxSteps int
	// Patience is how long one run may take before the actor whose turn it is counts
	// as stuck: it waits other than by [Env.Await] and [Env.Until]. Zero means ten
	// seconds.
	Patience time.Duration
	// NoMerge explores every order by itself, also where two have led to the same
	// situation: for those who doubt that merging them is right. See [Explore].
	NoMerge bool
}

// An Actor is somebody who does something in a [World]: a process that cancels, work
// that ends, a scheduler that starts or submits a request. [Cancels] and its
// neighbors are actors of the usual kinds.
type Actor struct {
	// Name is for traces and schedules: a word without spaces.
	Name string

	// Run is what the actor does, in any number of steps. A step is one call of the
	// repository, or one of the methods of Env that say so. Other actors come in
	// between steps, nowhere else.
	//
	// Run has to do the same whenever it is told the same: it must not look at the
	// clock, at random numbers, at the order of a map, nor at anything that
	// another actor may change, other than through env. It makes its steps on the
	// goroutine on which it was called, and may wait only with Env.Await and
	// Env.Until. An error that Run returns is a violation.
	Run func(ctx context.Context, env *Env) error

	// Dies lets the actor die, for good, before any of its steps. So it also dies
	// after each of them, when it has not looked at the answer yet.
	Dies bool
	// Faults is how many calls of the repository may fail. The store may or may not
	// have done what it was called for.
	Faults int
	// Last lets the actor begin only when no other can do a step.
	Last bool
	// Ahead is how far the actor's clock is ahead of the others'.
	Ahead time.Duration
}

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
// statement of a scheduler's own does.
func (e *Env) Step(ctx context.Context, name string, f func(ctx context.Context, store cancel.Repository) error) error {
	e.a.gate(worldCall{kind: callStep, blind: true}, func() string { return name })
	err := f(ctx, e.a.run.raw)
	e.a.saw.error(err)
	e.a.answer(func() string { return show.Answer(err) })
	return err
}

// A firer is a store that changes states as memrepo.Repo.Fire does.
type firer interface {
	Fire(ctx context.Context, id lifecycle.ID, t lifecycle.Trigger) (lifecycle.Request, error)
}

// Fire changes the state of a request as a scheduler does, in one atomic step: by
// the rules of package lifecycle and not by those for a cancel. It is done by
// the store's own Fire if it has a method like that of memrepo.Repo, and
// otherwise with Get and Apply. An error with [esserrors.CodeUnsupportedState] means that the request
// has no such transition now.
func (e *Env) Fire(ctx context.Context, id lifecycle.ID, t lifecycle.Trigger) (r lifecycle.Request, err error) {
	e.a.gate(worldCall{kind: callFire, args: digest{}.add(uint64(id)).add(uint64(t))}, func() string { return fmt.Sprintf("%v %d", t, id) })
	r, err = fireNow(ctx, e.a.run.raw, id, t)
	e.a.saw.request(r)
	e.a.saw.error(err)
	e.a.answer(func() string {
		if err != nil {
			return show.Answer(err)
		}
		return r.State.String()
	})
	return r, err
}

func fireNow(ctx context.Context, repo cancel.Repository, id lifecycle.ID, t lifecycle.Trigger) (lifecycle.Request, error) {
	if f, ok := repo.(firer); ok {
		return f.Fire(ctx, id, t)
	}
	r, err := repo.Get(ctx, id)
	if err != nil {
		return r, err
	}
	to, ok := lifecycle.Next(r.Kind, r.State, t)
	if !ok || r.State == lifecycle.StateCancelling || to == lifecycle.StateCancelling || t == lifecycle.TriggerCancel {
		return r, esserrors.UnsupportedState(t.String(), int64(id), r.Kind.String(), r.State.String())
	}
	ch := cancel.Change{Old: r, Trigger: t, State: to, CheckedIn: r.CheckedIn, Cause: cancel.Cause{Root: id, Time: worldTime}}
	made, err := repo.Apply(ctx, []cancel.Change{ch})
	if err == nil && (len(made) != 1 || !made[0]) {
		err = fmt.Errorf("explore: %v of request %d, which nobody else changes now, was not made", t, id)
	}
	return ch.New(), err
}

// A submitter is a store that inserts requests as memrepo.Repo.Submit does.
type submitter interface {
	Submit(ctx context.Context, r lifecycle.Request) error
}

var _ interface {
	submitter
} = (*memrepo.Repo)(nil)

// Submit inserts a request if its parent admits a child, in one atomic step, by a
// method of the store like memrepo.Repo.Submit. Without one, Explore returns an error
// matching errors.ErrUnsupported: use Step.
func (e *Env) Submit(ctx context.Context, r lifecycle.Request) error {
	s, ok := e.a.run.raw.(submitter)
	if !ok {
		e.a.giveUp(fmt.Errorf("explore: world %q needs a store with a method Submit: %w", e.a.run.w.Name, errors.ErrUnsupported))
	}
	call := worldCall{kind: callSubmit}
	call.args.request(r)
	e.a.gate(call, func() string { return "submit " + show.Request(r) + show.Below(r) })
	err := s.Submit(ctx, r)
	e.a.saw.error(err)
	e.a.answer(func() string { return show.Answer(err) })
	return err
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
	return e.order(opCancel, id, 0, func(order cancel.Order) (cancel.Result, error) { return e.canceller.Cancel(ctx, order) })
}

// Fence calls [cancel.Canceller.Fence] with the actor's name, and checks the receipts.
func (e *Env) Fence(ctx context.Context, id lifecycle.ID) (cancel.Result, error) {
	return e.order(opFence, id, 0, func(order cancel.Order) (cancel.Result, error) { return e.canceller.Fence(ctx, order) })
}

// Acknowledge calls [cancel.Canceller.Acknowledge], and checks the receipts and that
// the answer was kept.
func (e *Env) Acknowledge(ctx context.Context, id lifecycle.ID, outcome lifecycle.State) (cancel.Result, error) {
	return e.order(opAcknowledge, id, outcome, func(order cancel.Order) (cancel.Result, error) {
		return e.canceller.Acknowledge(ctx, order, outcome)
	})
}

// Force calls [cancel.Canceller.Force] with the actor's name, and checks the receipts.
// Mind [Actor.Ahead] and the grace.
func (e *Env) Force(ctx context.Context, id lifecycle.ID) (cancel.Result, error) {
	return e.order(opForce, id, 0, func(order cancel.Order) (cancel.Result, error) { return e.canceller.Force(ctx, order) })
}

// Resume calls [cancel.Canceller.Resume], and checks the receipts.
func (e *Env) Resume(ctx context.Context) (cancel.Result, error) {
	return e.order(opResume, 0, 0, func(order cancel.Order) (cancel.Result, error) {
		return e.canceller.Resume(ctx, &cancel.ResumeOptions{Receipt: order.Receipt})
	})
}

// CheckIn calls [cancel.Canceller.CheckIn].
func (e *Env) CheckIn(ctx context.Context, id lifecycle.ID) (cancel.CheckInResult, error) {
	op := e.a.begin(opCheckIn, id, 0)
	in, err := e.canceller.CheckIn(ctx, cancel.Order{ID: id})
	op.err = err
	e.a.end(op, func() string {
		if err != nil {
			return show.Answer(err)
		}
		return fmt.Sprintf("cancelling: %v", in.Cancelling)
	})
	return in, err
}

func (e *Env) order(name opName, id lifecycle.ID, outcome lifecycle.State, do func(cancel.Order) (cancel.Result, error)) (cancel.Result, error) {
	op := e.a.begin(name, id, outcome)
	order := cancel.Order{ID: id, Actor: e.Name()}
	if !e.a.run.w.NoReceipts {
		order.Receipt = func(r cancel.Receipt) { op.receipts = append(op.receipts, r) }
	}
	op.result, op.err = do(order)
	e.a.end(op, func() string { return showResult(op) })
	return op.result, op.err
}

// Run runs the work of a request as [cancel.Workers.Run] does. The context that work
// gets is done when the request is cancelled by anybody in this world: work may
// wait for that with [Env.Await].
func (e *Env) Run(ctx context.Context, id lifecycle.ID, work func(ctx context.Context) error) error {
	a := e.a
	if !a.run.w.Workers {
		a.giveUp(errors.New("explore: Env.Run needs World.Workers"))
	}
	// Others may act between the start of a request and that of its work.
	a.gate(worldCall{kind: callBegin, pure: true, args: digest{}.add(uint64(id))}, func() string { return fmt.Sprintf("takes up the work of request %d", id) })
	a.answer(nil)
	op := a.begin(opRun, id, 0)
	a.told = digest{}
	r, err := a.run.raw.Get(ctx, id)
	if err != nil {
		return err
	}
	r.State, r.Outcome = lifecycle.StateRunning, 0 // as its start returned it
	op.err = a.workers.Run(ctx, e.canceller, r, work, &cancel.RunOptions{End: func(error) []lifecycle.Trigger { return nil }})
	a.end(op, func() string { return "the work ended: " + show.Answer(op.err) })
	return op.err
}
