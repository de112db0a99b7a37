package cancel

import (
	"context"

	"example.com/ess/lifecycle"
)

// A TreeCanceller is a Repository that can cancel what is below some requests in one
// call, several levels deep: a database can walk the tree itself, and most trees are so
// small that one call does all of it.
//
// Without this capability, where it declines or fails, and for children that are
// submitted meanwhile, a cascade goes down level by level. Where both are there, a
// TreeCanceller is used before a [ChildCanceller].
type TreeCanceller interface {
	Repository

	// CancelTree goes down from c.From, level by level, and does with every live
	// child what [ChildCanceller.CancelChildren] does. It goes on below each child
	// that can have children and is CANCELLING then, whether this call made it so
	// or not. It considers at most c.Limit children.
	//
	// It changes each child atomically, and a parent before its children; all of
	// them together need not be changed atomically. With an error, the page has the
	// changes that are known to have been made, or none. Other children may have
	// been changed too.
	//
	// An error matching errors.ErrUnsupported declines the call, and says that
	// nothing was changed.
	CancelTree(ctx context.Context, c TreeCancel) (TreePage, error)
}

// A TreeCancel asks for what is below some requests to be cancelled.
type TreeCancel struct {
	// From are the positions to begin at: the children of Parent whose ids are
	// greater than ID. Every Parent is CANCELLING, and is there once.
	From []Cursor
	// Limit is how many children may be considered. It is positive.
	Limit int
	// Cause is kept with every change.
	Cause Cause
	// All asks for a Change for every child. Otherwise those that became CANCELLED
	// need only be counted.
	All bool
}

// A TreePage says what became of the children that a call of CancelTree considered.
type TreePage struct {
	// Changes are those that [ChildPage.Changes] would have for these children.
	// They come in any order in which a parent is before its children.
	Changes []Change
	// Cancelled is how many children became CANCELLED that are not in Changes.
	Cancelled int
	// Rest are the positions to go on at: below each Parent, from From or Changes,
	// that may have more children, those whose ids are greater than ID. Every
	// Parent is there once. If nothing is left, Rest is empty.
	Rest []Cursor
}

// A ChildCanceller is a Repository that can cancel a page of children in one
// call, which a database does in one statement.
//
// Without this capability, and where it declines or fails, a cascade reads the page with
// Children and writes it with Apply.
type ChildCanceller interface {
	Repository

	// CancelChildren considers the children that Children would return for
	// c.Query, whose States are [lifecycle.Live], and applies [Decisions] to each,
	// by its kind and state. It sets CheckedIn to c.Cause.Time in the children
	// that it moves to CANCELLING, and keeps c.Cause with every child that it
	// changes. It leaves unreadable rows as they are.
	//
	// It changes each child atomically; the page need not be changed atomically.
	// With an error, the page has the changes that are known to have been made, or
	// none. Other children may have been changed too.
	//
	// An error matching errors.ErrUnsupported declines the call, and says that
	// nothing was changed.
	CancelChildren(ctx context.Context, c ChildCancel) (ChildPage, error)
}

// A ChildCancel asks for a page of children to be cancelled.
type ChildCancel struct {
	Query ChildQuery
	// Cause is kept with every change.
	Cause Cause
	// All asks for a Change for every child. Otherwise those that became CANCELLED
	// need only be counted.
	All bool
}

// A ChildPage says what became of a page of children.
type ChildPage struct {
	// Changes has, ordered by Parent and then by ID, one Change for every child of
	// the page that is now CANCELLING or is an unreadable row: the change that was
	// made, or an unchanged Change (New equals Old) if none was. If
	// [ChildCancel.All] is set, it also has the children that became CANCELLED.
	Changes []Change
	// Cancelled is how many children became CANCELLED that are not in Changes.
	Cancelled int
	// Last is the position behind which the next page begins. It matters only if
	// More is set.
	Last Cursor
	// More says that there may be more children behind Last.
	More bool
}

// A Settler is a Repository that can end, in one call, requests that wait for nothing
// any more. Without this capability, and where it declines or fails, they are ended
// level by level.
type Settler interface {
	Repository

	// Settle looks at each of the given requests. If the request is CANCELLING and
	// due, and has no live child, or only such as this call ends too, Settle makes
	// the change that [SettleChange] returns. It returns the changes that it has
	// made, children before their parents.
	//
	// It reads the children after the call has begun. With the write of a request it
	// tests, in one atomic step, that State and Outcome still are those on which it
	// decided. All changes together need not be atomic, as long as a child is
	// changed before its parent.
	//
	// With an error, Settle returns the changes that are known to have been made.
	// An error matching errors.ErrUnsupported declines the call, and says that
	// nothing was changed.
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
// [Canceller.Transition] needs it to end a parent in a state that admits children, for
// example one that fails while it is RUNNING. A child that was submitted between a look
// for live children and the write would be left live below a parent that has ended.
// Without this capability, and where it declines, Transition refuses to end a parent in
// such a state; a parent then ends by way of COMPLETED, which admits no child.
type ParentEnder interface {
	Repository

	// EndParent makes ch, which ends a request that can have children, if the
	// request still is as ch.Old says and no child of it is live. It reports
	// whether it has made ch. Between the look for live children and the write no
	// child may be admitted: see [lifecycle.Admit].
	//
	// An error matching errors.ErrUnsupported declines the call, and says that
	// nothing was changed.
	EndParent(ctx context.Context, ch Change) (made bool, err error)
}

// A CancellingLister is a Repository that can find the requests which are
// CANCELLING. [ListCancelling] uses it; without this capability, and where it declines
// or fails, that function walks all trees.
type CancellingLister interface {
	Repository

	// ListCancelling returns the next page of the requests that are CANCELLING:
	// those whose ID is greater than after, ordered by ID, at most limit of them,
	// each with what [CauseReader.Cause] says of it. Only an empty page says that
	// there are none left.
	//
	// A row whose state is CANCELLING, but whose kind or outcome cannot be read, is
	// among them, with State 0.
	//
	// An error matching errors.ErrUnsupported declines the call.
	ListCancelling(ctx context.Context, after lifecycle.ID, limit int) ([]CancellingRequest, error)
}

// A CancellingRequest is a request that is CANCELLING.
type CancellingRequest struct {
	Request lifecycle.Request
	// Cause says who cancelled the request and why. It is zero if the store cannot
	// tell.
	Cause Cause
}

// A CauseReader is a Repository that can tell why a request was cancelled.
// [Canceller.CheckIn], [Workers.Run] and [Workers.Poll] hand the cause to the work, and
// [Canceller.Resume] keeps it with the children that it still has to cancel. Without
// this capability, and where it declines, they do without.
type CauseReader interface {
	Repository

	// Cause returns the Cause of the first change of the request whose Trigger was
	// [lifecycle.TriggerCancel], whichever method made the change. It returns the
	// zero Cause if there was none, and an error matching [ErrNotFound] if the
	// request is gone.
	//
	// An error matching errors.ErrUnsupported declines the call.
	Cause(ctx context.Context, id lifecycle.ID) (Cause, error)
}
