package canceltest_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

var readMutants = []mutant{
	{"the lack of a row is an error of its own", []string{"Get/NotFound"}, func(s *store) {
		s.get = func(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
			r, err := s.Store.Get(ctx, id)
			if errors.Is(err, cancel.ErrNotFound) {
				err = errStore
			}
			return r, err
		}
	}},
	{"ErrNotFound is in the text only", []string{"Get/NotFound"}, func(s *store) {
		s.get = func(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
			r, err := s.Store.Get(ctx, id)
			if errors.Is(err, cancel.ErrNotFound) {
				err = fmt.Errorf("get: %v", err)
			}
			return r, err
		}
	}},
	{"every error is ErrNotFound", []string{"Get/ContextDone"}, func(s *store) {
		s.get = func(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
			r, err := s.Store.Get(ctx, id)
			if err != nil {
				err = fmt.Errorf("%w: %w", cancel.ErrNotFound, err)
			}
			return r, err
		}
	}},
	{"an unknown id gives a zero request", []string{"Get/NotFound"}, func(s *store) {
		s.get = func(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
			r, err := s.Store.Get(ctx, id)
			if errors.Is(err, cancel.ErrNotFound) {
				err = nil
			}
			return r, err
		}
	}},
	{"Get forgets the outcome", []string{"Get/ReturnsTheRequest"}, func(s *store) {
		s.gets(func(r *lifecycle.Request) { r.Outcome = 0 })
	}},
	{"Get gives a time where there is none", []string{"Get/ReturnsTheRequest"}, func(s *store) {
		s.gets(func(r *lifecycle.Request) {
			if r.CheckedIn.IsZero() {
				r.CheckedIn = time.Unix(0, 0)
			}
		})
	}},
	{"ids pass through a float", []string{"Get/LargeIDs"}, func(s *store) {
		s.reads(func(r *lifecycle.Request) {
			if f := float64(r.ID); f < math.MaxInt64 {
				r.ID = lifecycle.ID(f)
			}
		})
	}},
	{"ids are ordered as texts", []string{"Get/LargeIDs"}, func(s *store) {
		s.pages(func(page []lifecycle.Request) []lifecycle.Request {
			slices.SortFunc(page, func(a, b lifecycle.Request) int {
				return cmp.Or(cmp.Compare(a.Parent, b.Parent), cmp.Compare(strconv.FormatInt(int64(a.ID), 10), strconv.FormatInt(int64(b.ID), 10)))
			})
			return page
		})
	}},

	{"only the first parent is looked at", []string{"Children/OfTheParents"}, func(s *store) {
		s.queries(func(q *cancel.ChildQuery) { q.Parents = q.Parents[:1] })
	}},
	{"no parent is not 0 but NULL", []string{"Children/WithoutParent"}, func(s *store) {
		s.queries(func(q *cancel.ChildQuery) {
			q.Parents = slices.DeleteFunc(q.Parents, func(id lifecycle.ID) bool { return id == 0 })
		})
	}},
	{"the states are not looked at", []string{"Children/InTheStates"}, func(s *store) {
		s.queries(func(q *cancel.ChildQuery) { q.States = lifecycle.Live | lifecycle.Terminal })
	}},
	{"COMPLETED passes for terminal", []string{"Children/InTheStates"}, func(s *store) {
		s.queries(func(q *cancel.ChildQuery) {
			if q.States&lifecycle.Terminal == 0 {
				q.States &^= lifecycle.SetOf(lifecycle.StateCompleted)
			}
		})
	}},
	{"Children forgets the check-in", []string{"Children/ReturnsTheRequests"}, func(s *store) {
		s.pages(func(page []lifecycle.Request) []lifecycle.Request {
			for i := range page {
				page[i].CheckedIn = time.Time{}
			}
			return page
		})
	}},
	{"children are ordered by ID only", []string{"Children/OrderedByParentAndID"}, func(s *store) {
		s.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
			limit := q.Limit
			q.Limit = math.MaxInt32
			page, err := s.Store.Children(ctx, q)
			slices.SortFunc(page, func(a, b lifecycle.Request) int { return cmp.Compare(a.ID, b.ID) })
			return page[:min(limit, len(page))], err
		}
	}},
	{"children come in the order of insertion", []string{"Children/OrderedByParentAndID"}, func(s *store) {
		s.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
			var page []lifecycle.Request
			for r := range s.All() {
				at := cancel.Cursor{Parent: r.Parent, ID: r.ID}
				if slices.Contains(q.Parents, r.Parent) && q.States.Has(r.State) && at.Compare(q.After) > 0 && len(page) < q.Limit {
					page = append(page, r)
				}
			}
			return page, ctx.Err()
		}
	}},
	{"the limit is not looked at", []string{"Children/AtMostLimit"}, func(s *store) {
		s.queries(func(q *cancel.ChildQuery) { q.Limit = math.MaxInt32 })
	}},
	{"a page has one more than the limit", []string{"Children/AtMostLimit"}, func(s *store) {
		s.queries(func(q *cancel.ChildQuery) { q.Limit++ })
	}},
	{"a page ends with its parent, and may be empty", []string{"Children/AtMostLimit", "Children/AfterTheCursor"}, func(s *store) {
		s.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
			at, _ := slices.BinarySearch(q.Parents, q.After.Parent)
			if at == len(q.Parents) {
				return nil, ctx.Err()
			}
			q.Parents = q.Parents[at : at+1]
			return s.Store.Children(ctx, q)
		}
	}},
	{"After is not looked at", []string{"Children/AfterTheCursor"}, func(s *store) {
		s.queries(func(q *cancel.ChildQuery) { q.After = cancel.Cursor{} })
	}},
	{"a page repeats the last of the one before", []string{"Children/AfterTheCursor"}, func(s *store) {
		s.queries(func(q *cancel.ChildQuery) { q.After.ID = max(q.After.ID, 1) - 1 })
	}},
	{"a page skips one after the one before", []string{"Children/AfterTheCursor", "Children/ManyPages"}, func(s *store) {
		s.queries(func(q *cancel.ChildQuery) {
			if q.After.ID > 0 && q.After.ID < math.MaxInt64 {
				q.After.ID++
			}
		})
	}},
	{"the id of After counts for every parent", []string{"Children/AfterTheCursor"}, func(s *store) {
		s.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
			limit, after := q.Limit, q.After.ID
			q.Limit = math.MaxInt32
			page, err := s.Store.Children(ctx, q)
			page = slices.DeleteFunc(page, func(r lifecycle.Request) bool { return r.ID <= after })
			return page[:min(limit, len(page))], err
		}
	}},
	{"After.ID overflows", []string{"Children/AfterTheCursor"}, func(s *store) {
		s.queries(func(q *cancel.ChildQuery) {
			if q.After.ID == math.MaxInt64 {
				q.After.ID = 0
			}
		})
	}},
	{"large pages lose a request", []string{"Children/ManyPages"}, func(s *store) {
		s.pages(func(page []lifecycle.Request) []lifecycle.Request {
			if len(page) == 1000 {
				page = slices.Delete(page, 998, 999)
			}
			return page
		})
	}},
	{"parents beyond the 900th are forgotten", []string{"Children/ManyParents"}, func(s *store) {
		s.queries(func(q *cancel.ChildQuery) { q.Parents = q.Parents[:min(900, len(q.Parents))] })
	}},
	{"a series is read from a snapshot", []string{"Children/WhileOthersChange"}, func(s *store) {
		var mu sync.Mutex
		var snapshot []lifecycle.Request
		s.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
			mu.Lock()
			defer mu.Unlock()
			if q.After == (cancel.Cursor{}) {
				all := q
				all.Limit = math.MaxInt32
				var err error
				if snapshot, err = s.Store.Children(ctx, all); err != nil {
					return nil, err
				}
			}
			var page []lifecycle.Request
			for _, r := range snapshot {
				if (cancel.Cursor{Parent: r.Parent, ID: r.ID}).Compare(q.After) > 0 && len(page) < q.Limit {
					page = append(page, r)
				}
			}
			return page, nil
		}
	}},
	{"a series keeps its connection to the end", []string{"Children/NothingStaysOpen"}, func(s *store) {
		connections := make(chan struct{}, 30)
		s.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
			page, err := s.Store.Children(ctx, q)
			if len(page) < q.Limit {
				for len(connections) > 0 {
					<-connections
				}
				return page, err
			}
			select {
			case connections <- struct{}{}:
				return page, err
			case <-time.After(10 * time.Millisecond):
				return nil, errors.New("store: no connection is free")
			}
		}
	}},
	{"Children sorts the parents it is given", []string{"Children/GivenSlices"}, func(s *store) {
		s.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
			page, err := s.Store.Children(ctx, q)
			slices.Reverse(q.Parents)
			return page, err
		}
	}},
	{"Children appends to the parents it is given", []string{"Children/GivenSlices"}, func(s *store) {
		s.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
			_ = append(q.Parents, 0)
			return s.Store.Children(ctx, q)
		}
	}},
	{"Children keeps the parents it is given", []string{"Children/GivenSlices"}, func(s *store) {
		var mu sync.Mutex
		var last cancel.ChildQuery
		var lastPage []lifecycle.Request
		s.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
			mu.Lock()
			defer mu.Unlock()
			if last.Limit == q.Limit && last.After == q.After && last.States == q.States && slices.Equal(last.Parents, q.Parents) {
				if &last.Parents[0] == &q.Parents[0] { // so that stale pages are not the mistake found
					return slices.Clone(lastPage), ctx.Err()
				}
			}
			page, err := s.Store.Children(ctx, q)
			last, lastPage = q, page
			return slices.Clone(page), err
		}
	}},
	{"Children returns the same memory again", []string{"Children/ReturnedSlices"}, func(s *store) {
		var mu sync.Mutex
		buffers := map[int][]lifecycle.Request{}
		s.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
			page, err := s.Store.Children(ctx, q)
			mu.Lock()
			defer mu.Unlock()
			if q.Limit != 4 { // so that others do not race
				return page, err
			}
			buffers[q.Limit] = append(buffers[q.Limit][:0], page...)
			return buffers[q.Limit], err
		}
	}},
	{"Children ignores its context", []string{"Children/ContextDone"}, func(s *store) {
		s.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
			return s.Store.Children(context.WithoutCancel(ctx), q)
		}
	}},
	{"Get ignores its context", []string{"Get/ContextDone"}, func(s *store) {
		s.get = func(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
			return s.Store.Get(context.WithoutCancel(ctx), id)
		}
	}},
}
