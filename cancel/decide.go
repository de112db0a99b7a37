package cancel

import (
	"iter"
	"time"

	"example.com/ess/lifecycle"
)

// This file has what can be decided about one request without the store.

// A Decision says what a cancel does to a request of one kind in one state.
type Decision struct {
	Kind lifecycle.Kind
	// From is the state in which the cancel finds the request.
	From lifecycle.State
	// State is the state that the cancel writes: CANCELLED or CANCELLING.
	State lifecycle.State
	// Outcome is the outcome that the cancel writes: CANCELLED if the request
	// becomes CANCELLING and has no work to wait for, and 0 otherwise.
	Outcome lifecycle.State
}

// Decisions returns what a cancel does to a request of each kind in each live state
// but CANCELLING, which it leaves as it is. The states are those of the rules of
// package lifecycle. A store with a capability that cancels makes its statement from
// these.
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

// decide returns what a cancel does to a request of kind k in state s, by the rules. It
// reports false if no rule permits the cancel.
func decide(k lifecycle.Kind, s lifecycle.State) (Decision, bool) {
	to, ok := lifecycle.Next(k, s, lifecycle.TriggerCancel)
	d := Decision{Kind: k, From: s, State: to}
	if to == lifecycle.StateCancelling && !lifecycle.Executes(k, s) {
		d.Outcome = lifecycle.StateCancelled
	}
	return d, ok
}

// cancelChange returns the change that cancels r. It reports false if there is none,
// because r is CANCELLING already or no rule permits the cancel.
func cancelChange(r lifecycle.Request, cause Cause) (Change, bool) {
	d, ok := decide(r.Kind, r.State)
	if !ok || d.State == r.State {
		return Change{}, false
	}
	return change(r, lifecycle.TriggerCancel, d.State, d.Outcome, cause), true
}

// SettleChange returns the change that ends r, which is CANCELLING, once no child of it
// is live. It reports false if r is not CANCELLING, or not due because its own work has
// to acknowledge first.
//
// A container is always due and ends as CANCELLED, whatever its children ended as
// (decision). Any other request ends as its Outcome says.
func SettleChange(r lifecycle.Request, cause Cause) (Change, bool) {
	if r.State != lifecycle.StateCancelling || due(r) == 0 {
		return Change{}, false
	}
	return settleChange(r, cause), true
}

// settleChange returns the change that ends r, which is due.
func settleChange(r lifecycle.Request, cause Cause) Change {
	t := answerTrigger(due(r))
	if t == lifecycle.TriggerAcknowledge && r.Kind.HasChildren() {
		t = lifecycle.TriggerSettle
	}
	return change(r, t, due(r), 0, cause)
}

// due returns the state in which r, which is CANCELLING, ends as soon as no child of it
// is live, or 0 if its own work has to acknowledge first. A container needs no outcome:
// it always ends as CANCELLED.
func due(r lifecycle.Request) lifecycle.State {
	if r.Outcome == 0 && !r.Kind.RunsWork() {
		return lifecycle.StateCancelled
	}
	return r.Outcome
}

// unanswered reports whether r is CANCELLING and waits for its own work to acknowledge.
func unanswered(r lifecycle.Request) bool {
	return r.State == lifecycle.StateCancelling && r.Kind.RunsWork() && r.Outcome == 0
}

// answerTrigger returns the trigger by which work acknowledges that it has ended as
// outcome says.
func answerTrigger(outcome lifecycle.State) lifecycle.Trigger {
	switch outcome {
	case lifecycle.StateSucceeded:
		return lifecycle.TriggerSucceed
	case lifecycle.StateWarning:
		return lifecycle.TriggerWarn
	case lifecycle.StateError:
		return lifecycle.TriggerFail
	default:
		return lifecycle.TriggerAcknowledge
	}
}

// permitted reports whether a rule permits t to r.
func permitted(r lifecycle.Request, t lifecycle.Trigger) bool {
	_, ok := lifecycle.Next(r.Kind, r.State, t)
	return ok
}

// checkInChange returns the change that starts the grace of Force anew for r.
func checkInChange(r lifecycle.Request, cause Cause) Change {
	ch := change(r, 0, r.State, r.Outcome, cause)
	ch.CheckedIn = cause.Time
	return ch
}

// change returns the change of r to the given state and outcome. It starts the grace of
// Force if r enters CANCELLING, and counts the attempt if t begins one.
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

// timeOf returns t as this package writes it, in UTC and whole microseconds, which every
// store can keep.
func timeOf(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
