package cancel_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// TestForceBoundary checks the grace to the nanosecond.
func TestForceBoundary(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		after, grace, wait time.Duration
	}{
		{30*time.Minute - 1, 0, 1},
		{30 * time.Minute, 0, 0},
		{30*time.Minute + 1, 0, 0},
		{0, 0, 30 * time.Minute},
		{time.Second - 1, time.Second, 1},
		{time.Second, time.Second, 0},
		{0, -1, 0},
	} {
		now := start
		repo := newRepo(t, "1 SINGLETON RUNNING")
		c := cancel.New(repo, &cancel.Options{Grace: tt.grace, Now: func() time.Time { return now }})
		if _, err := c.Cancel(t.Context(), cancel.Order{ID: 1}); err != nil {
			t.Fatal(err)
		}
		now = now.Add(tt.after)
		_, err := c.Force(t.Context(), cancel.Order{ID: 1})
		wait, early := esserrors.RetryAfter(err)
		if wait != tt.wait || early != (tt.wait > 0) || early != errors.Is(err, esserrors.CodeConflict) || !early && err != nil {
			t.Errorf("force %v after the cancel with grace %v: %v, want to wait %v", tt.after, tt.grace, err, tt.wait)
		}
	}
}

// TestForceWithoutClock forces a request whose CheckedIn is not set.
func TestForceWithoutClock(t *testing.T) {
	t.Parallel()
	repo := newRepo(t, "1 SINGLETON CANCELLING")
	if _, err := cancel.New(repo, nil).Force(t.Context(), cancel.Order{ID: 1}); err != nil || states(repo) != "1 CANCELLED" {
		t.Errorf("%v, %s", err, states(repo))
	}
}

// TestClockWasAhead cancels while the clock is a year ahead, and then sets it right.
func TestClockWasAhead(t *testing.T) {
	t.Parallel()
	overdue := func(c *cancel.Canceller) (n int) {
		for range c.Overdue(context.Background()) {
			n++
		}
		return n
	}
	for _, mends := range []string{"Force", "CheckIn", "Resume"} {
		now := start
		repo := newRepo(t, "1 SINGLETON RUNNING")
		c := cancel.New(repo, &cancel.Options{Now: func() time.Time { return now }})
		now = start.AddDate(1, 0, 0)
		_, err := c.Cancel(t.Context(), cancel.Order{ID: 1})
		must(t, err)
		now = start
		switch mends {
		case "Force":
			_, err := c.Force(t.Context(), cancel.Order{ID: 1})
			if wait, ok := esserrors.RetryAfter(err); !ok || wait != 30*time.Minute {
				t.Errorf("Force = %v, try again after %v", err, wait)
			}
		case "CheckIn":
			_, err := c.CheckIn(t.Context(), cancel.Order{ID: 1})
			must(t, err)
		case "Resume":
			_, err := c.Resume(t.Context(), nil)
			must(t, err)
		}
		_, err = c.Cancel(t.Context(), cancel.Order{ID: 1}) // does not move the clock
		must(t, err)
		now = start.Add(30*time.Minute - time.Microsecond)
		if _, err := c.Force(t.Context(), cancel.Order{ID: 1}); !errors.Is(err, esserrors.CodeConflict) || overdue(c) != 0 {
			t.Errorf("%s, before the grace is over: Force = %v, %d overdue", mends, err, overdue(c))
		}
		now = start.Add(30 * time.Minute)
		if n := overdue(c); n != 1 {
			t.Errorf("%s: %d overdue after the grace", mends, n)
		}
		if _, err := c.Force(t.Context(), cancel.Order{ID: 1}); err != nil {
			t.Errorf("%s: Force after the grace: %v", mends, err)
		}
	}
	// If clocks differ by no more than the grace, Resume writes nothing; Force does.
	for _, ahead := range []time.Duration{time.Second, 30 * time.Minute} {
		repo := newRepo(t, "1 SINGLETON RUNNING")
		now := start.Add(ahead)
		c := cancel.New(repo, &cancel.Options{Now: func() time.Time { return now }})
		_, err := c.Cancel(t.Context(), cancel.Order{ID: 1})
		must(t, err)
		now = start
		_, err = c.Resume(t.Context(), nil)
		must(t, err)
		if r, _ := repo.Get(t.Context(), 1); !r.CheckedIn.Equal(start.Add(ahead)) {
			t.Errorf("Resume moved the clock of Force to %v", r.CheckedIn)
		}
		_, err = c.Force(t.Context(), cancel.Order{ID: 1})
		if wait, _ := esserrors.RetryAfter(err); wait != 30*time.Minute {
			t.Errorf("Force has to wait for %v", wait)
		}
	}
}

// TestOverdue compares the list with what Force says of each request.
func TestOverdue(t *testing.T) {
	t.Parallel()
	text := "1 PARENT RUNNING; 2<1 CHILD CANCELLING; 3<1 CHILD CANCELLING; 4<1 SUBREQUEST_PARENT CANCELLING; " +
		"5<1 SUBREQUEST_PARENT CANCELLING WARNING; 6<5 CHILD RUNNING; 7<1 PARENT CANCELLING CANCELLED; 8<7 CHILD CANCELLING; 9 SINGLETON RUNNING; 10 SINGLETON CANCELLED"
	for _, after := range []time.Duration{0, 30*time.Minute - 1, 30 * time.Minute, time.Hour} {
		each(t, text, func(t *testing.T, repo *memrepo.Repo, seen cancel.Repository) {
			now := start
			c := cancel.New(seen, &cancel.Options{Now: func() time.Time { return now }})
			for _, id := range []lifecycle.ID{3, 4} { // of the others nobody knows since when
				if _, err := c.CheckIn(t.Context(), cancel.Order{ID: id}); err != nil {
					t.Fatal(err)
				}
			}
			now = start.Add(after)
			var got, want []lifecycle.ID
			for u, err := range c.Overdue(t.Context()) {
				must(t, err)
				got = append(got, u.Request.ID)
			}
			for r := range repo.All() {
				if _, err := c.Force(t.Context(), cancel.Order{ID: r.ID}); err == nil && r.Outcome == 0 {
					want = append(want, r.ID)
				}
			}
			if !slices.Equal(sorted(got), sorted(want)) || len(want) < 2 {
				t.Errorf("after %v: Overdue = %v, Force ends %v", after, got, want)
			}
		})
	}

	ctx, stop := context.WithCancel(t.Context())
	stop()
	n := 0
	for _, err := range cancel.New(newRepo(t, text), nil).Overdue(ctx) {
		if n++; !errors.Is(err, context.Canceled) {
			t.Errorf("a stopped caller: %v", err)
		}
	}
	if n != 1 {
		t.Errorf("an error was yielded %d times", n)
	}
}
