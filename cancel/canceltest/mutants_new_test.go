package canceltest_test

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"strings"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest/internal/memory"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// perState is Children with a query for each state.
func (s *store) perState() {
	s.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
		var page []lifecycle.Request
		for state := range q.States.All() {
			one := q
			one.States = lifecycle.SetOf(state)
			found, err := s.Store.Children(ctx, one)
			if err != nil {
				return nil, err
			}
			if page = append(page, found...); q.Limit == 7 {
				yield()
			}
		}
		slices.SortFunc(page, func(a, b lifecycle.Request) int {
			return cmp.Or(cmp.Compare(a.Parent, b.Parent), cmp.Compare(a.ID, b.ID))
		})
		page = slices.CompactFunc(page, func(a, b lifecycle.Request) bool { return a.ID == b.ID })
		return page[:min(q.Limit, len(page))], nil
	}
}

var newMutants = []mutant{
	// Apply, Children and the cause.
	{"the attempt is not compared", []string{"Apply/ComparesAttempt"}, func(s *store) {
		s.each(func(ch *cancel.Change) {
			if is, err := s.Store.Get(context.Background(), ch.Old.ID); err == nil {
				ch.Old.Attempt = is.Attempt
			}
		})
	}},
	{"made means that the row has changed", []string{"Apply/MadeMeansMatched"}, func(s *store) {
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			made, err := s.Store.Apply(ctx, changes)
			for i, ch := range changes {
				if err == nil && rowOf(ch.Old) == rowOf(ch.New()) {
					made[i] = false
				}
			}
			return made, err
		}
	}},
	{"what is deleted is still there", []string{"Apply/DeletedIsNoError", "Cancel/DeletedMeanwhile"}, func(s *store) {
		s.remove = func(context.Context, ...lifecycle.ID) error { return nil }
	}},
	{"what is deleted is an error of Apply", []string{"Apply/DeletedIsNoError", "Cancel/DeletedMeanwhile"}, func(s *store) {
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			for _, ch := range changes {
				if _, err := s.Repo.Get(ctx, ch.Old.ID); err == nil {
					if _, err := s.Store.Get(ctx, ch.Old.ID); err != nil {
						return nil, errStore
					}
				}
			}
			return s.Store.Apply(ctx, changes)
		}
		get := s.get
		s.get = func(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
			r, err := get(ctx, id)
			if _, there := s.Repo.Get(ctx, id); err != nil && there == nil {
				err = errStore
			}
			return r, err
		}
	}},
	{"a page is a query for each state", []string{"Children/WhileTheyChangeState", "Cancel/WhileTheyChangeState"}, (*store).perState},
	{"the first cause is kept, whatever the trigger", []string{"Cause/OfTheFirstCancel"}, func(s *store) {
		s.each(func(ch *cancel.Change) {
			if ch.Trigger == lifecycle.TriggerStart {
				ch.Trigger = lifecycle.TriggerCancel
			}
		})
	}},
	{"texts are ASCII", []string{"Cancel/AnyText", "Cause/KeepsTheWords"}, func(s *store) {
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			for _, ch := range changes {
				if strings.ContainsFunc(ch.Cause.Actor, func(r rune) bool { return r > 127 }) {
					return nil, errors.New("store: invalid byte sequence for encoding")
				}
			}
			return s.Store.Apply(ctx, changes)
		}
	}},
	{"a child that changes between read and write is passed over", []string{"CancelChildren/WhileTheyChangeState"}, func(s *store) {
		s.cancelChildren = func(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
			kids, err := s.Store.Children(ctx, c.Query)
			if err != nil {
				return cancel.ChildPage{}, err
			}
			yield()
			page := cancel.ChildPage{More: len(kids) == c.Query.Limit}
			for _, r := range kids {
				page.Last = cancel.Cursor{Parent: r.Parent, ID: r.ID}
				ch := cancel.Change{Old: r, Trigger: lifecycle.TriggerCancel, State: lifecycle.StateCancelled, CheckedIn: r.CheckedIn, Cause: c.Cause}
				made, err := s.Store.Apply(ctx, []cancel.Change{ch})
				if err != nil {
					return page, err
				}
				if made[0] {
					page.Cancelled++
				}
			}
			return page, nil
		}
	}},

	// EndParent.
	{"EndParent does nothing", []string{"EndParent/MakesTheChange"}, func(s *store) {
		s.endParent = func(ctx context.Context, _ cancel.Change) (bool, error) { return true, ctx.Err() }
	}},
	{"EndParent does not look", []string{"EndParent/NotOverALiveChild"}, func(s *store) {
		s.endParent = func(ctx context.Context, ch cancel.Change) (bool, error) {
			made, err := s.Store.Apply(ctx, []cancel.Change{ch})
			return err == nil && made[0], err
		}
	}},
	{"EndParent takes a CANCELLING child to have ended", []string{"EndParent/NotOverALiveChild"}, func(s *store) {
		s.endParent = s.endsIn2(lifecycle.Live &^ lifecycle.SetOf(lifecycle.StateCancelling))
	}},
	{"EndParent does not compare", []string{"EndParent/ComparesOld"}, func(s *store) {
		s.endParent = func(ctx context.Context, ch cancel.Change) (bool, error) {
			if is, err := s.Store.Get(ctx, ch.Old.ID); err == nil {
				ch.Old = is
			}
			return s.Store.EndParent(ctx, ch)
		}
	}},
	{"EndParent looks and writes in two steps", []string{"EndParent/BesideSubmissions"}, func(s *store) {
		s.endParent = s.endsIn2(lifecycle.Live)
	}},
	{"EndParent ignores its context", []string{"EndParent/ContextDone"}, func(s *store) {
		s.endParent = func(ctx context.Context, ch cancel.Change) (bool, error) {
			return s.Store.EndParent(context.WithoutCancel(ctx), ch)
		}
	}},

	// Submit.
	{"Submit does not look at the parent", []string{"Submit/OnlyIfTheParentAdmits", "Submit/BesideAFence", "Submit/BesideAnEnd"}, func(s *store) {
		s.submit = func(_ context.Context, r lifecycle.Request) error { return s.Insert(r) }
	}},
	{"COMPLETED admits children", []string{"Submit/OnlyIfTheParentAdmits"}, func(s *store) {
		s.submit = func(ctx context.Context, r lifecycle.Request) error {
			if parent, err := s.Store.Get(ctx, r.Parent); err == nil && parent.State == lifecycle.StateCompleted {
				return s.Insert(r)
			}
			return s.Store.Submit(ctx, r)
		}
	}},
	{"Submit below nothing is refused like any other", []string{"Submit/UnknownParent"}, func(s *store) {
		s.submit = func(ctx context.Context, r lifecycle.Request) error {
			err := s.Store.Submit(ctx, r)
			if errors.Is(err, esserrors.CodeNotFound) {
				return lifecycle.Admit(lifecycle.Request{})
			}
			return err
		}
	}},
	{"Submit looks and inserts in two steps", []string{"Submit/BesideAFence", "Submit/BesideAnEnd", "EndParent/BesideSubmissions"}, func(s *store) {
		s.submit = func(ctx context.Context, r lifecycle.Request) error {
			parent, err := s.Store.Get(ctx, r.Parent)
			if err == nil {
				err = lifecycle.Admit(parent)
			}
			yield()
			if err != nil {
				return err
			}
			return s.Insert(r)
		}
	}},

	// Rows that cannot be read.
	{"a row that cannot be read is an error", []string{"Unreadable/Get", "Unreadable/Cancel"}, func(s *store) {
		s.get = func(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
			r, err := s.Store.Get(ctx, id)
			if err == nil && r.State == 0 {
				return r, errStore
			}
			return r, err
		}
	}},
	{"a page with a row that cannot be read is an error", []string{"Unreadable/Children", "Unreadable/Cancel"}, func(s *store) {
		children := s.children
		s.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
			page, err := children(ctx, q)
			if slices.ContainsFunc(page, func(r lifecycle.Request) bool { return r.State == 0 }) {
				return nil, errStore
			}
			return page, err
		}
	}},
	{"a row that cannot be read is passed over", []string{"Unreadable/Children", "Unreadable/Cancel"}, func(s *store) {
		s.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
			all := q
			all.Limit = math.MaxInt32
			page, err := s.Store.Children(ctx, all)
			page = slices.DeleteFunc(page, func(r lifecycle.Request) bool { return r.State == 0 })
			return page[:min(q.Limit, len(page))], err
		}
		s.cancelChildren = func(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
			return memory.CancelChildren(ctx, s, c, nil)
		}
	}},
	{"ListCancelling passes over rows that cannot be read", []string{"Unreadable/ListCancelling"}, func(s *store) {
		s.list = func(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
			page, err := s.Store.ListCancelling(ctx, after, limit)
			return slices.DeleteFunc(page, func(u cancel.CancellingRequest) bool { return u.Request.State == 0 }), err
		}
	}},
}

// rowOf returns what Apply writes of r.
func rowOf(r lifecycle.Request) lifecycle.Request {
	r.CheckedIn, r.Version = r.CheckedIn.UTC(), ""
	return r
}

// endsIn2 is EndParent in two steps, of which the first looks for children in the states.
func (s *store) endsIn2(states lifecycle.StateSet) func(ctx context.Context, ch cancel.Change) (bool, error) {
	return func(ctx context.Context, ch cancel.Change) (bool, error) {
		kids, err := s.Store.Children(ctx, cancel.ChildQuery{Parents: []lifecycle.ID{ch.Old.ID}, States: states, Limit: 1})
		yield()
		if err != nil || len(kids) > 0 {
			return false, err
		}
		made, err := s.Store.Apply(ctx, []cancel.Change{ch})
		return err == nil && made[0], err
	}
}
