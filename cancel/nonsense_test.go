package cancel_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// TestNonsense has stores give answers that cannot be true. The operation ends, with a
// system error.
func TestNonsense(t *testing.T) {
	t.Parallel()
	const seed = "1 PARENT RUNNING; 2<1 CHILD WAIT; 3<1 CHILD WAIT"
	tests := []struct {
		name     string
		pageSize int
		spoil    func(f *fake)
	}{
		{"Get returns another request", 2, func(f *fake) {
			f.get = func(ctx context.Context, _ lifecycle.ID) (lifecycle.Request, error) { return f.Repository.Get(ctx, 2) }
		}},
		{"Get returns an unknown state", 2, func(f *fake) {
			f.get = func(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
				r, err := f.Repository.Get(ctx, id)
				r.State = 77
				return r, err
			}
		}},
		{"Apply answers for fewer", 2, func(f *fake) {
			f.apply = func(context.Context, []cancel.Change) ([]bool, error) { return nil, nil }
		}},
		{"Apply answers for more", 2, func(f *fake) {
			f.apply = func(_ context.Context, changes []cancel.Change) ([]bool, error) {
				return make([]bool, len(changes)+1), nil
			}
		}},
		{"Children repeats a page for ever", 1, func(f *fake) {
			f.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
				q.After = cancel.Cursor{}
				q.States = lifecycle.Live | lifecycle.Terminal
				return f.Repository.Children(ctx, q)
			}
		}},
		{"Children in descending order", 2, func(f *fake) {
			f.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
				page, err := f.Repository.Children(ctx, q)
				slices.Reverse(page)
				return page, err
			}
		}},
		{"Children ignores the limit", 1, func(f *fake) {
			f.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
				q.Limit = 1000
				return f.Repository.Children(ctx, q)
			}
		}},
		{"Children of somebody else", 2, func(f *fake) {
			f.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
				page, err := f.Repository.Children(ctx, q)
				for i := range page {
					page[i].Parent = 9
				}
				return page, err
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := &fake{Repository: newRepo(t, seed)}
			tt.spoil(f)
			_, err := cancel.New(f, &cancel.Options{PageSize: tt.pageSize}).Cancel(t.Context(), cancel.Order{ID: 1})
			if !errors.Is(err, esserrors.CodeSystem) {
				t.Errorf("error %v, want a system error", err)
			}
			if f.calls.Load() > 20 {
				t.Errorf("%d calls before giving up", f.calls.Load())
			}
		})
	}
}

// TestBrokenChild has a child of an unknown kind. Its siblings are cancelled, its parent
// waits, and its Receipt says that it failed.
func TestBrokenChild(t *testing.T) {
	t.Parallel()
	repo := newRepo(t, "1 PARENT RUNNING; 2<1 CHILD WAIT; 3<1 CHILD WAIT; 4<1 CHILD WAIT")
	f := &fake{Repository: repo}
	f.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
		page, err := repo.Children(ctx, q)
		for i := range page {
			if page[i].ID == 3 {
				page[i].Kind = 99
			}
		}
		return page, err
	}
	got, receipt := receipts(t)
	res, err := cancel.New(f, nil).Cancel(t.Context(), cancel.Order{ID: 1, Receipt: receipt})
	if !errors.Is(err, esserrors.CodeSystem) {
		t.Errorf("error %v, want a system error", err)
	}
	if _, ok := errors.AsType[*lifecycle.RequestError](err); !ok {
		t.Errorf("error %v does not say what is wrong with the request", err)
	}
	if got[3].Disposition != cancel.DispositionFailed || got[3].Err == nil {
		t.Errorf("receipt of the broken child: %v", got[3])
	}
	if res.Root.To != lifecycle.StateCancelling || states(repo) != "1 CANCELLING; 2 CANCELLED; 3 WAIT; 4 CANCELLED" {
		t.Errorf("%v, %s", res.Root, states(repo))
	}
}

// TestCycle has a store in which two requests are below each other.
func TestCycle(t *testing.T) {
	t.Parallel()
	loop := map[lifecycle.ID]lifecycle.Request{
		1: {ID: 1, Parent: 2, Kind: lifecycle.KindParent, State: lifecycle.StateRunning},
		2: {ID: 2, Parent: 1, Kind: lifecycle.KindParent, State: lifecycle.StateRunning},
	}
	f := &fake{}
	f.get = func(_ context.Context, id lifecycle.ID) (lifecycle.Request, error) { return loop[id], nil }
	f.children = func(_ context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
		for _, p := range q.Parents {
			if r := loop[3-p]; r.Parent == p && (cancel.Cursor{Parent: p, ID: r.ID}).Compare(q.After) > 0 && q.States.Has(r.State) {
				return []lifecycle.Request{r}, nil
			}
		}
		return nil, nil
	}
	f.apply = func(_ context.Context, changes []cancel.Change) ([]bool, error) {
		for _, ch := range changes {
			loop[ch.Old.ID] = ch.New()
		}
		return slices.Repeat([]bool{true}, len(changes)), nil
	}
	c := cancel.New(f, nil)
	res, err := c.Cancel(t.Context(), cancel.Order{ID: 1})
	if !errors.Is(err, esserrors.CodeSystem) || !strings.Contains(err.Error(), "request 1 is below itself") {
		t.Errorf("error %v, want one that names the cycle", err)
	}
	if res.Root.To != lifecycle.StateCancelling || f.calls.Load() > 20 {
		t.Errorf("%v after %d calls", res.Root, f.calls.Load())
	}
	if _, err := c.Resume(t.Context(), nil); err != nil || f.calls.Load() > 60 {
		t.Errorf("resume: %v after %d calls", err, f.calls.Load())
	}
}

