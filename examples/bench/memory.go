package main

import (
	"context"
	"fmt"
	"slices"

	"example.com/ess/cancel/memrepo"
)

// memory measures cascades in memrepo beside trees of contexts.
func (b *bench) memory(ctx context.Context) error {
	large := wide(b.size.side, b.size.side)
	err := b.compete(ctx, contest{
		name: "memory/wide", title: "In memory, " + large.name, rounds: b.size.rounds,
		ways: []way{
			{name: "context", run: contextRun(large)},
			{name: "all capabilities", goals: []goal{atMost(1), tripsFor(large, defaultPage)}, run: memoryRun(large, true, 1)},
			{name: "three methods", goals: []goal{tripsFor(large, defaultPage)}, run: memoryRun(large, false, 1)},
		},
	})
	if err != nil {
		return err
	}
	for _, n := range b.size.growth {
		t := wide(n/b.size.fan, b.size.fan)
		if n < b.size.fan {
			return fmt.Errorf("a tree of %d has no room for parents of %d", n, b.size.fan)
		}
		err := b.compete(ctx, contest{
			name: fmt.Sprintf("memory/%d", n), title: "In memory, " + t.name, rounds: b.size.rounds,
			ways: []way{
				{name: "context", run: contextRun(t)},
				{name: "all capabilities", run: memoryRun(t, true, 1)},
				{name: "three methods", run: memoryRun(t, false, 1)},
			},
		})
		if err != nil {
			return err
		}
	}

	// As many containers, with a tenth of the requests: that the memory is the same shows
	// that it goes with the containers.
	tenth := wide(b.size.side, b.size.side/10)
	for _, caps := range []bool{true, false} {
		err := b.compete(ctx, contest{
			name: "memory/heap/" + short(caps), title: "In memory, as many containers with more or fewer children (" + means(caps) + ")", rounds: 1,
			ways: []way{
				{name: tenth.name, run: memoryRun(tenth, caps, 1)},
				{name: large.name, goals: []goal{sameHeap}, run: memoryRun(large, caps, 1)},
			},
		})
		if err != nil {
			return err
		}
		err = b.compete(ctx, contest{
			name: "memory/callers/" + short(caps), title: "In memory, all cancel one tree of " + large.name + " (" + means(caps) + ")", rounds: b.size.rounds,
			ways: []way{
				{name: "1 caller", run: memoryRun(large, caps, 1)},
				{name: fmt.Sprintf("%d callers", b.size.callers), goals: []goal{atMost(4)}, run: memoryRun(large, caps, b.size.callers)},
			},
		})
		if err != nil {
			return err
		}
	}

	trees := forest(slices.Max(b.size.crowds), wide(b.size.each/b.size.fan, b.size.fan))
	c := contest{name: "memory/cancellers", title: "In memory, " + trees.name + ", each cancelled by one of some", rounds: b.size.rounds}
	for _, n := range b.size.crowds {
		c.ways = append(c.ways, way{name: cancellers(n), run: memoryRun(trees, true, n)})
	}
	return b.compete(ctx, c)
}

const defaultPage = 1000

func means(caps bool) string {
	if caps {
		return "all capabilities"
	}
	return "three methods"
}

func short(caps bool) string {
	if caps {
		return "all"
	}
	return "three"
}

func cancellers(n int) string {
	if n == 1 {
		return "1 canceller"
	}
	return fmt.Sprintf("%d cancellers", n)
}

// The two take a different time for garbage, of which there is a little at any time.
var sameHeap = goal{"heap ≤ 1.5", func(r *row) bool {
	return r.seen.heap <= 1.5*max(r.result.rows[0].seen.heap, 1e6)
}}

// contextRun cancels a tree of contexts, as a program does whose work is all in itself.
func contextRun(t tree) func(context.Context, *meter) error {
	return func(ctx context.Context, m *meter) error {
		contexts := make([]context.Context, 1, t.n+1)
		contexts[0] = ctx
		stops := make([]context.CancelFunc, 0, t.n)
		for r := range t.all() {
			ctx, stop := context.WithCancel(contexts[r.Parent])
			contexts, stops = append(contexts, ctx), append(stops, stop)
		}
		if err := m.measure(func() (int, error) { stops[0](); return t.n, nil }); err != nil {
			return err
		}
		for id, ctx := range contexts[1:] {
			if ctx.Err() == nil {
				return fmt.Errorf("context %d has not ended", id+1)
			}
		}
		return nil
	}
}

// memoryRun cancels a tree in memrepo.
func memoryRun(t tree, caps bool, callers int) func(context.Context, *meter) error {
	return func(ctx context.Context, m *meter) error {
		var repo memrepo.Repo
		if err := repo.Insert(slices.Collect(t.all())...); err != nil {
			return err
		}
		store := counting(&repo, caps, &m.trips)
		if err := m.measure(func() (int, error) { return t.n, cancelTrees(ctx, store, t, defaultPage, callers) }); err != nil {
			return err
		}
		var states census
		for r := range repo.All() {
			states.add(r.State)
		}
		return states.check(t)
	}
}
