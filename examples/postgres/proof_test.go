package postgres_test

import (
	"os"
	"testing"

	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/simulate"
)

// long says that the proofs are to take their time. A little of each is enough for
// every day, as package canceltest does all of it with another store.
var long = os.Getenv("ESS_LONG") != ""

// short are trees with few places to die at, for every day.
var short = []string{
	"1 PARENT RUNNING\n  2 CHILD RUNNING\n  3 CHILD WAIT",
	"1 SUBREQUEST_PARENT RUNNING\n  2 CHILD WAIT",
}

// trees returns the trees of the i-th test.
func trees(t *testing.T, i int) []simulate.Tree {
	if long {
		return simulate.Trees()
	}
	requests, err := canceltest.ParseTree(short[i%len(short)])
	if err != nil {
		t.Fatal(err)
	}
	return []simulate.Tree{{Name: "short", Requests: requests}}
}

// The process dies at every single call of the store.
func TestCrashes(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, i int, h canceltest.Harness) {
		if stores[i].plain {
			return // RunCrashes takes away the capabilities by itself
		}
		points := simulate.RunCrashes(t, h, &simulate.TreeOptions{Trees: trees(t, i), Trials: -1})
		if t.Logf("a process died %d times, and all of that was made good", points); points == 0 {
			t.Error("no process died")
		}
	})
}

// Every single call of the store goes wrong, in every way.
func TestFaults(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, i int, h canceltest.Harness) {
		if stores[i].plain {
			return // so does RunFaults
		}
		points := simulate.RunFaults(t, h, &simulate.TreeOptions{Trees: trees(t, i+1), Trials: -1})
		if t.Logf("%d calls went wrong, and all of that was made good", points); points == 0 {
			t.Error("nothing went wrong")
		}
	})
}

// Many use one store at a time.
func TestStorm(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, i int, h canceltest.Harness) {
		opts := simulate.StormOptions{Seed: uint64(1 + 100*i)}
		if !long {
			opts.Storms = 2
		}
		simulate.RunStorm(t, h, &opts)
	})
}

// Random commands do what a model says.
func TestRandom(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, i int, h canceltest.Harness) {
		opts := simulate.RandomOptions{Seed: uint64(1 + 1000*i)}
		if !long {
			opts.Worlds, opts.Requests = 10, 200
		}
		simulate.RunRandom(t, h, &opts)
	})
}
