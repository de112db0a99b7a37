package cancel

import (
	"iter"
	"time"

	"example.com/ess/lifecycle"
)

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

// settleChange returns the change that ends r, which is due.
func settleChange(r lifecycle.Request, cause Cause) Change {
	t := answerTrigger(due(r))
	if t == lifecycle.TriggerAcknowledge && r.Kind.HasChildren() {
		t = lifecycle.TriggerSettle
	}
	return change(r, t, due(r), 0, cause)
}

// Who settles a request that is CANCELLING? It may end once its own work has
// answered (Outcome is set) and no child of it is live. Whoever brings about the
// last of these looks whether the other holds:
//
//   - who ends a child looks at the parent after that write;
//   - who records the answer of the request's own work looks for live children
//     after that write;
//   - who makes the request CANCELLING looks for live children after that write,
//     and where it finds none, whether the work has answered meanwhile: a child may
//     have ended by itself, and nobody looks then.
//
// Of two that come last at the same time, at least one sees what the other
// wrote, so that the request never waits for nobody; both may try, and
// compare-and-set lets one win.

// due returns the state in which r, which is CANCELLING, ends as soon as no child of
// it is live, or 0 if its own work has to answer first. A container needs no
// outcome: it always settles to CANCELLED.
func due(r lifecycle.Request) lifecycle.State {
	if r.Outcome == 0 && !r.Kind.RunsWork() {
		return lifecycle.StateCancelled
	}
	return r.Outcome
}

// unanswered reports whether r is CANCELLING and its own work has not answered.
func unanswered(r lifecycle.Request) bool {
	return r.State == lifecycle.StateCancelling && r.Kind.RunsWork() && r.Outcome == 0
}

// answerTrigger returns the trigger by which work answers with outcome.
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

func permitted(r lifecycle.Request, t lifecycle.Trigger) bool {
	_, ok := lifecycle.Next(r.Kind, r.State, t)
	return ok
}

// checkInChange returns the change that starts the grace of r anew.
func checkInChange(r lifecycle.Request, cause Cause) Change {
	ch := change(r, 0, r.State, r.Outcome, cause)
	ch.CheckedIn = cause.Time
	return ch
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
