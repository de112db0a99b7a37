package cancel

import (
	"context"
	"time"

	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// ErrNotFound is the error that [Repository.Get] returns, or wraps, when there is
// no request of the given id. It is [esserrors.CodeNotFound]; a Repository may
// return either.
const ErrNotFound = esserrors.CodeNotFound

// A Repository is the store of the requests. The caller of this package
// implements it over what it has; package canceltest checks an implementation,
// and package memrepo is one.
//
// All that is asked of the store is a compare-and-set on single requests and
// reads that see every write which finished before they began. A replica that
// lags will not do: that a parent is settled rests on such reads.
//
// All methods may be called concurrently. They return early, with an error
// matching ctx.Err(), when ctx is done. Slices they return belong to the caller;
// slices they are given must not be changed, nor kept after the return.
//
// # What may happen to a row
//
// The ID, Parent and Kind of a request never change. A request may be deleted as soon
// as it is terminal, at any moment, also while something above it is being cancelled:
// a request that is gone has ended. A live request must not be deleted, or what is
// below it cannot be found any more.
//
// A row that the store cannot read, because its kind, state or outcome is NULL or a
// text that this version of the module does not know, is returned all the same, with
// its ID and Parent and with State 0. This package reports it by its id, takes it
// to be live, and goes on with the others. So two versions of the module may work on
// one store during an upgrade.
//
// # Growth
//
// Methods will never be added to this interface. A store that can do more says so
// by implementing [ChildCanceller], [ParentEnder], [CancellingLister] or
// [CauseReader] as well.
type Repository interface {
	// Get returns the request, or an error matching [ErrNotFound].
	Get(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error)

	// Children returns the requests whose Parent is in q.Parents and whose State
	// is in q.States, ordered by Parent and then by ID, beginning after q.After,
	// and at most q.Limit of them. Rows that cannot be read belong to every
	// q.States.
	//
	// It may return fewer than q.Limit though there are more. Only an empty page
	// says that there are none left. Nothing stays open between calls.
	//
	// A request that is there, and in q.States, during the whole of a series of
	// calls is returned once in it; one that comes, goes or changes meanwhile may
	// or may not be.
	Children(ctx context.Context, q ChildQuery) ([]lifecycle.Request, error)

	// Apply makes each change whose request is still as change.Old says, and
	// reports in made[i] whether changes[i] was made. A request that is not as Old
	// says any more, or that is gone, is left alone: that is no error. Nor is it to
	// make no changes at all.
	//
	// Each change is atomic; the batch need not be. No request occurs twice in
	// it. After an error nothing is known about any of the changes: some may
	// have been made.
	Apply(ctx context.Context, changes []Change) (made []bool, err error)
}

// A ChildQuery asks for children of some parents.
type ChildQuery struct {
	// Parents are the parents in ascending order, each once. There is at least
	// one. Parent 0 stands for the requests that have no parent.
	Parents []lifecycle.ID
	// States are the states wanted. There is at least one.
	States lifecycle.StateSet
	// After is where the page begins: behind this position. The zero Cursor
	// is the very beginning.
	After Cursor
	// Limit is how many requests the page may have. It is positive.
	Limit int
}

// A Cursor is a position among children ordered by Parent and then by ID.
// There need not be a request at it.
type Cursor struct {
	Parent, ID lifecycle.ID
}

// Compare returns a negative number if c comes before d, a positive one if it
// comes behind d, and 0 if they are the same.
func (c Cursor) Compare(d Cursor) int {
	switch {
	case c.Parent < d.Parent, c.Parent == d.Parent && c.ID < d.ID:
		return -1
	case c == d:
		return 0
	default:
		return 1
	}
}

// A Change is one write to one request.
type Change struct {
	// Old is the request as it was read. The stored one counts as unchanged if its
	// State, Outcome, CheckedIn and, in a store that keeps it, Attempt are equal.
	// A store that keeps versions may compare Old.Version instead, but only where
	// that is not empty: it is empty when this package knows the request from
	// having written it.
	Old lifecycle.Request
	// Trigger names the transition. It is 0 where the state stays and only
	// CheckedIn changes.
	Trigger lifecycle.Trigger
	// State, Outcome, CheckedIn and Attempt are what to write. A store that does
	// not keep attempts passes over Attempt.
	State     lifecycle.State
	Outcome   lifecycle.State
	CheckedIn time.Time
	Attempt   int
	// Cause says why. A store that keeps one Cause for a request keeps that of the
	// first change whose Trigger is [lifecycle.TriggerCancel]; one with an audit
	// trail keeps all.
	Cause Cause
}

// New returns the request as it is after the change. Its Version is empty.
func (ch Change) New() lifecycle.Request {
	r := ch.Old
	r.State, r.Outcome, r.CheckedIn, r.Attempt, r.Version = ch.State, ch.Outcome, ch.CheckedIn, ch.Attempt, ""
	return r
}

// A Cause says why a request was changed.
type Cause struct {
	// Root is the request that the operation was asked for. In a cascade it is
	// the one that was cancelled, not the one that was changed.
	Root lifecycle.ID `json:"root"`
	// Actor is who asked, as [MaxActor] says.
	Actor string `json:"actor,omitzero"`
	// Reason is why, as [MaxReason] says.
	Reason string `json:"reason,omitzero"`
	// Time is when the change was made, in UTC and whole microseconds.
	Time time.Time `json:"time,omitzero"`
}
