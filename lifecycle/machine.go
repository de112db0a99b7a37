package lifecycle

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/qmuntal/stateless"

	esserrors "example.com/ess/errors"
)

// A Guard is a condition of the caller's own on one transition that the rules
// permit. It can only refuse the transition, not change or add one.
type Guard struct {
	// From and Trigger say which transition.
	From    State
	Trigger Trigger
	// Met reports whether the transition may take place. It gets the arguments of
	// Fire.
	Met stateless.GuardFunc
}

// NewMachine returns a state machine for one request of kind k, now in state s, that
// [Configure] has given the rules and the guards. If k or s is not valid, the
// machine rejects every trigger.
//
// The machine keeps the state itself and fires immediately. It serves one request,
// and is fired by one goroutine at a time. If an exit action fires another trigger
// on it, that trigger comes first: the transition whose action this was is refused
// with [esserrors.CodeConflict], and the state is the one that the other trigger led
// to. So a cancel that is fired while a transition is under way is not lost. (Give
// such an action to OnExitWith: one that OnExit is given runs for the other trigger
// too, and so calls itself.)
func NewMachine(k Kind, s State, guards ...Guard) *stateless.StateMachine {
	m := &memory{state: s}
	m.machine = stateless.NewStateMachineWithExternalStorage(m.read, m.write, stateless.FiringImmediate)
	m.machine.OnTransitioning(m.leave)
	Configure(m.machine, k, guards...)
	return m.machine
}

// A memory is where a machine of NewMachine keeps its state. It writes a state only
// if the machine still is in the one that the transition leaves.
type memory struct {
	machine *stateless.StateMachine
	mu      sync.Mutex
	state   stateless.State
	move    stateless.Transition // the one that writes next
}

func (m *memory) read(context.Context) (stateless.State, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state, nil
}

// leave is called after the exit actions of a transition, and before it writes.
func (m *memory) leave(_ context.Context, move stateless.Transition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.move = move
}

func (m *memory) write(ctx context.Context, to stateless.State) error {
	m.mu.Lock()
	state, move := m.state, m.move
	m.mu.Unlock()
	// A state of the caller's own may be a part of the one that is left.
	if in, _ := m.machine.IsInStateCtx(ctx, move.Source); !in {
		return esserrors.Conflict(fmt.Sprint(move.Trigger), 0,
			fmt.Sprintf("The request is no longer in state %v but in %v.", move.Source, state), nil)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state = to
	return nil
}

// Configure gives sm the rules for requests of kind k. The states of sm are [State]
// values and its triggers [Trigger] values; states and triggers of the caller's own,
// of other types, may be added.
//
// A trigger that is not permitted, or whose guard is not met, makes Fire return an
// error with [esserrors.CodeUnsupportedState]. A handler that the caller gives to
// OnUnhandledTrigger, before or after Configure, is called instead. A trigger that is
// accepted without a change of state, such as a second cancel, runs no entry or exit
// action.
//
// The caller may add actions, but neither a transition nor a guard for a state and a
// trigger that a rule has: guards are given to Configure. Configure panics if a guard
// belongs to no rule for kind k, or has no function; and if sm has a transition for a
// state and a trigger of a rule already, because the caller has added it or has
// called Configure before. If the caller adds one afterwards, Fire panics when the
// transition would be made for the first time.
//
// The caller decides how sm stores its state and when it fires. If an exit action
// fires a trigger on sm itself, a queuing machine handles it after the transition,
// and an error of it comes out of the outer Fire. A machine that fires immediately
// handles it first; then the transition under way writes its own state. The storage
// has to refuse that write, because the state is no longer the Source that
// OnTransitioning was called with. The storage of [NewMachine] does; the one that
// stateless.NewStateMachineWithMode has does not.
func Configure(sm *stateless.StateMachine, k Kind, guards ...Guard) {
	checkGuards(k, guards)
	for _, r := range rules {
		if !r.Kinds.Has(k) {
			continue
		}
		from := sm.Configure(r.From)
		if transitions(from, r.Trigger) > 0 {
			misuse("the machine already has a transition for %v by %v; Configure is called once for a machine, and takes the caller's guards", r.From, r.Trigger)
		}
		var met []stateless.GuardFunc
		for _, g := range guards {
			if g.From == r.From && g.Trigger == r.Trigger {
				met = append(met, g.Met)
			}
		}
		if r.From == r.To {
			from.Ignore(r.Trigger, met...)
		} else {
			from.Permit(r.Trigger, r.To, met...)
		}
	}
	var checked [numStates]atomic.Uint32 // the triggers by which the machine has left a state, as bits
	sm.OnTransitioning(func(_ context.Context, move stateless.Transition) {
		s, _ := move.Source.(State)
		t, _ := move.Trigger.(Trigger)
		if _, ruled := Next(k, s, t); !ruled || checked[s].Load()>>t&1 == 1 {
			return
		}
		if transitions(sm.Configure(s), t) > 1 {
			misuse("the machine has a transition for %v by %v beside the rule's; NewMachine and Configure take the caller's guards", s, t)
		}
		checked[s].Or(1 << t)
	})
	if handlesUnhandled(sm) {
		return
	}
	sm.OnUnhandledTrigger(func(_ context.Context, state stateless.State, trigger stateless.Trigger, unmet []string) error {
		err := esserrors.UnsupportedState(fmt.Sprint(trigger), 0, k.String(), fmt.Sprint(state))
		if len(unmet) > 0 {
			err = fmt.Errorf("%w: a guard is not met", err)
		}
		return err
	})
}

// checkGuards panics if one of the guards can never be asked.
func checkGuards(k Kind, guards []Guard) {
	for _, g := range guards {
		if _, ok := Next(k, g.From, g.Trigger); !ok {
			misuse("guard for %v by %v, which no rule permits to a %v request", g.From, g.Trigger, k)
		}
		if g.Met == nil {
			misuse("guard for %v by %v without a function", g.From, g.Trigger)
		}
	}
}

// misuse panics: the caller's program is wrong, whatever the data.
func misuse(format string, args ...any) {
	panic("lifecycle: " + fmt.Sprintf(format, args...)) //nolint:forbidigo // only for mistakes of the programmer
}
