package simulate

import (
	"context"
	"errors"
	"slices"
	"time"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// A stormActor is one goroutine.
type stormActor struct {
	*storm
	d         *dice
	name      string
	canceller *cancel.Canceller
}

func (a *stormActor) run(ctx context.Context) {
	for range a.tries {
		if ctx.Err() != nil {
			return
		}
		var err error
		what := a.d.weighted(
			[]string{"cancel", "begin", "acknowledge", "force", "check in", "resume", "run", "schedule", "submit"},
			[]int{5, 1, 14, 2, 6, 1, 10, 40, 25})
		if a.whole && (what == "begin" || what == "resume") {
			what = "acknowledge"
		}
		id := a.history.pick(a.d, stormWants[what])
		switch what {
		case "cancel":
			err = a.cancel(ctx, id)
		case "begin":
			_, err = a.canceller.Fence(ctx, cancel.Order{ID: id, Actor: a.name})
		case "acknowledge":
			_, err = a.canceller.Acknowledge(ctx, cancel.Order{ID: id, Actor: a.name}, a.d.fit.Outcome(pick(a.d, allOutcomes)))
			if errors.Is(err, esserrors.CodeConflict) {
				err = nil // it has answered otherwise before
			}
		case "force":
			_, err = a.canceller.Force(ctx, cancel.Order{ID: id, Actor: a.name})
		case "check in":
			_, err = a.canceller.CheckIn(ctx, cancel.Order{ID: id})
		case "resume":
			_, err = a.canceller.Resume(ctx, nil)
		case "run":
			err = a.work(ctx, id)
		case "schedule":
			err = a.schedule(ctx, id)
		case "submit":
			if a.d.roll(10) == 0 {
				id = 0 // at the top
			}
			err = a.submit(ctx, id)
		}
		if err != nil && !errors.Is(err, esserrors.CodeUnsupportedState) && !errors.Is(err, esserrors.CodeNotFound) {
			a.bad([]lifecycle.ID{id}, "%s: %s of request %d: %w", a.name, what, id, err)
			return
		}
	}
}

// stormWants is what requests to prefer.
var stormWants = map[string]func(*modelRequest) bool{
	"cancel":      (*modelRequest).live,
	"begin":       (*modelRequest).live,
	"acknowledge": func(r *modelRequest) bool { return r.state == "CANCELLING" && r.runsWork() },
	"force":       func(r *modelRequest) bool { return r.state == "CANCELLING" && r.runsWork() },
	"check in":    (*modelRequest).live,
	"resume":      (*modelRequest).live,
	"run":         func(r *modelRequest) bool { return r.state == "RUNNING" && !r.hasKids() },
	"schedule":    func(r *modelRequest) bool { return r.live() && r.state != "CANCELLING" },
	"submit":      (*modelRequest).admits,
}

// cancel cancels a request, and looks what is below it.
func (a *stormActor) cancel(ctx context.Context, id lifecycle.ID) error {
	if _, err := a.canceller.Cancel(ctx, cancel.Order{ID: id, Actor: a.name}); err != nil {
		return err
	}
	a.mu.Lock()
	a.cancelled[id] = a.name
	a.mu.Unlock()
	for level := []lifecycle.ID{id}; len(level) > 0; {
		var next []lifecycle.ID
		slices.Sort(level)
		q := cancel.ChildQuery{Parents: level, States: lifecycle.Live, Limit: 1000}
		for {
			page, err := a.history.Children(ctx, q)
			if err != nil {
				return err
			}
			if len(page) == 0 {
				break
			}
			for _, r := range page {
				if r.State != lifecycle.StateCancelling {
					a.bad([]lifecycle.ID{id, r.Parent, r.ID}, "3 (no escape): %s has cancelled %d, and request %d below it is %v", a.name, id, r.ID, r.State)
				}
				next = append(next, r.ID)
				q.After = cancel.Cursor{Parent: r.Parent, ID: r.ID}
			}
		}
		level = next
	}
	return nil
}

// work runs the work of a request that has been started, and ends the request as a
// scheduler does, unless a cancel was quicker.
func (a *stormActor) work(ctx context.Context, id lifecycle.ID) error {
	r, err := a.history.Get(ctx, id)
	if err != nil || r.State != lifecycle.StateRunning || !r.Kind.RunsWork() || r.Kind.HasChildren() {
		return nil
	}
	end := pick(a.d, [][]lifecycle.Trigger{
		{lifecycle.TriggerComplete, lifecycle.TriggerSucceed}, {lifecycle.TriggerFail}, {lifecycle.TriggerFailRetryable}, {lifecycle.TriggerComplete},
	})
	if a.d.fit.States != 0 {
		end = nil // whatever the store has of these
	}
	err = a.workers.Run(ctx, a.canceller, r, func(ctx context.Context) error {
		timer := time.NewTimer(time.Duration(a.d.roll(500)) * time.Microsecond)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			if a.d.roll(2) == 0 {
				return context.Cause(ctx)
			}
			return nil
		case <-timer.C:
		}
		return nil
	}, &cancel.RunOptions{End: func(error) []lifecycle.Trigger { return end }})
	if _, stopped := errors.AsType[*cancel.CancelledError](err); stopped || errors.Is(err, esserrors.CodeConflict) {
		return nil // told to stop, or running elsewhere in this storm
	}
	return err
}

// schedule makes a transition as a scheduler does.
func (a *stormActor) schedule(ctx context.Context, id lifecycle.ID) error {
	r, err := a.history.Get(ctx, id)
	if err != nil {
		return ignoreNotFound(err)
	}
	m := modelOf(r)
	_, err = a.canceller.Transition(ctx, cancel.Order{ID: id, Actor: a.name}, a.d.trigger(&m))
	if errors.Is(err, cancel.ErrLiveChild) {
		return nil
	}
	return err
}

func ignoreNotFound(err error) error {
	if errors.Is(err, cancel.ErrNotFound) {
		return nil
	}
	return err
}

// submit submits a child below the request, as the store does it.
func (a *stormActor) submit(ctx context.Context, parent lifecycle.ID) error {
	if a.submits == nil {
		return nil
	}
	r := a.d.fit.Request(lifecycle.Request{
		ID: lifecycle.ID(a.next.Add(1)), Parent: parent, Kind: pick(a.d, append(leafKinds, parentKinds...)), State: lifecycle.StateWait,
	})
	return a.history.submit(r, func() error { return a.submits(ctx, r) })
}
