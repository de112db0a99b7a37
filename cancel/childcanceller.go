package cancel

import (
	"context"
	"iter"
	"time"

	"example.com/ess/lifecycle"
)

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

// A Decision is what a cancel makes of a request, by its kind and state.
type Decision struct {
	Kind  lifecycle.Kind
	From  lifecycle.State
	State lifecycle.State // CANCELLED or CANCELLING
	// Outcome is CANCELLED for a request that becomes CANCELLING and has no work
	// to wait for, and 0 otherwise.
	Outcome lifecycle.State
}

// Decisions returns what a cancel makes of a request of each kind in each live
// state but CANCELLING, which it leaves as it is. Stores that decide by
// themselves read their rules from here.
func Decisions() iter.Seq[Decision] {
	return func(yield func(Decision) bool) {
		for k := range lifecycle.Kinds() {
			for s := range (lifecycle.Live &^ lifecycle.SetOf(lifecycle.StateCancelling)).All() {
				d, ok := decide(k, s)
				if ok && !yield(d) {
					return
				}
			}
		}
	}
}

// decide asks the rules what a cancel makes of a request of kind k in state s.
func decide(k lifecycle.Kind, s lifecycle.State) (Decision, bool) {
	to, ok := lifecycle.Next(k, s, lifecycle.TriggerCancel)
	d := Decision{Kind: k, From: s, State: to}
	if to == lifecycle.StateCancelling && !lifecycle.Executes(k, s) {
		d.Outcome = lifecycle.StateCancelled
	}
	return d, ok
}

// cancelChange returns the change that cancels r. It reports false if r needs
// none, because it is CANCELLING, or permits none.
func cancelChange(r lifecycle.Request, cause Cause) (Change, bool) {
	d, ok := decide(r.Kind, r.State)
	if !ok || d.State == r.State {
		return Change{}, false
	}
	return change(r, lifecycle.TriggerCancel, d.State, d.Outcome, cause), true
}

// change returns the change of r to the given state and outcome. It starts the
// clock of Force if r enters CANCELLING, and counts attempts.
func change(r lifecycle.Request, t lifecycle.Trigger, state, outcome lifecycle.State, cause Cause) Change {
	ch := Change{Old: r, Trigger: t, State: state, Outcome: outcome, CheckedIn: r.CheckedIn, Attempt: r.Attempt, Cause: cause}
	if state == lifecycle.StateCancelling && r.State != state {
		ch.CheckedIn = cause.Time
	}
	if r.Kind.RunsWork() && (t == lifecycle.TriggerStart || t == lifecycle.TriggerResume) {
		ch.Attempt++
	}
	return ch
}

// timeOf returns t as this package writes it: every store can keep microseconds.
func timeOf(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
