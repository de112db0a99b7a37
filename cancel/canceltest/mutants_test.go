package canceltest_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/internal/proof"
	"example.com/ess/lifecycle"
)

// A mutant is a wrong store. rejectedBy are checks that have to find the mistake; others may
// find it too.
type mutant struct {
	name       string
	rejectedBy []string
	spoil      func(s *store)
}

var mutants = slices.Concat(readMutants, applyMutants, applyMoreMutants, causeMutants, childMutants, treeMutants, newMutants)

// rejectedBy returns the names of the checks that failed.
func rejectedBy(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("not joined errors: %v", err)
	}
	var names []string
	for _, err := range joined.Unwrap() {
		failed, ok := errors.AsType[*canceltest.CheckError](err)
		if !ok {
			t.Fatalf("not a *CheckError: %v", err)
		}
		names = append(names, failed.Check)
	}
	return names
}

// TestProofMutants shows that Check rejects wrong stores, and that every check can fail.
// It runs the checks that are named with each, or, where the proof is long, all of them, and
// logs which rejected it.
func TestProofMutants(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	rejects := map[string]int{}
	reject := func(t *testing.T, h canceltest.Harness, by []string) {
		t.Helper()
		var err error
		// In a bubble, a store that sleeps lets all others go on until they wait, too:
		// who meets whom does not depend on the machine.
		synctest.Test(t, func(t *testing.T) {
			if proof.Long() {
				err = canceltest.Check(t.Context(), h)
			} else {
				err = canceltest.CheckOnly(t.Context(), h, by...)
			}
		})
		got := rejectedBy(t, err)
		t.Logf("rejected by %s", strings.Join(got, ", "))
		for _, name := range by {
			if !slices.Contains(got, name) {
				t.Errorf("not rejected by %s, but by %q", name, got)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		for _, name := range got {
			rejects[name]++
		}
	}
	t.Run("all", func(t *testing.T) {
		for _, m := range mutants {
			t.Run(m.name, func(t *testing.T) {
				t.Parallel()
				reject(t, harness(m.spoil), m.rejectedBy)
			})
		}
		t.Run("a request is not stored", func(t *testing.T) {
			t.Parallel()
			h := inMemory()
			h.New = func(_ context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
				return memoryOf(requests[:max(1, len(requests))-1]), nil
			}
			h.Insert, h.Delete, h.Spoil = nil, nil, nil
			reject(t, h, []string{"Harness/HoldsExactlyTheRequests"})
		})
		t.Run("all repositories are one", func(t *testing.T) {
			t.Parallel()
			one := new(store)
			h := inMemory()
			h.New = func(_ context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
				s, err := newStore(requests)
				*one = *s
				return one, err
			}
			h.Insert = nil
			reject(t, h, []string{"Harness/RepositoriesShareNothing"})
		})
	})
	t.Logf("%d mutants rejected, by %d checks", len(mutants)+2, len(rejects))
	for name := range canceltest.Contract() {
		if rejects[name] == 0 {
			t.Errorf("no mutant is rejected by %s: can it fail?", name)
		}
	}
}
