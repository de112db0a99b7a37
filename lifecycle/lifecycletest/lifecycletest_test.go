package lifecycletest_test

import (
	"fmt"
	"maps"
	"os"
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
		{"a state that is not its own", override(queued, lifecycle.TriggerCancel, "gone", true), "SINGLETON request in queued by cancel: goes to gone, which is not a state of the scheduler"},
		{"a kind that is none", func(m *lifecycletest.Mapping[string]) { m.Kinds = []lifecycle.Kind{9} }, "Kind(9) is not a kind"},
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

// A scheduler with two decisions of its own: what is wrapping up is not cancelled, and a
// job that has failed can be put into the queue again.
func withOwn() lifecycletest.Mapping[string] {
	m := mapping()
	m.Kinds = []lifecycle.Kind{lifecycle.KindSingleton, lifecycle.KindChild}
	m.Next = func(k lifecycle.Kind, s string, t lifecycle.Trigger) (string, bool) {
		switch {
		case s == wrapping && t == lifecycle.TriggerCancel:
			return "", false
		case s == failed && t == lifecycle.TriggerRetry && k == lifecycle.KindChild:
			return queued, true
		}
		return next(k, s, t)
	}
	m.Own = []lifecycletest.Difference[string]{
		{From: wrapping, Trigger: lifecycle.TriggerCancel, Refused: true},
		{From: failed, Trigger: lifecycle.TriggerRetry, To: queued, Kinds: []lifecycle.Kind{lifecycle.KindChild}},
	}
	return m
}

// TestOwn declares differences rightly and wrongly.
func TestOwn(t *testing.T) {
	t.Parallel()
	lifecycletest.Assert(t, withOwn())

	type spoil = func(*lifecycletest.Mapping[string])
	add := func(d lifecycletest.Difference[string]) spoil {
		return func(m *lifecycletest.Mapping[string]) { m.Own = append(m.Own, d) }
	}
	singleton := []lifecycle.Kind{lifecycle.KindSingleton}
	tests := []struct {
		name  string
		spoil spoil
		want  string // all that is said
	}{
		{"one is not declared", func(m *lifecycletest.Mapping[string]) { m.Own = m.Own[:1] }, "CHILD request in failed by retry: goes to queued, but no rule permits it in ERROR"},
		{"one is not declared for a kind", func(m *lifecycletest.Mapping[string]) { m.Own[0].Kinds = singleton }, "CHILD request in wrapping up by cancel: is refused, but a rule leads from COMPLETED to CANCELLING"},
		{"a mistake beside them", func(m *lifecycletest.Mapping[string]) {
			own := m.Next
			m.Next = func(k lifecycle.Kind, s string, t lifecycle.Trigger) (string, bool) {
				if s == queued && t == lifecycle.TriggerCancel && k == lifecycle.KindChild {
					return stopping, true
				}
				return own(k, s, t)
			}
		}, "CHILD request in queued by cancel: goes to stopping, which stands for CANCELLING, but the rule leads to CANCELLED"},
		{"one that Next refuses", add(lifecycletest.Difference[string]{From: done, Trigger: lifecycle.TriggerRetry, To: queued, Kinds: singleton}), "SINGLETON request in done by retry: is refused, but is declared to go to queued"},
		{"one for a kind that Next refuses", func(m *lifecycletest.Mapping[string]) { m.Own[1].Kinds = nil }, "SINGLETON request in failed by retry: is refused, but is declared to go to queued"},
		{"one that goes elsewhere", func(m *lifecycletest.Mapping[string]) { m.Own[1].To = picked }, "CHILD request in failed by retry: goes to queued, but is declared to go to picked"},
		{"one that Next does not refuse", func(m *lifecycletest.Mapping[string]) { m.Own[1].Refused = true }, "CHILD request in failed by retry: goes to queued, but is declared to be refused"},
		{"one that is a rule", add(lifecycletest.Difference[string]{From: queued, Trigger: lifecycle.TriggerDispatch, To: picked, Kinds: singleton}), "SINGLETON request in queued by dispatch: a difference is declared, but the rules say the same"},
		{"one that the rules refuse too", add(lifecycletest.Difference[string]{From: done, Trigger: lifecycle.TriggerCancel, Refused: true, Kinds: singleton}), "SINGLETON request in done by cancel: a difference is declared, but the rules say the same"},
		{"twice", func(m *lifecycletest.Mapping[string]) { m.Own = append(m.Own, m.Own[1]) }, "CHILD request in failed by retry: a difference is declared twice"},
		{"from nowhere", add(lifecycletest.Difference[string]{From: "gone", Trigger: lifecycle.TriggerRetry, To: queued}), "a difference is declared from gone, which is not a state of the scheduler"},
		{"to nowhere", func(m *lifecycletest.Mapping[string]) { m.Own[1].To = "gone" }, "a difference is declared from failed to gone, which is not a state of the scheduler\n" +
			"CHILD request in failed by retry: goes to queued, but is declared to go to gone"},
		{"by no trigger", add(lifecycletest.Difference[string]{From: done, To: queued}), "a difference is declared from done by Trigger(0), which is not a trigger"},
		{"of a kind it has not", add(lifecycletest.Difference[string]{From: done, Trigger: lifecycle.TriggerRetry, To: queued, Kinds: []lifecycle.Kind{lifecycle.KindParent}}), "PARENT request in done by retry: a difference is declared, but the scheduler does not have this kind"},
		{"without a Next", func(m *lifecycletest.Mapping[string]) { m.Next = nil }, "differences are declared, but there is no Next that could differ"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := withOwn()
			tt.spoil(&m)
			if got := fmt.Sprint(lifecycletest.Check(m)); got != tt.want {
				t.Errorf("Check = %v\nwant    %s", got, tt.want)
			}
		})
	}
}

// A way into a state that the scheduler is without may be refused, or be a declared
// difference.
func TestOwnInsteadOfAStateItIsWithout(t *testing.T) {
	t.Parallel()
	m := mapping()
	m.Next = func(k lifecycle.Kind, s string, t lifecycle.Trigger) (string, bool) {
		if s == active && t == lifecycle.TriggerFailRetryable {
			return queued, true
		}
		return next(k, s, t)
	}
	const want = "SINGLETON request in active by fail_retryable: goes to queued, which stands for WAIT, but the rule leads to ERROR_AUTO_RETRY"
	if err := lifecycletest.Check(m); err == nil || err.Error() != want {
		t.Errorf("Check = %v\nwant    %s", err, want)
	}
	m.Own = []lifecycletest.Difference[string]{{From: active, Trigger: lifecycle.TriggerFailRetryable, To: queued}}
	lifecycletest.Assert(t, m)
}

// The example that the package documentation sends its reader to is a whole file, and
// short.
func TestExampleIsShort(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(text), "\n"); lines > 40 {
		t.Errorf("example_test.go has %d lines, want at most 40", lines)
	}
	doc, err := os.ReadFile("doc.go")
	if err != nil || !strings.Contains(string(doc), "example_test.go") {
		t.Errorf("the package documentation does not name example_test.go (%v)", err)
	}
	if len(states) != 6 {
		t.Errorf("the example has %d states, the package documentation says six", len(states))
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
