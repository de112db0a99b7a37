package lifecycle_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// past returns every declared value of an enumeration that has n of them, the
// invalid zero, some values past the last, and the largest there is.
func past[E ~uint8](n int) []E {
	var list []E
	for i := range n + 8 {
		list = append(list, E(i))
	}
	return append(list, 127, 128, 254, 255)
}

var (
	someKinds    = past[lifecycle.Kind](4)
	someStates   = past[lifecycle.State](19)
	someTriggers = past[lifecycle.Trigger](24)
)

// ruled returns what the rules say without asking Next.
func ruled() map[decision]lifecycle.Rule {
	m := make(map[decision]lifecycle.Rule)
	for r := range lifecycle.Rules() {
		for k := range r.Kinds.All() {
			m[decision{k, r.From, r.Trigger}] = r
		}
	}
	return m
}

func TestRulesAreSound(t *testing.T) {
	t.Parallel()

	const declaredKinds = 1<<lifecycle.KindSingleton | 1<<lifecycle.KindChild | 1<<lifecycle.KindParent | 1<<lifecycle.KindSubrequestParent
	seen := make(map[decision]lifecycle.Rule)
	for r := range lifecycle.Rules() {
		if r.Kinds == 0 || r.Kinds&^declaredKinds != 0 {
			t.Errorf("%+v: kinds %#b", r, r.Kinds)
		}
		if !r.From.Valid() || !r.To.Valid() || !r.Trigger.Valid() {
			t.Errorf("%+v has a part that is not valid", r)
		}
		switch r.Source {
		case lifecycle.SourceSpec, lifecycle.SourceDocumented, lifecycle.SourceDecision:
		default:
			t.Errorf("%+v does not say where it comes from", r)
		}
		for k := range r.Kinds.All() {
			d := decision{k, r.From, r.Trigger}
			if other, ok := seen[d]; ok {
				t.Errorf("%v: both %+v and %+v", d, other, r)
			}
			seen[d] = r
		}
		// A second cancel is the only thing that is accepted and changes nothing.
		if r.From == r.To && (r.From != lifecycle.StateCancelling || r.Trigger != lifecycle.TriggerCancel) {
			t.Errorf("%+v leads to where it comes from", r)
		}
		if lifecycle.Terminal.Has(r.From) {
			t.Errorf("%+v leaves a terminal state", r)
		}
	}

	for range lifecycle.Rules() {
		break // must not panic
	}
}

// A singleton differs from a child by convention only.
func TestSingletonsAndChildrenHaveTheSameRules(t *testing.T) {
	t.Parallel()
	for r := range lifecycle.Rules() {
		if r.Kinds.Has(lifecycle.KindSingleton) != r.Kinds.Has(lifecycle.KindChild) {
			t.Errorf("%+v is for one of SINGLETON and CHILD only", r)
		}
	}
}

// The golden file is the whole list as a reader wants it; a change of any
// rule, its source included, is a changed line.
func TestRulesGolden(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for r := range lifecycle.Rules() {
		fmt.Fprintf(&b, "%-21s  %-16s  %-21s  %-10s  %s\n", r.From, r.Trigger, r.To, r.Source, r.Kinds)
	}
	golden(t, "rules.txt", b.String())
}

// A rule is written to JSON and read back.
func TestRuleJSON(t *testing.T) {
	t.Parallel()
	for want := range lifecycle.Rules() {
		text, err := json.Marshal(want)
		var got lifecycle.Rule
		if err2 := json.Unmarshal(text, &got); err != nil || err2 != nil || got != want {
			t.Errorf("%+v is %s in JSON and comes back as %+v: %v, %v", want, text, got, err, err2)
		}
	}
	text, err := json.Marshal(lifecycle.Rule{})
	if want := `{"kinds":"","from":"","trigger":"","to":"","source":""}`; string(text) != want || err != nil {
		t.Errorf("Marshal(Rule{}) = %s, %v, want %s", text, err, want)
	}
}

func TestTwoRulesForOneQuestionPanic(t *testing.T) {
	t.Parallel()

	rules := slices.Collect(lifecycle.Rules())
	lifecycle.CheckRules(rules) // the package's own must not

	clash := rules[0]
	clash.To = lifecycle.StateHold
	for _, extra := range []lifecycle.Rule{rules[0], clash} {
		func() {
			defer func() {
				const want = "lifecycle: two rules for SINGLETON in PENDING_VALIDATION by validate"
				if got := recover(); got != want {
					t.Errorf("panic = %v, want %q", got, want)
				}
			}()
			lifecycle.CheckRules(append(slices.Clone(rules), extra))
		}()
	}
}

