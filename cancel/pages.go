package cancel

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"example.com/ess/lifecycle"
)

const defaultPageSize = 1000

// errEnough ends eachPage early. It is never wrapped.
var errEnough = errors.New("enough")

func unreadBelow(parent lifecycle.ID, err error) error {
	return fmt.Errorf("cancel: what is below request %d could not be read: %w", parent, err)
}

// eachPage calls page until it reports that there is no more. Each call does the next
// page of children that q asks for and moves q behind it. Where it fails it is called
// again for fewer parents; a parent for which it fails alone goes to failed. eachPage
// returns what failed returns, errEnough of page, or the last error if ctx is done
// or the store has failed too often in a row.
func eachPage(ctx context.Context, store *storeErrors, q ChildQuery, page func(q *ChildQuery) (more bool, err error), failed func(parent lifecycle.ID, err error) error) error {
	for todo := []ChildQuery{q}; len(todo) > 0; {
		q := &todo[len(todo)-1]
		more, err := page(q)
		if err == errEnough { //nolint:errorlint // never wrapped
			return err
		}
		store.note(err)
		first, _ := slices.BinarySearch(q.Parents, q.After.Parent)
		parents := q.Parents[first:]
		switch {
		case err == nil && more:
		case err == nil, len(parents) == 0:
			todo = todo[:len(todo)-1]
		case store.giveUp(ctx):
			return err
		case len(parents) == 1:
			todo = todo[:len(todo)-1]
			if err := failed(parents[0], err); err != nil {
				return err
			}
		default:
			half := len(parents) / 2
			rest := *q
			rest.Parents, rest.After = parents[half:], Cursor{}
			q.Parents = parents[:half]
			todo = append(todo[:len(todo)-1], rest, *q)
		}
	}
	return nil
}

// children reads the next page of q and moves q behind it. It does not trust
// the store: a page that is too long, out of order or not what was asked for is an
// error, and so every loop over pages ends. Requests that cannot be read are in it.
func children(ctx context.Context, repo Repository, q *ChildQuery) ([]lifecycle.Request, error) {
	page, err := repo.Children(ctx, *q)
	if err != nil {
		return nil, err
	}
	if len(page) > q.Limit {
		return nil, fmt.Errorf("cancel: Children returned %d requests, the limit is %d", len(page), q.Limit)
	}
	after := q.After
	for _, r := range page {
		at := Cursor{r.Parent, r.ID}
		if at.Compare(after) <= 0 {
			return nil, fmt.Errorf("cancel: Children returned request %d of parent %d out of order", r.ID, r.Parent)
		}
		if _, ok := slices.BinarySearch(q.Parents, r.Parent); !ok || r.State.Valid() && !q.States.Has(r.State) {
			return nil, fmt.Errorf("cancel: Children returned request %d of parent %d in state %v, which was not asked for", r.ID, r.Parent, r.State)
		}
		after = at
	}
	q.After = after
	return page, nil
}
