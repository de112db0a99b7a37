package explore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/internal/memory"
	"example.com/ess/cancel/canceltest/internal/rows"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// allWorlds have CancelAll.
func allWorlds() []World {
	return []World{
		{
			Name: "all/two trees", OneEnd: true, Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING
				3 SINGLETON WAIT`,
			Actors: []Actor{cancelsAll("ann", 1, 3), Cancels("bob", 3), Acknowledges("work", 2, cancelled)},
		},
		{
			Name: "all/one above the other", OneEnd: true, Tree: `
				1 PARENT RUNNING
				  2 PARENT RUNNING
				    3 CHILD WAIT`,
			Actors: []Actor{cancelsAll("ann", 2, 1, 3), cancelsAll("bob", 1, 2)},
		},
		{
			Name: "all/a store that fails", Tree: `
				1 SINGLETON WAIT
				2 PARENT RUNNING
				  3 CHILD RUNNING`,
			Actors: []Actor{cancelsAll("ann", 1, 2).faulty(1), Acknowledges("work", 3, cancelled)},
		},
	}
}

// deletionWorlds have requests deleted as soon as they have ended.
func deletionWorlds() []World {
	worlds := []World{
		{
			Name: "deleted/leaf", Tree: `
				1 SINGLETON RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Cancels("bob", 1), Finishes("work", 1, succeeded, complete, succeed), Deletes("reaper", 1)},
		},
		{
			Name: "deleted/children", Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING
				  3 CHILD WAIT`,
			Actors: []Actor{Cancels("ann", 1), Acknowledges("work", 2, cancelled), Deletes("reaper", 2), Deletes("reaper2", 3)},
		},
		{
			Name: "deleted/inner node", Tree: `
				1 PARENT RUNNING
				  2 SUBREQUEST_PARENT RUNNING
				    3 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Acknowledges("work2", 2, cancelled), Acknowledges("work3", 3, succeeded), Deletes("reaper", 2)},
		},
		{
			Name: "deleted/root", Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Cancels("bob", 2), Acknowledges("work", 2, cancelled), Deletes("reaper", 1)},
		},
		{
			Name: "deleted/between an answer and its repetition", Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Acknowledges("work", 2, succeeded).dies(), Acknowledges("again", 2, succeeded), Deletes("reaper", 2)},
		},
	}
	for i := range worlds {
		worlds[i].Harness = deleting
	}
	return worlds
}

// deleting makes stores that can delete requests.
var deleting = canceltest.Harness{
	New: func(_ context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
		return memory.New(requests...)
	},
	Delete: func(ctx context.Context, repo cancel.Repository, ids []lifecycle.ID) error {
		return repo.(*memory.Store).Delete(ctx, ids...)
	},
}

