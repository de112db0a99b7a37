package canceltest_test

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	"example.com/ess/lifecycle"
)

var applyMutants = []mutant{
	{"the outcome is not written", []string{"Apply/MakesTheChange"}, func(s *store) {
		s.each(func(ch *cancel.Change) { ch.Outcome = ch.Old.Outcome })
	}},
	{"an outcome is never cleared", []string{"Apply/MakesTheChange"}, func(s *store) {
		s.each(func(ch *cancel.Change) { ch.Outcome = cmp.Or(ch.Outcome, ch.Old.Outcome) })
	}},
	{"the check-in is not written", []string{"Apply/MakesTheChange", "Cancel/AnswersOfTheWork"}, func(s *store) {
		s.each(func(ch *cancel.Change) { ch.CheckedIn = ch.Old.CheckedIn })
	}},
	{"the check-in is kept to the second", []string{"Apply/MakesTheChange", "Apply/OldAsWritten"}, func(s *store) {
		s.each(func(ch *cancel.Change) { ch.CheckedIn = ch.CheckedIn.Truncate(time.Second) })
	}},
	{"a change without a trigger is not made", []string{"Apply/MakesTheChange"}, func(s *store) {
		s.each(func(ch *cancel.Change) {
			if ch.Trigger == 0 {
				ch.Old.ID = math.MaxInt64 - 7
			}
		})
	}},
	{"lost update: nothing is compared", []string{"Apply/ComparesState", "Apply/OneOfManyWins", "Apply/OldOfAnEarlierRead"}, func(s *store) {
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			made := make([]bool, len(changes))
			for i, ch := range changes {
				err := s.write(ctx, ch)
				if made[i] = err == nil; err != nil && !errors.Is(err, cancel.ErrNotFound) {
					return nil, err
				}
			}
			return made, ctx.Err()
		}
	}},
	{"the state is not compared", []string{"Apply/ComparesState"}, func(s *store) {
		s.each(func(ch *cancel.Change) {
			if is, err := s.Store.Get(context.Background(), ch.Old.ID); err == nil {
				ch.Old.State = is.State
			}
		})
	}},
	{"the outcome is not compared", []string{"Apply/ComparesOutcome"}, func(s *store) {
		s.each(func(ch *cancel.Change) {
			if is, err := s.Store.Get(context.Background(), ch.Old.ID); err == nil {
				ch.Old.Outcome = is.Outcome
			}
		})
	}},
	{"the check-in is not compared", []string{"Apply/ComparesCheckedIn"}, func(s *store) {
		s.each(func(ch *cancel.Change) {
			if is, err := s.Store.Get(context.Background(), ch.Old.ID); err == nil {
				ch.Old.CheckedIn = is.CheckedIn
			}
		})
	}},
	{"the check-in is compared to the second", []string{"Apply/ComparesCheckedIn"}, func(s *store) {
		s.each(func(ch *cancel.Change) {
			is, err := s.Store.Get(context.Background(), ch.Old.ID)
			if err == nil && is.CheckedIn.Truncate(time.Second).Equal(ch.Old.CheckedIn.Truncate(time.Second)) {
				ch.Old.CheckedIn = is.CheckedIn
			}
		})
	}},
	{"a missing check-in never equals a missing one, as NULL does not", []string{"Apply/OldWithoutVersion", "Apply/MakesTheChange"}, func(s *store) {
		s.each(func(ch *cancel.Change) {
			if ch.Old.CheckedIn.IsZero() {
				ch.Old.ID = math.MaxInt64 - 7
			}
		})
	}},
	{"the version is compared though empty", []string{"Apply/OldWithoutVersion", "Apply/OldAsWritten"}, func(s *store) {
		s.version(true, true)
	}},
	{"the version is not renewed", []string{"Apply/OldOfAnEarlierRead"}, func(s *store) {
		s.version(false, false)
	}},
	{"the version that Children returns is another than that of Get", []string{"Apply/OldAsRead"}, func(s *store) {
		s.version(true, false)
		s.pages(func(page []lifecycle.Request) []lifecycle.Request {
			for i := range page {
				page[i].Version = "W/" + page[i].Version
			}
			return page
		})
	}},
	{"a request that is gone is an error", []string{"Apply/GoneIsNoError"}, func(s *store) {
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			for _, ch := range changes {
				if _, err := s.Store.Get(ctx, ch.Old.ID); err != nil {
					return nil, err
				}
			}
			return s.Store.Apply(ctx, changes)
		}
	}},
	{"a lost change is an error", []string{"Apply/ComparesState", "Apply/OneOfManyWins"}, func(s *store) {
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			made, err := s.Store.Apply(ctx, changes)
			if slices.Contains(made, false) {
				err = errStore
			}
			return made, err
		}
	}},
	{"the answers are ordered by id", []string{"Apply/AnswersInOrder"}, func(s *store) {
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			changes = slices.Clone(changes)
			slices.SortStableFunc(changes, func(a, b cancel.Change) int { return cmp.Compare(a.Old.ID, b.Old.ID) })
			return s.Store.Apply(ctx, changes)
		}
	}},
	{"only the changes that were made are answered for", []string{"Apply/ComparesState", "Apply/AnswersInOrder"}, func(s *store) {
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			made, err := s.Store.Apply(ctx, changes)
			return slices.DeleteFunc(made, func(ok bool) bool { return !ok }), err
		}
	}},
	{"made is always true", []string{"Apply/ComparesState", "Apply/AnswersInOrder", "Apply/GoneIsNoError"}, func(s *store) {
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			made, err := s.Store.Apply(ctx, changes)
			for i := range made {
				made[i] = true
			}
			return made, err
		}
	}},
	{"one lost change undoes the whole batch", []string{"Apply/AnswersInOrder"}, func(s *store) {
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			for _, ch := range changes {
				is, err := s.Store.Get(ctx, ch.Old.ID)
				if errors.Is(err, cancel.ErrNotFound) || is.State != ch.Old.State {
					return make([]bool, len(changes)), nil
				}
			}
			return s.Store.Apply(ctx, changes)
		}
	}},
	{"a batch of none is an error", []string{"Apply/Nothing"}, func(s *store) {
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			if len(changes) == 0 {
				return nil, errStore
			}
			return s.Store.Apply(ctx, changes)
		}
	}},
	{"changes beyond the 900th are forgotten", []string{"Apply/ThousandChanges"}, func(s *store) {
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			made, err := s.Store.Apply(ctx, changes[:min(900, len(changes))])
			return append(made, make([]bool, len(changes)-len(made))...), err
		}
	}},
	{"stale read: Get does not see the last write", []string{"Apply/ReadsSeeIt", "Apply/OthersSeeIt"}, func(s *store) {
		var mu sync.Mutex
		old := map[lifecycle.ID]lifecycle.Request{}
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			mu.Lock()
			defer mu.Unlock()
			made, err := s.Store.Apply(ctx, changes)
			for i, ok := range made {
				if ok {
					old[changes[i].Old.ID] = changes[i].Old
				}
			}
			return made, err
		}
		s.gets(func(r *lifecycle.Request) {
			mu.Lock()
			defer mu.Unlock()
			if was, ok := old[r.ID]; ok {
				*r = was
			}
		})
	}},
	{"Children is read from a replica that lags", []string{"Apply/ReadsSeeIt", "Apply/OthersSeeIt", "Cancel/LastAnswersAtOnce"}, func(s *store) {
		var mu sync.Mutex
		var replica *memrepo.Repo
		sync := func() { replica = memoryOf(slices.Collect(s.All())) }
		sync()
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			mu.Lock()
			defer mu.Unlock()
			sync() // as it was before these changes
			return s.Store.Apply(ctx, changes)
		}
		s.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
			mu.Lock()
			defer mu.Unlock()
			return replica.Children(ctx, q)
		}
	}},
}
