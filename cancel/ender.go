package cancel

import "context"

// A ParentEnder is a Repository that can end a parent and make sure, in the same
// atomic step, that no child of it is live.
//
// [Canceller.Transition] needs it to end a parent in a state that admits children, as
// when it fails while it is RUNNING: between a look for live children and the write
// a child could be submitted, and would be left live below a parent that has ended.
// A store that lacks it ends parents by way of COMPLETED, which admits no child. A
// Repository that wraps another should forward it.
type ParentEnder interface {
	Repository

	// EndParent makes ch, which ends a request that can have children, if the request
	// is still as ch.Old says and no child of it is live. It reports whether it has.
	// No child may be admitted between the look and the write: see
	// [lifecycle.Admit].
	//
	// An error matching errors.ErrUnsupported declines, and has changed nothing.
	EndParent(ctx context.Context, ch Change) (made bool, err error)
}
