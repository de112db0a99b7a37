package lifecycle

import (
	"iter"
	"math/bits"
	"strings"
)

// A StateSet is a set of states. Sets are combined with Go's operators: a|b, a&b
// and a&^b.
type StateSet uint32

const (
	// Terminal are the states that a request never leaves.
	//
	// Documented for EXPIRED, CANCELLED, ERROR and FINISHED; decided for the
	// others, whose meaning leaves no doubt.
	Terminal StateSet = 1<<StateExpired | 1<<StateCancelled | 1<<StateError | 1<<StateWarning |
		1<<StateSucceeded | 1<<StateValidationFailed | 1<<StateFinished

	// Live are the states that are not terminal.
	Live = Pending | Executing

	// Pending are the live states in which no work of the request executes.
	Pending StateSet = 1<<StateWait | 1<<StateReady | 1<<StateBlocked | 1<<StateHold | 1<<StatePaused |
		1<<StatePendingValidation | 1<<StateScheduleEnded | 1<<StateErrorAutoRetry |
		1<<StateErrorManualRecovery

	// Executing are the states in which work of the request may execute. A
	// request in CANCELLING still occupies whatever it occupied.
	Executing StateSet = 1<<StateRunning | 1<<StateCompleted | 1<<StateCancelling

	// Outcomes are the states in which a request that is CANCELLING can end:
	// CANCELLED "or some other terminal state" (specification; which others is
	// a decision).
	Outcomes StateSet = 1<<StateCancelled | 1<<StateSucceeded | 1<<StateWarning | 1<<StateError

	// Submitted are the states in which a request can begin its life (decision).
	Submitted StateSet = 1<<StatePendingValidation | 1<<StateWait

	// Admitting are the states in which a parent admits a new child: all live
	// ones but CANCELLING, COMPLETED and SCHEDULE_ENDED (decision). A parent that is
	// in one of these three is going to end after the children that it has.
	Admitting = Live &^ (1<<StateCancelling | 1<<StateCompleted | 1<<StateScheduleEnded)
)

// SetOf returns the set of the given states. States that are not valid are left
// out.
func SetOf(states ...State) StateSet {
	var set StateSet
	for _, s := range states {
		if s.Valid() {
			set |= 1 << s
		}
	}
	return set
}

// Has reports whether s is in the set. It is false if s is not valid.
func (set StateSet) Has(s State) bool { return s.Valid() && set>>s&1 == 1 }

// Len returns the number of states in the set.
func (set StateSet) Len() int { return bits.OnesCount32(uint32(set & (Live | Terminal))) }

// All returns the states in the set in the order of their declaration.
func (set StateSet) All() iter.Seq[State] {
	return func(yield func(State) bool) {
		for s := range States() {
			if set.Has(s) && !yield(s) {
				return
			}
		}
	}
}

// String returns the names of the states in the set, separated by commas.
func (set StateSet) String() string {
	var names []string
	for s := range set.All() {
		names = append(names, s.String())
	}
	return strings.Join(names, ", ")
}
