package simulate_test

import (
	"context"
	"testing"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/simulate"
	"example.com/ess/lifecycle"
)

// TestCost counts the calls of what does the same whenever it is run: on a store where
// each takes a millisecond everything that this package does by default is done in ten
// minutes.
func TestCost(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes a second or two")
	}
	for name, view := range map[string]func(cancel.Repository) cancel.Repository{
		"with capabilities": func(repo cancel.Repository) cancel.Repository { return repo },
		"plain":             canceltest.Plain,
	} {
		calls := 0
		h := canceltest.Harness{New: func(ctx context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
			repo, err := inMemory.New(ctx, requests)
			counting := canceltest.NewFaulty(view(repo))
			counting.Watch(func(canceltest.Call) { calls++ })
			return counting, err
		}}
		for _, check := range []struct {
			name string
			do   func() (int, error)
			most int
		}{
			{"faults", func() (int, error) { return simulate.CheckFaults(t.Context(), h, nil) }, 180_000},
			{"crashes", func() (int, error) { return simulate.CheckCrashes(t.Context(), h, nil) }, 120_000},
			{"random", func() (int, error) { return simulate.CheckRandom(t.Context(), h, nil) }, 35_000},
		} {
			calls = 0
			n, err := check.do()
			t.Logf("%s, %s: %d in %d calls", name, check.name, n, calls)
			if err != nil || n == 0 || calls > check.most {
				t.Errorf("%s, %s: %d calls, want at most %d: %v", name, check.name, calls, check.most, err)
			}
		}
	}
}
