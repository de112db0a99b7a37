package cancel

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"example.com/ess/lifecycle"
)

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

// ListCancelling returns the requests in repo that are CANCELLING, such as those
// whose work may never answer: see [lifecycle.Request.CheckedIn] and
// [Canceller.Force].
//
// It uses [CancellingLister] if repo has it. Where that declines or fails, it walks
// the live requests from those without a parent downwards, and then gives no
// causes.
//
// An error belongs to the request that it comes with, such as one that the store cannot
// read (see [Repository]). With a zero CancellingRequest it says that something could
// not be read. The sequence goes on after an error, with what can be read. The caller
// may stop at any time, and may change requests meanwhile; one that becomes CANCELLING
// meanwhile may or may not be returned.
func ListCancelling(ctx context.Context, repo Repository) iter.Seq2[CancellingRequest, error] {
	return listCancelling(ctx, repo, defaultPageSize)
}

func listCancelling(ctx context.Context, repo Repository, pageSize int) iter.Seq2[CancellingRequest, error] {
	return func(yield func(CancellingRequest, error) bool) {
		var after lifecycle.ID // all up to here have been yielded
		if lister, ok := repo.(CancellingLister); ok {
			var err error
			if after, err = pagesOfLister(ctx, lister, pageSize, yield); err == nil {
				return
			}
			if !errors.Is(err, errors.ErrUnsupported) && (!yield(CancellingRequest{}, err) || ctx.Err() != nil) {
				return
			}
		}
		if err := walkCancelling(ctx, repo, pageSize, after, yield); err != nil {
			yield(CancellingRequest{}, err)
		}
	}
}

// pagesOfLister returns an error if the lister fails, and after which request. It returns
// nil if there are no more, or if yield wants none.
func pagesOfLister(ctx context.Context, lister CancellingLister, pageSize int, yield func(CancellingRequest, error) bool) (after lifecycle.ID, err error) {
	for {
		page, err := lister.ListCancelling(ctx, after, pageSize)
		if err != nil || len(page) == 0 {
			return after, err
		}
		for _, u := range page {
			if u.Request.ID <= after {
				return after, fmt.Errorf("cancel: ListCancelling returned request %d out of order", u.Request.ID)
			}
			after = u.Request.ID
			err := u.Request.Validate()
			if err == nil && u.Request.State != lifecycle.StateCancelling {
				err = fmt.Errorf("cancel: ListCancelling returned request %d in state %v", after, u.Request.State)
			}
			if !yield(u, err) {
				return after, nil
			}
		}
	}
}

// walkCancelling goes down level by level. It need not look below what is
// terminal: a parent ends after its children. It passes over the ids up to after.
func walkCancelling(ctx context.Context, repo Repository, pageSize int, after lifecycle.ID, yield func(CancellingRequest, error) bool) error {
	seen := visits{}
	store := newStoreErrors(pageSize)
	for level := []lifecycle.ID{0}; len(level) > 0; {
		var next []lifecycle.ID
		for parents := range slices.Chunk(level, pageSize) {
			q := ChildQuery{Parents: parents, States: lifecycle.Live, Limit: pageSize}
			err := eachPage(ctx, &store, q, func(q *ChildQuery) (more bool, err error) {
				page, err := children(ctx, repo, q)
				for _, r := range page {
					err := r.Validate()
					if (err != nil || r.State == lifecycle.StateCancelling && r.ID > after) && !yield(CancellingRequest{Request: r}, err) {
						return false, errEnough
					}
					// There may be children below one that cannot be read.
					if (r.Kind.HasChildren() || !r.Kind.Valid()) && r.ID > 0 && seen.visit(r.ID) {
						next = append(next, r.ID)
					}
				}
				return len(page) > 0, err
			}, func(parent lifecycle.ID, err error) error {
				if !yield(CancellingRequest{}, unreadBelow(parent, err)) {
					return errEnough
				}
				return nil
			})
			if err == errEnough { //nolint:errorlint // never wrapped
				return nil
			}
			if err != nil {
				return err
			}
		}
		slices.Sort(next)
		level = next
	}
	return nil
}
