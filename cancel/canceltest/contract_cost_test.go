package canceltest_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/lifecycle"
)

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
			begin := time.Now()
			if err := canceltest.Check(t.Context(), h); err != nil {
				t.Fatal(err)
			}
			t.Logf("%d repositories, %d requests, at most %d in one; %d calls; %v", repos, requests, largest, calls.Load(), time.Since(begin))
			if repos > 100 || requests > 11_000 || largest > 1_500 || calls.Load() > 7_000 {
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
