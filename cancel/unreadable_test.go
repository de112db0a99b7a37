package cancel_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// A torn store cannot read some of its rows, and cannot read what is below some others.
type torn struct {
	*memrepo.Repo
	rows   []lifecycle.ID
	below  []lifecycle.ID
	listed bool // the lister fails
	trees  bool // it walks trees
}

func (s torn) tear(r lifecycle.Request) lifecycle.Request {
	if slices.Contains(s.rows, r.ID) {
		r.State, r.Outcome, r.Kind = 0, 0, 0
	}
	return r
}

func (s torn) Get(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
	r, err := s.Repo.Get(ctx, id)
	return s.tear(r), err
}

func (s torn) Children(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
	for _, id := range s.below {
		if slices.Contains(q.Parents, id) {
			return nil, errDisk
		}
	}
	wanted, limit := q.States, q.Limit
	q.States, q.Limit = lifecycle.Live|lifecycle.Terminal, 1000
	all, err := s.Repo.Children(ctx, q)
	var page []lifecycle.Request
	for _, r := range all {
		if r = s.tear(r); (wanted.Has(r.State) || r.State == 0) && len(page) < limit {
			page = append(page, r)
		}
	}
	return page, err
}

func (s torn) CancelTree(ctx context.Context, c cancel.TreeCancel) (cancel.TreePage, error) {
	if !s.trees {
		return cancel.TreePage{}, errors.ErrUnsupported
	}
	return walking{struct{ cancel.Repository }{s}}.CancelTree(ctx, c)
}

func (s torn) Settle(ctx context.Context, c cancel.Settlement) ([]cancel.Change, error) {
	if !s.trees {
		return nil, errors.ErrUnsupported
	}
	return walking{struct{ cancel.Repository }{s}}.Settle(ctx, c)
}

func (s torn) CancelChildren(context.Context, cancel.ChildCancel) (cancel.ChildPage, error) {
	return cancel.ChildPage{}, errors.ErrUnsupported
}

func (s torn) ListCancelling(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
	if s.listed {
		return nil, errDisk
	}
	page, err := s.Repo.ListCancelling(ctx, after, limit)
	for i := range page {
		page[i].Request = s.tear(page[i].Request)
	}
	return page, err
}

const tornTree = "1 PARENT RUNNING; 2<1 CHILD WAIT; 3<1 PARENT RUNNING; 4<3 CHILD WAIT; 5<1 PARENT RUNNING; 6<5 CHILD WAIT; 7<1 CHILD WAIT; 11 PARENT CANCELLING; 12<11 CHILD WAIT"

// TestUnreadable cancels and resumes trees in which one row, or what is below one request,
// cannot be read. It is reported by its id, nothing above it ends, and everything else is
// cancelled.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	for _, pageSize := range []int{1, 2, 1000} {
		for id := lifecycle.ID(2); id <= 7; id++ {
			for _, way := range []string{"plain", "levels", "trees"} {
				for _, below := range []bool{false, true} {
					name := fmt.Sprintf("request %d, below %v, %s, pages of %d", id, below, way, pageSize)
					s := torn{Repo: newRepo(t, tornTree), trees: way == "trees"}
					if below {
						if s.below = []lifecycle.ID{id}; id != 3 && id != 5 {
							continue
						}
					} else {
						s.rows = []lifecycle.ID{id}
					}
					var store cancel.Repository = s
					if way == "plain" {
						store = struct{ cancel.Repository }{s}
					}
					c := cancel.New(store, &cancel.Options{PageSize: pageSize})
					got, receipt := receipts(t)
					res, err := c.Cancel(t.Context(), cancel.Order{ID: 1, Receipt: receipt})
					if !errors.Is(err, esserrors.CodeSystem) || !strings.Contains(err.Error(), fmt.Sprintf("request %d", id)) {
						t.Errorf("%s: Cancel = %v", name, err)
					}
					if res.Counts[cancel.DispositionFailed] != 1 || got[id].Disposition != cancel.DispositionFailed || got[id].Err == nil {
						t.Errorf("%s: %v; %v", name, res.Counts, got[id])
					}
					checkTorn(t, name, s, id, below)

					// Resume goes on with the other trees, and says what it cannot read.
					_, err = c.Resume(t.Context(), nil)
					if !errors.Is(err, esserrors.CodeSystem) || !strings.Contains(err.Error(), fmt.Sprintf("request %d", id)) {
						t.Errorf("%s: Resume = %v", name, err)
					}
					checkTorn(t, name, s, id, below)
					for other := lifecycle.ID(11); other <= 12; other++ {
						if r, _ := s.Repo.Get(t.Context(), other); r.State != lifecycle.StateCancelled {
							t.Errorf("%s: Resume has left request %d as %v", name, other, r.State)
						}
					}
				}
			}
		}
	}
}

