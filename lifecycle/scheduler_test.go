package lifecycle_test

import (
	"errors"
	"fmt"
	"testing"

	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// pairs returns the set of "KIND STATE" for which holds is true, over every
// byte value of both.
func pairs(holds func(lifecycle.Kind, lifecycle.State) bool) map[string]bool {
	set := make(map[string]bool)
	for k := range 256 {
		for s := range 256 {
			if k, s := lifecycle.Kind(k), lifecycle.State(s); holds(k, s) {
				set[fmt.Sprint(k, " ", s)] = true
			}
		}
	}
	return set
}

func TestExecutesAndAdmitsChildren(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		holds func(lifecycle.Kind, lifecycle.State) bool
		want  map[string][]string
	}{
		{"Executes", lifecycle.Executes, map[string][]string{
			"SINGLETON":         {"RUNNING", "COMPLETED", "CANCELLING"},
			"CHILD":             {"RUNNING", "COMPLETED", "CANCELLING"},
			"SUBREQUEST_PARENT": {"RUNNING", "COMPLETED", "CANCELLING"},
		}},
		{"AdmitsChildren", lifecycle.AdmitsChildren, map[string][]string{
			"PARENT": {
				"WAIT", "READY", "RUNNING", "BLOCKED", "HOLD", "PAUSED", "PENDING_VALIDATION",
				"ERROR_AUTO_RETRY", "ERROR_MANUAL_RECOVERY",
			},
			"SUBREQUEST_PARENT": {
				"WAIT", "READY", "RUNNING", "BLOCKED", "HOLD", "PAUSED", "PENDING_VALIDATION",
				"ERROR_AUTO_RETRY", "ERROR_MANUAL_RECOVERY",
			},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := pairs(tt.holds)
			for kind, states := range tt.want {
				for _, state := range states {
					pair := kind + " " + state
					if !got[pair] {
						t.Errorf("%s is false for %s", tt.name, pair)
					}
					delete(got, pair)
				}
			}
			for pair := range got {
				t.Errorf("%s is true for %s", tt.name, pair)
			}
		})
	}
}

// Advance is asked everything, undeclared values included. Its answers are those of
// the rules without the ones that a cancel needs, listed here by hand.
func TestAdvance(t *testing.T) {
	t.Parallel()
	onlyForCancels := map[lifecycle.Trigger]bool{
		lifecycle.TriggerCancel: true, lifecycle.TriggerAcknowledge: true, lifecycle.TriggerSettle: true, lifecycle.TriggerForce: true,
	}
	rules := ruled()
	permitted := 0
	for _, k := range someKinds {
		for _, s := range someStates {
			for _, tr := range someTriggers {
				rule, ok := rules[decision{k, s, tr}]
				ok = ok && s != lifecycle.StateCancelling && !onlyForCancels[tr]
				to, err := lifecycle.Advance(k, s, tr)
				switch {
				case ok && (err != nil || to != rule.To):
					t.Errorf("Advance(%v, %v, %v) = %v, %v, want %v", k, s, tr, to, err, rule.To)
				case ok && (to == lifecycle.StateCancelling || to == lifecycle.StateCancelled):
					t.Errorf("Advance(%v, %v, %v) = %v: only a cancel leads there", k, s, tr, to)
				case ok:
					permitted++
				case to != 0:
					t.Errorf("Advance(%v, %v, %v) = %v, want no state", k, s, tr, to)
				default:
					wantUnsupported(t, err, k, s, tr)
				}
			}
		}
	}
	// 4 kinds have 26 ordinary rules in common; pausing adds 2, schedules 4.
	if want := 4*26 + 2 + 4; permitted != want {
		t.Errorf("Advance permits %d combinations, want %d", permitted, want)
	}
}

// Admit says what AdmitsChildren says, whatever else the parent is.
func TestAdmit(t *testing.T) {
	t.Parallel()
	for _, k := range someKinds {
		for _, s := range someStates {
			parent := lifecycle.Request{ID: 7, Parent: 3, Kind: k, State: s, Attempt: 2}
			err := lifecycle.Admit(parent)
			if lifecycle.AdmitsChildren(k, s) {
				if err != nil {
					t.Errorf("Admit(%v in %v) = %v, want nil", k, s, err)
				}
				continue
			}
			e, ok := errors.AsType[*esserrors.Error](err)
			if !ok {
				t.Errorf("Admit(%v in %v) = %v, want an *Error", k, s, err)
				continue
			}
			want := esserrors.Error{
				Code: esserrors.CodeUnsupportedState, Op: "submit", ID: 7, Kind: k.String(), State: s.String(),
				Detail: fmt.Sprintf(`Operation "submit" is not supported for a %v request in state %v.`, k, s),
			}
			if *e != want {
				t.Errorf("Admit(%v in %v) = %+v, want %+v", k, s, *e, want)
			}
		}
	}
}

// A state in which a parent can end by an ordinary transition, and that its scheduler
// reaches for that purpose, admits no child; and where no child is admitted any
// more, nothing but the end or a cancel follows: no way leads back to a state that
// admits one.
func TestNoWayBackToAdmitting(t *testing.T) {
	t.Parallel()
	for k := range lifecycle.Kinds() {
		if !k.HasChildren() {
			continue
		}
		for s := range (lifecycle.Live &^ lifecycle.Admitting).All() {
			if back := reach(k, lifecycle.SetOf(s), anyTrigger) & lifecycle.Admitting; back != 0 {
				t.Errorf("%v in %v admits no child, and can become %v, which does", k, s, back)
			}
		}
	}
}
