package cancel

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"example.com/ess/lifecycle"
)

const defaultPageSize = 1000

// Children returns all requests that q asks for, reading them page by page: q.Limit is
// how many are read at once, and zero means 1000.
//
// An error is yielded once, with a zero Request, and ends the sequence; a store that
// answers nonsense is one. The caller may stop at any time, and may change requests
// meanwhile: nothing stays open. Each range over the sequence begins anew.
func Children(ctx context.Context, repo Repository, q ChildQuery) iter.Seq2[lifecycle.Request, error] {
	if q.Limit == 0 {
		q.Limit = defaultPageSize
	}
	return func(yield func(lifecycle.Request, error) bool) {
		q := q
		for {
			page, err := children(ctx, repo, &q)
			if err != nil {
				yield(lifecycle.Request{}, err)
				return
			}
			if len(page) == 0 {
				return
			}
			for _, r := range page {
				if !yield(r, nil) {
					return
				}
			}
		}
	}
}

// children reads the next page of q and moves q behind it. It does not trust
// the store: a page that is too long, out of order or not what was asked for is an
// error, and so every loop over pages ends.
func children(ctx context.Context, repo Repository, q *ChildQuery) ([]lifecycle.Request, error) {
	page, err := repo.Children(ctx, *q)
	if err != nil {
		return nil, err
	}
	if len(page) > q.Limit {
		return nil, fmt.Errorf("cancel: Children returned %d requests, the limit is %d", len(page), q.Limit)
	}
	for _, r := range page {
		at := Cursor{r.Parent, r.ID}
		if at.Compare(q.After) <= 0 {
			return nil, fmt.Errorf("cancel: Children returned request %d of parent %d out of order", r.ID, r.Parent)
		}
		if _, ok := slices.BinarySearch(q.Parents, r.Parent); !ok || r.State.Valid() && !q.States.Has(r.State) {
			return nil, fmt.Errorf("cancel: Children returned request %d of parent %d in state %v, which was not asked for", r.ID, r.Parent, r.State)
		}
		q.After = at
	}
	return page, nil
}
