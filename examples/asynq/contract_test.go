package essasynq_test

import (
	"context"
	"os"
	"testing"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/explore"
	"example.com/ess/cancel/canceltest/simulate"
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
		Delete: func(ctx context.Context, repo cancel.Repository, ids []lifecycle.ID) error {
			for _, id := range ids {
				if err := rdb.Del(ctx, storeOf(repo).Record(id)).Err(); err != nil {
					return err
				}
			}
			return nil
		},
		Submit: func(ctx context.Context, repo cancel.Repository, r lifecycle.Request) error {
			return storeOf(repo).Submit(ctx, r)
		},
		Spoil: func(ctx context.Context, repo cancel.Repository, id lifecycle.ID, column string) error {
			unknown := "\x00\nPAUSING"
			return spoil(ctx, rdb, storeOf(repo), id, column, &unknown)
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

// Calls of the store fail, before and after their effect.
func TestFaults(t *testing.T) {
	both(t, func(t *testing.T, h canceltest.Harness) {
		if simulate.RunFaults(t, h, trials()) == 0 {
			t.Error("nothing failed")
		}
	})
}

// trials are a few of each kind, or all of them.
func trials() *simulate.TreeOptions {
	if long {
		return &simulate.TreeOptions{Trials: -1}
	}
	return &simulate.TreeOptions{Trials: 10}
}

// A process dies before and after every call of the store.
func TestCrashes(t *testing.T) {
	both(t, func(t *testing.T, h canceltest.Harness) {
		if simulate.RunCrashes(t, h, trials()) == 0 {
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

// The kit's worlds: cancellers, work and a scheduler take their steps in every order, or the first
// few hundred of them.
func TestWorlds(t *testing.T) {
	both(t, func(t *testing.T, h canceltest.Harness) {
		for _, w := range explore.Worlds() {
			t.Run(w.Name, func(t *testing.T) {
				w.Harness = h
				if !long {
					w.MaxRuns = 100
				}
				explore.Run(t, w)
			})
		}
	})
}
