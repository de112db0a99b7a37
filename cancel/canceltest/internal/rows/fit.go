package rows

import (
	"slices"

	"example.com/ess/lifecycle"
)

// A Fit is what a store has: states and kinds. Zero means all.
type Fit struct {
	States lifecycle.StateSet
	Kinds  []lifecycle.Kind
}

// Has reports whether the store has the state.
func (f Fit) Has(s lifecycle.State) bool { return f.States == 0 || f.States.Has(s) }

// like are states in the order in which they stand in for each other.
var like = [][]lifecycle.State{
	{
		lifecycle.StateWait, lifecycle.StateReady, lifecycle.StateHold, lifecycle.StateBlocked, lifecycle.StatePaused,
		lifecycle.StatePendingValidation, lifecycle.StateErrorAutoRetry, lifecycle.StateErrorManualRecovery, lifecycle.StateScheduleEnded,
	},
	{lifecycle.StateRunning, lifecycle.StateCompleted},
	{
		lifecycle.StateSucceeded, lifecycle.StateError, lifecycle.StateWarning, lifecycle.StateCancelled,
		lifecycle.StateFinished, lifecycle.StateExpired, lifecycle.StateValidationFailed,
	},
}

// State returns s, or a state of the store that a cancel treats in the same way.
func (f Fit) State(s lifecycle.State) lifecycle.State {
	if f.Has(s) || s == 0 {
		return s
	}
	for _, states := range like {
		if i := slices.IndexFunc(states, f.Has); i >= 0 && slices.Contains(states, s) {
			return states[i]
		}
	}
	return s
}

// Outcome returns o, or an outcome that the store has.
func (f Fit) Outcome(o lifecycle.State) lifecycle.State {
	if f.Has(o) || o == 0 {
		return o
	}
	for is := range lifecycle.Outcomes.All() {
		if f.Has(is) && is != lifecycle.StateCancelled {
			return is
		}
	}
	return lifecycle.StateCancelled
}

// HasKind reports whether the store has the kind.
func (f Fit) HasKind(k lifecycle.Kind) bool { return f.Kinds == nil || slices.Contains(f.Kinds, k) }

// Kind returns k, or a kind of the store that has children if k has.
func (f Fit) Kind(k lifecycle.Kind) lifecycle.Kind {
	if f.HasKind(k) {
		return k
	}
	for _, other := range f.Kinds {
		if other.HasChildren() == k.HasChildren() {
			return other
		}
	}
	return k
}

// Request returns r as the store can have it.
func (f Fit) Request(r lifecycle.Request) lifecycle.Request {
	r.Kind, r.State = f.Kind(r.Kind), f.State(r.State)
	if r.Outcome = f.Outcome(r.Outcome); r.Outcome != 0 && !r.Kind.RunsWork() {
		r.Outcome = lifecycle.StateCancelled
	}
	return r
}

// All returns the requests as the store can have them.
func (f Fit) All(requests []lifecycle.Request) []lifecycle.Request {
	fit := make([]lifecycle.Request, len(requests))
	for i, r := range requests {
		fit[i] = f.Request(r)
	}
	return fit
}
