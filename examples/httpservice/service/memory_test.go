package service

import (
	"errors"
	"sync"
	"testing"

	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// TestMemory has trees that are submitted at once, and some that are refused. All of a
// tree is there or nothing, and no id is given twice.
func TestMemory(t *testing.T) {
	t.Parallel()
	store := insert(t,
		lifecycle.Request{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateRunning},
		lifecycle.Request{ID: 2, Kind: lifecycle.KindParent, State: lifecycle.StateCancelling},
	)
	three := func(parent lifecycle.ID) *Tree {
		return &Tree{Parent: parent, Children: []*Tree{{Job: Job{Seconds: 1}}, {Job: Job{Seconds: 2}}}}
	}
	var submitters sync.WaitGroup
	for range 20 {
		submitters.Go(func() {
			if _, err := store.Submit(t.Context(), three(2)); !errors.Is(err, esserrors.CodeUnsupportedState) {
				t.Errorf("below a parent that is CANCELLING: %v", err)
			}
			top, err := store.Submit(t.Context(), three(1))
			if err != nil {
				t.Error(err)
			}
			for i, want := range []Job{{}, {Seconds: 1}, {Seconds: 2}} {
				if got, err := store.Job(t.Context(), top+lifecycle.ID(i)); got != want || err != nil {
					t.Errorf("job %d: %v, %v; want %v", i, got, err, want)
				}
			}
		})
	}
	submitters.Wait()
	children := map[lifecycle.ID]int{}
	for r := range store.All() {
		children[r.Parent]++
		if r.ID > 2 && r.State != lifecycle.StateWait {
			t.Errorf("request %d is %v", r.ID, r.State)
		}
	}
	if n := len(children); n != 22 || children[1] != 20 || children[2] != 0 {
		t.Errorf("children of each: %v", children)
	}
}
