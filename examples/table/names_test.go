package table

import (
	"testing"

	"example.com/ess/lifecycle"
	"example.com/ess/lifecycle/lifecycletest"
)

func TestNames(t *testing.T) {
	t.Parallel()
	own := map[string]lifecycle.State{}
	without := lifecycle.Live | lifecycle.Terminal
	for s, text := range statuses {
		own[text] = s
		without &^= lifecycle.SetOf(s)
	}
	lifecycletest.Assert(t, lifecycletest.Mapping[string]{States: own, Without: without})
}

// TestTexts checks that every state, outcome and kind can be read as it was written.
func TestTexts(t *testing.T) {
	t.Parallel()
	for s := range lifecycle.States() {
		if m := meanings[status(s, 0)]; m != (meaning{state: s}) {
			t.Errorf("%v is stored as %q, which is read as %v", s, status(s, 0), m)
		}
	}
	for o := range lifecycle.Outcomes.All() {
		want := meaning{lifecycle.StateCancelling, o}
		if text := status(want.state, o); meanings[text] != want {
			t.Errorf("%v is stored as %q, which is read as %v", want, text, meanings[text])
		}
	}
	for k := range lifecycle.Kinds() {
		if text := typeOf(k); kindOf[text] != k {
			t.Errorf("%v is stored as %q, which is read as %v", k, text, kindOf[text])
		}
	}
}
