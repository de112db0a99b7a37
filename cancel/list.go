package cancel

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"example.com/ess/lifecycle"
)

// Children returns all requests that q asks for. It reads them page by page; q.Limit is
// the size of a page, and zero means 1000.
//
// An error that comes with a request is about this request, for example an unreadable row
// (see [Repository]). An error that comes with the zero Request says that the children of
// one parent, or all that would follow, could not be read. After an error the sequence
// goes on with what can be read.
//
// The caller may stop at any time, and may change requests meanwhile. Each range over the
// sequence begins anew.
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

// ListCancelling returns the requests in repo that are CANCELLING, and the unreadable rows
// that it comes upon. Requests whose work may be gone are among them: see
// [Canceller.Overdue].
//
// If repo is a [CancellingLister], that finds the requests. Where it declines or fails,
// and without it, ListCancelling walks the live requests, from those without a parent
// downwards; it then gives no causes.
//
// An error that comes with a request is about this request, for example an unreadable row
// (see [Repository]). An error that comes with the zero CancellingRequest says that
// something could not be read. After an error the sequence goes on with what can be read.
//
// The caller may stop at any time, and may change requests meanwhile. A request that
// becomes CANCELLING meanwhile may be returned or not.
func ListCancelling(ctx context.Context, repo Repository) iter.Seq2[CancellingRequest, error] {
	return listCancelling(ctx, repo, defaultPageSize)
}

// listCancelling is ListCancelling with pages of a given size.
func listCancelling(ctx context.Context, repo Repository, pageSize int) iter.Seq2[CancellingRequest, error] {
	return func(yield func(CancellingRequest, error) bool) {
		var after lifecycle.ID // all ids up to here have been yielded
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

// pagesOfLister yields what the lister returns. It returns the id of the last request that
// was yielded and, if the lister declined or failed then, its error. The error is nil if
// there are no more requests, or if yield wants no more.
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

// walkCancelling yields the requests that are CANCELLING and whose ids are greater than
// after. It walks all trees, level by level. It need not look below requests that have
// ended, because a parent ends after its children. It returns an error if it had to stop.
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
					// An unreadable row may be a parent.
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
