package explore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/internal/rows"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// Worlds returns the worlds in which this module is explored, for exploring a store of
// your own: set [World.Harness] in each and call [Run]. Together they have every
// race that a cancel can run into: with a second cancel of the same request, of one
// below or above it, with work that ends in any way, with a start, a retry, a
// submission, a resume, and with the death of any of those who take part.
func Worlds() []World {
	const (
		succeeded = lifecycle.StateSucceeded
		warning   = lifecycle.StateWarning
		failed    = lifecycle.StateError
		cancelled = lifecycle.StateCancelled

		dispatch = lifecycle.TriggerDispatch
		start    = lifecycle.TriggerStart
		complete = lifecycle.TriggerComplete
		succeed  = lifecycle.TriggerSucceed
	)
	child := func(id, parent lifecycle.ID) lifecycle.Request {
		return lifecycle.Request{ID: id, Parent: parent, Kind: lifecycle.KindChild, State: lifecycle.StateWait}
	}
	gaveIn := context.Cause
	finished := func(context.Context) error { return nil }
	broke := func(context.Context) error { return errBroke }

	return []World{
		// One request.
		{
			Name: "leaf/two cancels", OneEnd: true, Tree: `
				1 SINGLETON RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Cancels("bob", 1).ahead(time.Minute), Acknowledges("work", 1, warning)},
		},
		{
			Name: "leaf/three cancels before the start", OneEnd: true, Tree: `
				1 SINGLETON HOLD`,
			Actors: []Actor{Cancels("ann", 1), Cancels("bob", 1), Cancels("cid", 1)},
		},
		{
			Name: "leaf/finishes", Tree: `
				1 SINGLETON RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Cancels("bob", 1), Finishes("work", 1, succeeded, complete, succeed)},
		},
		{
			Name: "leaf/retried", Tree: `
				1 SINGLETON RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Cancels("bob", 1), Finishes("work", 1, failed,
				lifecycle.TriggerFailRetryable, lifecycle.TriggerRetry, dispatch, start)},
		},
		{
			Name: "leaf/gives up", Resume: true, Tree: `
				1 SINGLETON RUNNING`,
			Options: &cancel.Options{MaxAttempts: 1},
			Actors:  []Actor{Cancels("ann", 1), Cancels("bob", 1), Finishes("work", 1, failed, lifecycle.TriggerFailRetryable, lifecycle.TriggerRetry)},
		},
		{
			Name: "leaf/two answers", Tree: `
				1 SINGLETON RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Acknowledges("work", 1, succeeded), Acknowledges("again", 1, failed)},
		},
		{
			Name: "leaf/force and answer", Tree: `
				1 SINGLETON RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Forces("ops", 1), ChecksIn("work", 1, succeeded).ahead(time.Minute)},
		},
		{
			Name: "leaf/force and check-in", Tree: `
				1 SINGLETON RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Forces("ops", 1).ahead(31 * time.Minute), ChecksIn("work", 1, cancelled).ahead(29 * time.Minute), Forces("early", 1).ahead(29 * time.Minute)},
		},
		{
			Name: "leaf/starts", Workers: true, Tree: `
				1 SINGLETON READY`,
			Actors: []Actor{Cancels("ann", 1), Cancels("bob", 1), StartsAndWorks("work", 1, gaveIn)},
		},

		// A parent and its children.
		{
			Name: "children/two cancels", OneEnd: true, Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Cancels("bob", 1).ahead(time.Minute), Acknowledges("work", 2, cancelled)},
		},
		{
			Name: "children/the last two answer", OneEnd: true, Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING
				  3 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Acknowledges("work2", 2, failed), Acknowledges("work3", 3, cancelled)},
		},
		{
			Name: "children/parent and child cancelled", OneEnd: true, Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING
				  3 CHILD WAIT`,
			Actors: []Actor{Cancels("ann", 1), Cancels("bob", 2), Cancels("cid", 3), Acknowledges("work", 2, succeeded)},
		},
		{
			Name: "children/submitted", Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Submits("sched", child(3, 1), child(4, 1)), Acknowledges("work", 2, cancelled)},
		},
		{
			Name: "children/submitted and started", Tree: `
				1 PARENT RUNNING`,
			Actors: []Actor{Cancels("ann", 1), {Name: "sched", Run: func(ctx context.Context, env *Env) error {
				if err := Submits("", child(2, 1)).Run(ctx, env); err != nil {
					return err
				}
				return Finishes("", 2, succeeded, dispatch, start, complete, succeed).Run(ctx, env)
			}}},
		},
		{
			Name: "children/start", Workers: true, Tree: `
				1 PARENT RUNNING
				  2 CHILD READY`,
			Actors: []Actor{Cancels("ann", 1), Cancels("bob", 2), StartsAndWorks("work", 2, finished)},
		},
		{
			Name: "children/finish and start", Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING
				  3 CHILD WAIT`,
			Actors: []Actor{Cancels("ann", 1), Finishes("work2", 2, warning, complete, lifecycle.TriggerWarn), Finishes("work3", 3, succeeded, dispatch, start)},
		},
		{
			Name: "children/retried", Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING
				  3 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Finishes("work2", 2, failed, lifecycle.TriggerFailRetryable, lifecycle.TriggerRetry, dispatch, start), Acknowledges("work3", 3, succeeded)},
		},
		{
			Name: "children/parent starts", Tree: `
				1 PARENT READY
				  2 CHILD WAIT`,
			Actors: []Actor{Cancels("ann", 1), Transitions("sched1", 1, start, complete), Finishes("sched2", 2, cancelled, dispatch, start)},
		},
		{
			Name: "children/parent ends by itself", Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Finishes("work", 2, succeeded, complete, succeed), endsParent("sched", 1)},
		},
		{
			Name: "children/refused", OneEnd: true, Tree: `
				1 PARENT RUNNING
				  2 CHILD WAIT`,
			Options: &cancel.Options{Authorizer: cancel.AuthorizerFunc(func(_ context.Context, a cancel.Access) error {
				if strings.HasPrefix(a.Actor, "eve") {
					return errors.New("not on the list")
				}
				return nil
			})},
			Actors: []Actor{Cancels("ann", 1), refused("eve", 1), refused("eve2", 2)},
		},
		{
			Name: "children/gives up", Resume: true, Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING
				  3 CHILD RUNNING`,
			Options: &cancel.Options{MaxAttempts: 1},
			Actors:  []Actor{Cancels("ann", 1), Finishes("work2", 2, succeeded, complete), Acknowledges("work3", 3, cancelled)},
		},

		// Parents below parents.
		{
			Name: "nested/root and inner node", OneEnd: true, Tree: `
				1 PARENT RUNNING
				  2 PARENT RUNNING
				    3 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Cancels("bob", 2), Acknowledges("work", 3, cancelled)},
		},
		{
			Name: "nested/inner node with work", OneEnd: true, Tree: `
				1 PARENT RUNNING
				  2 SUBREQUEST_PARENT RUNNING
				    3 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Acknowledges("work2", 2, succeeded), Acknowledges("work3", 3, warning)},
		},
		{
			Name: "nested/the last two answer", OneEnd: true, Tree: `
				1 PARENT RUNNING
				  2 PARENT RUNNING
				    3 CHILD RUNNING
				    4 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Acknowledges("work3", 3, succeeded), Acknowledges("work4", 4, cancelled)},
		},
		{
			Name: "nested/two inner nodes", OneEnd: true, Tree: `
				1 PARENT RUNNING
				  2 PARENT RUNNING
				    4 CHILD RUNNING
				  3 PARENT WAIT
				    5 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Acknowledges("work4", 4, cancelled), Acknowledges("work5", 5, failed)},
		},
		{
			Name: "nested/two cancels of two inner nodes", OneEnd: true, Tree: `
				1 PARENT RUNNING
				  2 PARENT RUNNING
				    4 CHILD WAIT
				  3 PARENT READY`,
			Actors: []Actor{Cancels("ann", 1), Cancels("bob", 1)},
		},
		{
			Name: "nested/submitted", Tree: `
				1 PARENT RUNNING
				  2 PARENT RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Cancels("bob", 2), Submits("sched", child(3, 2),
				lifecycle.Request{ID: 4, Parent: 1, Kind: lifecycle.KindParent, State: lifecycle.StateWait}, child(5, 4))},
		},
		{
			Name: "nested/above and below", OneEnd: true, Tree: `
				1 PARENT RUNNING
				  2 PARENT WAIT
				    3 PARENT RUNNING
				      4 CHILD WAIT`,
			Actors: []Actor{Cancels("ann", 1), Cancels("bob", 3)},
		},
		{
			Name: "nested/ended children", Tree: `
				1 PARENT RUNNING
				  2 PARENT RUNNING
				    3 CHILD RUNNING
				  4 CHILD SUCCEEDED`,
			Actors: []Actor{Cancels("ann", 1), Finishes("work", 3, failed, lifecycle.TriggerFail), endsParent("sched", 2)},
		},

		// Work that has children.
		{
			Name: "subrequests/answer and last child", OneEnd: true, Tree: `
				1 SUBREQUEST_PARENT RUNNING
				  2 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Acknowledges("work1", 1, succeeded), Acknowledges("work2", 2, cancelled)},
		},
		{
			Name: "subrequests/two cancels", OneEnd: true, Tree: `
				1 SUBREQUEST_PARENT RUNNING
				  2 CHILD WAIT`,
			Actors: []Actor{Cancels("ann", 1), Cancels("bob", 1), Acknowledges("work", 1, warning)},
		},
		{
			Name: "subrequests/force and last child", OneEnd: true, Tree: `
				1 SUBREQUEST_PARENT RUNNING
				  2 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Forces("ops", 1), Acknowledges("work", 2, succeeded)},
		},
		{
			Name: "subrequests/force and answer", Tree: `
				1 SUBREQUEST_PARENT RUNNING
				  2 CHILD WAIT`,
			Actors: []Actor{Cancels("ann", 1), Forces("ops", 1), Acknowledges("work", 1, failed)},
		},
		{
			Name: "subrequests/checks in", Tree: `
				1 SUBREQUEST_PARENT RUNNING
				  2 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), ChecksIn("work1", 1, succeeded).ahead(time.Minute), Acknowledges("work2", 2, cancelled)},
		},
		{
			Name: "subrequests/submits and pauses", Tree: `
				1 SUBREQUEST_PARENT RUNNING`,
			Actors: []Actor{Cancels("ann", 1), {Name: "work", Run: func(ctx context.Context, env *Env) error {
				if err := Submits("", child(2, 1)).Run(ctx, env); err != nil {
					return err
				}
				return Finishes("", 1, cancelled, lifecycle.TriggerPause, lifecycle.TriggerResume).Run(ctx, env)
			}}, Transitions("sched", 2, dispatch)},
		},
		{
			Name: "subrequests/paused and cancelled below", Tree: `
				1 SUBREQUEST_PARENT PAUSED
				  2 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Cancels("bob", 2), Acknowledges("work", 2, cancelled), Finishes("sched", 1, succeeded, lifecycle.TriggerResume)},
		},

		// Resume beside others, and a cancel that is only begun.
		{
			Name: "resume/beside a cancel", OneEnd: true, Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Resumes("boot"), Acknowledges("work", 2, cancelled)},
		},
		{
			Name: "resume/of what was begun", Resume: true, OneEnd: true, Tree: `
				1 PARENT RUNNING
				  2 PARENT WAIT
				    3 CHILD RUNNING`,
			Actors: []Actor{Fences("ann", 1), Resumes("boot"), Acknowledges("work", 3, cancelled)},
		},
		{
			Name: "resume/begun below", Resume: true, Tree: `
				1 SUBREQUEST_PARENT RUNNING
				  2 PARENT RUNNING
				    3 CHILD WAIT`,
			Actors: []Actor{Fences("ann", 2), Cancels("bob", 1), Submits("sched", child(4, 2)), Acknowledges("work", 1, cancelled)},
		},
		{
			Name: "resume/two at once", OneEnd: true, Tree: `
				1 PARENT CANCELLING (then CANCELLED)
				  2 CHILD RUNNING`,
			Actors: []Actor{Resumes("boot1"), Resumes("boot2"), Acknowledges("work", 2, succeeded)},
		},

		// Death.
		{
			Name: "death/of the canceller", Tree: `
				1 PARENT RUNNING
				  2 PARENT RUNNING
				    3 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1).dies(), Acknowledges("work", 3, cancelled)},
		},
		{
			Name: "death/of one of two cancellers", Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1).dies(), Cancels("bob", 1), Acknowledges("work", 2, cancelled)},
		},
		{
			Name: "death/of the last two workers", Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING
				  3 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Acknowledges("work2", 2, cancelled).dies(), Acknowledges("work3", 3, succeeded).dies()},
		},
		{
			Name: "death/of work with children", Tree: `
				1 SUBREQUEST_PARENT RUNNING
				  2 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Acknowledges("work1", 1, succeeded).dies(), Acknowledges("work2", 2, cancelled).dies()},
		},
		{
			Name: "death/of a worker that is started again", Tree: `
				1 PARENT RUNNING
				  2 SUBREQUEST_PARENT WAIT
				    3 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Acknowledges("work", 3, succeeded).dies(), Acknowledges("again", 3, succeeded)},
		},
		{
			Name: "death/of a worker before a second cancel", Tree: `
				1 PARENT RUNNING
				  2 PARENT RUNNING
				    3 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Acknowledges("work", 3, succeeded).dies(), Cancels("bob", 2)},
		},
		{
			Name: "death/of a submitter", Tree: `
				1 PARENT RUNNING`,
			Actors: []Actor{Cancels("ann", 1).dies(), Submits("sched", child(2, 1), child(3, 1)).dies(), Transitions("sched2", 2, dispatch, start)},
		},
		{
			Name: "death/and its resume", Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1).dies(), Resumes("boot").dies(), Acknowledges("work", 2, cancelled)},
		},

		// A store that fails.
		{
			Name: "faults/of the canceller", Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING
				  3 CHILD WAIT`,
			Actors: []Actor{Cancels("ann", 1).faulty(1), Acknowledges("work", 2, cancelled)},
		},
		{
			Name: "faults/of the worker", Tree: `
				1 PARENT RUNNING
				  2 SUBREQUEST_PARENT RUNNING
				    3 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Acknowledges("work2", 2, succeeded).faulty(1), Acknowledges("work3", 3, cancelled)},
		},
		{
			Name: "faults/twice", Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING
				  3 CHILD READY`,
			Actors: []Actor{Cancels("ann", 1).faulty(2), Cancels("bob", 1)},
		},

		// Work that waits to be told.
		{
			Name: "work/told", Workers: true, Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Cancels("bob", 2), Works("work", 2, gaveIn)},
		},
		{
			Name: "work/with children", Workers: true, Tree: `
				1 SUBREQUEST_PARENT RUNNING
				  2 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Works("work1", 1, finished), Works("work2", 2, broke)},
		},
		{
			Name: "work/told by resume", Workers: true, Tree: `
				1 SUBREQUEST_PARENT RUNNING
				  2 CHILD WAIT`,
			Actors: []Actor{Cancels("ann", 1).dies(), Works("work", 1, broke)},
		},
		{
			Name: "work/dies", Workers: true, Tree: `
				1 SINGLETON RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Works("work", 1, finished).dies(), Works("next", 1, gaveIn)},
		},
		{
			Name: "work/ends by itself", Workers: true, Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), worksThrough("work", 2, nil, func(context.Context, *Env) error { return nil })},
		},
	}
}

var errBroke = errors.New("the work broke")

func (a Actor) dies() Actor {
	a.Dies = true
	return a
}

func (a Actor) faulty(n int) Actor {
	a.Faults = n
	return a
}

func (a Actor) ahead(d time.Duration) Actor {
	a.Ahead = d
	return a
}

// refused returns an actor that is not authorized to cancel.
func refused(name string, id lifecycle.ID) Actor {
	return Actor{Name: name, Run: func(ctx context.Context, env *Env) error {
		_, err := env.Cancel(ctx, id)
		if !errors.Is(err, esserrors.CodeNotAuthorized) {
			return fmt.Errorf("11 (authorization comes first): Cancel %d by %s = %w", id, name, err)
		}
		return nil
	}}
}

// endsParent returns an actor that is a scheduler: when no child of a parent is live it
// ends it, by way of COMPLETED, which admits no child.
func endsParent(name string, id lifecycle.ID) Actor {
	return Actor{Name: name, Run: func(ctx context.Context, env *Env) error {
		env.Until("no child is live", func(s canceltest.Snapshot) bool { return !slices.ContainsFunc(s.Children(id), rows.Live) })
		_, err := env.transitions(ctx, id, []lifecycle.Trigger{lifecycle.TriggerComplete, lifecycle.TriggerSucceed})
		return err
	}}
}
