package canceltest_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

var childMutants = []mutant{
	{"CancelChildren does not look at the kind", []string{"CancelChildren/AgreesWithApply", "CancelChildren/Changes"}, func(s *store) {
		s.changeChildren(func(ch *cancel.Change) { ch.State, ch.Outcome = lifecycle.StateCancelled, 0 })
	}},
	{"CancelChildren gives work that runs an outcome", []string{"CancelChildren/AgreesWithApply"}, func(s *store) {
		s.changeChildren(func(ch *cancel.Change) {
			if ch.State == lifecycle.StateCancelling {
				ch.Outcome = lifecycle.StateCancelled
			}
		})
	}},
	{"CancelChildren does not set the check-in", []string{"CancelChildren/AgreesWithApply"}, func(s *store) {
		s.changeChildren(func(ch *cancel.Change) { ch.CheckedIn = ch.Old.CheckedIn })
	}},
	{"CancelChildren sets the check-in of what was CANCELLING before", []string{"CancelChildren/AgreesWithApply", "Cancel/Again"}, func(s *store) {
		s.cancelChildren = func(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
			page, err := s.Store.CancelChildren(ctx, c)
			for i, ch := range page.Changes {
				if ch.State == ch.Old.State {
					page.Changes[i].CheckedIn = c.Cause.Time
					if err := s.write(ctx, page.Changes[i]); err != nil {
						return page, err
					}
				}
			}
			return page, err
		}
	}},
	{"CancelChildren does not keep the cause", []string{"CancelChildren/KeepsTheCause", "Cancel/EveryKindAndState"}, func(s *store) {
		s.changeChildren(func(ch *cancel.Change) { ch.Cause = cancel.Cause{} })
	}},
	{"CancelChildren counts wrongly", []string{"CancelChildren/Changes", "CancelChildren/Pages", "CancelChildren/OneOfManyWins", "Cancel/EveryKindAndState"}, func(s *store) {
		s.childPages(func(page *cancel.ChildPage, _ cancel.ChildCancel) { page.Cancelled *= 2 })
	}},
	{"CancelChildren counts what is in Changes, too", []string{"CancelChildren/Changes", "CancelChildren/Pages"}, func(s *store) {
		s.childPages(func(page *cancel.ChildPage, _ cancel.ChildCancel) { page.Cancelled += len(page.Changes) })
	}},
	{"CancelChildren does not tell of what was CANCELLING before", []string{"CancelChildren/Changes"}, func(s *store) {
		s.childPages(func(page *cancel.ChildPage, _ cancel.ChildCancel) {
			page.Changes = slices.DeleteFunc(page.Changes, func(ch cancel.Change) bool { return ch.State == ch.Old.State })
		})
	}},
	{"CancelChildren tells of requests as they are now", []string{"CancelChildren/Changes"}, func(s *store) {
		s.childPages(func(page *cancel.ChildPage, _ cancel.ChildCancel) {
			for i, ch := range page.Changes {
				page.Changes[i].Old = ch.New()
			}
		})
	}},
	{"CancelChildren does not say the trigger", []string{"CancelChildren/Changes"}, func(s *store) {
		s.childPages(func(page *cancel.ChildPage, _ cancel.ChildCancel) {
			for i := range page.Changes {
				page.Changes[i].Trigger = 0
			}
		})
	}},
	{"CancelChildren does not look at All", []string{"CancelChildren/Changes"}, func(s *store) {
		s.cancelChildren = func(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
			c.All = false
			return s.Store.CancelChildren(ctx, c)
		}
	}},
	{"CancelChildren tells in no order", []string{"CancelChildren/Changes"}, func(s *store) {
		s.childPages(func(page *cancel.ChildPage, _ cancel.ChildCancel) { slices.Reverse(page.Changes) })
	}},
	{"CancelChildren never says that there is more", []string{"CancelChildren/Pages", "Cancel/EveryKindAndState"}, func(s *store) {
		s.childPages(func(page *cancel.ChildPage, _ cancel.ChildCancel) { page.More = false })
	}},
	{"CancelChildren always says that there is more", []string{"CancelChildren/Pages"}, func(s *store) {
		s.childPages(func(page *cancel.ChildPage, _ cancel.ChildCancel) { page.More = true })
	}},
	{"CancelChildren says Last of the last child in Changes", []string{"CancelChildren/Pages"}, func(s *store) {
		s.childPages(func(page *cancel.ChildPage, _ cancel.ChildCancel) {
			if n := len(page.Changes); n > 0 {
				page.Last = cancel.Cursor{Parent: page.Changes[n-1].Old.Parent, ID: page.Changes[n-1].Old.ID}
			}
		})
	}},
	{"CancelChildren does not look at After", []string{"CancelChildren/OnlyTheChildrenAskedFor"}, func(s *store) {
		s.cancelChildren = func(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
			c.Query.After = cancel.Cursor{}
			return s.Store.CancelChildren(ctx, c)
		}
	}},
	{"CancelChildren does not look at its limit", []string{"CancelChildren/OnlyTheChildrenAskedFor", "CancelChildren/Pages"}, func(s *store) {
		s.cancelChildren = func(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
			c.Query.Limit = math.MaxInt32
			return s.Store.CancelChildren(ctx, c)
		}
	}},
	{"CancelChildren reads and writes in two steps", []string{"CancelChildren/OneOfManyWins"}, func(s *store) {
		s.cancelChildren = func(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
			dry := memoryOf(slices.Collect(s.All()))
			page, err := dry.CancelChildren(ctx, c)
			yield()
			if _, err := s.Store.CancelChildren(ctx, c); err != nil {
				return cancel.ChildPage{}, err
			}
			return page, err
		}
	}},
	{"CancelChildren appends to the parents it is given", []string{"CancelChildren/GivenSlices"}, func(s *store) {
		s.cancelChildren = func(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
			_ = append(c.Query.Parents, 0)
			return s.Store.CancelChildren(ctx, c)
		}
	}},
	{"CancelChildren keeps the parents it is given", []string{"CancelChildren/GivenSlices"}, func(s *store) {
		var kept []lifecycle.ID
		s.cancelChildren = func(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
			if c.Query.Limit == 100 && kept != nil { // done before, it thinks
				return cancel.ChildPage{}, ctx.Err()
			}
			if c.Query.Limit == 2 {
				kept = c.Query.Parents
			}
			return s.Store.CancelChildren(ctx, c)
		}
	}},
	{"CancelChildren returns the same memory again", []string{"CancelChildren/ReturnedSlices"}, func(s *store) {
		var mu sync.Mutex
		buffer := make([]cancel.Change, 5)
		s.cancelChildren = func(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
			page, err := s.Store.CancelChildren(ctx, c)
			if c.Query.Limit == 5 { // so that others do not race
				mu.Lock()
				defer mu.Unlock()
				page.Changes = buffer[:copy(buffer, page.Changes)]
			}
			return page, err
		}
	}},
	{"CancelChildren declines after it has written", []string{"CancelChildren/DeclineChangesNothing"}, func(s *store) {
		s.cancelChildren = func(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
			page, err := s.Store.CancelChildren(ctx, c)
			if err == nil {
				err = errors.ErrUnsupported
			}
			return page, err
		}
	}},
	{"CancelChildren ignores its context", []string{"CancelChildren/ContextDone"}, func(s *store) {
		s.cancelChildren = func(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
			return s.Store.CancelChildren(context.WithoutCancel(ctx), c)
		}
	}},

	{"now and then the store fails when it is written by many", []string{"Cancel/SixteenAtOnce"}, func(s *store) {
		var writers atomic.Int64
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			defer writers.Add(-1)
			if writers.Add(1) > 1 && len(changes) == 1 && changes[0].Old.Kind == lifecycle.KindParent {
				return nil, errors.New("store: could not serialize access")
			}
			yield()
			return s.Store.Apply(ctx, changes)
		}
	}},
	{"a parent cannot be settled", []string{"Cancel/CapabilitiesHidden", "Cancel/CapabilitiesDeclined"}, func(s *store) {
		s.each(func(ch *cancel.Change) {
			if ch.Trigger == lifecycle.TriggerSettle {
				ch.Old.ID = math.MaxInt64 - 7
			}
		})
	}},
	{"a child that has ended comes back", []string{"Cancel/EveryWriteFollowsTheRules"}, func(s *store) {
		s.each(func(ch *cancel.Change) {
			if ch.State == lifecycle.StateError {
				ch.State = lifecycle.StateReady
			}
		})
	}},
}
