package cancel_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	"example.com/ess/lifecycle"
)

// TestCancelling compares the ways of finding what is CANCELLING.
func TestCancelling(t *testing.T) {
	t.Parallel()
	each(t, "1 PARENT RUNNING; 2<1 PARENT CANCELLING CANCELLED; 3<2 CHILD CANCELLING; 4<1 SUBREQUEST_PARENT CANCELLING; 5<4 PARENT WAIT; 6<5 CHILD CANCELLING; 7 SINGLETON CANCELLING; 8 SINGLETON RUNNING",
		func(t *testing.T, _ *memrepo.Repo, seen cancel.Repository) {
			var got []lifecycle.ID
			for u, err := range cancel.ListCancelling(t.Context(), seen) {
				must(t, err)
				got = append(got, u.Request.ID)
			}
			if want := []lifecycle.ID{2, 3, 4, 6, 7}; !slices.Equal(sorted(got), want) {
				t.Errorf("Cancelling = %v, want %v", got, want)
			}
			for range cancel.ListCancelling(t.Context(), seen) {
				break // may be left at any time
			}
			ctx, stop := context.WithCancel(t.Context())
			stop()
			n := 0
			for u, err := range cancel.ListCancelling(ctx, seen) {
				if n++; !errors.Is(err, context.Canceled) || u != (cancel.CancellingRequest{}) {
					t.Errorf("yielded %v, %v", u, err)
				}
			}
			if n != 1 {
				t.Errorf("an error was yielded %d times", n)
			}
		})
}

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
