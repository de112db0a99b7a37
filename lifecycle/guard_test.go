package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/qmuntal/stateless"

	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// publishing returns a guard function that refuses for as long as *busy.
func publishing(busy *bool) stateless.GuardFunc {
	return func(context.Context, ...any) bool { return !*busy }
}

// withGuards has the kinds of machine that a caller can give guards to.
var withGuards = []struct {
	name string
	make func(lifecycle.Kind, lifecycle.State, ...lifecycle.Guard) *stateless.StateMachine
}{
	{"NewMachine", lifecycle.NewMachine},
	{"Configure", func(k lifecycle.Kind, s lifecycle.State, guards ...lifecycle.Guard) *stateless.StateMachine {
		sm := stateless.NewStateMachine(s)
		lifecycle.Configure(sm, k, guards...)
		return sm
	}},
}

// A guard refuses the one transition that it is for, and it only as long as it is not
// met. Every rule can have one.
func TestGuards(t *testing.T) {
	t.Parallel()
	for _, m := range withGuards {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			for d, rule := range ruled() {
				met, asked := false, 0
				sm := m.make(d.kind, d.state, lifecycle.Guard{From: d.state, Trigger: d.trigger, Met: func(_ context.Context, args ...any) bool {
					asked++
					return met && len(args) == 1 && args[0] == "why"
				}})
				for other := range lifecycle.Permitted(d.kind, d.state) {
					if can, err := sm.CanFireCtx(t.Context(), other, "why"); can != (other != d.trigger) || err != nil {
						t.Errorf("%v: CanFire(%v) = %v, %v while the guard is not met", d, other, can, err)
					}
				}
				err := sm.FireCtx(t.Context(), d.trigger, "why")
				wantUnsupported(t, err, d.kind, d.state, d.trigger)
				if err == nil || !strings.HasSuffix(err.Error(), ": a guard is not met") || sm.MustState() != d.state {
					t.Errorf("%v: Fire = %v in %v", d, err, sm.MustState())
				}
				met = true
				if err := sm.FireCtx(t.Context(), d.trigger, "why"); err != nil || sm.MustState() != rule.To {
					t.Errorf("%v: Fire = %v in %v, want %v", d, err, sm.MustState(), rule.To)
				}
				if asked < 3 {
					t.Errorf("%v: the guard was asked %d times", d, asked)
				}
			}
		})
	}
}

// A guard is for one state and one trigger: it is not asked about the same trigger in
// another state.
func TestGuardsAreForOneState(t *testing.T) {
	t.Parallel()
	guard := lifecycle.Guard{From: lifecycle.StateCompleted, Trigger: lifecycle.TriggerCancel, Met: func(context.Context, ...any) bool { return false }}
	for s := range (lifecycle.Live &^ lifecycle.SetOf(lifecycle.StateCompleted)).All() {
		sm := lifecycle.NewMachine(lifecycle.KindChild, s, guard)
		if err := sm.FireCtx(t.Context(), lifecycle.TriggerCancel); err != nil {
			t.Errorf("Fire(cancel) in %v = %v, but the guard is for COMPLETED", s, err)
		}
	}
}

// Of two guards for one transition both have to be met.
func TestTwoGuards(t *testing.T) {
	t.Parallel()
	first, second := true, true
	sm := lifecycle.NewMachine(lifecycle.KindChild, lifecycle.StateCompleted,
		lifecycle.Guard{From: lifecycle.StateCompleted, Trigger: lifecycle.TriggerCancel, Met: publishing(&first)},
		lifecycle.Guard{From: lifecycle.StateCompleted, Trigger: lifecycle.TriggerCancel, Met: publishing(&second)},
	)
	for _, tt := range []struct{ first, second, want bool }{{true, true, false}, {false, true, false}, {true, false, false}, {false, false, true}} {
		first, second = tt.first, tt.second
		if can, err := sm.CanFireCtx(t.Context(), lifecycle.TriggerCancel); can != tt.want || err != nil {
			t.Errorf("CanFire = %v, %v for %+v", can, err, tt)
		}
	}
}

// panicOf returns what f panics with, or nil.
func panicOf(f func()) (p any) {
	defer func() { p = recover() }()
	f()
	return nil
}

