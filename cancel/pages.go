package cancel

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"example.com/ess/lifecycle"
)

const defaultPageSize = 1000

// Children returns all requests that q asks for, reading them page by page: q.Limit is
// how many are read at once, and zero means 1000.
//
// An error belongs to the request that it comes with, such as one that the store cannot
// read (see [Repository]). With a zero Request it says that children of a parent, or of
// all, could not be read. The sequence goes on after an error, with what can be read.
// The caller may stop at any time, and may change requests meanwhile: nothing stays
// open. Each range over the sequence begins anew.
func Children(ctx context.Context, repo Repository, q ChildQuery) iter.Seq2[lifecycle.Request, error] {
	if q.Limit == 0 {
		q.Limit = defaultPageSize
	}
	return func(yield func(lifecycle.Request, error) bool) {
		store := newStoreErrors(q.Limit)
		err := eachPage(ctx, &store, q, func(q *ChildQuery) (more bool, err error) {
			page, err := children(ctx, repo, q)
			for _, r := range page {
				if !yield(r, r.Validate()) {
					return false, errEnough
				}
			}
			return len(page) > 0, err
		}, func(parent lifecycle.ID, err error) error {
			if !yield(lifecycle.Request{}, unreadBelow(parent, err)) {
				return errEnough
			}
			return nil
		})
		if err != nil && err != errEnough { //nolint:errorlint // never wrapped
			yield(lifecycle.Request{}, err)
		}
	}
}

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
