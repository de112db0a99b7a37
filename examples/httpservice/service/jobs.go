package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
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
	last      atomic.Int64 // id
	running   sync.WaitGroup

	jobs Keeper

	mu   sync.Mutex
	busy map[lifecycle.ID]bool // whose work runs here
}

// A Keeper is a [Store] that also keeps what the work of its requests is, as it keeps
// the requests. With a Store that does not, a process runs the work of an earlier one as
// work that has nothing to do.
type Keeper interface {
	// Keep keeps the job of a request that is going to be submitted.
	Keep(ctx context.Context, id lifecycle.ID, job string) error
	// Kept returns the job of a request, or nothing if it has none.
	Kept(ctx context.Context, id lifecycle.ID) (job string, err error)
}

// A memory is a Keeper that forgets everything when the process ends.
type memory struct{ sync.Map }

func (m *memory) Keep(_ context.Context, id lifecycle.ID, job string) error {
	m.Store(id, job)
	return nil
}

func (m *memory) Kept(_ context.Context, id lifecycle.ID) (string, error) {
	job, _ := m.Load(id)
	text, _ := job.(string)
	return text, nil
}

// A job is what the work of a request does.
type job struct {
	Seconds float64 `json:"seconds"` // how long it takes
	Deaf    bool    `json:"deaf"`    // whether it goes on when it is told to stop
}

// A tree is a request that is submitted with all below it.
type tree struct {
	Parent lifecycle.ID `json:"parent"` // of the topmost, if any
	job
	Children []tree `json:"children"`
}

func readTree(body io.Reader) (t tree, err error) {
	dec := json.NewDecoder(body)
	dec.DisallowUnknownFields()
	if err = dec.Decode(&t); err == nil && dec.More() {
		err = errors.New("there is something behind the tree")
	}
	if err == nil {
		err = t.validate()
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return t, &refusal{http.StatusRequestEntityTooLarge, fmt.Sprintf("A tree has at most %d bytes.", maxBody)}
	} else if err != nil {
		return t, &refusal{http.StatusBadRequest, fmt.Sprintf("This is not a tree of requests: %v.", err)}
	}
	return t, nil
}

func (t *tree) validate() error {
	const year = 365 * 24 * 60 * 60
	if t.Seconds < 0 || t.Seconds > year {
		return errors.New("work takes between 0 seconds and a year")
	}
	if len(t.Children) > 0 && t.job != (job{}) {
		return errors.New("a request has either work or children")
	}
	for _, c := range t.Children {
		if c.Parent != 0 {
			return errors.New("only the topmost request names its parent")
		}
		if err := c.validate(); err != nil {
			return err
		}
	}
	return nil
}

func (t *tree) kind() lifecycle.Kind {
	switch {
	case len(t.Children) > 0:
		return lifecycle.KindParent
	case t.Parent != 0:
		return lifecycle.KindChild
	default:
		return lifecycle.KindSingleton
	}
}

// init finds out which ids are taken.
func (d *dispatcher) init(ctx context.Context, c *cancel.Canceller) error {
	d.canceller = c
	d.woken = make(chan struct{}, 1)
	d.busy = map[lifecycle.ID]bool{}
	d.jobs, _ = d.store.(Keeper)
	if d.jobs == nil {
		d.jobs = new(memory)
	}
	return each(ctx, d.store, 0, func(r lifecycle.Request) {
		d.last.Store(max(d.last.Load(), int64(r.ID)))
	})
}

// submit stores a tree and returns the id of the topmost request, which is validated
// when all of them are there: nothing of half a tree ever runs.
func (d *dispatcher) submit(ctx context.Context, t tree) (lifecycle.ID, error) {
	id, err := d.insert(ctx, &t, lifecycle.StatePendingValidation)
	if err == nil {
		_, err = d.canceller.Transition(ctx, cancel.Order{ID: id}, lifecycle.TriggerValidate)
	}
	d.wake()
	return id, err
}

