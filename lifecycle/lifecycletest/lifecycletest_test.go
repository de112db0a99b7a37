package lifecycletest_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"example.com/ess/lifecycle"
	"example.com/ess/lifecycle/lifecycletest"
)

// queued, …: the states of a small scheduler that neither validates, holds nor retries.
const (
	queued   = "queued"
	picked   = "picked"
	active   = "active"
	wrapping = "wrapping up"
	stopping = "stopping"
	stopped  = "stopped"
	failed   = "failed"
	warned   = "warned"
	done     = "done"
)

var stands = map[string]lifecycle.State{
	queued: lifecycle.StateWait, picked: lifecycle.StateReady, active: lifecycle.StateRunning, wrapping: lifecycle.StateCompleted,
	stopping: lifecycle.StateCancelling, stopped: lifecycle.StateCancelled,
	failed: lifecycle.StateError, warned: lifecycle.StateWarning, done: lifecycle.StateSucceeded,
}

const without = 1<<lifecycle.StateBlocked | 1<<lifecycle.StateHold | 1<<lifecycle.StateExpired | 1<<lifecycle.StatePaused |
	1<<lifecycle.StatePendingValidation | 1<<lifecycle.StateValidationFailed | 1<<lifecycle.StateScheduleEnded |
	1<<lifecycle.StateFinished | 1<<lifecycle.StateErrorAutoRetry | 1<<lifecycle.StateErrorManualRecovery

// next is the scheduler's own decision, written by hand.
func next(_ lifecycle.Kind, s string, t lifecycle.Trigger) (string, bool) {
	to := map[string]map[lifecycle.Trigger]string{
		queued:   {lifecycle.TriggerDispatch: picked, lifecycle.TriggerCancel: stopped},
		picked:   {lifecycle.TriggerStart: active, lifecycle.TriggerCancel: stopped},
		active:   {lifecycle.TriggerComplete: wrapping, lifecycle.TriggerFail: failed, lifecycle.TriggerCancel: stopping},
		wrapping: {lifecycle.TriggerSucceed: done, lifecycle.TriggerWarn: warned, lifecycle.TriggerCancel: stopping},
		stopping: {
			lifecycle.TriggerCancel: stopping, lifecycle.TriggerAcknowledge: stopped, lifecycle.TriggerForce: stopped,
			lifecycle.TriggerSucceed: done, lifecycle.TriggerWarn: warned, lifecycle.TriggerFail: failed,
		},
	}[s][t]
	return to, to != ""
}

func mapping() lifecycletest.Mapping[string] {
	return lifecycletest.Mapping[string]{
		States: maps.Clone(stands), Without: without, Kinds: []lifecycle.Kind{lifecycle.KindSingleton}, Next: next,
	}
}

func TestAssert(t *testing.T) {
	t.Parallel()
	lifecycletest.Assert(t, mapping())

	own := mapping()
	own.Next = nil
	own.Kinds = nil
	lifecycletest.Assert(t, own)

	// A scheduler that has lifecycle's states themselves.
	same := map[lifecycle.State]lifecycle.State{}
	for s := range lifecycle.States() {
		same[s] = s
	}
	lifecycletest.Assert(t, lifecycletest.Mapping[lifecycle.State]{States: same, Next: lifecycle.Next})

	fails := new(recorder)
	bad := mapping()
	bad.Next = func(lifecycle.Kind, string, lifecycle.Trigger) (string, bool) { return "", false }
	lifecycletest.Assert(fails, bad)
	if !strings.Contains(fails.text, "is refused, but a rule leads from WAIT to CANCELLED") {
		t.Errorf("Assert said %q", fails.text)
	}
}

type recorder struct {
	testing.TB
	text string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) { r.text += fmt.Sprintf(format, args...) }

// TestCheckRejects makes each kind of mistake and sees that it is told.
func TestCheckRejects(t *testing.T) {
	t.Parallel()
	override := func(state string, trigger lifecycle.Trigger, to string, ok bool) func(*lifecycletest.Mapping[string]) {
		return func(m *lifecycletest.Mapping[string]) {
			m.Next = func(k lifecycle.Kind, s string, t lifecycle.Trigger) (string, bool) {
				if s == state && t == trigger {
					return to, ok
				}
				return next(k, s, t)
			}
		}
	}
	tests := []struct {
		name  string
		spoil func(*lifecycletest.Mapping[string])
		want  string
	}{
		{"a rule lost", override(queued, lifecycle.TriggerCancel, "", false), "SINGLETON request in queued by cancel: is refused, but a rule leads from WAIT to CANCELLED"},
		{"a rule added", override(done, lifecycle.TriggerCancel, stopped, true), "SINGLETON request in done by cancel: goes to stopped, but no rule permits it in SUCCEEDED"},
		{"a rule changed", override(active, lifecycle.TriggerCancel, stopped, true), "SINGLETON request in active by cancel: goes to stopped, which stands for CANCELLED, but the rule leads to CANCELLING"},
		{"a state that stands for nothing", func(m *lifecycletest.Mapping[string]) { m.States["odd"] = 0 }, "state odd stands for State(0), which is not a state"},
		{"a state nobody stands for", func(m *lifecycletest.Mapping[string]) { delete(m.States, warned) }, "no state stands for WARNING"},
		{"a state it said it has not", func(m *lifecycletest.Mapping[string]) { m.States["held"] = lifecycle.StateHold }, "state held stands for HOLD, which the scheduler is without"},
		{"no CANCELLED", func(m *lifecycletest.Mapping[string]) { m.Without |= 1 << lifecycle.StateCancelled }, "without CANCELLED nothing can be cancelled"},
		{"no CANCELLING", func(m *lifecycletest.Mapping[string]) { m.Without |= 1 << lifecycle.StateCancelling }, "without CANCELLING a SINGLETON request in RUNNING cannot be cancelled"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := mapping()
			tt.spoil(&m)
			err := lifecycletest.Check(m)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Check = %v\nwant %s", err, tt.want)
			}
		})
	}
}

// TestCheckOrder checks that mistakes are told in the order of the states, and of two that
// stand for one state in the order of their names.
func TestCheckOrder(t *testing.T) {
	t.Parallel()
	m := mapping()
	m.Kinds = []lifecycle.Kind{lifecycle.KindSingleton}
	m.States["Aqueued"] = m.States[queued]
	m.Next = func(_ lifecycle.Kind, s string, t lifecycle.Trigger) (string, bool) {
		return next(lifecycle.KindSingleton, "none", t)
	}
	last := -1
	text := lifecycletest.Check(m).Error()
	for _, want := range []string{"Aqueued by cancel", "queued by cancel", active + " by cancel"} {
		at := strings.Index(text, "request in "+want)
		if at <= last {
			t.Errorf("%q is at %d, behind %d, of\n%s", want, at, last, text)
		}
		last = at
	}
}

func ExampleCheck() {
	// A scheduler that marks running work as stopped at once.
	err := lifecycletest.Check(lifecycletest.Mapping[string]{
		States:  stands,
		Without: without,
		Kinds:   []lifecycle.Kind{lifecycle.KindSingleton},
		Next: func(k lifecycle.Kind, s string, t lifecycle.Trigger) (string, bool) {
			if s == active && t == lifecycle.TriggerCancel {
				return stopped, true
			}
			return next(k, s, t)
		},
	})
	fmt.Println(err)
	// Output:
	// SINGLETON request in active by cancel: goes to stopped, which stands for CANCELLED, but the rule leads to CANCELLING
}
