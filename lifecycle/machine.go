package lifecycle

import (
	"context"

	"github.com/qmuntal/stateless"

	esserrors "example.com/ess/errors"
)

// NewMachine returns a state machine for one request of kind k, now in state s,
// that has been given the rules by [Configure].
//
// It fires immediately rather than queuing: in a queuing machine that several
// goroutines share, a rejected trigger can return nil and its error reach another
// caller. Still, use one machine for one request, from one goroutine at a time.
//
// If k or s is not valid, the machine rejects every trigger.
func NewMachine(k Kind, s State) *stateless.StateMachine {
	sm := stateless.NewStateMachineWithMode(s, stateless.FiringImmediate)
	Configure(sm, k)
	return sm
}

// Configure gives sm the rules for requests of kind k. The states of sm are
// [State] values and its triggers [Trigger] values.
//
// A trigger that no rule permits makes Fire return an error with
// [esserrors.CodeUnsupportedState]. A trigger that is accepted without a change
// of state, such as a second cancel, runs no entry or exit action. The caller may
// add actions, but no transitions for the same states and triggers.
func Configure(sm *stateless.StateMachine, k Kind) {
	for _, r := range rules {
		if !r.Kinds.Has(k) {
			continue
		}
		if from := sm.Configure(r.From); r.From == r.To {
			from.Ignore(r.Trigger)
		} else {
			from.Permit(r.Trigger, r.To)
		}
	}
	sm.OnUnhandledTrigger(func(_ context.Context, state stateless.State, trigger stateless.Trigger, _ []string) error {
		s, _ := state.(State)
		t, _ := trigger.(Trigger)
		return esserrors.UnsupportedState(t.String(), 0, k.String(), s.String())
	})
}
