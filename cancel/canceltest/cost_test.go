package canceltest_test

import (
	"context"
	"sync/atomic"
	"testing"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/lifecycle"
)

// concurrent are the checks in which many work at once, with the most calls that each can
// need. How many it does need depends on who meets whom.
var concurrent = map[string]int64{
	"Apply/OverlappingBatches":     30,
	"Apply/AtomicForReaders":       5 * (1 + 2*100),
	"Cancel/SixteenAtOnce":         3 * 16 * 300, // pages of 7 below two parents, each tried up to 8 times
	"Cancel/LastAnswersAtOnce":     12 * 3 * 40,
	"CancelChildren/OneOfManyWins": 2 * 8 * 61,

	// Two who write at most 400 times, beside one who reads, or cancels and tries 400 times.
	"Children/WhileTheyChangeState":       2*400 + 8*22 + 20,
	"CancelChildren/WhileTheyChangeState": 2*400 + 22 + 20,
	"Cancel/WhileTheyChangeState":         3 * (2*400 + 3*2*400 + 20),
	"CancelTree/OneOfManyWins":            6 * 60,
	"CancelTree/WhileTheyChangeState":     2*400 + 10 + 20,
	"Settle/OneOfManyWins":                6,
	"Submit/BesideAFence":                 12 * (1 + 14),
	"Submit/BesideAnEnd":                  12 * 4,
	"EndParent/BesideSubmissions":         12 * 2,
}

// TestCost counts what the documentation of Harness promises.
func TestCost(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		view func(s *store) cancel.Repository
	}{
		{"with every capability", func(s *store) cancel.Repository { return s }},
		{"plain", func(s *store) cancel.Repository { return canceltest.Plain(s) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int64
			var repos, requests, largest int
			h := canceltest.Harness{New: func(_ context.Context, seed []lifecycle.Request) (cancel.Repository, error) {
				repos++
				requests += len(seed)
				largest = max(largest, len(seed))
				s, err := newStore(seed)
				count(s, &calls)
				return tt.view(s), err
			}}
			alone := int64(0)
			for name := range canceltest.Contract() {
				calls.Store(0)
				if err := canceltest.CheckOnly(t.Context(), h, name); err != nil && !canceltest.Lacks(err) {
					t.Fatal(err)
				}
				if most, ok := concurrent[name]; !ok {
					alone += calls.Load()
				} else if t.Logf("%s: %d calls, at most %d", name, calls.Load(), most); calls.Load() > most {
					t.Errorf("%s: %d calls, want at most %d", name, calls.Load(), most)
				}
			}
			t.Logf("%d repositories, %d requests, at most %d in one; %d calls and those of many at once", repos, requests, largest, alone)
			if repos > 200 || requests > 18_000 || largest > 1_500 || alone > 9_500 {
				t.Error("that is more than the documentation of Harness says")
			}
		})
	}
}

// count counts the calls.
func count(s *store, calls *atomic.Int64) {
	get, children, apply, cancelChildren, list, cause := s.get, s.children, s.apply, s.cancelChildren, s.list, s.cause
	s.get = func(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
		calls.Add(1)
		return get(ctx, id)
	}
	s.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
		calls.Add(1)
		return children(ctx, q)
	}
	s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
		calls.Add(1)
		return apply(ctx, changes)
	}
	s.cancelChildren = func(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
		calls.Add(1)
		return cancelChildren(ctx, c)
	}
	s.list = func(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
		calls.Add(1)
		return list(ctx, after, limit)
	}
	s.cause = func(ctx context.Context, id lifecycle.ID) (cancel.Cause, error) {
		calls.Add(1)
		return cause(ctx, id)
	}
}
