package lifecycle_test

import (
	"encoding"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"example.com/ess/lifecycle"
)

// The sets by hand.
var sets = []struct {
	name    string
	set     lifecycle.StateSet
	members string
}{
	{"none", 0, ""},
	{"Terminal", lifecycle.Terminal, "EXPIRED, CANCELLED, ERROR, WARNING, SUCCEEDED, VALIDATION_FAILED, FINISHED"},
	{"Live", lifecycle.Live, "WAIT, READY, RUNNING, COMPLETED, BLOCKED, HOLD, CANCELLING, PAUSED, PENDING_VALIDATION, SCHEDULE_ENDED, ERROR_AUTO_RETRY, ERROR_MANUAL_RECOVERY"},
	{"Pending", lifecycle.Pending, "WAIT, READY, BLOCKED, HOLD, PAUSED, PENDING_VALIDATION, SCHEDULE_ENDED, ERROR_AUTO_RETRY, ERROR_MANUAL_RECOVERY"},
	{"Executing", lifecycle.Executing, "RUNNING, COMPLETED, CANCELLING"},
	{"Outcomes", lifecycle.Outcomes, "CANCELLED, ERROR, WARNING, SUCCEEDED"},
	{"Initial", lifecycle.Initial, "WAIT, PENDING_VALIDATION"},
	{"Admitting", lifecycle.Admitting, "WAIT, READY, RUNNING, BLOCKED, HOLD, PAUSED, PENDING_VALIDATION, ERROR_AUTO_RETRY, ERROR_MANUAL_RECOVERY"},
	{"everything and undeclared bits", math.MaxUint32, strings.Join(essNames(), ", ")},
	{"SetOf()", lifecycle.SetOf(), ""},
	{"SetOf one", lifecycle.SetOf(lifecycle.StateHold), "HOLD"},
	{"SetOf last", lifecycle.SetOf(lifecycle.StateErrorManualRecovery), "ERROR_MANUAL_RECOVERY"},
	{"SetOf twice the same, any order", lifecycle.SetOf(lifecycle.StateHold, lifecycle.StateWait, lifecycle.StateHold), "WAIT, HOLD"},
	{"SetOf invalid ones", lifecycle.SetOf(0, 20, 31, 32, 33, 255), ""},
	{"union", lifecycle.SetOf(lifecycle.StateWait) | lifecycle.SetOf(lifecycle.StateHold), "WAIT, HOLD"},
	{"intersection", lifecycle.Live & lifecycle.SetOf(lifecycle.StateHold, lifecycle.StateError), "HOLD"},
	{"difference", lifecycle.Executing &^ lifecycle.SetOf(lifecycle.StateCancelling), "RUNNING, COMPLETED"},
}

func TestStateSets(t *testing.T) {
	t.Parallel()
	for _, tt := range sets {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var want []string
			if tt.members != "" {
				want = strings.Split(tt.members, ", ")
			}
			if got := tt.set.String(); got != tt.members {
				t.Errorf("String() = %q, want %q", got, tt.members)
			}
			if got := tt.set.Len(); got != len(want) {
				t.Errorf("Len() = %d, want %d", got, len(want))
			}
			var got []string
			for s := range tt.set.All() {
				got = append(got, s.String())
			}
			if !slices.Equal(got, want) {
				t.Errorf("All() = %q, want %q", got, want)
			}
			for n := range 256 {
				s := lifecycle.State(n)
				if got, want := tt.set.Has(s), slices.Contains(want, s.String()); got != want {
					t.Errorf("Has(%v) = %v, want %v", s, got, want)
				}
			}
		})
	}
}

// Two sets with the same members are equal, so SetOf must not set a bit that
// stands for no state, although Has would not show it.
func TestSetOfHasNoOtherBits(t *testing.T) {
	t.Parallel()
	for n := range 256 {
		s := lifecycle.State(n)
		var want lifecycle.StateSet
		if s.Valid() {
			want = 1 << n
		}
		if got := lifecycle.SetOf(s); got != want {
			t.Errorf("SetOf(%v) = %#x, want %#x", s, uint32(got), uint32(want))
		}
	}
}

func TestStateSetsPartition(t *testing.T) {
	t.Parallel()
	for s := range lifecycle.States() {
		if lifecycle.Live.Has(s) == lifecycle.Terminal.Has(s) {
			t.Errorf("%v must be either live or terminal", s)
		}
		if lifecycle.Live.Has(s) != (lifecycle.Pending.Has(s) != lifecycle.Executing.Has(s)) {
			t.Errorf("%v must be either pending or executing if it is live, and neither if it is not", s)
		}
	}
	for name, sub := range map[string][2]lifecycle.StateSet{
		"Outcomes in Terminal": {lifecycle.Outcomes, lifecycle.Terminal},
		"Initial in Live":      {lifecycle.Initial, lifecycle.Live},
		"Admitting in Live":    {lifecycle.Admitting, lifecycle.Live},
	} {
		if sub[0]&^sub[1] != 0 {
			t.Errorf("%s: %v is not", name, sub[0]&^sub[1])
		}
	}
}

