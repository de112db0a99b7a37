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

// A ChildCanceller is a Repository that can cancel a page of children in one
// call, which a database does in one statement.
//
// [New] looks for this capability; without it, or where it declines, a cascade
// reads a page with Children and writes it with Apply. A Repository that wraps
// another should forward it.
type ChildCanceller interface {
	Repository

	// CancelChildren considers the children that Children would return for
	// c.Query, whose States are [lifecycle.Live], and applies [Decisions] to each,
	// by its kind and state. It sets CheckedIn to c.Cause.Time in the children
	// that it moves to CANCELLING, and keeps c.Cause with every child that it
	// changes. Rows that cannot be read are left as they are.
	//
	// Each child is changed atomically; the page need not be. With an error the
	// page has what is known to have been done, or nothing; the rest of what
	// became of the children is not known then.
	//
	// An error matching errors.ErrUnsupported declines, and has changed nothing.
	CancelChildren(ctx context.Context, c ChildCancel) (ChildPage, error)
}

// A ChildCancel asks for a page of children to be cancelled.
type ChildCancel struct {
	Query ChildQuery
	Cause Cause
	// All asks for every child in [ChildPage.Changes].
	All bool
}

// A ChildPage says what became of a page of children.
type ChildPage struct {
	// Changes has, ordered by Parent and then by ID, one Change for every child
	// of the page that is now CANCELLING: the change that was made, or an
	// unchanged Change (New equals Old) for a child that was CANCELLING before or
	// cannot be read. If [ChildCancel.All] is set it has the children that became
	// CANCELLED too.
	Changes []Change
	// Cancelled is how many children became CANCELLED that are not in Changes.
	Cancelled int
	// Last is where the next page begins. It matters only if More is set.
	Last Cursor
	// More says that there may be more children after Last.
	More bool
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
