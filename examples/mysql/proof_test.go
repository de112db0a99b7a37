package mysql_test

import (
	"os"
	"slices"
	"testing"

	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/explore"
	"example.com/ess/cancel/canceltest/simulate"
	"example.com/ess/examples/mysql"
)

// long says that the proofs are to take their time. A little of each is enough for every
// day, as package canceltest does all of it with another store.
var long = os.Getenv("ESS_LONG") != ""

func proven(t *testing.T) canceltest.Harness {
	t.Helper()
	t.Parallel()
	return newHarness(open(t, newDatabase(t, server)), mysql.Schema)
}

// trees are those in which a process dies, or a call fails, at every single place.
func trees(t *testing.T) *simulate.TreeOptions {
	if long {
		return &simulate.TreeOptions{Trials: -1}
	}
	return &simulate.TreeOptions{Trials: -1, Trees: []simulate.Tree{
		{Name: "container", Requests: parse(t, "1 PARENT RUNNING\n  2 CHILD RUNNING\n  3 CHILD WAIT")},
		{Name: "with work", Requests: parse(t, "1 SUBREQUEST_PARENT RUNNING\n  2 CHILD WAIT")},
	}}
}

// The process dies at every single call of the store.
func TestCrashes(t *testing.T) {
	h := proven(t)
	n := simulate.RunCrashes(t, h, trees(t))
	if t.Logf("a process died %d times, and all of that was made good", n); n == 0 {
		t.Error("no process died")
	}
}

// Every single call of the store goes wrong, in every way.
func TestFaults(t *testing.T) {
	h := proven(t)
	n := simulate.RunFaults(t, h, trees(t))
	if t.Logf("%d calls went wrong, and all of that was made good", n); n == 0 {
		t.Error("nothing went wrong")
	}
}

// Many use one store at a time.
func TestStorm(t *testing.T) {
	h, opts := proven(t), simulate.StormOptions{}
	if !long {
		opts.Storms = 3
	}
	simulate.RunStorm(t, h, &opts)
}

// Random commands do what a model says.
func TestRandom(t *testing.T) {
	h, opts := proven(t), simulate.RandomOptions{}
	if !long {
		opts.Worlds, opts.Requests = 20, 300
	}
	simulate.RunRandom(t, h, &opts)
}

// Actors work on small trees in every order in which their steps can happen, Submit among
// them.
func TestWorlds(t *testing.T) {
	h := proven(t)
	some := []string{
		"leaf/finishes", "children/submitted", "children/submitted and started", "children/parent ends by itself",
		"ends/a parent beside a submission", "ends/a parent that fails beside a submission and a cancel", "deleted/children",
		"attempt/superseded", "death/of a submitter", "faults/of the canceller", "work/ends by itself",
	}
	n := 0
	for _, w := range explore.Worlds() {
		if long || slices.Contains(some, w.Name) {
			n++
			t.Run(w.Name, func(t *testing.T) {
				w.Harness = h
				explore.Run(t, w)
			})
		}
	}
	if n < len(some) {
		t.Errorf("only %d of %d worlds are there", n, len(some))
	}
}