func (d *dispatcher) insert(ctx context.Context, t *tree, state lifecycle.State) (lifecycle.ID, error) {
	r := lifecycle.Request{ID: lifecycle.ID(d.last.Add(1)), Parent: t.Parent, Kind: t.kind(), State: state}
	text, err := json.Marshal(t.job)
	if err == nil && len(t.Children) == 0 {
		err = d.jobs.Keep(ctx, r.ID, string(text))
	}
	if err == nil {
		err = d.store.Submit(ctx, r)
	}
	if err != nil {
		return 0, err
	}
	for _, c := range t.Children {
		c.Parent = r.ID
		if _, err := d.insert(ctx, &c, lifecycle.StateWait); err != nil {
			return 0, err
		}
	}
	return r.ID, nil
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
	tick := time.NewTicker(d.every)
	defer tick.Stop()
	d.resume(ctx)
	for ctx.Err() == nil {
		if err := d.dispatch(ctx, 0, true); err != nil && ctx.Err() == nil {
			d.log.ErrorContext(ctx, "cannot dispatch", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-d.woken:
		case <-tick.C:
			d.resume(ctx)
		}
	}
}

func (d *dispatcher) resume(ctx context.Context) {
	if _, err := d.canceller.Resume(ctx, nil); err != nil && ctx.Err() == nil {
		d.log.ErrorContext(ctx, "cannot resume", "err", err)
	}
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
		case r.State == lifecycle.StateReady && (!leaf || d.hasSlot()):
			r, err = d.fire(ctx, r, lifecycle.TriggerStart)
		}
		switch {
		case err != nil:
		case !leaf:
			err = d.dispatchParent(ctx, r, open)
		case lifecycle.Executing.Has(r.State):
			err = d.start(ctx, r)
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
	now, err := d.canceller.Transition(ctx, cancel.Order{ID: r.ID}, t)
	if err != nil {
		return r, unlessBeaten(err)
	}
	d.wake() // there may be more to do
	return now, nil
}

func (d *dispatcher) hasSlot() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.busy) < d.slots
}

// start starts the work of a request that is executing, unless it runs. After a
// restart it does not: then this runs it again, or ends it if it had been done, or if it
// is CANCELLING acknowledges for it.
func (d *dispatcher) start(ctx context.Context, r lifecycle.Request) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	id := r.ID
	if d.busy[id] {
		return nil
	}
	switch r.State {
	case lifecycle.StateCancelling:
		if r.Outcome != 0 {
			return nil
		}
		_, err := d.canceller.Acknowledge(ctx, cancel.Order{ID: id, Attempt: r.Attempt}, lifecycle.StateCancelled)
		return unlessBeaten(err)
	case lifecycle.StateCompleted:
		_, err := d.fire(ctx, r, lifecycle.TriggerSucceed)
		return err
	}
	d.busy[id] = true
	d.running.Go(func() {
		err := d.workers.Run(ctx, d.canceller, r, func(workCtx context.Context) error {
			var j job
			text, err := d.jobs.Kept(ctx, id)
			if err == nil && text != "" {
				err = json.Unmarshal([]byte(text), &j)
			}
			if err != nil {
				return esserrors.System("start", int64(id), err)
			}
			return d.work(ctx, workCtx, j)
		}, nil)
		d.mu.Lock()
		delete(d.busy, id)
		d.mu.Unlock()
		if errors.Is(err, esserrors.CodeSystem) {
			d.log.ErrorContext(ctx, "the store failed", "id", id, "err", err)
			return // to try again at the next tick
		}
		d.wake()
	})
	return nil
}

// unlessBeaten returns err, unless somebody else has been quicker.
func unlessBeaten(err error) error {
	if errors.Is(err, esserrors.CodeUnsupportedState) || errors.Is(err, esserrors.CodeConflict) || errors.Is(err, esserrors.CodeNotFound) {
		return nil
	}
	return err
}

// work does what a request is there for. It obeys the cancel of its request, which
// ends workCtx, unless it is deaf, and always the end of the process, which ends ctx.
func (d *dispatcher) work(ctx, workCtx context.Context, j job) error {
	if j.Deaf {
		workCtx = ctx
	}
	select {
	case <-workCtx.Done():
		return context.Cause(workCtx)
	case <-time.After(time.Duration(j.Seconds * float64(time.Second))):
	}
	return nil
}

// childrenOf asks for the children of a request that are in some states.
func childrenOf(parent lifecycle.ID, states lifecycle.StateSet) cancel.ChildQuery {
	return cancel.ChildQuery{Parents: []lifecycle.ID{parent}, States: states}
}

// each calls f for every request below parent.
func each(ctx context.Context, repo cancel.Repository, parent lifecycle.ID, f func(lifecycle.Request)) error {
	for r, err := range cancel.Children(ctx, repo, childrenOf(parent, lifecycle.Live|lifecycle.Terminal)) {
		if err == nil {
			f(r)
			if r.Kind.HasChildren() {
				err = each(ctx, repo, r.ID, f)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}
