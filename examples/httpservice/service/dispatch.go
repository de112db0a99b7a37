package service

import (
	"context"
	"errors"
	"sync"
	"time"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// A dispatcher runs the requests of a store: those without children by simulated
// work, and those with children by way of their children.
//
// It looks at what the store has and takes every request as far as it can, again and
// again. So it needs to remember nothing, and after a restart goes on where the
// process before has stopped. Requests that have both work and children are not for it.
type dispatcher struct {
	config
	reporter
	store     Store
	canceller *cancel.Canceller
	workers   cancel.Workers
	woken     chan struct{}
	running   sync.WaitGroup

	mu   sync.Mutex
	busy map[lifecycle.ID]bool // whose work runs here
	done map[lifecycle.ID]bool // whose work has been done, which the store may not know yet
}

func newDispatcher(store Store, cfg config) *dispatcher {
	return &dispatcher{
		config: cfg, reporter: reporter{log: cfg.log}, store: store, woken: make(chan struct{}, 1),
		busy: map[lifecycle.ID]bool{}, done: map[lifecycle.ID]bool{},
	}
}

// wake has the dispatcher look again.
func (d *dispatcher) wake() {
	select {
	case d.woken <- struct{}{}:
	default: // it is going to
	}
}

// run dispatches until ctx ends and all work has returned. First, and then from time
// to time, it takes up what a cancel has left unfinished.
func (d *dispatcher) run(ctx context.Context) {
	defer d.running.Wait()
	d.running.Go(func() {
		cancel.Repeat(ctx, d.every, func(ctx context.Context) {
			_, err := d.canceller.Resume(ctx, nil)
			d.report(ctx, errors.Join(err, d.workers.Poll(ctx, d.canceller)))
			d.wake()
		})
	})
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.woken:
		}
		_, err := d.dispatch(ctx, 0, true)
		d.report(ctx, err)
	}
}