// TestQueriesAreSound checks, with several sizes of pages, that no store is asked for the
// children of no parent, nor for request 0.
func TestQueriesAreSound(t *testing.T) {
	t.Parallel()
	for size := 1; size <= 5; size++ {
		f := &fake{Repository: newRepo(t, "1 PARENT RUNNING; 2<1 PARENT WAIT; 3<1 PARENT WAIT; 4<2 PARENT WAIT; 5<3 PARENT WAIT; 6<4 CHILD WAIT; 7<5 CHILD RUNNING")}
		f.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
			if len(q.Parents) == 0 || q.States == 0 || q.Limit <= 0 || !slices.IsSorted(q.Parents) {
				t.Errorf("pages of %d: asked for %+v", size, q)
			}
			return f.Repository.Children(ctx, q)
		}
		c := cancel.New(f, &cancel.Options{PageSize: size})
		if _, err := c.Cancel(t.Context(), cancel.Order{ID: 1}); err != nil {
			t.Error(err)
		}
		if _, err := c.Acknowledge(t.Context(), cancel.Order{ID: 7}, lifecycle.StateCancelled); err != nil {
			t.Error(err)
		}
		before := f.calls.Load()
		if _, err := c.Cancel(t.Context(), cancel.Order{}); !errors.Is(err, esserrors.CodeNotFound) || f.calls.Load() != before {
			t.Errorf("request 0: %v after %d calls of the store", err, f.calls.Load()-before)
		}
	}
}

// lister lists nonsense, or declines.
type lister struct {
	cancel.Repository
	page []cancel.CancellingRequest
	err  error
}

func (l lister) ListCancelling(context.Context, lifecycle.ID, int) ([]cancel.CancellingRequest, error) {
	return l.page, l.err
}

func TestListerDoesNotAdvance(t *testing.T) {
	t.Parallel()
	repo := newRepo(t, "1 SINGLETON CANCELLING")
	l := lister{Repository: repo, page: []cancel.CancellingRequest{{Request: lifecycle.Request{ID: 1, Kind: lifecycle.KindSingleton, State: lifecycle.StateCancelling}}}}
	if _, err := cancel.New(l, nil).Resume(t.Context(), nil); !errors.Is(err, esserrors.CodeSystem) {
		t.Errorf("a list without an end: %v", err)
	}
	l = lister{Repository: repo, err: fmt.Errorf("no index: %w", errors.ErrUnsupported)}
	if res, err := cancel.New(l, nil).Resume(t.Context(), nil); err != nil || res.Counts.Total() != 1 {
		t.Errorf("a list that declines: %v, %v", res, err)
	}
	l = lister{Repository: repo, page: []cancel.CancellingRequest{{Request: lifecycle.Request{ID: 9}}}}
	if _, err := cancel.New(l, nil).Resume(t.Context(), nil); !errors.Is(err, esserrors.CodeSystem) {
		t.Errorf("a list of what cannot be: %v", err)
	}
}

// atOnce answers nonsense for a page, or declines.
type atOnce struct {
	cancel.Repository
	page cancel.ChildPage
	err  error
}

func (a atOnce) CancelChildren(context.Context, cancel.ChildCancel) (cancel.ChildPage, error) {
	return a.page, a.err
}

