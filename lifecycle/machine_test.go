package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/qmuntal/stateless"

	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// The kinds of machine that a caller can have the rules in.
var machines = []struct {
	name string
	make func(lifecycle.Kind, lifecycle.State) *stateless.StateMachine
}{
	{"NewMachine", func(k lifecycle.Kind, s lifecycle.State) *stateless.StateMachine { return lifecycle.NewMachine(k, s) }},
	{"Configure, queued", func(k lifecycle.Kind, s lifecycle.State) *stateless.StateMachine {
		sm := stateless.NewStateMachine(s)
		lifecycle.Configure(sm, k)
		return sm
	}},
	{"Configure, external storage", func(k lifecycle.Kind, s lifecycle.State) *stateless.StateMachine {
		sm := stateless.NewStateMachineWithExternalStorage(
			func(context.Context) (stateless.State, error) { return s, nil },
			func(_ context.Context, to stateless.State) error { s = to.(lifecycle.State); return nil },
			stateless.FiringImmediate,
		)
		lifecycle.Configure(sm, k)
		return sm
	}},
}

// The machine and the table are made from one list of rules. Here every kind,
// state and trigger shows that they say the same, undeclared values included.
func TestMachineEqualsNext(t *testing.T) {
	t.Parallel()
	for _, m := range machines {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			for _, k := range someKinds {
				for _, s := range someStates {
					sm := m.make(k, s)
					for _, tr := range someTriggers {
						want, permitted := lifecycle.Next(k, s, tr)
						if !permitted {
							want = s
						}
						can, err := sm.CanFireCtx(t.Context(), tr)
						if can != permitted || err != nil {
							t.Errorf("%v in %v: CanFire(%v) = %v, %v, want %v", k, s, tr, can, err, permitted)
						}
						err = sm.FireCtx(t.Context(), tr)
						if got := sm.MustState(); got != want {
							t.Errorf("%v in %v: Fire(%v) reached %v, want %v", k, s, tr, got, want)
						}
						if permitted && err != nil {
							t.Errorf("%v in %v: Fire(%v): %v", k, s, tr, err)
						} else if !permitted {
							wantUnsupported(t, err, k, s, tr)
						}
						if permitted { // it has moved; the next trigger gets a fresh one
							sm = m.make(k, s)
						}
					}
				}
			}
		})
	}
}

