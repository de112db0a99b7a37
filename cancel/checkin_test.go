package cancel_test

import (
	"testing"
	"time"

	"example.com/ess/cancel"
)

// TestCheckInBehind checks in with a clock that is behind: one of the two is wrong, and
// the grace is counted from the check-in.
func TestCheckInBehind(t *testing.T) {
	t.Parallel()
	now := start
	repo := newRepo(t, "1 SINGLETON RUNNING")
	c := cancel.New(repo, &cancel.Options{Now: func() time.Time { return now }})
	if _, err := c.Cancel(t.Context(), cancel.Order{ID: 1, Actor: "ann"}); err != nil {
		t.Fatal(err)
	}
	now = now.Add(-time.Hour)
	in, err := c.CheckIn(t.Context(), cancel.Order{ID: 1})
	if err != nil || !in.Cancelling || in.Cause.Actor != "ann" {
		t.Errorf("CheckIn = %+v, %v", in, err)
	}
	if r, _ := repo.Get(t.Context(), 1); !r.CheckedIn.Equal(now) || in.Request != r {
		t.Errorf("checked in %v, want %v; told %v", r, now, in.Request)
	}
}
