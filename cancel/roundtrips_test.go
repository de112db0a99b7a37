package cancel_test

import (
	"context"
	"testing"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	"example.com/ess/lifecycle"
)

// TestRoundTrips counts calls of the store: at most three for a page of a thousand
// children, three for a level, and a constant.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	parent := func(id, below lifecycle.ID) lifecycle.Request {
		return lifecycle.Request{ID: id, Parent: below, Kind: lifecycle.KindParent, State: lifecycle.StateReady}
	}
	leaf := func(id, below lifecycle.ID, s lifecycle.State) lifecycle.Request {
		return lifecycle.Request{ID: id, Parent: below, Kind: lifecycle.KindChild, State: s}
	}
	wide := func(s lifecycle.State) []lifecycle.Request {
		rs := []lifecycle.Request{parent(1, 0)}
		for i := range lifecycle.ID(100) {
			rs = append(rs, parent(2+i, 1))
		}
		for i := range lifecycle.ID(100 * 1000) {
			rs = append(rs, leaf(1000+i, 2+i/1000, s))
		}
		return rs
	}
	flat := []lifecycle.Request{parent(1, 0)}
	for i := range lifecycle.ID(20_000) {
		flat = append(flat, leaf(2+i, 1, lifecycle.StateWait))
	}
	chain := []lifecycle.Request{parent(1, 0)}
	for i := range lifecycle.ID(300) {
		chain = append(chain, parent(2+i, 1+i))
	}
	binary := []lifecycle.Request{parent(1, 0)}
	for i := lifecycle.ID(2); i < 1<<14; i++ {
		if i < 1<<13 {
			binary = append(binary, parent(i, i/2))
		} else {
			binary = append(binary, leaf(i, i/2, lifecycle.StateWait))
		}
	}
	tests := []struct {
		name          string
		requests      []lifecycle.Request
		pages, levels int
	}{
		{"wide, waiting", wide(lifecycle.StateWait), 101, 3},
		{"wide, running", wide(lifecycle.StateRunning), 101, 3},
		{"flat", flat, 20, 2},
		{"chain", chain, 300, 301},
		{"binary", binary, 17 + 14, 14},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var repo memrepo.Repo
			must(t, repo.Insert(tt.requests...))
			f := &fake{Repository: &repo}
			res, err := cancel.New(f, nil).Cancel(t.Context(), cancel.Order{ID: 1})
			if err != nil || res.Counts.Total() != len(tt.requests) {
				t.Fatalf("%v, %v", res, err)
			}
			calls, limit := int(f.calls.Load()), 3*tt.pages+3*tt.levels+3
			t.Logf("%d requests: %d calls, the bound is %d", len(tt.requests), calls, limit)
			if calls > limit {
				t.Errorf("%d calls for %d pages and %d levels, want at most %d", calls, tt.pages, tt.levels, limit)
			}
		})
	}
}

// counted counts the calls of a store that walks trees in memory.
type counted struct {
	*memrepo.Repo
	calls int
}

func (c *counted) Get(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
	c.calls++
	return c.Repo.Get(ctx, id)
}

func (c *counted) Children(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
	c.calls++
	return c.Repo.Children(ctx, q)
}

func (c *counted) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	c.calls++
	return c.Repo.Apply(ctx, changes)
}

func (c *counted) CancelTree(ctx context.Context, t cancel.TreeCancel) (cancel.TreePage, error) {
	c.calls++
	return c.Repo.CancelTree(ctx, t)
}

func (c *counted) Settle(ctx context.Context, s cancel.Settlement) ([]cancel.Change, error) {
	c.calls++
	return c.Repo.Settle(ctx, s)
}

// TestTreeRoundTrips counts calls of a store that walks trees: at most six for a tree of up
// to 5,000 requests, whatever its depth and its states. For every further 5,000 requests
// there may be one more, for every 5,000 parents one, and for every 1,000 parents one.
func TestTreeRoundTrips(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 10, 100, 1000, 20_000} {
		for _, levels := range []int{1, 2, 3, 5, 10, 20_000} {
			for _, running := range []int{0, 1, 3} { // none, all, every third
				if levels > size && levels != 10 {
					continue
				}
				requests := shaped(size, levels, running)
				repo := &counted{Repo: new(memrepo.Repo)}
				must(t, repo.Insert(requests...))
				res, err := cancel.New(repo, nil).Cancel(t.Context(), cancel.Order{ID: 1})
				parents := 0
				for _, r := range requests {
					if r.Kind.HasChildren() {
						parents++
					}
				}
				limit := 6 + size/5000 + parents/5000 + parents/1000
				if err != nil || res.Counts.Total() != size || repo.calls > limit {
					t.Errorf("%d requests in %d levels, running %d: %v, %v, %d calls, want at most %d", size, levels, running, res.Counts, err, repo.calls, limit)
				}
			}
		}
	}
}

// shaped returns a tree of size requests in that many levels. Those of the last level are
// leaves. If running is n, every n-th of the leaves is RUNNING; if it is 0, none is.
func shaped(size, levels, running int) []lifecycle.Request {
	requests := []lifecycle.Request{{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateRunning}}
	above := []lifecycle.ID{1}
	for l := 2; l <= levels && len(requests) < size; l++ {
		n := (size - len(requests)) / (levels - l + 1) / 2
		if l == levels {
			n = size - len(requests)
		}
		var level []lifecycle.ID
		for i := range max(n, 1) {
			r := lifecycle.Request{ID: lifecycle.ID(len(requests) + 1), Parent: above[i%len(above)], Kind: lifecycle.KindParent, State: lifecycle.StateWait}
			if l == levels {
				r.Kind = lifecycle.KindChild
				if running > 0 && i%running == 0 {
					r.State = lifecycle.StateRunning
				}
			}
			requests, level = append(requests, r), append(level, r.ID)
		}
		above = level
	}
	for len(requests) < size {
		requests = append(requests, lifecycle.Request{ID: lifecycle.ID(len(requests) + 1), Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateHold})
	}
	return requests
}
