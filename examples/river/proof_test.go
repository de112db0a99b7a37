package essriver_test

import (
	"os"
	"testing"

	"example.com/ess/cancel/canceltest"
)

// long says that the proofs are to take their time. A little of each is enough for every
// day, as package canceltest does all of it with another store.
var long = os.Getenv("ESS_LONG") != ""

// trees returns a tree with few places to die at, for every day.
func trees(t *testing.T, short string) []canceltest.Tree {
	if long {
		return canceltest.Trees()
	}
	requests, err := canceltest.ParseTree(short)
	if err != nil {
		t.Fatal(err)
	}
	return []canceltest.Tree{{Name: "short", Requests: requests}}
}

// The process dies at every single call of the store.
func TestCrashes(t *testing.T) {
	t.Parallel()
	points := canceltest.RunCrashes(t, newShelf(t).harness(false), trees(t, "1 SUBREQUEST_PARENT RUNNING\n  2 CHILD WAIT")...)
	t.Logf("a process died %d times, and all of that was made good", points)
	if points == 0 {
		t.Error("no process died")
	}
}

// Every single call of the store fails, before or after its effect.
func TestFaults(t *testing.T) {
	t.Parallel()
	points := canceltest.RunFaults(t, newShelf(t).harness(false), trees(t, "1 PARENT RUNNING\n  2 CHILD RUNNING\n  3 CHILD WAIT")...)
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
