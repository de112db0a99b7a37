package lifecycle_test

import (
	"errors"
	"testing"

	"github.com/qmuntal/stateless"

	"example.com/ess/lifecycle"
)

// FuzzStateText gives any text to the three enumerations: each takes exactly
// what it prints, by whatever door, and rejects all else with a NameError.
func FuzzStateText(f *testing.F) {
	for s := range lifecycle.States() {
		f.Add(s.String())
	}
	for k := range lifecycle.Kinds() {
		f.Add(k.String())
	}
	for t := range lifecycle.Triggers() {
		f.Add(t.String())
	}
	for _, text := range []string{"", "wait", "WAIT ", "State(1)", "1", "UNKNOWN", "\x00\xff"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		fuzzText[lifecycle.State](t, "State", text)
		fuzzText[lifecycle.Kind](t, "Kind", text)
		fuzzText[lifecycle.Trigger](t, "Trigger", text)
	})
}

func fuzzText[E enum, P enumPointer[E]](t *testing.T, typ, text string) {
	t.Helper()
	const before = 3
	for name, decode := range map[string]func(P) error{
		"UnmarshalText": func(p P) error { return p.UnmarshalText([]byte(text)) },
		"Scan(string)":  func(p P) error { return p.Scan(text) },
		"Scan([]byte)":  func(p P) error { return p.Scan([]byte(text)) },
	} {
		e := E(before)
		if err := decode(&e); err != nil {
			got, ok := errors.AsType[*lifecycle.NameError](err)
			if !ok || *got != (lifecycle.NameError{Type: typ, Text: text}) {
				t.Errorf("%s(%q) of %s: %v, want a NameError that says so", name, text, typ, err)
			}
			if e != before {
				t.Errorf("%s(%q) of %s failed and yet changed its receiver to %v", name, text, typ, e)
			}
			continue
		}
		if back, err := e.MarshalText(); string(back) != text || err != nil {
			t.Errorf("%s(%q) of %s prints %q, %v", name, text, typ, back, err)
		}
	}
}

// FuzzNext walks a request of any kind from any state through any triggers,
// the bytes of each as they come, and has the stateless machine walk beside it.
func FuzzNext(f *testing.F) {
	f.Add(byte(lifecycle.KindChild), byte(lifecycle.StateWait), []byte{
		byte(lifecycle.TriggerDispatch), byte(lifecycle.TriggerStart), byte(lifecycle.TriggerCancel),
		byte(lifecycle.TriggerCancel), byte(lifecycle.TriggerAcknowledge), byte(lifecycle.TriggerCancel),
	})
	f.Add(byte(lifecycle.KindParent), byte(lifecycle.StateWait), []byte{
		byte(lifecycle.TriggerEndSchedule), byte(lifecycle.TriggerCancel), byte(lifecycle.TriggerSettle),
	})
	f.Add(byte(lifecycle.KindSubrequestParent), byte(lifecycle.StateRunning), []byte{
		byte(lifecycle.TriggerPause), byte(lifecycle.TriggerResume), byte(lifecycle.TriggerFailRetryable), byte(lifecycle.TriggerRetry),
	})
	f.Add(byte(0), byte(0), []byte{0})
	f.Add(byte(255), byte(255), []byte{255, 25, 21})
	f.Add(byte(5), byte(20), []byte{21})

	f.Fuzz(func(t *testing.T, kind, state byte, triggers []byte) {
		k, s := lifecycle.Kind(kind), lifecycle.State(state)
		machine := lifecycle.NewMachine(k, s)
		own := stateless.NewStateMachine(s)
		lifecycle.Configure(own, k)

		for _, b := range triggers {
			tr := lifecycle.Trigger(b)
			to, ok := lifecycle.Next(k, s, tr)
			if !ok && to != 0 || ok && !to.Valid() {
				t.Fatalf("Next(%v, %v, %v) = %v, %v", k, s, tr, to, ok)
			}
			if ok && lifecycle.Terminal.Has(s) {
				t.Fatalf("%v left the terminal state %v by %v", k, s, tr)
			}
			if ok && s == lifecycle.StateCancelling && to != s && !lifecycle.Outcomes.Has(to) {
				t.Fatalf("%v left CANCELLING for %v", k, to)
			}
			if got, err := lifecycle.Transition(k, s, tr); got != to || ok != (err == nil) {
				t.Fatalf("Transition(%v, %v, %v) = %v, %v, Next %v, %v", k, s, tr, got, err, to, ok)
			}
			if r, found := lifecycle.RuleFor(k, s, tr); found != ok || r.To != to {
				t.Fatalf("RuleFor(%v, %v, %v) = %+v, %v, Next %v, %v", k, s, tr, r, found, to, ok)
			}
			want := s
			if ok {
				want = to
			}
			for name, sm := range map[string]*stateless.StateMachine{"NewMachine": machine, "Configure": own} {
				err := sm.FireCtx(t.Context(), tr)
				if ok != (err == nil) || sm.MustState() != want {
					t.Fatalf("%s: Fire(%v) of %v in %v: state %v, error %v, Next %v, %v", name, tr, k, s, sm.MustState(), err, to, ok)
				}
				if !ok {
					wantUnsupported(t, err, k, s, tr)
				}
			}
			s = want
		}
	})
}
