package simulate_test

import (
	"context"
	"fmt"
	"testing"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/internal/proof"
	"example.com/ess/cancel/canceltest/simulate"
	"example.com/ess/cancel/memrepo"
	"example.com/ess/lifecycle"
)

// inMemory is the harness of memrepo.
var inMemory = canceltest.Harness{
	New: func(_ context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
		var repo memrepo.Repo
		return &repo, repo.Insert(requests...)
	},
	Insert: func(_ context.Context, repo cancel.Repository, requests []lifecycle.Request) error {
		return repo.(*memrepo.Repo).Insert(requests...)
	},
}

// proofTrees returns the trees for a Proof test.
func proofTrees() []simulate.Tree {
	trees := simulate.Trees()
	return proof.Pick(proof.Quick(trees[2:3], []simulate.Tree{trees[1], trees[2], trees[3], trees[6]}), trees, append(trees, pairs()...))
}

// pairs returns a tree for every kind and state of a parent with every kind and state of
// a child.
func pairs() (pairs []simulate.Tree) {
	for parent := range lifecycle.Kinds() {
		for above := range lifecycle.States() {
			for kind := range lifecycle.Kinds() {
				for state := range lifecycle.States() {
					if !parent.HasChildren() || lifecycle.Terminal.Has(above) && lifecycle.Live.Has(state) {
						continue // that cannot be
					}
					pairs = append(pairs, simulate.Tree{
						Name: fmt.Sprintf("%v %v above %v %v", parent, above, kind, state),
						Requests: []lifecycle.Request{
							{ID: 1, Kind: parent, State: above},
							{ID: 2, Parent: 1, Kind: kind, State: state},
						},
					})
				}
			}
		}
	}
	return pairs
}

// TestProofCrashAnywhere lets every operation die at every call of the store.
func TestProofCrashAnywhere(t *testing.T) {
	t.Parallel()
	t.Logf("%d crashes, and each was made good", simulate.RunCrashes(t, inMemory, &simulate.TreeOptions{Trees: proofTrees(), Trials: -1}))
}

// TestProofFaults has every call of the store go wrong in every way.
func TestProofFaults(t *testing.T) {
	t.Parallel()
	t.Logf("%d faults, and none did harm", simulate.RunFaults(t, inMemory, &simulate.TreeOptions{Trees: proofTrees(), Trials: -1}))
}
