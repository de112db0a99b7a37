package postgres_test

import (
	"os"
	"slices"
	"testing"

	"example.com/ess/cancel/canceltest"
)

// The process dies at every single call of the store. Some trees are enough for every
// day, as the store is the same for all; ESS_LONG=1 takes all of them.
func TestCrashes(t *testing.T) {
	t.Parallel()
	trees := canceltest.Trees()
	if os.Getenv("ESS_LONG") == "" {
		trees = slices.DeleteFunc(trees, func(tree canceltest.Tree) bool {
			return !slices.Contains([]string{"not settled", "wide", "SINGLETON in every state"}, tree.Name)
		})
	}
	points := canceltest.RunCrashes(t, newShelf(t, standardTables).harness(false), trees...)
	t.Logf("a process died %d times, and all of that was made good", points)
	if points == 0 {
		t.Error("no process died")
	}
}

// Many use one store at a time.
func TestStorm(t *testing.T) {
	t.Parallel()
	writes := canceltest.RunStorm(t, newShelf(t, standardTables).harness(false), nil)
	t.Logf("%d writes", writes)
}

// Random commands do what a model says.
func TestRandom(t *testing.T) {
	t.Parallel()
	commands := canceltest.RunRandom(t, newShelf(t, standardTables).harness(false), nil)
	t.Logf("%d commands", commands)
}
