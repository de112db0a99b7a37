package etcd_test

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/simulate"
	"example.com/ess/examples/etcd"
	"example.com/ess/lifecycle"
)

var prefixes atomic.Int64

func newPrefix() string { return fmt.Sprintf("/test/%d/", prefixes.Add(1)) }

// newStore returns a store under a prefix of its own that holds the requests.
func newStore(ctx context.Context, client *clientv3.Client, requests ...lifecycle.Request) (*etcd.Store, error) {
	s := etcd.New(client, newPrefix())
	return s, s.Insert(ctx, requests...)
}

func open(t testing.TB, client *clientv3.Client, requests ...lifecycle.Request) *etcd.Store {
	t.Helper()
	s, err := newStore(t.Context(), client, requests...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// long says that the proofs are to take their time. A little of each is enough for every
// day, because package canceltest does all of it with another store.
var long = os.Getenv("ESS_LONG") != ""

// raceDetector says that everything takes three times as long: see race_test.go.
var raceDetector bool

// harness gives canceltest stores under prefixes of their own, by the three methods only
// if plain is set.
func harness(t testing.TB, plain bool) canceltest.Harness {
	t.Helper()
	client := connect(t)
	return canceltest.Harness{
		New: func(ctx context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
			s, err := newStore(ctx, client, requests...)
			if err != nil || !plain {
				return s, err
			}
			return canceltest.Plain(s), nil
		},
		Insert: func(ctx context.Context, repo cancel.Repository, requests []lifecycle.Request) error {
			if plain {
				repo = repo.(struct{ cancel.Repository }).Repository // undoes Plain
			}
			return repo.(*etcd.Store).Insert(ctx, requests...)
		},
		Timeout: 5 * time.Minute, // three members and the race detector on a busy machine
	}
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
	switch {
	case long:
		return simulate.Trees()
	case raceDetector:
		return []simulate.Tree{{Name: "tiny", Requests: []lifecycle.Request{
			request(1, 0, lifecycle.KindSingleton, lifecycle.StateRunning),
		}}}
	default:
		return []simulate.Tree{{Name: "small", Requests: []lifecycle.Request{
			request(1, 0, lifecycle.KindParent, lifecycle.StateRunning),
			request(2, 1, lifecycle.KindChild, lifecycle.StateWait),
		}}}
	}
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
		opts := &simulate.RandomOptions{Worlds: 4}
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
		opts := &simulate.StormOptions{Storms: 2, Tries: 50} // the second of a kind of its own
		if long {
			opts = nil
		}
		if simulate.RunStorm(t, h, opts) == 0 {
			t.Error("nothing was written")
		}
	})
}
