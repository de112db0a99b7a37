package canceltest_test

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

var applyMoreMutants = []mutant{
	{"Apply ignores its context", []string{"Apply/ContextDone"}, func(s *store) {
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			return s.Store.Apply(context.WithoutCancel(ctx), changes)
		}
	}},
	{"the cause of the context's end is returned, not its error", []string{"Apply/ContextDone", "Get/ContextDone", "Children/ContextDone"}, func(s *store) {
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			return s.Store.Apply(ctx, changes)
		}
		s.get = func(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
			if ctx.Err() != nil {
				return lifecycle.Request{}, context.Cause(ctx)
			}
			return s.Store.Get(ctx, id)
		}
		s.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			return s.Store.Children(ctx, q)
		}
	}},
	{"a call that is broken off fails with an error of its own", []string{"Repository/ContextEndsMeanwhile"}, func(s *store) {
		s.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
			page, err := s.Store.Children(ctx, q)
			if len(q.Parents) == 3 && q.States.Has(lifecycle.StateWait) && q.Limit == 100 && err == nil {
				select {
				case <-time.After(5 * time.Millisecond):
				case <-ctx.Done():
					return nil, errors.New("store: interrupted")
				}
			}
			return page, err
		}
	}},
	{"Apply sorts the changes it is given", []string{"Apply/GivenSlices"}, func(s *store) {
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			made, err := s.Store.Apply(ctx, changes)
			slices.SortStableFunc(changes, func(a, b cancel.Change) int { return cmp.Compare(a.Old.ID, b.Old.ID) })
			return made, err
		}
	}},
	{"Apply appends to the changes it is given", []string{"Apply/GivenSlices"}, func(s *store) {
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			made, err := s.Store.Apply(ctx, changes)
			_ = append(changes, cancel.Change{Cause: cancel.Cause{Actor: "audit"}})
			return made, err
		}
	}},
	{"Apply keeps the changes it is given", []string{"Apply/GivenSlices"}, func(s *store) {
		var mu sync.Mutex
		kept := map[lifecycle.ID]*cancel.Cause{}
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			mu.Lock()
			defer mu.Unlock()
			made, err := s.Store.Apply(ctx, changes)
			for i, ok := range made {
				if id := changes[i].Old.ID; ok && kept[id] == nil {
					kept[id] = &changes[i].Cause
				}
			}
			return made, err
		}
		s.cause = func(ctx context.Context, id lifecycle.ID) (cancel.Cause, error) {
			mu.Lock()
			defer mu.Unlock()
			if cause := kept[id]; cause != nil {
				return *cause, ctx.Err()
			}
			return s.Store.Cause(ctx, id)
		}
	}},
	{"Apply returns the same memory again", []string{"Apply/ReturnedSlices"}, func(s *store) {
		var mu sync.Mutex
		buffer := make([]bool, 2)
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			made, err := s.Store.Apply(ctx, changes)
			if len(made) != 2 { // so that others do not race
				return made, err
			}
			mu.Lock()
			defer mu.Unlock()
			copy(buffer, made)
			return buffer, err
		}
	}},
	{"read, check and write are not one step", []string{"Apply/OneOfManyWins", "Apply/OverlappingBatches"}, func(s *store) {
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			made := make([]bool, len(changes))
			for i, ch := range changes {
				is, err := s.Store.Get(ctx, ch.Old.ID)
				if err != nil && !errors.Is(err, cancel.ErrNotFound) {
					return nil, err
				}
				made[i] = err == nil && is.State == ch.Old.State && is.Outcome == ch.Old.Outcome && is.CheckedIn.Equal(ch.Old.CheckedIn)
			}
			yield()
			for i, ch := range changes {
				if made[i] {
					if err := s.write(ctx, ch); err != nil {
						return nil, err
					}
				}
			}
			return made, ctx.Err()
		}
	}},
	{"rows stay locked to the end of the batch, in its order", []string{"Apply/OverlappingBatches"}, func(s *store) {
		var mu sync.Mutex
		locks := map[lifecycle.ID]chan struct{}{}
		lock := func(id lifecycle.ID) chan struct{} {
			mu.Lock()
			defer mu.Unlock()
			if locks[id] == nil {
				locks[id] = make(chan struct{}, 1)
			}
			return locks[id]
		}
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			for _, ch := range changes {
				row := lock(ch.Old.ID)
				select {
				case row <- struct{}{}:
					defer func() { <-row }()
					yield()
				case <-time.After(5 * time.Millisecond):
					return nil, errors.New("store: deadlock detected")
				}
			}
			return s.Store.Apply(ctx, changes)
		}
	}},
	{"a change is written in two steps", []string{"Apply/AtomicForReaders"}, func(s *store) {
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			first := slices.Clone(changes)
			for i, ch := range changes {
				first[i].Outcome, first[i].CheckedIn = ch.Old.Outcome, ch.Old.CheckedIn
			}
			made, err := s.Store.Apply(ctx, first)
			yield()
			for i, ok := range made {
				if ok {
					if err := s.write(ctx, changes[i]); err != nil {
						return nil, err
					}
				}
			}
			return made, err
		}
	}},

	{"the one connection is busy", []string{"Repository/AllMethodsAtOnce"}, func(s *store) {
		var busy atomic.Bool
		use := func() error {
			if !busy.CompareAndSwap(false, true) {
				return errors.New("store: conn busy")
			}
			yield()
			busy.Store(false)
			return nil
		}
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			if err := use(); err != nil {
				return nil, err
			}
			return s.Store.Apply(ctx, changes)
		}
		s.cause = func(ctx context.Context, id lifecycle.ID) (cancel.Cause, error) {
			if err := use(); err != nil {
				return cancel.Cause{}, err
			}
			return s.Store.Cause(ctx, id)
		}
	}},
}