// locked calls f, which looks at busy or done.
func (d *dispatcher) locked(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

// occupied returns how many requests are executing here.
func (d *dispatcher) occupied() (n int) {
	d.locked(func() { n = len(d.busy) })
	return n
}

func (d *dispatcher) isBusy(id lifecycle.ID) (is bool) {
	d.locked(func() { is = d.busy[id] })
	return is
}

func (d *dispatcher) isDone(id lifecycle.ID) (is bool) {
	d.locked(func() { is = d.done[id] })
	return is
}

// maxFailures is how many requests below one parent may fail before the others wait for
// the next time.
const maxFailures = 10

// dispatch takes every live request below parent as far as it can, and reports whether
// there are any. Below a parent that is held or cancelled nothing starts.
func (d *dispatcher) dispatch(ctx context.Context, parent lifecycle.ID, open bool) (live bool, err error) {
	var errs []error
	for r, err := range cancel.Children(ctx, d.store, childrenOf(parent, lifecycle.Live)) {
		live = true
		switch {
		case err != nil && r.ID != 0: // it cannot be read, and the others go on
			d.report(ctx, err)
			continue
		case err == nil:
			err = d.advance(ctx, r, open)
		}
		if err != nil {
			errs = append(errs, err)
		}
		if len(errs) == maxFailures || ctx.Err() != nil {
			break
		}
	}
	return live, errors.Join(errs...)
}

// advance takes a request as far as it can.
func (d *dispatcher) advance(ctx context.Context, r lifecycle.Request, open bool) (err error) {
	container := r.Kind.HasChildren()
	for _, t := range []lifecycle.Trigger{lifecycle.TriggerDispatch, lifecycle.TriggerStart} {
		if _, ok := lifecycle.Next(r.Kind, r.State, t); ok && open && err == nil && (container || d.occupied() < d.slots) {
			r, err = d.fire(ctx, r, t)
		}
	}
	switch {
	case err != nil:
		return err
	case container:
		return d.advanceParent(ctx, r, open)
	case !lifecycle.Executing.Has(r.State), d.isBusy(r.ID):
		return nil
	}
	// Its work does not run here, and so it runs nowhere: either it has just been started,
	// or the process that ran it is gone, or it is over and the store was not told.
	switch r.State {
	case lifecycle.StateCompleted:
		_, err = d.fire(ctx, r, lifecycle.TriggerSucceed)
	case lifecycle.StateCancelling:
		outcome := lifecycle.StateCancelled
		if d.isDone(r.ID) {
			outcome = lifecycle.StateSucceeded
		}
		_, err = d.canceller.Acknowledge(ctx, cancel.Order{ID: r.ID, Attempt: r.Attempt}, outcome)
	default:
		d.start(ctx, r)
		return nil
	}
	if err = unlessBeaten(err); err == nil {
		d.locked(func() { delete(d.done, r.ID) })
	}
	return err
}

// advanceParent ends a parent after its last child. Should one be submitted just before
// the schedule of its parent ends, the parent does not finish yet.
func (d *dispatcher) advanceParent(ctx context.Context, r lifecycle.Request, open bool) error {
	started := r.State == lifecycle.StateRunning || r.State == lifecycle.StateScheduleEnded
	live, err := d.dispatch(ctx, r.ID, open && started)
	if err != nil || live || !started {
		return err
	}
	for _, t := range []lifecycle.Trigger{lifecycle.TriggerEndSchedule, lifecycle.TriggerFinish} {
		if _, ok := lifecycle.Next(r.Kind, r.State, t); ok && err == nil {
			r, err = d.fire(ctx, r, t)
		}
	}
	return err
}

// fire makes a transition, unless somebody else has changed the request meanwhile.
func (d *dispatcher) fire(ctx context.Context, r lifecycle.Request, t lifecycle.Trigger) (lifecycle.Request, error) {
	r, err := d.canceller.Transition(ctx, cancel.Order{ID: r.ID}, t)
	return r, unlessBeaten(err)
}

// unlessBeaten returns err, unless somebody else has been quicker.
func unlessBeaten(err error) error {
	switch esserrors.CodeOf(err) {
	case esserrors.CodeUnsupportedState, esserrors.CodeConflict, esserrors.CodeNotFound:
		return nil
	default:
		return err
	}
}

// start starts the work of a request that is RUNNING.
func (d *dispatcher) start(ctx context.Context, r lifecycle.Request) {
	d.locked(func() { d.busy[r.ID] = true })
	d.running.Go(func() {
		err := d.runOne(ctx, r)
		failed := errors.Is(err, esserrors.CodeSystem) || d.isDone(r.ID) && unlessBeaten(err) != nil
		d.locked(func() {
			delete(d.busy, r.ID)
			if !failed {
				delete(d.done, r.ID)
			}
		})
		if failed {
			d.report(ctx, err)
			return // the next tick is early enough
		}
		d.wake()
	})
}

// runOne runs the work of a request and ends the request. Work that has been done, and
// whose end could not be stored, is not done again.
func (d *dispatcher) runOne(ctx context.Context, r lifecycle.Request) error {
	job, err := d.store.Job(ctx, r.ID)
	if err != nil {
		return esserrors.System("start", int64(r.ID), err)
	}
	return d.workers.Run(ctx, d.canceller, r, func(workCtx context.Context) error {
		if d.isDone(r.ID) {
			return nil
		}
		err := job.do(ctx, workCtx)
		if err == nil {
			d.locked(func() { d.done[r.ID] = true })
		}
		return err
	}, nil)
}

// do does what a request is there for. It obeys the cancel of its request, which ends
// workCtx, unless it is deaf, and always the end of the process, which ends ctx.
func (j Job) do(ctx, workCtx context.Context) error {
	if j.Deaf {
		workCtx = ctx
	}
	select {
	case <-workCtx.Done():
		return context.Cause(workCtx)
	case <-time.After(time.Duration(j.Seconds * float64(time.Second))):
		return nil
	}
}

// childrenOf asks for the children of a request that are in some states.
func childrenOf(parent lifecycle.ID, states lifecycle.StateSet) cancel.ChildQuery {
	return cancel.ChildQuery{Parents: []lifecycle.ID{parent}, States: states}
}
