package cancel_test

import (
	"cmp"
	"math"
	"testing"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

func TestDecisions(t *testing.T) {
	t.Parallel()
	n := 0
	for d := range cancel.Decisions() {
		n++
		to, ok := lifecycle.Next(d.Kind, d.From, lifecycle.TriggerCancel)
		if !ok || to != d.State {
			t.Errorf("%v: the rules say %v, %v", d, to, ok)
		}
		wantOutcome := d.State == lifecycle.StateCancelling && !lifecycle.Executes(d.Kind, d.From)
		if (d.Outcome == lifecycle.StateCancelled) != wantOutcome || !wantOutcome && d.Outcome != 0 {
			t.Errorf("%v: outcome %v", d, d.Outcome)
		}
	}
	if n != 4*(lifecycle.Live.Len()-1) {
		t.Errorf("%d decisions", n)
	}
	for range cancel.Decisions() {
		break
	}
}

func TestCursorCompare(t *testing.T) {
	t.Parallel()
	cursors := []cancel.Cursor{{}, {0, 1}, {0, math.MaxInt64}, {1, 0}, {1, 5}, {2, 3}}
	for i, a := range cursors {
		for j, b := range cursors {
			if got, want := a.Compare(b), cmp.Compare(i, j); got != want {
				t.Errorf("%v.Compare(%v) = %d, want %d", a, b, got, want)
			}
		}
	}
}
