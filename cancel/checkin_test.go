package cancel_test

import (
	"testing"
	"time"

	"example.com/ess/cancel"
)

// TestCheckInBehind checks in with a clock that is behind that of the cancel. The grace is
// counted from the check-in.
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

// TestCheckInAfterAnswer checks in when there is nothing to write: the request is
// returned as the store has it.
func TestCheckInAfterAnswer(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"1 SUBREQUEST_PARENT CANCELLING WARNING; 2<1 CHILD CANCELLING", // its work has acknowledged
		"1 PARENT CANCELLING; 2<1 CHILD CANCELLING",                    // it has no work
	} {
		repo := newRepo(t, text)
		in, err := cancel.New(repo, nil).CheckIn(t.Context(), cancel.Order{ID: 1})
		if r, _ := repo.Get(t.Context(), 1); err != nil || !in.Cancelling || in.Request != r {
			t.Errorf("CheckIn = %+v, %v; the store has %+v", in, err, r)
		}
	}
}
