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
	// An error matching errors.ErrUnsupported declines.
	ListCancelling(ctx context.Context, after lifecycle.ID, limit int) ([]CancellingRequest, error)
}

// An CancellingRequest is a request that is CANCELLING.
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

	// Cause returns the Cause of the first change that Apply or CancelChildren
	// made to the request, the zero Cause if there was none, or an error matching
	// [ErrNotFound].
	//
	// An error matching errors.ErrUnsupported declines.
	Cause(ctx context.Context, id lifecycle.ID) (Cause, error)
}

// ListCancelling returns the requests in repo that are CANCELLING, such as those
// whose work may never answer: see [lifecycle.Request.CheckedIn] and
// [Canceller.Force].
//
// It uses [CancellingLister] if repo has it and otherwise walks the live requests
// from those without a parent downwards, and then gives no causes. An error is
// yielded once, with a zero CancellingRequest, and ends the sequence. The caller may stop at
// any time, and may change requests meanwhile; one that becomes CANCELLING meanwhile
// may or may not be returned.
func ListCancelling(ctx context.Context, repo Repository) iter.Seq2[CancellingRequest, error] {
	return cancelling(ctx, repo, defaultPageSize)
}

func cancelling(ctx context.Context, repo Repository, pageSize int) iter.Seq2[CancellingRequest, error] {
	return func(yield func(CancellingRequest, error) bool) {
		if lister, ok := repo.(CancellingLister); ok {
			if err := listCancelling(ctx, lister, pageSize, yield); !errors.Is(err, errors.ErrUnsupported) {
				if err != nil {
					yield(CancellingRequest{}, err)
				}
				return
			}
		}
		if err := walkCancelling(ctx, repo, pageSize, yield); err != nil {
			yield(CancellingRequest{}, err)
		}
	}
}

func listCancelling(ctx context.Context, lister CancellingLister, pageSize int, yield func(CancellingRequest, error) bool) error {
	var after lifecycle.ID
	for {
		page, err := lister.ListCancelling(ctx, after, pageSize)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, u := range page {
			if u.Request.ID <= after {
				return fmt.Errorf("cancel: ListCancelling returned request %d out of order", u.Request.ID)
			}
			if after = u.Request.ID; !yield(u, nil) {
				return nil
			}
		}
	}
}

// walkCancelling goes down level by level. It need not look below what is
// terminal: a parent ends after its children.
func walkCancelling(ctx context.Context, repo Repository, pageSize int, yield func(CancellingRequest, error) bool) error {
	seen := map[lifecycle.ID]bool{}
	for level := []lifecycle.ID{0}; len(level) > 0; {
		var next []lifecycle.ID
		for parents := range slices.Chunk(level, pageSize) {
			q := ChildQuery{Parents: parents, States: lifecycle.Live, Limit: pageSize}
			for r, err := range Children(ctx, repo, q) {
				if err != nil {
					return err
				}
				if r.State == lifecycle.StateCancelling && !yield(CancellingRequest{Request: r}, nil) {
					return nil
				}
				if r.Kind.HasChildren() && !seen[r.ID] {
					seen[r.ID] = true
					next = append(next, r.ID)
				}
			}
		}
		slices.Sort(next)
		level = next
	}
	return nil
}
