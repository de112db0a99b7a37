package essriver_test

import (
	"os"
	"slices"
	"testing"

	"example.com/ess/cancel/canceltest"
)

// long says that the proofs are to take their time. A little of each is enough for every
// day, as package canceltest does all of it with another store.
var long = os.Getenv("ESS_LONG") != ""

// trees are those of the crashes and faults.
func trees() []canceltest.Tree {
	trees := canceltest.Trees()
	if !long {
		trees = slices.DeleteFunc(trees, func(tree canceltest.Tree) bool { return tree.Name != "SINGLETON in every state" })
	}
	return trees
}

// The process dies at every single call of the store.
func TestCrashes(t *testing.T) {
	t.Parallel()
	points := canceltest.RunCrashes(t, newShelf(t).harness(false), trees()...)
	t.Logf("a process died %d times, and all of that was made good", points)
	if points == 0 {
		t.Error("no process died")
	}
}

// Every single call of the store fails, before or after its effect.
func TestFaults(t *testing.T) {
	t.Parallel()
	points := canceltest.RunFaults(t, newShelf(t).harness(false), trees()...)
	t.Logf("%d calls failed, and all of that was made good", points)
	if points == 0 {
		t.Error("no call failed")
	}
}

// Many use one store at a time.
func TestStorm(t *testing.T) {
	t.Parallel()
	opts := &canceltest.StormOptions{Storms: 3}
	if long {
		opts = nil
	}
	writes := canceltest.RunStorm(t, newShelf(t).harness(false), opts)
	t.Logf("%d writes", writes)
}

// Random commands do what a model says.
func TestRandom(t *testing.T) {
	t.Parallel()
	opts := &canceltest.RandomOptions{Worlds: 20, Requests: 200}
	if long {
		opts = nil
	}
	commands := canceltest.RunRandom(t, newShelf(t).harness(false), opts)
	t.Logf("%d commands", commands)
}
