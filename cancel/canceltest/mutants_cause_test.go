package canceltest_test

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

var causeMutants = []mutant{
	{"the last cause wins", []string{"Cause/OfTheFirstCancel"}, func(s *store) {
		var mu sync.Mutex
		last := map[lifecycle.ID]cancel.Cause{}
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			made, err := s.Store.Apply(ctx, changes)
			mu.Lock()
			defer mu.Unlock()
			for i, ok := range made {
				if ok {
					last[changes[i].Old.ID] = changes[i].Cause
				}
			}
			return made, err
		}
		s.cause = func(ctx context.Context, id lifecycle.ID) (cancel.Cause, error) {
			mu.Lock()
			defer mu.Unlock()
			if cause, ok := last[id]; ok {
				return cause, ctx.Err()
			}
			return s.Store.Cause(ctx, id)
		}
	}},
	{"the cause is lost", []string{"Cause/OfTheFirstCancel", "Cause/KeepsTheWords"}, func(s *store) {
		s.each(func(ch *cancel.Change) { ch.Cause = cancel.Cause{} })
	}},
	{"the cause of a change that was not made is kept", []string{"Cause/ZeroIfNone"}, func(s *store) {
		var mu sync.Mutex
		kept := map[lifecycle.ID]cancel.Cause{}
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			mu.Lock()
			for _, ch := range changes {
				if _, ok := kept[ch.Old.ID]; !ok {
					kept[ch.Old.ID] = ch.Cause
				}
			}
			mu.Unlock()
			return s.Store.Apply(ctx, changes)
		}
		s.cause = func(ctx context.Context, id lifecycle.ID) (cancel.Cause, error) {
			mu.Lock()
			defer mu.Unlock()
			if cause, ok := kept[id]; ok {
				return cause, ctx.Err()
			}
			return s.Store.Cause(ctx, id)
		}
	}},
	{"Cause of an unknown id is zero", []string{"Cause/NotFound"}, func(s *store) {
		s.cause = func(ctx context.Context, id lifecycle.ID) (cancel.Cause, error) {
			cause, err := s.Store.Cause(ctx, id)
			if errors.Is(err, cancel.ErrNotFound) {
				err = nil
			}
			return cause, err
		}
	}},
	{"a reason is cut after 255 bytes", []string{"Cause/KeepsTheWords"}, func(s *store) {
		s.each(func(ch *cancel.Change) { ch.Cause.Reason = ch.Cause.Reason[:min(255, len(ch.Cause.Reason))] })
	}},
	{"an actor is trimmed", []string{"Cause/KeepsTheWords"}, func(s *store) {
		s.each(func(ch *cancel.Change) { ch.Cause.Actor = strings.TrimSpace(ch.Cause.Actor) })
	}},
	{"the time of a cause is kept to the millisecond", []string{"Cause/KeepsTheWords"}, func(s *store) {
		s.each(func(ch *cancel.Change) { ch.Cause.Time = ch.Cause.Time.Truncate(time.Millisecond) })
	}},
	{"Cause ignores its context", []string{"Cause/ContextDone"}, func(s *store) {
		s.cause = func(ctx context.Context, id lifecycle.ID) (cancel.Cause, error) {
			return s.Store.Cause(context.WithoutCancel(ctx), id)
		}
	}},

	{"ListCancelling knows only requests without a parent", []string{"ListCancelling/OnlyCancelling"}, func(s *store) {
		s.list = func(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
			page, err := s.Store.ListCancelling(ctx, after, limit)
			return slices.DeleteFunc(page, func(u cancel.CancellingRequest) bool { return u.Request.Parent != 0 }), err
		}
	}},
	{"ListCancelling is ordered by the check-in", []string{"ListCancelling/OnlyCancelling"}, func(s *store) {
		s.list = func(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
			page, err := s.Store.ListCancelling(ctx, after, limit)
			slices.SortStableFunc(page, func(a, b cancel.CancellingRequest) int { return a.Request.CheckedIn.Compare(b.Request.CheckedIn) })
			return page, err
		}
	}},
	{"ListCancelling returns what is live", []string{"ListCancelling/OnlyCancelling"}, func(s *store) {
		s.list = func(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
			var page []cancel.CancellingRequest
			for r := range s.All() {
				if r.ID > after && lifecycle.Live.Has(r.State) {
					page = append(page, cancel.CancellingRequest{Request: r})
				}
			}
			slices.SortFunc(page, func(a, b cancel.CancellingRequest) int { return cmp.Compare(a.Request.ID, b.Request.ID) })
			return page[:min(limit, len(page))], ctx.Err()
		}
	}},
	{"ListCancelling skips one after a page", []string{"ListCancelling/AfterAndLimit", "Cancel/Resumed"}, func(s *store) {
		s.list = func(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
			page, err := s.Store.ListCancelling(ctx, after, limit+1)
			if after > 0 && len(page) > 1 {
				return page[1:], err
			}
			return page[:min(limit, len(page))], err
		}
	}},
	{"ListCancelling begins at after, not behind it", []string{"ListCancelling/AfterAndLimit"}, func(s *store) {
		s.list = func(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
			return s.Store.ListCancelling(ctx, max(after, 1)-1, limit)
		}
	}},
	{"ListCancelling does not look at its limit", []string{"ListCancelling/AfterAndLimit"}, func(s *store) {
		s.list = func(ctx context.Context, after lifecycle.ID, _ int) ([]cancel.CancellingRequest, error) {
			return s.Store.ListCancelling(ctx, after, math.MaxInt32)
		}
	}},
	{"ListCancelling lags", []string{"ListCancelling/SeesWrites"}, func(s *store) {
		var mu sync.Mutex
		replica := memoryOf(slices.Collect(s.All()))
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			mu.Lock()
			defer mu.Unlock()
			replica = memoryOf(slices.Collect(s.All()))
			return s.Store.Apply(ctx, changes)
		}
		s.list = func(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
			mu.Lock()
			defer mu.Unlock()
			return replica.ListCancelling(ctx, after, limit)
		}
	}},
	{"ListCancelling does not tell the causes", []string{"ListCancelling/WithCauses"}, func(s *store) {
		s.list = func(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
			page, err := s.Store.ListCancelling(ctx, after, limit)
			for i := range page {
				page[i].Cause = cancel.Cause{}
			}
			return page, err
		}
	}},
	{"ListCancelling returns the same memory again", []string{"ListCancelling/ReturnedSlices"}, func(s *store) {
		buffer := make([]cancel.CancellingRequest, 3)
		var mu sync.Mutex
		s.list = func(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
			page, err := s.Store.ListCancelling(ctx, after, limit)
			if limit != 3 {
				return page, err
			}
			mu.Lock()
			defer mu.Unlock()
			return buffer[:copy(buffer, page)], err
		}
	}},
	{"ListCancelling ignores its context", []string{"ListCancelling/ContextDone"}, func(s *store) {
		s.list = func(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
			return s.Store.ListCancelling(context.WithoutCancel(ctx), after, limit)
		}
	}},
}
