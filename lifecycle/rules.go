package lifecycle

import (
	"fmt"
	"iter"

	esserrors "example.com/ess/errors"
)

// A Rule permits one transition to requests of some kinds.
type Rule struct {
	Kinds   KindSet `json:"kinds"`
	From    State   `json:"from"`
	Trigger Trigger `json:"trigger"`
	To      State   `json:"to"` // equal to From where a trigger is accepted and changes nothing
	Source  Source  `json:"source"`
}

const (
	all         = allKinds
	parentOnly  = KindSet(1 << KindParent)
	pausing     = KindSet(1 << KindSubrequestParent)
	withKids    = kindsWithChildren
	withOwnWork = kindsWithWork
)

// rules is the only place where a transition is declared.
var rules = [...]Rule{
	// Submission.
	{all, StatePendingValidation, TriggerValidate, StateWait, SourceDocumented},
	{all, StatePendingValidation, TriggerInvalidate, StateValidationFailed, SourceDocumented},

	// Waiting for its turn. Hold is documented for WAIT and READY only; release
	// is documented without its target.
	{all, StateWait, TriggerDispatch, StateReady, SourceDocumented},
	{all, StateWait, TriggerBlock, StateBlocked, SourceDecision},
	{all, StateWait, TriggerHold, StateHold, SourceDocumented},
	{all, StateWait, TriggerExpire, StateExpired, SourceDocumented},
	{all, StateReady, TriggerStart, StateRunning, SourceDocumented},
	{all, StateReady, TriggerBlock, StateBlocked, SourceDocumented},
	{all, StateReady, TriggerHold, StateHold, SourceDocumented},
	{all, StateReady, TriggerExpire, StateExpired, SourceDocumented},
	{all, StateBlocked, TriggerDispatch, StateReady, SourceDecision},
	{all, StateBlocked, TriggerExpire, StateExpired, SourceDocumented},
	{all, StateHold, TriggerRelease, StateWait, SourceDecision},
	{all, StateHold, TriggerExpire, StateExpired, SourceDocumented},

	// Processing. Post-processing ends in SUCCEEDED or WARNING, never in ERROR.
	{all, StateRunning, TriggerComplete, StateCompleted, SourceDocumented},
	{all, StateRunning, TriggerFail, StateError, SourceDocumented},
	{all, StateRunning, TriggerFailRetryable, StateErrorAutoRetry, SourceDocumented},
	{all, StateRunning, TriggerFailRecoverable, StateErrorManualRecovery, SourceDocumented},
	{all, StateCompleted, TriggerSucceed, StateSucceeded, SourceDocumented},
	{all, StateCompleted, TriggerWarn, StateWarning, SourceDocumented},

	// Children submitted by running work.
	{pausing, StateRunning, TriggerPause, StatePaused, SourceDocumented},
	{pausing, StatePaused, TriggerResume, StateRunning, SourceDocumented},

	// Another attempt, or none.
	{all, StateErrorAutoRetry, TriggerRetry, StateWait, SourceDecision},
	{all, StateErrorAutoRetry, TriggerFail, StateError, SourceDecision},
	{all, StateErrorManualRecovery, TriggerRecover, StateWait, SourceDecision},
	{all, StateErrorManualRecovery, TriggerSucceed, StateSucceeded, SourceDecision},
	{all, StateErrorManualRecovery, TriggerWarn, StateWarning, SourceDecision},
	{all, StateErrorManualRecovery, TriggerFail, StateError, SourceDecision},

	// Recurring parents.
	{parentOnly, StateWait, TriggerEndSchedule, StateScheduleEnded, SourceDocumented},
	{parentOnly, StateHold, TriggerEndSchedule, StateScheduleEnded, SourceDecision},
	{parentOnly, StateRunning, TriggerEndSchedule, StateScheduleEnded, SourceDecision},
	{parentOnly, StateScheduleEnded, TriggerFinish, StateFinished, SourceDocumented},

	// Cancel: a leaf that has not started.
	{leaves, StateWait, TriggerCancel, StateCancelled, SourceSpec},
	{leaves, StateReady, TriggerCancel, StateCancelled, SourceSpec},
	{leaves, StateBlocked, TriggerCancel, StateCancelled, SourceSpec},
	{leaves, StateHold, TriggerCancel, StateCancelled, SourceSpec},
	// Cancel: a leaf of which nothing executes.
	{leaves, StatePaused, TriggerCancel, StateCancelled, SourceDecision},
	{leaves, StatePendingValidation, TriggerCancel, StateCancelled, SourceDecision},
	{leaves, StateErrorAutoRetry, TriggerCancel, StateCancelled, SourceDecision},
	{leaves, StateErrorManualRecovery, TriggerCancel, StateCancelled, SourceDecision},
	{leaves, StateScheduleEnded, TriggerCancel, StateCancelled, SourceDecision},
	// Cancel: work that may execute.
	{leaves, StateRunning, TriggerCancel, StateCancelling, SourceSpec},
	{leaves, StateCompleted, TriggerCancel, StateCancelling, SourceSpec},
	// Cancel: a parent, which cascades and therefore has to wait for its children.
	{withKids, StateWait, TriggerCancel, StateCancelling, SourceSpec},
	{withKids, StateReady, TriggerCancel, StateCancelling, SourceSpec},
	{withKids, StateBlocked, TriggerCancel, StateCancelling, SourceSpec},
	{withKids, StateHold, TriggerCancel, StateCancelling, SourceSpec},
	{withKids, StateRunning, TriggerCancel, StateCancelling, SourceSpec},
	{withKids, StateCompleted, TriggerCancel, StateCancelling, SourceSpec},
	{withKids, StatePaused, TriggerCancel, StateCancelling, SourceDecision},
	{withKids, StatePendingValidation, TriggerCancel, StateCancelling, SourceDecision},
	{withKids, StateErrorAutoRetry, TriggerCancel, StateCancelling, SourceDecision},
	{withKids, StateErrorManualRecovery, TriggerCancel, StateCancelling, SourceDecision},
	{withKids, StateScheduleEnded, TriggerCancel, StateCancelling, SourceDecision},
	// Cancel: again.
	{all, StateCancelling, TriggerCancel, StateCancelling, SourceDecision},

	// The way out of CANCELLING, which is never a retry.
	{withOwnWork, StateCancelling, TriggerAcknowledge, StateCancelled, SourceSpec},
	{withOwnWork, StateCancelling, TriggerSucceed, StateSucceeded, SourceSpec},
	{withOwnWork, StateCancelling, TriggerWarn, StateWarning, SourceSpec},
	{withOwnWork, StateCancelling, TriggerFail, StateError, SourceSpec},
	{withOwnWork, StateCancelling, TriggerForce, StateCancelled, SourceDocumented},
	{withKids, StateCancelling, TriggerSettle, StateCancelled, SourceDecision},
}