// What a caller does beside the rules' transitions is refused when the machine is
// configured, or at the latest when the transition would be made.
func TestConfigureRefusesWhatItCannotKeep(t *testing.T) {
	t.Parallel()
	const child, completed, cancelling = lifecycle.KindChild, lifecycle.StateCompleted, lifecycle.StateCancelling
	never := func(context.Context, ...any) bool { return false }
	always := func(context.Context, ...any) bool { return true }
	machine := func() *stateless.StateMachine {
		return stateless.NewStateMachineWithMode(completed, stateless.FiringImmediate)
	}
	const already = "lifecycle: the machine already has a transition for COMPLETED by cancel"
	const beside = "lifecycle: the machine has a transition for COMPLETED by cancel beside the rule's"
	tests := []struct {
		name string
		do   func()
		want string
	}{
		{"twice", func() {
			sm := machine()
			lifecycle.Configure(sm, child)
			lifecycle.Configure(sm, child)
		}, "lifecycle: the machine already has a transition for PENDING_VALIDATION by validate"},
		{"twice, for another kind", func() {
			lifecycle.Configure(lifecycle.NewMachine(child, completed), lifecycle.KindParent)
		}, "lifecycle: the machine already has a transition for PENDING_VALIDATION by validate"},
		{"a guard before", func() {
			sm := machine()
			sm.Configure(completed).Permit(lifecycle.TriggerCancel, cancelling, never)
			lifecycle.Configure(sm, child)
		}, already},
		{"ignored before", func() {
			sm := machine()
			sm.Configure(completed).Ignore(lifecycle.TriggerCancel)
			lifecycle.Configure(sm, child)
		}, already},
		{"a guard afterwards that is not met", func() {
			sm := lifecycle.NewMachine(child, completed)
			sm.Configure(completed).Permit(lifecycle.TriggerCancel, cancelling, never)
			t.Error(sm.Fire(lifecycle.TriggerCancel))
		}, beside},
		{"ignored afterwards, not at present", func() {
			sm := lifecycle.NewMachine(child, completed)
			sm.Configure(completed).Ignore(lifecycle.TriggerCancel, never)
			t.Error(sm.Fire(lifecycle.TriggerCancel))
		}, beside},
		{"a guard afterwards that is met", func() {
			sm := lifecycle.NewMachine(child, completed)
			sm.Configure(completed).Permit(lifecycle.TriggerCancel, cancelling, always)
			t.Error(sm.Fire(lifecycle.TriggerCancel))
		}, "stateless: Multiple permitted exit transitions are configured from state 'COMPLETED' for trigger 'cancel'"},
		{"a guard of no rule", func() {
			lifecycle.NewMachine(child, completed, lifecycle.Guard{From: completed, Trigger: lifecycle.TriggerStart, Met: always})
		}, "lifecycle: guard for COMPLETED by start, which no rule permits to a CHILD request"},
		{"a guard of another kind's rule", func() {
			lifecycle.Configure(machine(), child, lifecycle.Guard{From: lifecycle.StatePaused, Trigger: lifecycle.TriggerResume, Met: always})
		}, "lifecycle: guard for PAUSED by resume, which no rule permits to a CHILD request"},
		{"a guard of nothing", func() {
			lifecycle.Configure(machine(), child, lifecycle.Guard{Met: always})
		}, "lifecycle: guard for State(0) by Trigger(0), which no rule permits to a CHILD request"},
		{"a guard without a function", func() {
			lifecycle.Configure(machine(), child, lifecycle.Guard{From: completed, Trigger: lifecycle.TriggerCancel})
		}, "lifecycle: guard for COMPLETED by cancel without a function"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := panicOf(tt.do); !strings.HasPrefix(fmt.Sprint(got), tt.want) {
				t.Errorf("panic = %v\nwant    %s", got, tt.want)
			}
		})
	}
}

// What concerns no rule is the caller's own business: two guarded transitions of his
// own by one trigger, and triggers of the rules in states of his own.
func TestConfigureLeavesTheCallersOwnAlone(t *testing.T) {
	t.Parallel()
	busy := true
	free := func(context.Context, ...any) bool { return !busy }
	sm := stateless.NewStateMachine(lifecycle.StateReady)
	sm.Configure(lifecycle.StateReady).Permit("lease", "LEASED", publishing(&busy)).Permit("lease", "QUEUED", func(context.Context, ...any) bool { return !free(t.Context()) })
	sm.Configure("QUEUED").Permit(lifecycle.TriggerCancel, lifecycle.StateCancelled, free).Permit(lifecycle.TriggerCancel, "LEASED", publishing(new(bool)), func(context.Context, ...any) bool { return busy })
	lifecycle.Configure(sm, lifecycle.KindChild)
	for _, want := range []any{"QUEUED", "LEASED"} {
		trigger := any("lease")
		if want == "LEASED" {
			trigger = lifecycle.TriggerCancel
		}
		if err := sm.Fire(trigger); err != nil || sm.MustState() != want {
			t.Fatalf("Fire(%v) = %v in %v, want %v", trigger, err, sm.MustState(), want)
		}
	}
}