func TestMachinePermitsWhatPermittedSays(t *testing.T) {
	t.Parallel()
	for k := range lifecycle.Kinds() {
		for s := range lifecycle.States() {
			fired, err := lifecycle.NewMachine(k, s).PermittedTriggersCtx(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var got []lifecycle.Trigger
			for _, tr := range fired { // stateless gives them in no order
				got = append(got, tr.(lifecycle.Trigger))
			}
			slices.Sort(got)
			if want := slices.Collect(lifecycle.Permitted(k, s)); !slices.Equal(got, want) {
				t.Errorf("%v in %v: machine permits %v, Permitted %v", k, s, got, want)
			}
		}
	}
}

// A second cancel is accepted, and nothing comes of it: no entry, no exit, no
// transition that a listener could take for news.
func TestSecondCancelIsSilent(t *testing.T) {
	t.Parallel()
	for _, m := range machines {
		for k := range lifecycle.Kinds() {
			t.Run(m.name+"/"+k.String(), func(t *testing.T) {
				t.Parallel()
				var events []string
				record := func(what string) stateless.ActionFunc {
					return func(context.Context, ...any) error {
						events = append(events, what)
						return nil
					}
				}
				sm := m.make(k, lifecycle.StateRunning)
				sm.Configure(lifecycle.StateRunning).OnExit(record("exit RUNNING"))
				sm.Configure(lifecycle.StateCancelling).OnEntry(record("entry")).OnExit(record("exit"))
				sm.OnTransitioning(func(context.Context, stateless.Transition) { events = append(events, "transitioning") })
				sm.OnTransitioned(func(context.Context, stateless.Transition) { events = append(events, "transitioned") })

				want := []string{"exit RUNNING", "transitioning", "entry", "transitioned"}
				for range 3 {
					if err := sm.FireCtx(t.Context(), lifecycle.TriggerCancel); err != nil {
						t.Fatal(err)
					}
					if got := sm.MustState(); got != lifecycle.StateCancelling {
						t.Fatalf("state = %v, want CANCELLING", got)
					}
					if !slices.Equal(events, want) {
						t.Fatalf("events = %q, want %q", events, want)
					}
				}
			})
		}
	}
}

// NewMachine fires at once. In a queuing machine the inner Fire here would
// return nil, and its rejection come out of the outer one, which has done
// nothing wrong.
func TestNewMachineAnswersTheCallerThatAsked(t *testing.T) {
	t.Parallel()
	sm := lifecycle.NewMachine(lifecycle.KindChild, lifecycle.StateReady)
	var inner error
	sm.Configure(lifecycle.StateRunning).OnEntry(func(ctx context.Context, _ ...any) error {
		inner = sm.FireCtx(ctx, lifecycle.TriggerRelease)
		return nil
	})
	if err := sm.FireCtx(t.Context(), lifecycle.TriggerStart); err != nil {
		t.Errorf("outer Fire: %v", err)
	}
	wantUnsupported(t, inner, lifecycle.KindChild, lifecycle.StateRunning, lifecycle.TriggerRelease)
}

// An action of the caller's that fails is the caller's error, not ours.
func TestMachineActionErrorPassesThrough(t *testing.T) {
	t.Parallel()
	errAction := errors.New("disk full")
	sm := lifecycle.NewMachine(lifecycle.KindChild, lifecycle.StateReady)
	sm.Configure(lifecycle.StateRunning).OnEntry(func(context.Context, ...any) error { return errAction })
	err := sm.FireCtx(t.Context(), lifecycle.TriggerStart)
	if !errors.Is(err, errAction) || errors.Is(err, esserrors.CodeUnsupportedState) {
		t.Errorf("Fire = %v, want %v", err, errAction)
	}
}

// A machine of the caller's may hold values that are no states and be fired with what
// is no trigger, such as an untyped constant. It rejects them, and prints them as they
// are.
func TestMachineRejectsForeignValues(t *testing.T) {
	t.Parallel()
	const kind = lifecycle.KindParent
	type lease string

	sm := lifecycle.NewMachine(kind, lifecycle.StateWait)
	for _, trigger := range []any{"cancel", int(lifecycle.TriggerCancel), lifecycle.StateWait, lease("renew"), nil} {
		wantRefused(t, sm.FireCtx(t.Context(), trigger), kind, lifecycle.StateWait, trigger)
	}
	if got := sm.MustState(); got != lifecycle.StateWait {
		t.Errorf("state = %v, want WAIT", got)
	}
	for _, state := range []any{"LEASED", int(lifecycle.StateWait), lease("held"), nil} {
		sm := stateless.NewStateMachineWithMode(state, stateless.FiringImmediate)
		lifecycle.Configure(sm, kind)
		wantRefused(t, sm.FireCtx(t.Context(), lifecycle.TriggerCancel), kind, state, lifecycle.TriggerCancel)
		wantRefused(t, sm.FireCtx(t.Context(), "renew"), kind, state, "renew")
	}
}

// wantRefused checks the error of a trigger that is not permitted, whatever the types
// of state and trigger are.
func wantRefused(t *testing.T, err error, k lifecycle.Kind, state, trigger any) {
	t.Helper()
	e, ok := errors.AsType[*esserrors.Error](err)
	if !ok || !errors.Is(err, esserrors.CodeUnsupportedState) || e.Kind != k.String() || e.State != fmt.Sprint(state) || e.Op != fmt.Sprint(trigger) {
		t.Errorf("%v in %v by %v: error %+v", k, state, trigger, err)
	}
}

// States and triggers of the caller's own go together with the rules.
func TestMachineWithStatesOfItsOwn(t *testing.T) {
	t.Parallel()
	for _, m := range machines[:2] { // the third stores nothing but a State
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			sm := m.make(lifecycle.KindChild, lifecycle.StateReady)
			sm.Configure(lifecycle.StateReady).Permit("lease", "LEASED")
			sm.Configure("LEASED").Permit(lifecycle.TriggerStart, lifecycle.StateRunning)
			sm.Configure("UPLOADING").SubstateOf(lifecycle.StateRunning) // has the rules of RUNNING
			sm.Configure(lifecycle.StateRunning).Permit("upload", "UPLOADING")
			for _, step := range []struct{ trigger, to any }{
				{"lease", "LEASED"},
				{lifecycle.TriggerStart, lifecycle.StateRunning},
				{"upload", "UPLOADING"},
				{lifecycle.TriggerCancel, lifecycle.StateCancelling},
				{lifecycle.TriggerCancel, lifecycle.StateCancelling},
				{lifecycle.TriggerAcknowledge, lifecycle.StateCancelled},
			} {
				if err := sm.FireCtx(t.Context(), step.trigger); err != nil || sm.MustState() != step.to {
					t.Fatalf("Fire(%v) = %v in %v, want %v", step.trigger, err, sm.MustState(), step.to)
				}
			}
		})
	}
}
