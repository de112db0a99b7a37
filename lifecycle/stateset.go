package lifecycle

import (
	"iter"
	"math/bits"
)

// A StateSet is a set of states. Sets are combined with Go's operators: a|b, a&b
// and a&^b. A set prints and encodes as the names of its states, such as "WAIT,
// HOLD", and the empty set as the empty text.
type StateSet uint32

const (
	// Terminal are the states that a request never leaves.
	//
	// Documented for EXPIRED, CANCELLED, ERROR and FINISHED; decided for the
	// others, whose names leave no doubt.
	Terminal StateSet = 1<<StateExpired | 1<<StateCancelled | 1<<StateError | 1<<StateWarning |
		1<<StateSucceeded | 1<<StateValidationFailed | 1<<StateFinished

	// Live are the states that are not terminal.
	Live = Pending | Executing

	// Pending are the live states in which no work of the request executes.
	Pending StateSet = 1<<StateWait | 1<<StateReady | 1<<StateBlocked | 1<<StateHold | 1<<StatePaused |
		1<<StatePendingValidation | 1<<StateScheduleEnded | 1<<StateErrorAutoRetry |
		1<<StateErrorManualRecovery

	// Executing are the live states in which work of the request may execute.
	// CANCELLING is one of them: work that has not acknowledged may still run.
	Executing StateSet = 1<<StateRunning | 1<<StateCompleted | 1<<StateCancelling

	// Outcomes are the states in which a request that is CANCELLING can end:
	// CANCELLED "or some other terminal state" (specification; which others is
	// a decision).
	Outcomes StateSet = 1<<StateCancelled | 1<<StateSucceeded | 1<<StateWarning | 1<<StateError

	// Initial are the states in which a request can begin its life (decision).
	Initial StateSet = 1<<StatePendingValidation | 1<<StateWait

	// Admitting are the states in which a parent admits a new child: all live
	// ones but CANCELLING, COMPLETED and SCHEDULE_ENDED (decision). A parent in
	// one of these three is going to end after the children that it has; a child
	// that was added then could be left live below a parent that has ended, where
	// no cancel finds it. So a parent ends in this order: it completes, or its
	// schedule ends; then the scheduler looks for live children; and if there is
	// none, it ends the parent.
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

// String returns the names of the states in the set, separated by a comma and a
// space. Bits that stand for no state are left out.
func (set StateSet) String() string { return setString(set.All()) }

// MarshalText implements [encoding.TextMarshaler] with the text that String
// returns. The error is always nil.
func (set StateSet) MarshalText() ([]byte, error) { return []byte(set.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. It takes names of states,
// separated by commas, in any order, and the empty text for the empty set. A text
// that is not a name is a [*NameError] and leaves the set as it is.
func (set *StateSet) UnmarshalText(text []byte) error {
	bits, err := setParse[State](string(text), stateNames[:], "State")
	if err == nil {
		*set = StateSet(bits)
	}
	return err
}