// A handler of the caller's own for triggers that are not permitted is called in place
// of ours, whenever it was set.
func TestOnUnhandledTriggerOfTheCallers(t *testing.T) {
	t.Parallel()
	errMine := errors.New("mine")
	mine := func(context.Context, stateless.State, stateless.Trigger, []string) error { return errMine }
	before := stateless.NewStateMachine(lifecycle.StateWait)
	before.OnUnhandledTrigger(mine)
	lifecycle.Configure(before, lifecycle.KindChild)
	after := lifecycle.NewMachine(lifecycle.KindChild, lifecycle.StateWait)
	after.OnUnhandledTrigger(mine)
	for name, sm := range map[string]*stateless.StateMachine{"before Configure": before, "after Configure": after} {
		if err := sm.Fire(lifecycle.TriggerSettle); !errors.Is(err, errMine) {
			t.Errorf("set %s: Fire = %v, want %v", name, err, errMine)
		}
		if err := sm.Fire(lifecycle.TriggerCancel); err != nil || sm.MustState() != lifecycle.StateCancelled {
			t.Errorf("set %s: Fire(cancel) = %v in %v", name, err, sm.MustState())
		}
	}
}

// A cancel that an exit action fires takes place. In a machine of NewMachine it comes
// before the transition under way, which is refused; in one that queues, afterwards.
func TestCancelFromAnExitActionIsNotLost(t *testing.T) {
	t.Parallel()
	for _, m := range machines[:2] {
		for k := range lifecycle.Kinds() {
			for tr := range lifecycle.Permitted(k, lifecycle.StateRunning) {
				if tr == lifecycle.TriggerCancel {
					continue
				}
				t.Run(fmt.Sprint(m.name, "/", k, "/", tr), func(t *testing.T) {
					t.Parallel()
					sm := m.make(k, lifecycle.StateRunning)
					inner := errors.New("not fired")
					sm.Configure(lifecycle.StateRunning).OnExitWith(tr, func(ctx context.Context, _ ...any) error {
						inner = sm.FireCtx(ctx, lifecycle.TriggerCancel)
						return nil
					})
					outer := sm.FireCtx(t.Context(), tr)
					to, _ := lifecycle.Next(k, lifecycle.StateRunning, tr)
					want := lifecycle.StateCancelling
					if m.name == "NewMachine" {
						if !errors.Is(outer, esserrors.CodeConflict) || inner != nil {
							t.Errorf("Fire(%v) = %v, Fire(cancel) = %v, want CodeConflict and nil", tr, outer, inner)
						}
						if want := fmt.Sprint(tr, ": conflict: The request is no longer in state RUNNING but in CANCELLING"); outer == nil || outer.Error() != want {
							t.Errorf("Fire(%v) = %q, want %q", tr, outer, want)
						}
					} else if next, ok := lifecycle.Next(k, to, lifecycle.TriggerCancel); ok {
						want = next
						if inner != nil || outer != nil {
							t.Errorf("Fire(%v) = %v, Fire(cancel) = %v, want nil twice", tr, outer, inner)
						}
					} else { // it ended before the cancel's turn, which is told
						want = to
						wantUnsupported(t, outer, k, to, lifecycle.TriggerCancel)
					}
					if got := sm.MustState(); got != want {
						t.Errorf("state = %v, want %v", got, want)
					}
				})
			}
		}
	}
}

// A machine of NewMachine refuses what an action has made impossible, and nothing
// else: a failed exit action, a trigger from an entry action and states within
// states do no harm.
func TestNewMachineComparesAndSets(t *testing.T) {
	t.Parallel()
	var events []string
	sm := lifecycle.NewMachine(lifecycle.KindChild, lifecycle.StateReady)
	fire := func(tr any, wantErr bool, want any) {
		t.Helper()
		if err := sm.FireCtx(t.Context(), tr); (err != nil) != wantErr || sm.MustState() != want {
			t.Fatalf("Fire(%v) = %v in %v, want %v", tr, err, sm.MustState(), want)
		}
	}
	fails := true
	sm.Configure(lifecycle.StateReady).OnExit(func(context.Context, ...any) error {
		if fails {
			return errors.New("disk full")
		}
		return nil
	})
	sm.Configure(lifecycle.StateRunning).InitialTransition("PREPARING").PermitReentry("restart")
	sm.Configure("PREPARING").SubstateOf(lifecycle.StateRunning)
	sm.Configure(lifecycle.StateCompleted).OnEntry(func(ctx context.Context, _ ...any) error {
		events = append(events, "completed")
		return sm.FireCtx(ctx, lifecycle.TriggerSucceed)
	})
	fire(lifecycle.TriggerStart, true, lifecycle.StateReady)
	fails = false
	fire(lifecycle.TriggerStart, false, "PREPARING")
	fire("restart", false, "PREPARING")
	fire(lifecycle.TriggerComplete, false, lifecycle.StateSucceeded)
	if want := []string{"completed"}; !slices.Equal(events, want) {
		t.Errorf("events = %q, want %q", events, want)
	}
}
