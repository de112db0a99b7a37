package explore_test

import (
	"context"
	"testing"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest/explore"
	"example.com/ess/cancel/memrepo"
	"example.com/ess/lifecycle"
)

// start is a scheduler's own code: it takes the first child of a group and starts it. What
// it does to the store at once is a step.
func start(ctx context.Context, env *explore.Env, group lifecycle.ID) error {
	child := lifecycle.Request{ID: 2, Parent: group, Kind: lifecycle.KindChild, State: lifecycle.StateReady}
	err := env.Step(ctx, "INSERT … SELECT … WHERE the parent admits it", func(ctx context.Context, store cancel.Repository) error {
		return store.(*memrepo.Repo).Submit(ctx, child)
	})
	if err == nil {
		_, err = env.Transition(ctx, cancel.Order{ID: child.ID}, lifecycle.TriggerStart)
	}
	if err != nil {
		return nil // ann was quicker
	}
	_, err = env.Transition(ctx, cancel.Order{ID: child.ID}, lifecycle.TriggerFail)
	return ignoreCancelled(err)
}

func testScheduler(t *testing.T) { // TestScheduler, with you
	explore.Run(t, explore.World{
		Name: "start", Tree: `1 PARENT RUNNING`, // Harness: how to make your store
		Actors: []explore.Actor{
			explore.Cancels("ann", 1),
			{Name: "sched", Run: func(ctx context.Context, env *explore.Env) error { return start(ctx, env, 1) }},
			explore.Acknowledges("work", 2, lifecycle.StateCancelled),
		},
	})
}