// Next answers every byte that can stand for a state and a trigger: what the
// rules say, and nothing else.
func TestNextIsTotal(t *testing.T) {
	t.Parallel()
	want := ruled()
	permitted := 0
	for _, k := range someKinds {
		for s := range 256 {
			for tr := range 256 {
				d := decision{k, lifecycle.State(s), lifecycle.Trigger(tr)}
				to, ok := lifecycle.Next(d.kind, d.state, d.trigger)
				if !ok {
					if to != 0 {
						t.Errorf("Next%v = %v, false, want no state", d, to)
					}
					continue
				}
				permitted++
				if r, ruled := want[d]; !ruled || r.To != to {
					t.Errorf("Next%v = %v, want %v (a rule: %v)", d, to, r.To, ruled)
				}
			}
		}
	}
	if permitted != len(want) {
		t.Errorf("Next permits %d combinations, the rules %d", permitted, len(want))
	}
}

// Next, Transition, RuleFor and Permitted are four ways to ask one thing.
func TestQuestionsAgree(t *testing.T) {
	t.Parallel()
	rules := ruled()
	for _, k := range someKinds {
		for _, s := range someStates {
			var permitted []lifecycle.Trigger
			for _, tr := range someTriggers {
				rule, ruled := rules[decision{k, s, tr}]
				if ruled {
					permitted = append(permitted, tr)
				}
				if to, ok := lifecycle.Next(k, s, tr); ok != ruled || to != rule.To {
					t.Errorf("Next(%v, %v, %v) = %v, %v, want %v, %v", k, s, tr, to, ok, rule.To, ruled)
				}
				if got, ok := lifecycle.RuleFor(k, s, tr); ok != ruled || got != rule {
					t.Errorf("RuleFor(%v, %v, %v) = %+v, %v, want %+v, %v", k, s, tr, got, ok, rule, ruled)
				}
				to, err := lifecycle.Transition(k, s, tr)
				if to != rule.To {
					t.Errorf("Transition(%v, %v, %v) = %v, want %v", k, s, tr, to, rule.To)
				}
				if ruled && err != nil {
					t.Errorf("Transition(%v, %v, %v): %v", k, s, tr, err)
				} else if !ruled {
					wantUnsupported(t, err, k, s, tr)
				}
			}
			if got := slices.Collect(lifecycle.Permitted(k, s)); !slices.Equal(got, permitted) {
				t.Errorf("Permitted(%v, %v) = %v, want %v", k, s, got, permitted)
			}
		}
	}

	for tr := range lifecycle.Permitted(lifecycle.KindChild, lifecycle.StateWait) {
		if tr != lifecycle.TriggerDispatch {
			t.Errorf("Permitted(CHILD, WAIT) begins with %v, want dispatch", tr)
		}
		break
	}
}

// wantUnsupported checks the error of a trigger that no rule permits.
func wantUnsupported(t *testing.T, err error, k lifecycle.Kind, s lifecycle.State, tr lifecycle.Trigger) {
	t.Helper()
	if !errors.Is(err, esserrors.CodeUnsupportedState) {
		t.Errorf("%v by %v in %v: error %v, want one with CodeUnsupportedState", k, tr, s, err)
	}
	e, ok := errors.AsType[*esserrors.Error](err)
	if !ok {
		t.Errorf("%v by %v in %v: error %v is no *Error", k, tr, s, err)
		return
	}
	want := esserrors.Error{
		Code: esserrors.CodeUnsupportedState, Op: tr.String(), Kind: k.String(), State: s.String(),
		Detail: fmt.Sprintf("Operation %q is not supported for a %v request in state %v.", tr, k, s),
	}
	if *e != want {
		t.Errorf("%v by %v in %v: error %+v, want %+v", k, tr, s, *e, want)
	}
}

// reach returns the states that a request of kind k can get to from the given
// ones by the triggers that use lets through, the given ones included.
func reach(k lifecycle.Kind, from lifecycle.StateSet, use func(lifecycle.Trigger) bool) lifecycle.StateSet {
	for {
		all := from
		for s := range from.All() {
			for tr := range lifecycle.Permitted(k, s) {
				if to, _ := lifecycle.Next(k, s, tr); use(tr) {
					all |= lifecycle.SetOf(to)
				}
			}
		}
		if all == from {
			return all
		}
		from = all
	}
}