// checkTorn checks that what cannot be read is as it was, that its ancestors have not ended,
// and that all others have.
func checkTorn(t *testing.T, name string, s torn, id lifecycle.ID, below bool) {
	t.Helper()
	for r := range s.All() {
		want := lifecycle.StateCancelled
		switch {
		case r.ID == id && below, r.ID == 1, r.ID == id-1 && (id == 4 || id == 6):
			want = lifecycle.StateCancelling
		case r.ID == id && (id == 3 || id == 5):
			want = lifecycle.StateRunning
		case r.ID == id, r.ID == id+1 && (id == 3 || id == 5):
			want = lifecycle.StateWait
		case r.ID > 10:
			continue
		}
		if r.State != want {
			t.Errorf("%s: request %d is %v, want %v", name, r.ID, r.State, want)
		}
	}
}

// TestUnreadableAlone calls every operation for a request that cannot be read.
func TestUnreadableAlone(t *testing.T) {
	t.Parallel()
	s := torn{Repo: newRepo(t, "1 SINGLETON RUNNING; 2 SINGLETON CANCELLING"), rows: []lifecycle.ID{1, 2}}
	c := cancel.New(s, nil)
	for name, op := range map[string]func() error{
		"Cancel": func() error { _, err := c.Cancel(t.Context(), cancel.Order{ID: 1}); return err },
		"Force":  func() error { _, err := c.Force(t.Context(), cancel.Order{ID: 2}); return err },
		"Acknowledge": func() error {
			_, err := c.Acknowledge(t.Context(), cancel.Order{ID: 2}, lifecycle.StateError)
			return err
		},
		"CheckIn": func() error { _, err := c.CheckIn(t.Context(), cancel.Order{ID: 2}); return err },
		"Transition": func() error {
			_, err := c.Transition(t.Context(), cancel.Order{ID: 1}, lifecycle.TriggerComplete)
			return err
		},
	} {
		if err := op(); !errors.Is(err, esserrors.CodeSystem) || states(s.Repo) != "1 RUNNING; 2 CANCELLING" {
			t.Errorf("%s: %v, %s", name, err, states(s.Repo))
		}
	}
}

// TestSequencesGoOn reads sequences in which something cannot be read.
func TestSequencesGoOn(t *testing.T) {
	t.Parallel()
	s := torn{
		Repo: newRepo(t, "1 PARENT CANCELLING; 2<1 CHILD CANCELLING; 3<1 CHILD CANCELLING; 4<1 PARENT RUNNING; 5<4 CHILD CANCELLING; 6 PARENT RUNNING; 7<6 CHILD CANCELLING"),
		rows: []lifecycle.ID{3}, below: []lifecycle.ID{4},
	}
	show := func(id lifecycle.ID, err error) string {
		if err != nil {
			return fmt.Sprintf("%d!", id)
		}
		return fmt.Sprint(id)
	}
	list := func(repo cancel.Repository, enough int) (seen []string) {
		for u, err := range cancel.ListCancelling(t.Context(), repo) {
			if seen = append(seen, show(u.Request.ID, err)); len(seen) == enough {
				break
			}
		}
		return seen
	}
	plain := struct{ cancel.Repository }{s}
	if got := fmt.Sprint(list(s, 0)); got != "[1 2 3! 5 7]" {
		t.Errorf("with a lister: %s", got)
	}
	if got := fmt.Sprint(list(plain, 0)); got != "[1 2 3! 7 0!]" {
		t.Errorf("without: %s", got)
	}
	broken := s
	broken.listed = true
	if got := fmt.Sprint(list(broken, 0)); got != "[0! 1 2 3! 7 0!]" {
		t.Errorf("with a lister that fails: %s", got)
	}
	for enough := 1; enough <= 6; enough++ {
		if got := list(broken, enough); len(got) != enough {
			t.Errorf("stopped after %d: %v", enough, got)
		}
	}
	var children []string
	for r, err := range cancel.Children(t.Context(), s, cancel.ChildQuery{Parents: []lifecycle.ID{1, 4, 6}, States: lifecycle.Live}) {
		children = append(children, show(r.ID, err))
	}
	if got := fmt.Sprint(children); got != "[2 3! 4 0! 7]" {
		t.Errorf("children: %s", got)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	n := 0
	for _, err := range cancel.Children(ctx, s, cancel.ChildQuery{Parents: []lifecycle.ID{1, 4, 6}, States: lifecycle.Live}) {
		if n++; err == nil {
			t.Error("a stopped caller got something")
		}
	}
	if n != 1 {
		t.Errorf("a stopped caller got %d errors", n)
	}
	// A sequence over a store that always fails ends.
	calls := 0
	down := &fake{Repository: s, children: func(context.Context, cancel.ChildQuery) ([]lifecycle.Request, error) { calls++; return nil, errDisk }}
	for _, err := range cancel.Children(t.Context(), down, cancel.ChildQuery{Parents: slices.Collect(func(yield func(lifecycle.ID) bool) {
		for id := lifecycle.ID(1); id <= 1000 && yield(id); id++ {
		}
	}), States: lifecycle.Live}) {
		if err == nil {
			t.Error("a store that is down gave something")
		}
	}
	if calls > 25 {
		t.Errorf("a store that is down was called %d times", calls)
	}
}
