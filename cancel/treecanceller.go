package cancel

import (
	"context"

	"example.com/ess/lifecycle"
)

// A TreeCanceller is a Repository that can cancel what is below some requests in one
// call, several levels deep: a database walks the tree itself, and most trees are so
// small that one call does all of it.
//
// [New] looks for this capability before it looks for [ChildCanceller]. Where it
// declines or fails, and for children that are submitted meanwhile, a cascade goes down
// level by level. A Repository that wraps another should forward it.
type TreeCanceller interface {
	Repository

	// CancelTree goes down from c.From, level by level, and does with every live
	// child what [ChildCanceller.CancelChildren] does. Below a child that is
	// CANCELLING after that, or was before, and can have children, it goes on. It
	// considers at most c.Limit children.
	//
	// Each child is changed atomically, and a parent before its children; all of them
	// together need not be. With an error the page has what is known to have been
	// done, or nothing; the rest of what became of the children is not known then.
	//
	// An error matching errors.ErrUnsupported declines, and has changed nothing.
	CancelTree(ctx context.Context, c TreeCancel) (TreePage, error)
}

// A TreeCancel asks for what is below some requests to be cancelled.
type TreeCancel struct {
	// From are where to begin: below each Parent, behind the child ID, which is 0
	// for the first. The Parents are CANCELLING, and each is there once.
	From []Cursor
	// Limit is how many children may be considered. It is positive.
	Limit int
	Cause Cause
	// All asks for every child in [TreePage.Changes].
	All bool
}

// A TreePage says what became of the children that a call of CancelTree considered.
type TreePage struct {
	// Changes are as in [ChildPage]. They come in any order in which a parent is
	// before its children.
	Changes []Change
	// Cancelled is how many children became CANCELLED that are not in Changes.
	Cancelled int
	// Rest is where there may be more: below Parents of From or of Changes, behind
	// the child ID, each Parent once. Where nothing is left it is empty.
	Rest []Cursor
}

// A Settler is a Repository that can end, in one call, requests that wait for nothing
// any more. Without it, or where it declines or fails, they are ended level by level.
// A Repository that wraps another should forward it.
type Settler interface {
	Repository

	// Settle makes the change that [SettleChange] returns to each of the requests
	// that are CANCELLING and due, and have no live child but such as this call
	// ends itself. It returns the changes that it has made, children before
	// their parents. It looks at the children after it was called, and for each
	// request it tests in the write that its State and Outcome are those that it
	// decided on.
	//
	// Each request is changed atomically; all together need not be, as long as a
	// child is changed before its parent. With an error the changes are those that
	// are known to have been made.
	//
	// An error matching errors.ErrUnsupported declines, and has changed nothing.
	Settle(ctx context.Context, s Settlement) ([]Change, error)
}

// A Settlement asks for requests to be ended.
type Settlement struct {
	IDs   []lifecycle.ID // each once; at least one
	Cause Cause
}

// SettleChange returns the change that ends r once no child of it is live. It reports
// false if r is not CANCELLING or not due: its own work has to answer first.
//
// A container is due always, and ends as CANCELLED. Any other request ends as its
// Outcome says.
func SettleChange(r lifecycle.Request, cause Cause) (Change, bool) {
	if r.State != lifecycle.StateCancelling || due(r) == 0 {
		return Change{}, false
	}
	return settleChange(r, cause), true
}
