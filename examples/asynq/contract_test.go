package essasynq_test

import (
	"context"
	"os"
	"testing"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	essasynq "example.com/ess/examples/asynq"
	"example.com/ess/lifecycle"
)

// long says that the proofs are to take their time. A little of each is enough for every
// day, because the kit does all of it with another store.
var long = os.Getenv("ESS_LONG") != ""

// harness gives the kit stores on one server, by the three methods only if plain is set.
func harness(t testing.TB, plain bool) canceltest.Harness {
	t.Helper()
	rdb := connect(t, addr)
	return canceltest.Harness{
		New: func(ctx context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
			store := essasynq.NewStore(rdb, &essasynq.StoreOptions{Prefix: prefix()})
			if len(requests) > 0 {
				if err := store.Insert(ctx, requests...); err != nil {
					return nil, err
				}
			}
			if plain {
				return canceltest.Plain(store), nil
			}
			return store, nil
		},
		Insert: func(ctx context.Context, repo cancel.Repository, requests []lifecycle.Request) error {
			return storeOf(repo).Insert(ctx, requests...)
		},
		Timeout: 5 * time.Minute, // the race detector on a busy machine
	}
}

// storeOf undoes canceltest.Plain.
func storeOf(repo cancel.Repository) *essasynq.Store {
	if plain, ok := repo.(struct{ cancel.Repository }); ok {
		repo = plain.Repository
	}
	return repo.(*essasynq.Store)
}

// both runs a test of the kit over stores with their capabilities and over the three
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
func trees() []canceltest.Tree {
	if long {
		return canceltest.Trees()
	}
	return []canceltest.Tree{{Name: "small", Requests: []lifecycle.Request{
		{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateRunning},
		{ID: 2, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateReady},
		{ID: 3, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateRunning},
	}}}
}

// Calls of the store fail, before and after their effect.
func TestFaults(t *testing.T) {
	both(t, func(t *testing.T, h canceltest.Harness) {
		if canceltest.RunFaults(t, h, trees()...) == 0 {
			t.Error("nothing failed")
		}
	})
}

// A process dies before and after every call of the store.
func TestCrashes(t *testing.T) {
	both(t, func(t *testing.T, h canceltest.Harness) {
		if canceltest.RunCrashes(t, h, trees()...) == 0 {
			t.Error("nobody died")
		}
	})
}

// Random commands do what a model says.
func TestRandom(t *testing.T) {
	both(t, func(t *testing.T, h canceltest.Harness) {
		opts := &canceltest.RandomOptions{Worlds: 10}
		if long {
			opts = nil
		}
		if canceltest.RunRandom(t, h, opts) == 0 {
			t.Error("no command was played")
		}
	})
}

// A dozen goroutines use one store at once.
func TestStorm(t *testing.T) {
	both(t, func(t *testing.T, h canceltest.Harness) {
		opts := &canceltest.StormOptions{Storms: 2}
		if long {
			opts = nil
		}
		if canceltest.RunStorm(t, h, opts) == 0 {
			t.Error("nothing was written")
		}
	})
}
