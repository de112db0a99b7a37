package simulate_test

import (
	"testing"

	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/simulate"
	"example.com/ess/lifecycle"
)

func TestParseTree(t *testing.T) {
	t.Parallel()
	for _, tree := range simulate.Trees() {
		snap := canceltest.Snapshot{}
		for _, r := range tree.Requests {
			snap[r.ID] = r
		}
		again, err := canceltest.ParseTree(snap.String())
		if err != nil || len(again) != len(tree.Requests) {
			t.Fatalf("%s: %v", tree.Name, err)
		}
		for _, r := range again {
			if snap[r.ID] != r {
				t.Errorf("%s: %v became %v", tree.Name, snap[r.ID], r)
			}
		}
	}
	for _, wrong := range []string{
		"1 PARENT", "x PARENT WAIT", "1 PARENT WEIGHT", "1 PARENTS WAIT", "0 PARENT WAIT", "1 PARENT WAIT (then CANCELLED)",
		"1 PARENT CANCELLING (then WAIT)", "1 PARENT WAIT now",
	} {
		if requests, err := canceltest.ParseTree(wrong); err == nil {
			t.Errorf("ParseTree(%q) = %v", wrong, requests)
		}
	}
}

// TestTrees checks that the trees have every kind in every state.
func TestTrees(t *testing.T) {
	t.Parallel()
	have := map[[2]string]bool{}
	for _, tree := range simulate.Trees() {
		for _, r := range tree.Requests {
			have[[2]string{r.Kind.String(), r.State.String()}] = true
		}
	}
	for k := range lifecycle.Kinds() {
		for s := range lifecycle.States() {
			if !have[[2]string{k.String(), s.String()}] {
				t.Errorf("no tree has a %v in %v", k, s)
			}
		}
	}
}