func anyTrigger(lifecycle.Trigger) bool { return true }

func uncancelled(t lifecycle.Trigger) bool { return t != lifecycle.TriggerCancel }

// The states by hand that a request of each kind never gets to.
var outOfReach = map[lifecycle.Kind]lifecycle.StateSet{
	lifecycle.KindSingleton:        lifecycle.SetOf(lifecycle.StatePaused, lifecycle.StateScheduleEnded, lifecycle.StateFinished),
	lifecycle.KindChild:            lifecycle.SetOf(lifecycle.StatePaused, lifecycle.StateScheduleEnded, lifecycle.StateFinished),
	lifecycle.KindParent:           lifecycle.SetOf(lifecycle.StatePaused),
	lifecycle.KindSubrequestParent: lifecycle.SetOf(lifecycle.StateScheduleEnded, lifecycle.StateFinished),
}

func TestEveryStateIsReachable(t *testing.T) {
	t.Parallel()
	const every = lifecycle.Live | lifecycle.Terminal
	var union lifecycle.StateSet
	for k := range lifecycle.Kinds() {
		got := reach(k, lifecycle.Initial, anyTrigger)
		union |= got
		if want := every &^ outOfReach[k]; got != want {
			t.Errorf("%v never reaches %v, want %v", k, every&^got, every&^want)
		}
	}
	if union != every {
		t.Errorf("no kind reaches %v", every&^union)
	}
}

func TestEveryLiveStateCanEnd(t *testing.T) {
	t.Parallel()
	for k := range lifecycle.Kinds() {
		for s := range lifecycle.Live.All() {
			if reach(k, lifecycle.SetOf(s), anyTrigger)&lifecycle.Terminal == 0 {
				t.Errorf("%v in %v has no way to a terminal state", k, s)
			}
			if outOfReach[k].Has(s) {
				continue
			}
			if reach(k, lifecycle.SetOf(s), uncancelled)&lifecycle.Terminal == 0 {
				t.Errorf("%v in %v has no way to a terminal state but cancel", k, s)
			}
		}
		for s := range lifecycle.Terminal.All() {
			if got := slices.Collect(lifecycle.Permitted(k, s)); len(got) != 0 {
				t.Errorf("%v in the terminal state %v accepts %v", k, s, got)
			}
		}
	}
}

// Cancel, and nothing but the answers that a cancel waits for, ends every live
// request of every kind in CANCELLED; force is not needed.
func TestCancelEndsEverything(t *testing.T) {
	t.Parallel()
	cancelling := func(tr lifecycle.Trigger) bool {
		return tr == lifecycle.TriggerCancel || tr == lifecycle.TriggerAcknowledge || tr == lifecycle.TriggerSettle
	}
	want := lifecycle.SetOf(lifecycle.StateCancelled)
	for k := range lifecycle.Kinds() {
		for s := range lifecycle.Live.All() {
			got := reach(k, lifecycle.SetOf(s), cancelling)
			if got&lifecycle.Terminal != want {
				t.Errorf("%v in %v, cancelled, ends in %v, want %v", k, s, got&lifecycle.Terminal, want)
			}
			if extra := got &^ (want | lifecycle.SetOf(s, lifecycle.StateCancelling)); extra != 0 {
				t.Errorf("%v in %v, cancelled, passes through %v", k, s, extra)
			}
		}
	}
}

// Outcomes is exactly what the rules lead to from CANCELLING. So no way leads
// from there back to work: there is no retry after a cancel.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	want := map[lifecycle.Kind]lifecycle.StateSet{
		lifecycle.KindSingleton:        lifecycle.Outcomes,
		lifecycle.KindChild:            lifecycle.Outcomes,
		lifecycle.KindParent:           lifecycle.SetOf(lifecycle.StateCancelled),
		lifecycle.KindSubrequestParent: lifecycle.Outcomes,
	}
	var union lifecycle.StateSet
	for k := range lifecycle.Kinds() {
		var got lifecycle.StateSet
		for tr := range lifecycle.Permitted(k, lifecycle.StateCancelling) {
			if to, _ := lifecycle.Next(k, lifecycle.StateCancelling, tr); to != lifecycle.StateCancelling {
				got |= lifecycle.SetOf(to)
			}
		}
		if got != want[k] {
			t.Errorf("%v leaves CANCELLING for %v, want %v", k, got, want[k])
		}
		union |= got
	}
	if union != lifecycle.Outcomes {
		t.Errorf("Outcomes = %v, want %v", lifecycle.Outcomes, union)
	}
}
