package cancel

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"example.com/ess/lifecycle"
)

// A CancellingLister is a Repository that can find the requests which are
// CANCELLING without walking all trees. [Canceller.Resume] uses it through
// [ListCancelling]. A Repository that wraps another should forward it.
type CancellingLister interface {
	Repository

	// ListCancelling returns, ordered by ID, requests in CANCELLING whose ID is
	// greater than after, and at most limit of them, each with what
	// [CauseReader.Cause] says of it. Only an empty page says that there are
	// none left.
	//
	// A row in CANCELLING whose kind or outcome cannot be read is among them, with
	// State 0.
	//
	// An error matching errors.ErrUnsupported declines.
	ListCancelling(ctx context.Context, after lifecycle.ID, limit int) ([]CancellingRequest, error)
}

// A CancellingRequest is a request that is CANCELLING.
type CancellingRequest struct {
	Request lifecycle.Request
	// Cause says who cancelled it and why. It is zero if the store cannot tell.
	Cause Cause
}

// A CauseReader is a Repository that can tell why a request was cancelled.
// [Canceller.CheckIn] tells the work of the request, and [Canceller.Resume]
// hands the cause on to the children that it still has to cancel. A Repository
// that wraps another should forward it.
type CauseReader interface {
	Repository

	// Cause returns the Cause of the first change with [lifecycle.TriggerCancel]
	// that Apply or CancelChildren made to the request, the zero Cause if there was
	// none, or an error matching [ErrNotFound].
	//
	// An error matching errors.ErrUnsupported declines.
	Cause(ctx context.Context, id lifecycle.ID) (Cause, error)
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