func TestChildCancellerAnswersNonsense(t *testing.T) {
	t.Parallel()
	for name, a := range map[string]atOnce{
		"does not advance": {page: cancel.ChildPage{More: true}},
		"somebody else's":  {page: cancel.ChildPage{Changes: []cancel.Change{{Old: lifecycle.Request{ID: 7, Parent: 6}}}}},
	} {
		a.Repository = newRepo(t, "1 PARENT RUNNING; 2<1 CHILD WAIT")
		if _, err := cancel.New(a, nil).Cancel(t.Context(), cancel.Order{ID: 1}); !errors.Is(err, esserrors.CodeSystem) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// If it declines or fails, the page is read and written instead.
	for _, err := range []error{errors.ErrUnsupported, errDisk} {
		repo := newRepo(t, "1 PARENT RUNNING; 2<1 CHILD WAIT")
		a := atOnce{Repository: repo, err: err}
		if _, err := cancel.New(a, nil).Cancel(t.Context(), cancel.Order{ID: 1}); err != nil || states(repo) != "1 CANCELLED; 2 CANCELLED" {
			t.Errorf("%v: %v, %s", a.err, err, states(repo))
		}
	}
}

// A lying store is a memrepo whose answers to CancelChildren can be replaced.
type lying struct {
	levelwise
	answer func(c cancel.ChildCancel, page cancel.ChildPage) cancel.ChildPage
}

func (l lying) CancelChildren(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
	rs, err := l.Children(ctx, c.Query)
	var page cancel.ChildPage
	for _, r := range rs {
		page.Changes = append(page.Changes, cancel.Change{Old: r, State: r.State, Outcome: r.Outcome, CheckedIn: r.CheckedIn})
	}
	if len(rs) < 2 {
		return page, err
	}
	return l.answer(c, page), err
}

// TestLyingCapability has CancelChildren give answers that cannot be true. The children are
// cancelled all the same, and the answer is an error.
func TestLyingCapability(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(cancel.ChildCancel, cancel.ChildPage) cancel.ChildPage{
		"WAIT -> WAIT": func(_ cancel.ChildCancel, p cancel.ChildPage) cancel.ChildPage { return p },
		"an impossible outcome": func(_ cancel.ChildCancel, p cancel.ChildPage) cancel.ChildPage {
			p.Changes[0].Old.State, p.Changes[0].State = lifecycle.StateCancelling, lifecycle.StateCancelling
			p.Changes[0].Old.Outcome, p.Changes[0].Outcome = lifecycle.StateRunning, lifecycle.StateRunning
			return p
		},
		"another state": func(_ cancel.ChildCancel, p cancel.ChildPage) cancel.ChildPage {
			p.Changes[0].State, p.Changes[0].Trigger = lifecycle.StateCancelling, lifecycle.TriggerCancel
			return p
		},
		"another trigger": func(_ cancel.ChildCancel, p cancel.ChildPage) cancel.ChildPage {
			p.Changes[0].State, p.Changes[0].Trigger = lifecycle.StateCancelled, lifecycle.TriggerForce
			return p
		},
		"another parent": func(_ cancel.ChildCancel, p cancel.ChildPage) cancel.ChildPage {
			p.Changes[0].Old.Parent = 77
			return p
		},
		"twice": func(_ cancel.ChildCancel, p cancel.ChildPage) cancel.ChildPage {
			p.Changes[1] = p.Changes[0]
			return p
		},
		"terminal": func(_ cancel.ChildCancel, p cancel.ChildPage) cancel.ChildPage {
			p.Changes[0].Old.State, p.Changes[0].State = lifecycle.StateError, lifecycle.StateError
			return p
		},
		"a negative number": func(cancel.ChildCancel, cancel.ChildPage) cancel.ChildPage { return cancel.ChildPage{Cancelled: -1} },
		"too many": func(c cancel.ChildCancel, _ cancel.ChildPage) cancel.ChildPage {
			return cancel.ChildPage{Cancelled: c.Query.Limit + 1}
		},
		"no advance": func(cancel.ChildCancel, cancel.ChildPage) cancel.ChildPage { return cancel.ChildPage{More: true} },
		"one that becomes unreadable": func(_ cancel.ChildCancel, p cancel.ChildPage) cancel.ChildPage {
			p.Changes[0].State = 0
			return p
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repo := newRepo(t, "1 PARENT RUNNING; 2<1 CHILD WAIT; 3<1 CHILD WAIT")
			res, err := cancel.New(lying{levelwise{repo}, answer}, nil).Cancel(t.Context(), cancel.Order{ID: 1})
			if !errors.Is(err, esserrors.CodeSystem) || states(repo) != "1 CANCELLED; 2 CANCELLED; 3 CANCELLED" || res.Counts.Total() != 3 {
				t.Errorf("%v, %v; %s", res.Counts, err, states(repo))
			}
		})
	}
}

// causeless is a CauseReader that fails.
type causeless struct {
	cancel.Repository
	err error
}

func (c causeless) Cause(context.Context, lifecycle.ID) (cancel.Cause, error) {
	return cancel.Cause{}, c.err
}

func TestCauseReaderFails(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want esserrors.Code
	}{
		{errDisk, esserrors.CodeSystem},
		{errors.ErrUnsupported, 0},
		{cancel.ErrNotFound, 0},
	} {
		repo := causeless{newRepo(t, "1 PARENT CANCELLING; 2<1 CHILD CANCELLING"), tt.err}
		c := cancel.New(repo, nil)
		if in, err := c.CheckIn(t.Context(), cancel.Order{ID: 2}); err != nil || !in.Cancelling || in.Cause != (cancel.Cause{}) {
			t.Errorf("CheckIn with %v: %+v, %v", tt.err, in, err)
		}
		if _, err := c.Resume(t.Context(), nil); esserrors.CodeOf(err) != tt.want {
			t.Errorf("Resume with %v: %v", tt.err, err)
		}
	}
}