// clockWorlds have clocks that are wrong, and attempts that have been superseded.
func clockWorlds() []World {
	return []World{
		{
			Name: "clock/the canceller's is two days ahead", Tree: `
				1 SINGLETON RUNNING`,
			Actors: []Actor{
				Cancels("ann", 1).ahead(48 * time.Hour), Forces("ops", 1).ahead(0), Forces("ops2", 1).ahead(31 * time.Minute),
				ChecksIn("work", 1, cancelled).ahead(time.Hour),
			},
		},
		{
			Name: "clock/resume mends it", Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1).ahead(48 * time.Hour), Resumes("boot"), Forces("ops", 2).ahead(31 * time.Minute)},
		},
		{
			Name: "attempt/superseded", Workers: true, Requests: []lifecycle.Request{{
				ID: 1, Kind: lifecycle.KindSingleton, State: lifecycle.StateRunning, Attempt: 1,
			}},
			Actors: []Actor{
				Cancels("ann", 1),
				worksThrough("late", 1, func(context.Context, *Env) error { return errBroke }),
				{Name: "sched", Run: func(ctx context.Context, env *Env) error {
					done, err := env.transitions(ctx, 1, []lifecycle.Trigger{lifecycle.TriggerFailRetryable, lifecycle.TriggerRetry, dispatch})
					if err != nil || !done {
						return err
					}
					r, err := env.Transition(ctx, cancel.Order{ID: 1}, start)
					if err != nil {
						return env.unless(err, esserrors.CodeUnsupportedState)
					}
					return env.works(ctx, r, func(context.Context) error { return nil })
				}},
			},
		},
		{
			Name: "attempt/late", Workers: true, Requests: []lifecycle.Request{{
				ID: 1, Kind: lifecycle.KindSingleton, State: lifecycle.StateRunning, Attempt: 2,
			}},
			Actors: []Actor{Cancels("ann", 1), late("late", 1), worksThrough("work", 1, func(context.Context, *Env) error { return nil })},
		},
		{
			Name: "attempt/delivered twice", Workers: true, Tree: `
				1 PARENT RUNNING
				  2 CHILD READY`,
			Actors: []Actor{Cancels("ann", 1), startsAndReturns("work", 2), startsAndReturns("again", 2)},
		},
		{
			Name: "ends/a parent beside a submission", Tree: `
				1 PARENT RUNNING`,
			Actors: []Actor{endsParent("sched", 1), Submits("client", child(2, 1)), Transitions("sched2", 2, dispatch, lifecycle.TriggerExpire)},
		},
		{
			Name: "ends/below a parent that is CANCELLING", OneEnd: true, Tree: `
				1 PARENT CANCELLING (then CANCELLED)
				  2 PARENT CANCELLING
				    3 CHILD RUNNING`,
			Actors: []Actor{Finishes("work", 3, succeeded, complete, succeed)},
		},
		{
			Name: "ends/a parent that fails beside a submission and a cancel", Tree: `
				1 PARENT RUNNING
				  2 CHILD SUCCEEDED`,
			Actors: []Actor{Transitions("sched", 1, fail), Submits("client", child(3, 1)), Cancels("ann", 1)},
		},
		{
			Name: "ends/the last child of a parent that is cancelled", OneEnd: true, Tree: `
				1 PARENT CANCELLING (then CANCELLED)
				  2 SUBREQUEST_PARENT CANCELLING
				    3 CHILD CANCELLING`,
			Actors: []Actor{Acknowledges("work2", 2, cancelled), Acknowledges("work3", 3, cancelled), Resumes("boot")},
		},
	}
}

// treeWorlds have a store whose CancelTree reads a tree in one step and writes it in
// another, as it may.
func treeWorlds() []World {
	worlds := []World{
		{
			Name: "tree/read, submitted, written", Tree: `
				1 PARENT RUNNING
				  2 PARENT RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Submits("client", child(3, 2), child(4, 1))},
		},
		{
			Name: "tree/read, changed, written", Tree: `
				1 PARENT RUNNING
				  2 SUBREQUEST_PARENT READY
				    3 CHILD WAIT`,
			Actors: []Actor{Cancels("ann", 1), Transitions("sched", 2, start), Transitions("sched2", 3, dispatch)},
		},
		{
			Name: "tree/read, cancelled below, written", OneEnd: true, Tree: `
				1 PARENT RUNNING
				  2 PARENT RUNNING
				    3 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Cancels("bob", 2), Acknowledges("work", 3, cancelled)},
		},
	}
	for i := range worlds {
		worlds[i].Repository = func(env *Env) cancel.Repository { return treeInSteps{env.a.gated, env} }
	}
	return worlds
}

// treeInSteps is a store whose CancelTree is two steps.
type treeInSteps struct {
	*steppedRepo
	env *Env
}

