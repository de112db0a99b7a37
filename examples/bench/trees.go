package main

import (
	"iter"

	"example.com/ess/lifecycle"
)

// A tree is requests, numbered from 1 on, parents before their children. All that have
// children are containers, and none runs: a cancel ends every one at once.
type tree struct {
	name   string
	n      int
	roots  []lifecycle.ID
	levels []int // how many requests each level below the roots has
	parent func(i int) int
	leaf   func(i int) bool
}

// at returns request i of 1 to n.
func (t tree) at(i int) lifecycle.Request {
	r := lifecycle.Request{
		ID: lifecycle.ID(i), Parent: lifecycle.ID(t.parent(i)),
		Kind: lifecycle.KindParent, State: lifecycle.StateReady,
	}
	if t.leaf(i) {
		r.Kind, r.State = lifecycle.KindChild, lifecycle.StateWait
	}
	return r
}

func (t tree) all() iter.Seq[lifecycle.Request] {
	return func(yield func(lifecycle.Request) bool) {
		for i := range t.n {
			if !yield(t.at(i + 1)) {
				return
			}
		}
	}
}

// wide is a root, parents below it, and each with so many leaves.
func wide(parents, leaves int) tree {
	return tree{
		name:   thousands(int64(parents)) + " x " + thousands(int64(leaves)),
		n:      1 + parents + parents*leaves,
		roots:  []lifecycle.ID{1},
		levels: []int{parents, parents * leaves},
		parent: func(i int) int {
			switch {
			case i == 1:
				return 0
			case i <= 1+parents:
				return 1
			default:
				return 2 + (i-2-parents)/leaves
			}
		},
		leaf: func(i int) bool { return i > 1+parents },
	}
}

// flat is a root with so many leaves.
func flat(leaves int) tree {
	return tree{
		name:   thousands(int64(leaves)) + " below one root",
		n:      1 + leaves,
		roots:  []lifecycle.ID{1},
		levels: []int{leaves},
		parent: func(i int) int { return min(i-1, 1) },
		leaf:   func(i int) bool { return i > 1 },
	}
}

// chain is n requests, each the parent of the next.
func chain(n int) tree {
	levels := make([]int, n-1)
	for i := range levels {
		levels[i] = 1
	}
	return tree{
		name:   "chain of " + thousands(int64(n)),
		n:      n,
		roots:  []lifecycle.ID{1},
		levels: levels,
		parent: func(i int) int { return i - 1 },
		leaf:   func(i int) bool { return i == n },
	}
}

// binary is n requests, each the parent of two.
func binary(n int) tree {
	t := tree{
		name:   "binary, " + thousands(int64(n)),
		n:      n,
		roots:  []lifecycle.ID{1},
		parent: func(i int) int { return i / 2 },
		leaf:   func(i int) bool { return 2*i > n },
	}
	for first := 2; first <= n; first *= 2 {
		t.levels = append(t.levels, min(first, n+1-first))
	}
	return t
}

// forest is several trees like t, which has one root.
func forest(trees int, t tree) tree {
	f := tree{
		name: thousands(int64(trees)) + " trees of " + t.name,
		n:    trees * t.n,
		parent: func(i int) int {
			if p := t.parent((i-1)%t.n + 1); p != 0 {
				return p + (i-1)/t.n*t.n
			}
			return 0
		},
		leaf: func(i int) bool { return t.leaf((i-1)%t.n + 1) },
	}
	for i := range trees {
		f.roots = append(f.roots, lifecycle.ID(1+i*t.n))
	}
	return f
}
