package cancel_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	"example.com/ess/lifecycle"
)

// TestChildren reads with every size of pages, from every position.
func TestChildren(t *testing.T) {
	t.Parallel()
	repo := newRepo(t, "1 PARENT RUNNING; 2 PARENT RUNNING; 3<1 CHILD WAIT; 4<2 CHILD HOLD; 5<1 CHILD SUCCEEDED; 6<1 CHILD RUNNING; 7<2 CHILD WAIT")
	q := cancel.ChildQuery{Parents: []lifecycle.ID{1, 2}, States: lifecycle.Live}
	all := []lifecycle.ID{3, 6, 4, 7} // by parent, then by id
	after := []cancel.Cursor{{}, {Parent: 1, ID: 3}, {Parent: 1, ID: 6}, {Parent: 2, ID: 4}, {Parent: 2, ID: 7}}
	for limit := range 6 {
		for i, a := range after {
			q.Limit, q.After = limit, a
			children := cancel.Children(t.Context(), repo, q)
			for range 2 { // each range begins anew
				var got []lifecycle.ID
				for r, err := range children {
					must(t, err)
					got = append(got, r.ID)
				}
				if want := all[i:]; !slices.Equal(got, want) {
					t.Errorf("Limit %d, After %v: %v, want %v", limit, a, got, want)
				}
			}
		}
	}

	// Nothing is read that nobody asks for.
	counted := &fake{Repository: repo}
	for range cancel.Children(t.Context(), counted, cancel.ChildQuery{Parents: q.Parents, States: q.States, Limit: 2}) {
		break
	}
	if n := counted.calls.Load(); n != 1 {
		t.Errorf("%d pages were read for one request", n)
	}
}

func TestChildrenFail(t *testing.T) {
	t.Parallel()
	page := tree(t, "2<1 CHILD WAIT; 3<1 CHILD WAIT")
	tests := []struct {
		name string
		page []lifecycle.Request
		err  error
	}{
		{"an error", nil, errDisk},
		{"the same page for ever", page, nil},
		{"one request for ever", page[:1], nil},
		{"too much", append(slices.Clone(page), tree(t, "4<1 CHILD WAIT")...), nil},
		{"somebody else's child", tree(t, "2<9 CHILD WAIT"), nil},
		{"a state that nobody wants", tree(t, "2<1 CHILD HOLD"), nil},
	}
	for _, tt := range tests {
		repo := &fake{children: func(context.Context, cancel.ChildQuery) ([]lifecycle.Request, error) { return tt.page, tt.err }}
		q := cancel.ChildQuery{Parents: []lifecycle.ID{1}, States: lifecycle.SetOf(lifecycle.StateWait), Limit: 2}
		var errs []error
		read := 0
		for r, err := range cancel.Children(t.Context(), repo, q) {
			if err != nil {
				errs = append(errs, err)
				if r != (lifecycle.Request{}) {
					t.Errorf("%s: the error came with %v", tt.name, r)
				}
			}
			if read++; read > 10 {
				t.Fatalf("%s: there is no end", tt.name)
			}
		}
		if len(errs) != 1 || tt.err != nil && !errors.Is(errs[0], tt.err) {
			t.Errorf("%s: errors %v, want one", tt.name, errs)
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