func (t treeInSteps) CancelTree(ctx context.Context, c cancel.TreeCancel) (page cancel.TreePage, err error) {
	if t.can.Tree == nil {
		return page, errors.ErrUnsupported
	}
	var below []lifecycle.Request
	err = t.env.Step(ctx, "reads the tree", func(ctx context.Context, store cancel.Repository) error {
		s, err := canceltest.TakeSnapshot(ctx, store)
		for _, from := range c.From {
			for _, r := range s.Below(from.Parent) {
				if rows.Live(r) && (r.Parent != from.Parent || r.ID > from.ID) {
					below = append(below, r)
				}
			}
		}
		return err
	})
	if err != nil || len(below) > c.Limit {
		return page, cmp.Or(err, errors.ErrUnsupported)
	}
	err = t.env.Step(ctx, "writes the tree", func(ctx context.Context, store cancel.Repository) error {
		for _, r := range below {
			ch, ended, err := memory.CancelOne(ctx, store, r, c.Cause, nil)
			if err != nil {
				return err
			}
			if !ended {
				page.Changes = append(page.Changes, ch)
			}
		}
		return nil
	})
	return page, err
}

// transactionWorlds have a cancel in a transaction of the caller, which is one step.
func transactionWorlds() []World {
	worlds := []World{
		{
			Name: "transaction/beside another cancel and a submission", Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING`,
			Resume: true,
			Actors: []Actor{cancelsAtOnce("ann", 1), Cancels("bob", 2), Submits("client", child(3, 1)), Acknowledges("work", 2, cancelled)},
		},
		{
			Name: "transaction/rolled back, or its answer is lost", Tree: `
				1 PARENT RUNNING
				  2 CHILD WAIT`,
			Actors: []Actor{cancelsAtOnce("ann", 1).faulty(1).dies(), Transitions("sched", 2, dispatch, start)},
		},
	}
	for i := range worlds {
		// Both steps of the parent are in one.
		worlds[i].Moves = []canceltest.Move{{From: lifecycle.StateRunning, To: cancelled}}
	}
	return worlds
}

// late returns an actor that is the worker of the attempt before the one that is in the
// store: it has to learn that it has been superseded, and to change nothing.
func late(name string, id lifecycle.ID) Actor {
	return Actor{Name: name, Run: func(ctx context.Context, env *Env) error {
		r := env.a.run.w.request(id)
		r.Attempt--
		for _, t := range []lifecycle.Trigger{lifecycle.TriggerFail, complete} {
			_, err := env.Transition(ctx, cancel.Order{ID: id, Attempt: r.Attempt}, t)
			if !errors.Is(err, cancel.ErrSuperseded) {
				return fmt.Errorf("attempt %d, which has been superseded: %w", r.Attempt, err)
			}
		}
		return env.works(ctx, r, func(context.Context) error { return errBroke })
	}}
}

// cancelsAll returns an actor that cancels several requests by one call.
func cancelsAll(name string, ids ...lifecycle.ID) Actor {
	return Actor{Name: name, Run: func(ctx context.Context, env *Env) error {
		return env.unless(env.CancelAll(ctx, ids...))
	}}
}

// cancelsAtOnce returns an actor that cancels a request in a serializable transaction. The
// work is told by Resume, after the commit.
func cancelsAtOnce(name string, id lifecycle.ID) Actor {
	return Actor{Name: name, Run: func(ctx context.Context, env *Env) error {
		err := env.Step(ctx, fmt.Sprintf("cancels %d in a transaction", id), func(ctx context.Context, store cancel.Repository) error {
			_, err := cancel.New(store, &cancel.Options{Now: env.Now}).Cancel(ctx, cancel.Order{ID: id, Actor: name})
			return err
		})
		if err == nil {
			env.Cancelled(id)
		}
		return env.unless(err, esserrors.CodeUnsupportedState)
	}}
}

// startsAndReturns returns an actor that is a worker to which a request was delivered: it
// starts it if nobody else has, and its work returns at once.
func startsAndReturns(name string, id lifecycle.ID) Actor {
	return Actor{Name: name, Run: func(ctx context.Context, env *Env) error {
		r, err := env.Transition(ctx, cancel.Order{ID: id}, start)
		if err != nil {
			return env.unless(err, esserrors.CodeUnsupportedState)
		}
		return env.works(ctx, r, finished)
	}}
}
