package explore

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
// submission, a resume, a deletion, and with the death of any of those who take part.
func Worlds() []World {
	return slices.Concat(leafWorlds(), childrenWorlds(), nestedWorlds(), subrequestWorlds(), resumeWorlds(),
		deathWorlds(), faultWorlds(), workWorlds(), allWorlds(), deletionWorlds(), clockWorlds(), treeWorlds(), transactionWorlds())
}

const (
	succeeded = lifecycle.StateSucceeded
	warning   = lifecycle.StateWarning
	failed    = lifecycle.StateError
	cancelled = lifecycle.StateCancelled

	dispatch = lifecycle.TriggerDispatch
	start    = lifecycle.TriggerStart
	complete = lifecycle.TriggerComplete
	succeed  = lifecycle.TriggerSucceed
	fail     = lifecycle.TriggerFail
)

// Work ends with what these return.
var (
	gaveIn   = context.Cause
	finished = func(context.Context) error { return nil }
	broke    = func(context.Context) error { return errBroke }
)

func child(id, parent lifecycle.ID) lifecycle.Request {
	return lifecycle.Request{ID: id, Parent: parent, Kind: lifecycle.KindChild, State: lifecycle.StateWait}
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

// leafWorlds have one request.
func leafWorlds() []World {
	return []World{
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
	}
}
