package service

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// A dispatcher runs the requests of a store: those without children by simulated
// work, and those with children by way of their children.
//
// It looks at what the store has and takes every request a step further, again and
// again. So it needs to remember nothing, and after a restart goes on where the
// process before has stopped. Requests that have both work and children are not for it.
type dispatcher struct {
	config
	store     Store
	canceller *cancel.Canceller
	workers   cancel.Workers
	woken     chan struct{}
	running   sync.WaitGroup

	failing atomic.Bool           // whether the store has failed of late
	failed  atomic.Pointer[error] // how it has for some work, since the last step

	mu   sync.Mutex
	busy map[lifecycle.ID]bool // whose work runs here
	done map[lifecycle.ID]bool // whose work is done, which the store does not know yet
}

func newDispatcher(store Store, cfg config) *dispatcher {
	return &dispatcher{config: cfg, store: store, woken: make(chan struct{}, 1), busy: map[lifecycle.ID]bool{}, done: map[lifecycle.ID]bool{}}
}

// wake has the dispatcher look again.
func (d *dispatcher) wake() {
	select {
	case d.woken <- struct{}{}:
	default: // it is going to
	}
}

// run dispatches until ctx ends and all work has returned. First, and then from time
// to time, it takes up what a cancel has left unfinished. While the store fails it waits
// longer and longer, and nothing wakes it.
func (d *dispatcher) run(ctx context.Context) {
	defer d.running.Wait()
	tick := time.NewTicker(d.every)
	defer tick.Stop()
	pause, resume, fresh := d.every, true, false
	for ctx.Err() == nil {
		if err := d.step(ctx, resume); err != nil && ctx.Err() == nil {
			d.failing.Store(true)
			d.log.ErrorContext(ctx, "cannot go on", "err", err, "again_in", pause)
			sleep(ctx, pause)
			tick.Reset(d.every)
			pause, resume, fresh = min(2*pause, maxPause), true, true
			continue
		}
		if resume && !fresh { // all has been well from one tick to the next
			d.failing.Store(false)
			pause = d.every
		}
		resume, fresh = false, false
		select {
		case <-ctx.Done():
		case <-d.woken:
		case <-tick.C:
			resume = true
		}
	}
}

// maxPause is the longest time between two tries at a store that fails.
const maxPause = 5 * time.Minute

func sleep(ctx context.Context, long time.Duration) {
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// step does what there is to do now.
func (d *dispatcher) step(ctx context.Context, resume bool) (err error) {
	failed := d.failed.Swap(nil)
	if failed != nil {
		err = *failed // by work, since the last step
	}
	if err == nil && resume {
		_, err = d.canceller.Resume(ctx, nil)
	}
	if err == nil {
		err = d.dispatch(ctx, 0, true)
	}
	return err
}

// dispatch takes every live request below parent a step further. Below a parent that is
// held or cancelled nothing starts.
func (d *dispatcher) dispatch(ctx context.Context, parent lifecycle.ID, open bool) error {
	for r, err := range cancel.Children(ctx, d.store, childrenOf(parent, lifecycle.Live)) {
		if err != nil {
			return err
		}
		leaf := !r.Kind.HasChildren()
		switch {
		case !open:
		case r.State == lifecycle.StateWait:
			r, err = d.fire(ctx, r, lifecycle.TriggerDispatch)
		case r.State == lifecycle.StateReady && (!leaf || d.occupied() < d.slots):
			r, err = d.fire(ctx, r, lifecycle.TriggerStart)
		}
		switch {
		case err != nil:
		case !leaf:
			err = d.dispatchParent(ctx, r, open)
		case lifecycle.Executing.Has(r.State):
			d.start(ctx, r.ID)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// dispatchParent ends a parent after its children. A parent whose schedule has ended
// admits none, so that one look afterwards is enough.
func (d *dispatcher) dispatchParent(ctx context.Context, r lifecycle.Request, open bool) error {
	ends := map[lifecycle.State]lifecycle.Trigger{
		lifecycle.StateRunning:       lifecycle.TriggerEndSchedule,
		lifecycle.StateScheduleEnded: lifecycle.TriggerFinish,
	}
	end, started := ends[r.State]
	for _, err := range cancel.Children(ctx, d.store, childrenOf(r.ID, lifecycle.Live)) {
		if err != nil {
			return err
		}
		return d.dispatch(ctx, r.ID, open && started)
	}
	if !started {
		return nil
	}
	_, err := d.fire(ctx, r, end)
	return err
}

// fire makes a transition, unless somebody else has changed the request meanwhile.
func (d *dispatcher) fire(ctx context.Context, r lifecycle.Request, t lifecycle.Trigger) (lifecycle.Request, error) {
	now, err := d.store.Fire(ctx, r.ID, t)
	switch {
	case errors.Is(err, esserrors.CodeUnsupportedState), errors.Is(err, esserrors.CodeConflict):
		return r, nil
	case err == nil:
		d.wake() // there may be more to do
	}
	return now, err
}

// occupied returns how many requests are executing here.
func (d *dispatcher) occupied() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.busy)
}

// start starts the work of a request that is executing, unless it runs. After a
// restart it does not: then this runs it again, or if it is CANCELLING acknowledges
// for it.
func (d *dispatcher) start(ctx context.Context, id lifecycle.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.busy[id] {
		return
	}
	d.busy[id] = true
	d.running.Go(func() {
		err := d.workers.Run(ctx, d.canceller, id, func(workCtx context.Context) error {
			job, err := d.store.Job(ctx, id)
			if err != nil {
				return esserrors.System("start", int64(id), err)
			}
			return d.work(ctx, workCtx, id, job)
		})
		d.mu.Lock()
		delete(d.busy, id)
		if !errors.Is(err, esserrors.CodeSystem) {
			delete(d.done, id)
		}
		d.mu.Unlock()
		if errors.Is(err, esserrors.CodeSystem) {
			d.failed.Store(&err)
		}
		d.wake()
	})
}

// work does what a request is there for. It obeys the cancel of its request, which
// ends workCtx, unless it is deaf, and always the end of the process, which ends ctx.
func (d *dispatcher) work(ctx, workCtx context.Context, id lifecycle.ID, j Job) error {
	if j.Deaf {
		workCtx = ctx
	}
	d.mu.Lock()
	done := d.done[id]
	d.mu.Unlock()
	if !done {
		select {
		case <-workCtx.Done():
			return context.Cause(workCtx)
		case <-time.After(time.Duration(j.Seconds * float64(time.Second))):
		}
	}
	d.mu.Lock()
	d.done[id] = true
	d.mu.Unlock()
	// It is done, whatever happens now. If a cancel was quicker than one of these,
	// the request stays as it is and Run acknowledges that the work has succeeded.
	ctx = context.WithoutCancel(ctx)
	r := lifecycle.Request{ID: id}
	_, err := d.fire(ctx, r, lifecycle.TriggerComplete)
	if err == nil {
		_, err = d.fire(ctx, r, lifecycle.TriggerSucceed)
	}
	if err != nil {
		return esserrors.System("end", int64(id), err)
	}
	return nil
}

// childrenOf asks for the children of a request that are in some states.
func childrenOf(parent lifecycle.ID, states lifecycle.StateSet) cancel.ChildQuery {
	return cancel.ChildQuery{Parents: []lifecycle.ID{parent}, States: states}
}
