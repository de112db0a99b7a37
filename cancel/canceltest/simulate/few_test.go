package simulate_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/internal/proof"
	"example.com/ess/cancel/canceltest/simulate"
	"example.com/ess/cancel/memrepo"
	"example.com/ess/lifecycle"
)

// narrow is a store that has only some states.
type narrow struct {
	*memrepo.Repo
	states lifecycle.StateSet
}

func (n narrow) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	for _, ch := range changes {
		if !n.states.Has(ch.State) || ch.Outcome != 0 && !n.states.Has(ch.Outcome) {
			return nil, fmt.Errorf("the store has no state %v or %v", ch.State, ch.Outcome)
		}
	}
	return n.Repo.Apply(ctx, changes)
}

// TestFewStates plays everything on a store that has few states and two kinds.
func TestFewStates(t *testing.T) {
	t.Parallel()
	states := lifecycle.SetOf(lifecycle.StateReady, lifecycle.StateRunning, lifecycle.StateCancelling, lifecycle.StateCancelled, lifecycle.StateError)
	kinds := []lifecycle.Kind{lifecycle.KindSubrequestParent, lifecycle.KindChild}
	h := canceltest.Harness{
		States: states, Kinds: kinds,
		New: func(_ context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
			for _, r := range requests {
				if !states.Has(r.State) || !slices.Contains(kinds, r.Kind) {
					return nil, fmt.Errorf("the store cannot have %v", r)
				}
			}
			repo := new(memrepo.Repo)
			return narrow{repo, states}, repo.Insert(requests...)
		},
		Submit: func(ctx context.Context, repo cancel.Repository, r lifecycle.Request) error {
			if !states.Has(r.State) || !slices.Contains(kinds, r.Kind) {
				return fmt.Errorf("the store cannot have %v", r)
			}
			return repo.(narrow).Submit(ctx, r)
		},
	}
	ctx := t.Context()
	few := proof.Quick(&simulate.TreeOptions{Trials: 3}, nil)
	if _, err := simulate.CheckFaults(ctx, h, few); err != nil {
		t.Error(err)
	}
	if _, err := simulate.CheckCrashes(ctx, h, few); err != nil {
		t.Error(err)
	}
	if _, err := simulate.CheckRandom(ctx, h, nil); err != nil {
		t.Error(err)
	}
	if _, err := simulate.CheckStorm(ctx, h, &simulate.StormOptions{Storms: 2}); err != nil {
		t.Error(err)
	}
}
