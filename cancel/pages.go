package cancel

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"example.com/ess/lifecycle"
)

// defaultPageSize is that of Options, and of the functions that have no Options.
const defaultPageSize = 1000

// errEnough is returned by a function that eachPage calls, to end it early. It is never
// wrapped.
var errEnough = errors.New("enough")

// unreadBelow returns the error about a parent whose children could not be read.
func unreadBelow(parent lifecycle.ID, err error) error {
	return fmt.Errorf("cancel: what is below request %d could not be read: %w", parent, err)
}

// eachPage calls page until that reports that no more children follow. Each call of page
// deals with the next page of the children that q asks for, and moves q behind them.
//
// If page fails, it is called again for half of the parents, and then for the others. If
// it fails for a single parent, eachPage calls failed with this parent.
//
// eachPage returns an error of failed, errEnough if page returns it, or the last error of
// page if ctx is done or the store has failed too often in a row.
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

// children reads the next page of q and moves q behind it. Unreadable rows are in the
// page. It does not trust the store: a page that is too long, out of order or not what
// was asked for is an error. So every loop over pages ends.
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
