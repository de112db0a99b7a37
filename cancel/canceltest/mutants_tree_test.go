package canceltest_test

import (
	"context"
	"errors"
	"math"
	"slices"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest/internal/memory"
	"example.com/ess/lifecycle"
)

// dry returns a copy of what is in the store, to find out what a call would do.
func (s *store) dry() *memory.Store {
	dry, err := memory.New(slices.Collect(s.All())...)
	if err != nil {
		panic(err)
	}
	return dry
}

// trees has f change every page of CancelTree.
func (s *store) trees(f func(page *cancel.TreePage, c cancel.TreeCancel)) {
	s.tree = func(ctx context.Context, c cancel.TreeCancel) (cancel.TreePage, error) {
		page, err := s.Store.CancelTree(ctx, c)
		f(&page, c)
		return page, err
	}
}

var treeMutants = []mutant{
	{"CancelTree does one level", []string{"CancelTree/AgreesWithLevels", "CancelTree/Changes"}, func(s *store) {
		s.tree = func(ctx context.Context, c cancel.TreeCancel) (page cancel.TreePage, err error) {
			for _, from := range c.From {
				q := cancel.ChildQuery{Parents: []lifecycle.ID{from.Parent}, After: from, States: lifecycle.Live, Limit: math.MaxInt32}
				level, err := s.Store.CancelChildren(ctx, cancel.ChildCancel{Query: q, Cause: c.Cause, All: c.All})
				if err != nil {
					return page, err
				}
				page.Changes, page.Cancelled = append(page.Changes, level.Changes...), page.Cancelled+level.Cancelled
			}
			return page, nil
		}
	}},
	{"CancelTree does not tell of what was CANCELLING before", []string{"CancelTree/Changes"}, func(s *store) {
		s.trees(func(page *cancel.TreePage, _ cancel.TreeCancel) {
			page.Changes = slices.DeleteFunc(page.Changes, func(ch cancel.Change) bool { return ch.State == ch.Old.State })
		})
	}},
	{"CancelTree tells of children before their parents", []string{"CancelTree/Changes"}, func(s *store) {
		s.trees(func(page *cancel.TreePage, _ cancel.TreeCancel) { slices.Reverse(page.Changes) })
	}},
	{"CancelTree counts wrongly", []string{"CancelTree/Changes", "Cancel/EveryKindAndState"}, func(s *store) {
		s.trees(func(page *cancel.TreePage, _ cancel.TreeCancel) { page.Cancelled *= 2 })
	}},
	{"CancelTree does not look at its limit", []string{"CancelTree/LimitAndRest"}, func(s *store) {
		s.tree = func(ctx context.Context, c cancel.TreeCancel) (cancel.TreePage, error) {
			c.Limit = math.MaxInt32
			return s.Store.CancelTree(ctx, c)
		}
	}},
	{"CancelTree never says that there is more", []string{"CancelTree/LimitAndRest"}, func(s *store) {
		s.trees(func(page *cancel.TreePage, _ cancel.TreeCancel) { page.Rest = nil })
	}},
	{"CancelTree does not look behind which child it begins", []string{"CancelTree/OnlyBelowFrom"}, func(s *store) {
		s.tree = func(ctx context.Context, c cancel.TreeCancel) (cancel.TreePage, error) {
			c.From = slices.Clone(c.From)
			for i := range c.From {
				c.From[i].ID = 0
			}
			return s.Store.CancelTree(ctx, c)
		}
	}},
	{"CancelTree does not keep the cause", []string{"CancelTree/OnlyBelowFrom", "Cancel/EveryKindAndState"}, func(s *store) {
		s.tree = func(ctx context.Context, c cancel.TreeCancel) (cancel.TreePage, error) {
			c.Cause = cancel.Cause{Time: c.Cause.Time}
			return s.Store.CancelTree(ctx, c)
		}
	}},
	{"CancelTree reads and writes in two steps", []string{"CancelTree/OneOfManyWins"}, func(s *store) {
		s.tree = func(ctx context.Context, c cancel.TreeCancel) (cancel.TreePage, error) {
			page, err := s.dry().CancelTree(ctx, c)
			yield()
			if _, err := s.Store.CancelTree(ctx, c); err != nil {
				return cancel.TreePage{}, err
			}
			return page, err
		}
	}},
	{"CancelTree passes over a child that changes between read and write", []string{"CancelTree/WhileTheyChangeState"}, func(s *store) {
		s.tree = func(ctx context.Context, c cancel.TreeCancel) (page cancel.TreePage, err error) {
			dry, err := s.dry().CancelTree(ctx, cancel.TreeCancel{From: c.From, Limit: c.Limit, Cause: c.Cause, All: true})
			yield()
			for _, ch := range dry.Changes {
				made, err := s.Store.Apply(ctx, []cancel.Change{ch})
				if err != nil {
					return page, err
				}
				if made[0] {
					page.Changes = append(page.Changes, ch)
				}
			}
			page.Rest = dry.Rest
			return page, err
		}
	}},
	{"CancelTree declines after it has written", []string{"CancelTree/DeclineChangesNothing"}, func(s *store) {
		s.tree = func(ctx context.Context, c cancel.TreeCancel) (cancel.TreePage, error) {
			page, err := s.Store.CancelTree(ctx, c)
			if err == nil {
				err = errors.ErrUnsupported
			}
			return page, err
		}
	}},
	{"CancelTree ignores its context", []string{"CancelTree/ContextDone"}, func(s *store) {
		s.tree = func(ctx context.Context, c cancel.TreeCancel) (cancel.TreePage, error) {
			return s.Store.CancelTree(context.WithoutCancel(ctx), c)
		}
	}},

	{"Settle does not look at children", []string{"Settle/EndsWhatWaitsForNothing", "Settle/OnlyTheRequests"}, func(s *store) {
		s.settle = s.settles(func(r lifecycle.Request) bool { return true })
	}},
	{"Settle does not wait for the answer of the work", []string{"Settle/EndsWhatWaitsForNothing"}, func(s *store) {
		s.settle = func(ctx context.Context, st cancel.Settlement) ([]cancel.Change, error) {
			made, err := s.Store.Settle(ctx, st)
			for _, id := range st.IDs {
				if r, getErr := s.Store.Get(ctx, id); getErr == nil && r.State == lifecycle.StateCancelling && r.Outcome == 0 && r.Kind.RunsWork() {
					ch := cancel.Change{Old: r, Trigger: lifecycle.TriggerSettle, State: lifecycle.StateCancelled, CheckedIn: r.CheckedIn, Cause: st.Cause}
					if err := s.write(ctx, ch); err != nil {
						return nil, err
					}
					made = append(made, ch)
				}
			}
			return made, err
		}
	}},
	{"Settle tells of parents first", []string{"Settle/EndsWhatWaitsForNothing"}, func(s *store) {
		s.settle = func(ctx context.Context, st cancel.Settlement) ([]cancel.Change, error) {
			made, err := s.Store.Settle(ctx, st)
			slices.Reverse(made)
			return made, err
		}
	}},
	{"Settle takes a child that it is not asked for along", []string{"Settle/OnlyTheRequests"}, func(s *store) {
		s.settle = func(ctx context.Context, st cancel.Settlement) ([]cancel.Change, error) {
			for _, id := range slices.Clone(st.IDs) {
				kids, err := s.Store.Children(ctx, cancel.ChildQuery{Parents: []lifecycle.ID{id}, States: lifecycle.Live, Limit: 100})
				if err != nil {
					return nil, err
				}
				for _, kid := range kids {
					if !slices.Contains(st.IDs, kid.ID) {
						st.IDs = append(st.IDs, kid.ID)
					}
				}
			}
			return s.Store.Settle(ctx, st)
		}
	}},
	{"Settle reads and writes in two steps", []string{"Settle/OneOfManyWins"}, func(s *store) {
		s.settle = func(ctx context.Context, st cancel.Settlement) ([]cancel.Change, error) {
			made, err := s.dry().Settle(ctx, st)
			yield()
			if _, err := s.Store.Settle(ctx, st); err != nil {
				return nil, err
			}
			return made, err
		}
	}},
	{"Settle declines after it has written", []string{"Settle/DeclineChangesNothing"}, func(s *store) {
		s.settle = func(ctx context.Context, st cancel.Settlement) ([]cancel.Change, error) {
			made, err := s.Store.Settle(ctx, st)
			if err == nil {
				err = errors.ErrUnsupported
			}
			return made, err
		}
	}},
	{"Settle ignores its context", []string{"Settle/ContextDone"}, func(s *store) {
		s.settle = func(ctx context.Context, st cancel.Settlement) ([]cancel.Change, error) {
			return s.Store.Settle(context.WithoutCancel(ctx), st)
		}
	}},
}

// settles is Settle of those requests that are due and pass a test, whatever is below them.
func (s *store) settles(test func(lifecycle.Request) bool) func(ctx context.Context, st cancel.Settlement) ([]cancel.Change, error) {
	return func(ctx context.Context, st cancel.Settlement) (made []cancel.Change, err error) {
		for _, id := range st.IDs {
			r, err := s.Store.Get(ctx, id)
			if errors.Is(err, cancel.ErrNotFound) {
				continue
			}
			if err != nil {
				return made, err
			}
			if ch, due := cancel.SettleChange(r, st.Cause); due && test(r) {
				if err := s.write(ctx, ch); err != nil {
					return made, err
				}
				made = append(made, ch)
			}
		}
		return made, nil
	}
}