// table[k][s][t] is the state that t takes a request of kind k in state s to, or
// 0 if there is none.
var table = newTable(rules[:])

type ruleTable [numKinds][numStates][numTriggers]State

// newTable panics if two rules answer one question: then Next and a machine
// would not agree, and no order of the rules would make it right.
func newTable(rules []Rule) (tab ruleTable) {
	for _, r := range rules {
		for k := range r.Kinds.All() {
			if tab[k][r.From][r.Trigger] != 0 {
				panic(fmt.Sprintf("lifecycle: two rules for %v in %v by %v", k, r.From, r.Trigger)) //nolint:forbidigo // a mistake in this file
			}
			tab[k][r.From][r.Trigger] = r.To
		}
	}
	return tab
}

// Rules returns all rules in the order of their declaration.
func Rules() iter.Seq[Rule] {
	return func(yield func(Rule) bool) {
		for _, r := range rules {
			if !yield(r) {
				return
			}
		}
	}
}

// Next returns the state that t takes a request of kind k in state s to. It
// reports false if no rule permits that, or if an argument is not valid.
//
// Next does not allocate.
func Next(k Kind, s State, t Trigger) (State, bool) {
	if k >= numKinds || s >= numStates || t >= numTriggers {
		return 0, false
	}
	to := table[k][s][t]
	return to, to != 0
}

// Transition is like [Next], but returns an error with
// [esserrors.CodeUnsupportedState] if no rule permits the transition.
func Transition(k Kind, s State, t Trigger) (State, error) {
	to, ok := Next(k, s, t)
	if !ok {
		return 0, unsupported(k, s, t)
	}
	return to, nil
}

// unsupported returns the error of a trigger that is not permitted.
func unsupported(k Kind, s State, t Trigger) error {
	return esserrors.UnsupportedState(t.String(), 0, k.String(), s.String())
}

// RuleFor returns the rule that permits t to a request of kind k in state s. It
// reports false if there is none.
func RuleFor(k Kind, s State, t Trigger) (Rule, bool) {
	for _, r := range rules {
		if r.Kinds.Has(k) && r.From == s && r.Trigger == t {
			return r, true
		}
	}
	return Rule{}, false
}

// Permitted returns the triggers that a request of kind k in state s accepts, in
// the order of their declaration.
func Permitted(k Kind, s State) iter.Seq[Trigger] {
	return func(yield func(Trigger) bool) {
		for t := range Triggers() {
			if _, ok := Next(k, s, t); ok && !yield(t) {
				return
			}
		}
	}
}
