package sqlite_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/explore"
	"example.com/ess/cancel/canceltest/simulate"
	"example.com/ess/examples/sqlite"
	"example.com/ess/lifecycle"
)

// long says that the proofs are to take their time. A little of each is enough for every
// day, because package canceltest does all of it with another store.
var long = os.Getenv("ESS_LONG") != ""

// open returns a store in a file of its own that holds the requests.
func open(t testing.TB, requests ...lifecycle.Request) *sqlite.Store {
	t.Helper()
	return openFile(t, filepath.Join(t.TempDir(), "requests.db"), requests...)
}

func openFile(t testing.TB, path string, requests ...lifecycle.Request) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.Insert(t.Context(), requests...); err != nil {
		t.Fatal(err)
	}
	return s
}

// A shelf has stores for canceltest, which gives back those it is done with.
type shelf struct {
	dir string

	mu    sync.Mutex
	files int
	free  []*sqlite.Store
}

func (s *shelf) take(ctx context.Context) (*sqlite.Store, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.free); n > 0 {
		store := s.free[n-1]
		s.free = s.free[:n-1]
		return store, store.Clear(ctx)
	}
	s.files++
	store, err := sqlite.Open(ctx, filepath.Join(s.dir, fmt.Sprintf("%d.db", s.files)))
	if err != nil {
		return nil, err
	}
	return store, store.DoNotWait(ctx)
}

func (s *shelf) put(store *sqlite.Store) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, store)
}

// harness gives canceltest stores, by the three methods only if plain is set.
func harness(t testing.TB, plain bool) canceltest.Harness {
	t.Helper()
	s := &shelf{dir: t.TempDir()}
	t.Cleanup(func() {
		for _, store := range s.free {
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return canceltest.Harness{
		New: func(ctx context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
			store, err := s.take(ctx)
			if err != nil {
				return nil, err
			}
			if err := store.Insert(ctx, requests...); err != nil || !plain {
				return store, err
			}
			return canceltest.Plain(store), nil
		},
		Insert: func(ctx context.Context, repo cancel.Repository, requests []lifecycle.Request) error {
			return storeOf(repo).Insert(ctx, requests...)
		},
		Close: func(repo cancel.Repository) error {
			s.put(storeOf(repo))
			return nil
		},
		Timeout: 5 * time.Minute, // the race detector on a busy machine
	}
}

// storeOf undoes canceltest.Plain.
func storeOf(repo cancel.Repository) *sqlite.Store {
	if plain, ok := repo.(struct{ cancel.Repository }); ok {
		repo = plain.Repository
	}
	return repo.(*sqlite.Store)
}

// both runs a test of canceltest over stores with their capabilities and over the three
// methods only.
func both(t *testing.T, test func(t *testing.T, h canceltest.Harness)) {
	t.Parallel()
	for name, plain := range map[string]bool{"capabilities": false, "three methods": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, harness(t, plain))
		})
	}
}

func TestContract(t *testing.T) { both(t, canceltest.Run) }

// trees returns those that every call of the store is disturbed in.
func trees() []simulate.Tree {
	if long {
		return simulate.Trees()
	}
	return []simulate.Tree{{Name: "small", Requests: []lifecycle.Request{
		request(1, 0, lifecycle.KindParent, lifecycle.StateRunning),
		request(2, 1, lifecycle.KindChild, lifecycle.StateWait),
	}}}
}

// Calls of the store fail, before and after their effect.
func TestFaults(t *testing.T) {
	both(t, func(t *testing.T, h canceltest.Harness) {
		if simulate.RunFaults(t, h, &simulate.TreeOptions{Trees: trees(), Trials: -1}) == 0 {
			t.Error("nothing failed")
		}
	})
}

// A process dies before and after every call of the store.
func TestCrashes(t *testing.T) {
	both(t, func(t *testing.T, h canceltest.Harness) {
		if simulate.RunCrashes(t, h, &simulate.TreeOptions{Trees: trees(), Trials: -1}) == 0 {
			t.Error("nobody died")
		}
	})
}

// Random commands do what a model says.
func TestRandom(t *testing.T) {
	both(t, func(t *testing.T, h canceltest.Harness) {
		opts := &simulate.RandomOptions{Worlds: 10}
		if long {
			opts = nil
		}
		if simulate.RunRandom(t, h, opts) == 0 {
			t.Error("no command was played")
		}
	})
}

// A dozen goroutines use one store at once.
func TestStorm(t *testing.T) {
	both(t, func(t *testing.T, h canceltest.Harness) {
		opts := &simulate.StormOptions{Storms: 2}
		if long {
			opts = nil
		}
		if simulate.RunStorm(t, h, opts) == 0 {
			t.Error("nothing was written")
		}
	})
}

// Two cancellers and a scheduler take their steps in every order.
func TestWorld(t *testing.T) {
	both(t, func(t *testing.T, h canceltest.Harness) {
		explore.Run(t, explore.World{
			Name: "two cancel, one starts",
			Tree: `
1 PARENT RUNNING
  2 CHILD READY`,
			Actors: []explore.Actor{
				explore.Cancels("ann", 1),
				explore.Cancels("bob", 2),
				explore.Transitions("scheduler", 2, lifecycle.TriggerStart),
			},
			Harness: h,
		})
	})
}
