package essriver_test

import (
	"os"
	"testing"

	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/simulate"
)

// long says that the proofs are to take their time. A little of each is enough for every
// day, as package canceltest does all of it with another store.
var long = os.Getenv("ESS_LONG") != ""

// trees returns a tree with few places to die at, for every day.
func trees(t *testing.T, short string) []simulate.Tree {
	if long {
		return simulate.Trees()
	}
	requests, err := canceltest.ParseTree(short)
	if err != nil {
		t.Fatal(err)
	}
	return []simulate.Tree{{Name: "short", Requests: requests}}
}

// The process dies at every single call of the store.
func TestCrashes(t *testing.T) {
	t.Parallel()
	points := simulate.RunCrashes(t, newShelf(t).harness(false), &simulate.TreeOptions{Trees: trees(t, "1 SUBREQUEST_PARENT RUNNING\n  2 CHILD WAIT"), Trials: -1})
	t.Logf("a process died %d times, and all of that was made good", points)
	if points == 0 {
		t.Error("no process died")
	}
}

// Every single call of the store fails, before or after its effect.
func TestFaults(t *testing.T) {
	t.Parallel()
	points := simulate.RunFaults(t, newShelf(t).harness(false), &simulate.TreeOptions{Trees: trees(t, "1 PARENT RUNNING\n  2 CHILD RUNNING\n  3 CHILD WAIT"), Trials: -1})
	t.Logf("%d calls failed, and all of that was made good", points)
	if points == 0 {
		t.Error("no call failed")
	}
}

// Many use one store at a time.
func TestStorm(t *testing.T) {
	t.Parallel()
	opts := &simulate.StormOptions{Storms: 3}
	if long {
		opts = nil
	}
	writes := simulate.RunStorm(t, newShelf(t).harness(false), opts)
	t.Logf("%d writes", writes)
}

// Random commands do what a model says.
func TestRandom(t *testing.T) {
	t.Parallel()
	opts := &simulate.RandomOptions{Worlds: 20, Requests: 200}
	if long {
		opts = nil
	}
	commands := simulate.RunRandom(t, newShelf(t).harness(false), opts)
	t.Logf("%d commands", commands)
}
