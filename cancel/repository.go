package cancel

import (
	"context"
	"time"

	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// ErrNotFound is the error that [Repository.Get] returns or wraps if there is no
// request of the given id. It is the same error as [esserrors.CodeNotFound].
const ErrNotFound = esserrors.CodeNotFound

// A Repository is the store of the requests. The caller of this package
// implements it over what it has; package canceltest checks an implementation,
// and package memrepo is one.
//
// The store needs two properties. It can compare and set a single request. And a read
// sees every write that had finished when the read began: a parent is settled only
// because of such reads, so a replica that lags will not do.
//
// All methods may be called concurrently. They return early, with an error
// matching ctx.Err(), when ctx is done. Slices they return belong to the caller;
// slices they are given must not be changed, nor kept after the return.
//
// # What may happen to a row
//
// The ID, Parent and Kind of a request never change.
//
// A request may be deleted as soon as it is terminal, at any moment, also while one of
// its ancestors is being cancelled: this package takes a request that is gone to have
// ended. A live request must not be deleted, because what is below it could not be found
// any more.
//
// A row may be unreadable: its kind, state or outcome is NULL, or a text that this
// version of the module does not know. The store returns it all the same, with its ID
// and Parent and with State 0. This package reports it by its id, counts it as live, and
// goes on with the others. So two versions of the module can work on one store during an
// upgrade.
//
// # Growth
//
// Methods will never be added to this interface. A store that can do more has
// capabilities: [TreeCanceller], [ChildCanceller], [Settler], [ParentEnder],
// [CancellingLister] and [CauseReader].
type Repository interface {
	// Get returns the request, or an error matching [ErrNotFound].
	Get(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error)

	// Children returns the next page of the requests whose Parent is in q.Parents
	// and whose State is in q.States: those behind q.After, ordered by Parent and
	// then by ID, at most q.Limit of them. Unreadable rows are among them, whatever
	// q.States says.
	//
	// A page may be shorter than q.Limit though more requests follow. Only an empty
	// page says that there are none left. Nothing stays open between calls.
	//
	// A series of calls returns each request once that is there, and in q.States,
	// all the time. A request that comes, goes or changes meanwhile may be
	// returned or not.
	Children(ctx context.Context, q ChildQuery) ([]lifecycle.Request, error)

	// Apply makes each change whose request is still as change.Old says, and
	// reports in made[i] whether it made changes[i]. It leaves a request alone that
	// is not as Old says any more, or that is gone; that is no error. A batch
	// without changes is no error either.
	//
	// Each change is atomic; the batch need not be. No request occurs twice in
	// it. After an error, any of the changes may have been made or not.
	Apply(ctx context.Context, changes []Change) (made []bool, err error)
}

// A ChildQuery asks for children of some parents.
type ChildQuery struct {
	// Parents are the parents in ascending order, each once. There is at least
	// one. Parent 0 stands for the requests that have no parent.
	Parents []lifecycle.ID
	// States are the states wanted. There is at least one.
	States lifecycle.StateSet
	// After is the position behind which the page begins. Behind the zero Cursor
	// are all requests.
	After Cursor
	// Limit is how many requests the page may have at most. It is positive.
	Limit int
}

// A Cursor is a position among requests that are ordered by Parent and then by ID.
// There need not be a request at this position.
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
	// Old is the request as it was read. The stored request is still as Old says if
	// its State, Outcome and CheckedIn are equal and, in a store that keeps it, its
	// Attempt. A store that keeps versions may compare Old.Version instead, if that
	// is not empty. It is empty if this package has written the request and not
	// read it since.
	Old lifecycle.Request
	// Trigger names the transition. State stays as it is where the work of a parent
	// acknowledges or is forced, which changes Outcome, and in a check-in, which
	// changes only CheckedIn and has Trigger 0.
	Trigger lifecycle.Trigger
	// State, Outcome, CheckedIn and Attempt are what to write. A store that does
	// not keep attempts ignores Attempt.
	State     lifecycle.State
	Outcome   lifecycle.State
	CheckedIn time.Time
	Attempt   int
	// Cause says why. A store that keeps one Cause for each request keeps that of
	// the first change whose Trigger is [lifecycle.TriggerCancel]. A store with an
	// audit trail keeps all.
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
	// Actor is who asked. It has been cleaned as [MaxActor] says.
	Actor string `json:"actor,omitzero"`
	// Reason is why. It has been cleaned as [MaxReason] says.
	Reason string `json:"reason,omitzero"`
	// Time is when the change was made, in UTC and whole microseconds.
	Time time.Time `json:"time,omitzero"`
}