// A set encodes as it prints, and comes back.
func TestStateSetText(t *testing.T) {
	t.Parallel()
	for _, tt := range sets {
		text, err := json.Marshal(tt.set)
		if want := `"` + tt.members + `"`; string(text) != want || err != nil {
			t.Errorf("%s: Marshal = %s, %v, want %s", tt.name, text, err, want)
		}
		back := lifecycle.SetOf(lifecycle.StateBlocked)
		if err := json.Unmarshal(text, &back); err != nil || back != tt.set&(lifecycle.Live|lifecycle.Terminal) {
			t.Errorf("%s: Unmarshal(%s) = %v, %v, want %v", tt.name, text, back, err, tt.set)
		}
	}
	testSetText(t, "State", map[string]lifecycle.StateSet{
		"HOLD": 1 << lifecycle.StateHold, "HOLD,WAIT": 1<<lifecycle.StateHold | 1<<lifecycle.StateWait,
		"HOLD ,  WAIT, HOLD": 1<<lifecycle.StateHold | 1<<lifecycle.StateWait,
	}, map[string]string{
		"hold": "hold", "HOLD,": "", ",HOLD": "", ",": "", " ": "", "HOLD,,WAIT": "", "HOLD WAIT": "HOLD WAIT", "HOLD, PARENT": "PARENT",
		"State(1)": "State(1)", "[HOLD]": "[HOLD]",
	})
}

func TestKindSetText(t *testing.T) {
	t.Parallel()
	const declared = 1<<lifecycle.KindSingleton | 1<<lifecycle.KindChild | 1<<lifecycle.KindParent | 1<<lifecycle.KindSubrequestParent
	for bits := range 256 {
		set := lifecycle.KindSet(bits)
		text, err := json.Marshal(set)
		if want := `"` + set.String() + `"`; string(text) != want || err != nil {
			t.Errorf("KindSet(%#b): Marshal = %s, %v, want %s", bits, text, err, want)
		}
		back := lifecycle.KindSet(1 << lifecycle.KindChild)
		if err := json.Unmarshal(text, &back); err != nil || back != set&declared {
			t.Errorf("Unmarshal(%s) = %v, %v, want %v", text, back, err, set)
		}
	}
	testSetText(t, "Kind", map[string]lifecycle.KindSet{
		"PARENT": 1 << lifecycle.KindParent, "PARENT,CHILD": 1<<lifecycle.KindParent | 1<<lifecycle.KindChild,
	}, map[string]string{"parent": "parent", "PARENT,": "", "HOLD": "HOLD", "PARENT CHILD": "PARENT CHILD"})
}

// testSetText reads texts that are sets, and texts of which one word is no name.
func testSetText[S interface{ ~uint8 | ~uint32 }, P interface {
	*S
	encoding.TextUnmarshaler
}](t *testing.T, typ string, good map[string]S, bad map[string]string) {
	t.Helper()
	for text, want := range good {
		set := S(2)
		if err := P(&set).UnmarshalText([]byte(text)); err != nil || set != want {
			t.Errorf("UnmarshalText(%q) = %v, %v, want %v", text, set, err, want)
		}
	}
	for text, word := range bad {
		set := S(2)
		wantNameError(t, fmt.Sprintf("UnmarshalText(%q)", text), P(&set).UnmarshalText([]byte(text)), typ, word)
		if set != 2 {
			t.Errorf("UnmarshalText(%q) failed and yet changed its receiver to %v", text, set)
		}
	}
}

func TestSetsStopEarly(t *testing.T) {
	t.Parallel()
	for s := range lifecycle.Live.All() {
		if s != lifecycle.StateWait {
			t.Errorf("Live.All() begins with %v, want WAIT", s)
		}
		break
	}
	for k := range lifecycle.KindSet(math.MaxUint8).All() {
		if k != lifecycle.KindSingleton {
			t.Errorf("KindSet.All() begins with %v, want SINGLETON", k)
		}
		break
	}
}

func TestKindSet(t *testing.T) {
	t.Parallel()
	names := []string{"SINGLETON", "CHILD", "PARENT", "SUBREQUEST_PARENT"}
	for bits := range 256 {
		set := lifecycle.KindSet(bits)
		var want []string
		for k := range 256 {
			declared := k >= 1 && k <= len(names)
			has := declared && bits&(1<<k) != 0
			if has {
				want = append(want, names[k-1])
			}
			if got := set.Has(lifecycle.Kind(k)); got != has {
				t.Errorf("KindSet(%#b).Has(%v) = %v, want %v", bits, lifecycle.Kind(k), got, has)
			}
		}
		var got []string
		for k := range set.All() {
			got = append(got, k.String())
		}
		if !slices.Equal(got, want) {
			t.Errorf("KindSet(%#b).All() = %q, want %q", bits, got, want)
		}
		if got, want := set.String(), strings.Join(want, ", "); got != want {
			t.Errorf("KindSet(%#b).String() = %q, want %q", bits, got, want)
		}
	}
}

func TestKindProperties(t *testing.T) {
	t.Parallel()
	type properties struct{ work, children bool }
	want := map[lifecycle.Kind]properties{
		lifecycle.KindSingleton:        {work: true},
		lifecycle.KindChild:            {work: true},
		lifecycle.KindParent:           {children: true},
		lifecycle.KindSubrequestParent: {work: true, children: true},
	}
	for n := range 256 {
		k := lifecycle.Kind(n)
		if got := (properties{k.RunsWork(), k.HasChildren()}); got != want[k] {
			t.Errorf("%v = %+v, want %+v", k, got, want[k])
		}
	}
}
