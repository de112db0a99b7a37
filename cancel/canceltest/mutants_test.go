package canceltest_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/internal/proof"
	"example.com/ess/cancel/memrepo"
	"example.com/ess/lifecycle"
)

// A store is package memrepo with methods that can be replaced. A nil field is
// memrepo's.
type store struct {
	*memrepo.Repo

	get            func(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error)
	children       func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error)
	apply          func(ctx context.Context, changes []cancel.Change) ([]bool, error)
	cancelChildren func(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error)
	list           func(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error)
	cause          func(ctx context.Context, id lifecycle.ID) (cancel.Cause, error)
}

func newStore(requests []lifecycle.Request) (*store, error) {
	s := &store{Repo: new(memrepo.Repo)}
	err := s.Insert(requests...)
	s.get, s.children, s.apply = s.Repo.Get, s.Repo.Children, s.Repo.Apply
	s.cancelChildren, s.list, s.cause = s.Repo.CancelChildren, s.Repo.ListCancelling, s.Repo.Cause
	return s, err
}

func (s *store) Get(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
	return s.get(ctx, id)
}

func (s *store) Children(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
	return s.children(ctx, q)
}

func (s *store) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	return s.apply(ctx, changes)
}

func (s *store) CancelChildren(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
	return s.cancelChildren(ctx, c)
}

func (s *store) ListCancelling(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
	return s.list(ctx, after, limit)
}

func (s *store) Cause(ctx context.Context, id lifecycle.ID) (cancel.Cause, error) {
	return s.cause(ctx, id)
}

// write makes a change whatever the request is like.
func (s *store) write(ctx context.Context, ch cancel.Change) error {
	for {
		var err error
		if ch.Old, err = s.Repo.Get(ctx, ch.Old.ID); err != nil {
			return err
		}
		made, err := s.Repo.Apply(ctx, []cancel.Change{ch})
		if err != nil || made[0] {
			return err
		}
	}
}

// each has f change the changes before they are applied. It works on a copy.
func (s *store) each(f func(ch *cancel.Change)) {
	apply := s.apply
	s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
		changes = slices.Clone(changes)
		for i := range changes {
			f(&changes[i])
		}
		return apply(ctx, changes)
	}
}

// reads has f change every request that is read.
func (s *store) reads(f func(r *lifecycle.Request)) {
	s.gets(f)
	s.pages(func(page []lifecycle.Request) []lifecycle.Request {
		for i := range page {
			f(&page[i])
		}
		return page
	})
	list := s.list
	s.list = func(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
		page, err := list(ctx, after, limit)
		for i := range page {
			f(&page[i].Request)
		}
		return page, err
	}
}

func (s *store) gets(f func(r *lifecycle.Request)) {
	get := s.get
	s.get = func(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
		r, err := get(ctx, id)
		if err == nil {
			f(&r)
		}
		return r, err
	}
}

// pages has f change every page of Children.
func (s *store) pages(f func(page []lifecycle.Request) []lifecycle.Request) {
	children := s.children
	s.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
		page, err := children(ctx, q)
		return f(page), err
	}
}

// queries has f change every query of Children. It works on a copy.
func (s *store) queries(f func(q *cancel.ChildQuery)) {
	children := s.children
	s.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
		q.Parents = slices.Clone(q.Parents)
		f(&q)
		return children(ctx, q)
	}
}

// shorten has no page longer than n.
func (s *store) shorten(n int) {
	s.queries(func(q *cancel.ChildQuery) { q.Limit = min(q.Limit, n) })
	s.cancelChildren = func(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
		c.Query.Limit = min(c.Query.Limit, n)
		return s.Repo.CancelChildren(ctx, c)
	}
	s.list = func(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
		return s.Repo.ListCancelling(ctx, after, min(limit, n))
	}
}

// version gives requests a version, which Apply compares instead of the rest where it
// is not empty.
func (s *store) version(renew bool, empty bool) {
	var mu sync.Mutex
	versions := map[lifecycle.ID]int{}
	of := func(id lifecycle.ID) string { return fmt.Sprintf("v%d", versions[id]) }
	s.reads(func(r *lifecycle.Request) {
		mu.Lock()
		defer mu.Unlock()
		r.Version = of(r.ID)
	})
	get := s.get
	s.get = func(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
		for { // a request and its version are read together
			mu.Lock()
			before := of(id)
			mu.Unlock()
			r, err := get(ctx, id)
			if err != nil || r.Version == before {
				return r, err
			}
		}
	}
	apply := s.apply
	s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
		mu.Lock()
		defer mu.Unlock()
		changes = slices.Clone(changes)
		for i := range changes {
			ch := &changes[i]
			switch {
			case ch.Old.Version == "" && !empty:
			case ch.Old.Version == of(ch.Old.ID):
				if is, err := s.Repo.Get(ctx, ch.Old.ID); err == nil {
					ch.Old = is
				}
			default:
				ch.Old.State = 0 // made is false
			}
		}
		made, err := apply(ctx, changes)
		for i, ok := range made {
			if ok && renew {
				versions[changes[i].Old.ID]++
			}
		}
		return made, err
	}
}

var errStore = errors.New("store: no luck")

// mutants are wrong stores. rejectedBy are checks that have to find the mistake; others
// may find it too.
var mutants = []struct {
	name       string
	rejectedBy []string
	spoil      func(s *store)
}{
	// Get.
	{"the lack of a row is an error of its own", []string{"Get/NotFound"}, func(s *store) {
		s.get = func(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
			r, err := s.Repo.Get(ctx, id)
			if errors.Is(err, cancel.ErrNotFound) {
				err = errStore
			}
			return r, err
		}
	}},
	{"ErrNotFound is in the text only", []string{"Get/NotFound"}, func(s *store) {
		s.get = func(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
			r, err := s.Repo.Get(ctx, id)
			if errors.Is(err, cancel.ErrNotFound) {
				err = fmt.Errorf("get: %v", err)
			}
			return r, err
		}
	}},
	{"every error is ErrNotFound", []string{"Get/ContextDone"}, func(s *store) {
		s.get = func(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
			r, err := s.Repo.Get(ctx, id)
			if err != nil {
				err = fmt.Errorf("%w: %w", cancel.ErrNotFound, err)
			}
			return r, err
		}
	}},
	{"an unknown id gives a zero request", []string{"Get/NotFound"}, func(s *store) {
		s.get = func(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
			r, err := s.Repo.Get(ctx, id)
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

	// Children.
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
			page, err := s.Repo.Children(ctx, q)
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
			return s.Repo.Children(ctx, q)
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
			page, err := s.Repo.Children(ctx, q)
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
				if snapshot, err = s.Repo.Children(ctx, all); err != nil {
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
			page, err := s.Repo.Children(ctx, q)
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
			page, err := s.Repo.Children(ctx, q)
			slices.Reverse(q.Parents)
			return page, err
		}
	}},
	{"Children appends to the parents it is given", []string{"Children/GivenSlices"}, func(s *store) {
		s.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
			_ = append(q.Parents, 0)
			return s.Repo.Children(ctx, q)
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
			page, err := s.Repo.Children(ctx, q)
			last, lastPage = q, page
			return slices.Clone(page), err
		}
	}},
	{"Children returns the same memory again", []string{"Children/ReturnedSlices"}, func(s *store) {
		var mu sync.Mutex
		buffers := map[int][]lifecycle.Request{}
		s.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
			page, err := s.Repo.Children(ctx, q)
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
			return s.Repo.Children(context.WithoutCancel(ctx), q)
		}
	}},
	{"Get ignores its context", []string{"Get/ContextDone"}, func(s *store) {
		s.get = func(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
			return s.Repo.Get(context.WithoutCancel(ctx), id)
		}
	}},

	// Apply.
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
			if is, err := s.Repo.Get(context.Background(), ch.Old.ID); err == nil {
				ch.Old.State = is.State
			}
		})
	}},
	{"the outcome is not compared", []string{"Apply/ComparesOutcome"}, func(s *store) {
		s.each(func(ch *cancel.Change) {
			if is, err := s.Repo.Get(context.Background(), ch.Old.ID); err == nil {
				ch.Old.Outcome = is.Outcome
			}
		})
	}},
	{"the check-in is not compared", []string{"Apply/ComparesCheckedIn"}, func(s *store) {
		s.each(func(ch *cancel.Change) {
			if is, err := s.Repo.Get(context.Background(), ch.Old.ID); err == nil {
				ch.Old.CheckedIn = is.CheckedIn
			}
		})
	}},
	{"the check-in is compared to the second", []string{"Apply/ComparesCheckedIn"}, func(s *store) {
		s.each(func(ch *cancel.Change) {
			is, err := s.Repo.Get(context.Background(), ch.Old.ID)
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
				if _, err := s.Repo.Get(ctx, ch.Old.ID); err != nil {
					return nil, err
				}
			}
			return s.Repo.Apply(ctx, changes)
		}
	}},
	{"a lost change is an error", []string{"Apply/ComparesState", "Apply/OneOfManyWins"}, func(s *store) {
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			made, err := s.Repo.Apply(ctx, changes)
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
			return s.Repo.Apply(ctx, changes)
		}
	}},
	{"only the changes that were made are answered for", []string{"Apply/ComparesState", "Apply/AnswersInOrder"}, func(s *store) {
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			made, err := s.Repo.Apply(ctx, changes)
			return slices.DeleteFunc(made, func(ok bool) bool { return !ok }), err
		}
	}},
	{"made is always true", []string{"Apply/ComparesState", "Apply/AnswersInOrder", "Apply/GoneIsNoError"}, func(s *store) {
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			made, err := s.Repo.Apply(ctx, changes)
			for i := range made {
				made[i] = true
			}
			return made, err
		}
	}},
	{"one lost change undoes the whole batch", []string{"Apply/AnswersInOrder"}, func(s *store) {
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			for _, ch := range changes {
				is, err := s.Repo.Get(ctx, ch.Old.ID)
				if errors.Is(err, cancel.ErrNotFound) || is.State != ch.Old.State {
					return make([]bool, len(changes)), nil
				}
			}
			return s.Repo.Apply(ctx, changes)
		}
	}},
	{"a batch of none is an error", []string{"Apply/Nothing"}, func(s *store) {
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			if len(changes) == 0 {
				return nil, errStore
			}
			return s.Repo.Apply(ctx, changes)
		}
	}},
	{"changes beyond the 900th are forgotten", []string{"Apply/ThousandChanges"}, func(s *store) {
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			made, err := s.Repo.Apply(ctx, changes[:min(900, len(changes))])
			return append(made, make([]bool, len(changes)-len(made))...), err
		}
	}},
	{"stale read: Get does not see the last write", []string{"Apply/ReadsSeeIt", "Apply/OthersSeeIt"}, func(s *store) {
		var mu sync.Mutex
		old := map[lifecycle.ID]lifecycle.Request{}
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			mu.Lock()
			defer mu.Unlock()
			made, err := s.Repo.Apply(ctx, changes)
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
			return s.Repo.Apply(ctx, changes)
		}
		s.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
			mu.Lock()
			defer mu.Unlock()
			return replica.Children(ctx, q)
		}
	}},
	{"Apply ignores its context", []string{"Apply/ContextDone"}, func(s *store) {
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			return s.Repo.Apply(context.WithoutCancel(ctx), changes)
		}
	}},
	{"the cause of the context's end is returned, not its error", []string{"Apply/ContextDone", "Get/ContextDone", "Children/ContextDone"}, func(s *store) {
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			return s.Repo.Apply(ctx, changes)
		}
		s.get = func(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
			if ctx.Err() != nil {
				return lifecycle.Request{}, context.Cause(ctx)
			}
			return s.Repo.Get(ctx, id)
		}
		s.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			return s.Repo.Children(ctx, q)
		}
	}},
	{"a call that is broken off fails with an error of its own", []string{"Repository/ContextEndsMeanwhile"}, func(s *store) {
		s.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
			page, err := s.Repo.Children(ctx, q)
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
			made, err := s.Repo.Apply(ctx, changes)
			slices.SortStableFunc(changes, func(a, b cancel.Change) int { return cmp.Compare(a.Old.ID, b.Old.ID) })
			return made, err
		}
	}},
	{"Apply appends to the changes it is given", []string{"Apply/GivenSlices"}, func(s *store) {
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			made, err := s.Repo.Apply(ctx, changes)
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
			made, err := s.Repo.Apply(ctx, changes)
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
			return s.Repo.Cause(ctx, id)
		}
	}},
	{"Apply returns the same memory again", []string{"Apply/ReturnedSlices"}, func(s *store) {
		var mu sync.Mutex
		buffer := make([]bool, 2)
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			made, err := s.Repo.Apply(ctx, changes)
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
				is, err := s.Repo.Get(ctx, ch.Old.ID)
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
			return s.Repo.Apply(ctx, changes)
		}
	}},
	{"a change is written in two steps", []string{"Apply/AtomicForReaders"}, func(s *store) {
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			first := slices.Clone(changes)
			for i, ch := range changes {
				first[i].Outcome, first[i].CheckedIn = ch.Old.Outcome, ch.Old.CheckedIn
			}
			made, err := s.Repo.Apply(ctx, first)
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
			return s.Repo.Apply(ctx, changes)
		}
		s.cause = func(ctx context.Context, id lifecycle.ID) (cancel.Cause, error) {
			if err := use(); err != nil {
				return cancel.Cause{}, err
			}
			return s.Repo.Cause(ctx, id)
		}
	}},

	// Cause.
	{"the last cause wins", []string{"Cause/OfTheFirstChange"}, func(s *store) {
		var mu sync.Mutex
		last := map[lifecycle.ID]cancel.Cause{}
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			made, err := s.Repo.Apply(ctx, changes)
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
			return s.Repo.Cause(ctx, id)
		}
	}},
	{"the cause is lost", []string{"Cause/OfTheFirstChange", "Cause/KeepsTheWords"}, func(s *store) {
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
			return s.Repo.Apply(ctx, changes)
		}
		s.cause = func(ctx context.Context, id lifecycle.ID) (cancel.Cause, error) {
			mu.Lock()
			defer mu.Unlock()
			if cause, ok := kept[id]; ok {
				return cause, ctx.Err()
			}
			return s.Repo.Cause(ctx, id)
		}
	}},
	{"Cause of an unknown id is zero", []string{"Cause/NotFound"}, func(s *store) {
		s.cause = func(ctx context.Context, id lifecycle.ID) (cancel.Cause, error) {
			cause, err := s.Repo.Cause(ctx, id)
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
			return s.Repo.Cause(context.WithoutCancel(ctx), id)
		}
	}},

	// ListCancelling.
	{"ListCancelling knows only requests without a parent", []string{"ListCancelling/OnlyCancelling"}, func(s *store) {
		s.list = func(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
			page, err := s.Repo.ListCancelling(ctx, after, limit)
			return slices.DeleteFunc(page, func(u cancel.CancellingRequest) bool { return u.Request.Parent != 0 }), err
		}
	}},
	{"ListCancelling is ordered by the check-in", []string{"ListCancelling/OnlyCancelling"}, func(s *store) {
		s.list = func(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
			page, err := s.Repo.ListCancelling(ctx, after, limit)
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
			page, err := s.Repo.ListCancelling(ctx, after, limit+1)
			if after > 0 && len(page) > 1 {
				return page[1:], err
			}
			return page[:min(limit, len(page))], err
		}
	}},
	{"ListCancelling begins at after, not behind it", []string{"ListCancelling/AfterAndLimit"}, func(s *store) {
		s.list = func(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
			return s.Repo.ListCancelling(ctx, max(after, 1)-1, limit)
		}
	}},
	{"ListCancelling does not look at its limit", []string{"ListCancelling/AfterAndLimit"}, func(s *store) {
		s.list = func(ctx context.Context, after lifecycle.ID, _ int) ([]cancel.CancellingRequest, error) {
			return s.Repo.ListCancelling(ctx, after, math.MaxInt32)
		}
	}},
	{"ListCancelling lags", []string{"ListCancelling/SeesWrites"}, func(s *store) {
		var mu sync.Mutex
		replica := memoryOf(slices.Collect(s.All()))
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			mu.Lock()
			defer mu.Unlock()
			replica = memoryOf(slices.Collect(s.All()))
			return s.Repo.Apply(ctx, changes)
		}
		s.list = func(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
			mu.Lock()
			defer mu.Unlock()
			return replica.ListCancelling(ctx, after, limit)
		}
	}},
	{"ListCancelling does not tell the causes", []string{"ListCancelling/WithCauses"}, func(s *store) {
		s.list = func(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
			page, err := s.Repo.ListCancelling(ctx, after, limit)
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
			page, err := s.Repo.ListCancelling(ctx, after, limit)
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
			return s.Repo.ListCancelling(context.WithoutCancel(ctx), after, limit)
		}
	}},

	// CancelChildren.
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
			page, err := s.Repo.CancelChildren(ctx, c)
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
			return s.Repo.CancelChildren(ctx, c)
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
			return s.Repo.CancelChildren(ctx, c)
		}
	}},
	{"CancelChildren does not look at its limit", []string{"CancelChildren/OnlyTheChildrenAskedFor", "CancelChildren/Pages"}, func(s *store) {
		s.cancelChildren = func(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
			c.Query.Limit = math.MaxInt32
			return s.Repo.CancelChildren(ctx, c)
		}
	}},
	{"CancelChildren reads and writes in two steps", []string{"CancelChildren/OneOfManyWins"}, func(s *store) {
		s.cancelChildren = func(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
			dry := memoryOf(slices.Collect(s.All()))
			page, err := dry.CancelChildren(ctx, c)
			yield()
			if _, err := s.Repo.CancelChildren(ctx, c); err != nil {
				return cancel.ChildPage{}, err
			}
			return page, err
		}
	}},
	{"CancelChildren appends to the parents it is given", []string{"CancelChildren/GivenSlices"}, func(s *store) {
		s.cancelChildren = func(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
			_ = append(c.Query.Parents, 0)
			return s.Repo.CancelChildren(ctx, c)
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
			return s.Repo.CancelChildren(ctx, c)
		}
	}},
	{"CancelChildren returns the same memory again", []string{"CancelChildren/ReturnedSlices"}, func(s *store) {
		var mu sync.Mutex
		buffer := make([]cancel.Change, 5)
		s.cancelChildren = func(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
			page, err := s.Repo.CancelChildren(ctx, c)
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
			page, err := s.Repo.CancelChildren(ctx, c)
			if err == nil {
				err = errors.ErrUnsupported
			}
			return page, err
		}
	}},
	{"CancelChildren ignores its context", []string{"CancelChildren/ContextDone"}, func(s *store) {
		s.cancelChildren = func(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
			return s.Repo.CancelChildren(context.WithoutCancel(ctx), c)
		}
	}},

	// What only shows under package cancel.
	{"now and then the store fails when it is written by many", []string{"Cancel/SixteenAtOnce"}, func(s *store) {
		var writers atomic.Int64
		s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			defer writers.Add(-1)
			if writers.Add(1) > 1 && len(changes) == 1 && changes[0].Old.Kind == lifecycle.KindParent {
				return nil, errors.New("store: could not serialize access")
			}
			yield()
			return s.Repo.Apply(ctx, changes)
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

// changeChildren has f change what CancelChildren makes of each child.
func (s *store) changeChildren(f func(ch *cancel.Change)) {
	s.cancelChildren = func(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
		var page cancel.ChildPage
		children, err := s.Repo.Children(ctx, c.Query)
		if err != nil {
			return page, err
		}
		for _, r := range children {
			page.Last = cancel.Cursor{Parent: r.Parent, ID: r.ID}
			ch := cancel.Change{Old: r, State: r.State, Outcome: r.Outcome, CheckedIn: r.CheckedIn, Trigger: lifecycle.TriggerCancel, Cause: c.Cause}
			for d := range cancel.Decisions() {
				if d.Kind == r.Kind && d.From == r.State {
					if ch.State, ch.Outcome = d.State, d.Outcome; ch.State == lifecycle.StateCancelling {
						ch.CheckedIn = c.Cause.Time
					}
					f(&ch)
					if _, err := s.Repo.Apply(ctx, []cancel.Change{ch}); err != nil {
						return page, err
					}
				}
			}
			if c.All || ch.State == lifecycle.StateCancelling {
				page.Changes = append(page.Changes, ch)
			} else {
				page.Cancelled++
			}
		}
		page.More = len(children) == c.Query.Limit
		return page, nil
	}
}

// childPages has f change every page of CancelChildren.
func (s *store) childPages(f func(page *cancel.ChildPage, c cancel.ChildCancel)) {
	s.cancelChildren = func(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
		page, err := s.Repo.CancelChildren(ctx, c)
		f(&page, c)
		return page, err
	}
}

func memoryOf(requests []lifecycle.Request) *memrepo.Repo {
	repo := new(memrepo.Repo)
	if err := repo.Insert(requests...); err != nil {
		panic(err)
	}
	return repo
}

// yield lets others run: all of them, in a bubble of synctest.
func yield() { time.Sleep(50 * time.Microsecond) }

// harness returns one whose stores are spoilt.
func harness(spoil func(s *store)) canceltest.Harness {
	return canceltest.Harness{
		New: func(_ context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
			s, err := newStore(requests)
			spoil(s)
			return s, err
		},
		Insert: func(_ context.Context, repo cancel.Repository, requests []lifecycle.Request) error {
			return repo.(*store).Insert(requests...)
		},
		Timeout: 5 * time.Second,
	}
}

// rejectedBy returns the names of the checks that failed.
func rejectedBy(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("not joined errors: %v", err)
	}
	var names []string
	for _, err := range joined.Unwrap() {
		failed, ok := errors.AsType[*canceltest.CheckError](err)
		if !ok {
			t.Fatalf("not a *CheckError: %v", err)
		}
		names = append(names, failed.Check)
	}
	return names
}

// TestProofMutants shows that Check rejects wrong stores, and that every check can fail.
// It runs the checks that are named with each, or, at full length, all of them, and
// logs which rejected it.
func TestProofMutants(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	rejects := map[string]int{}
	reject := func(t *testing.T, h canceltest.Harness, by []string) {
		t.Helper()
		var err error
		// In a bubble, a store that sleeps lets all others go on until they wait, too:
		// who meets whom does not depend on the machine.
		synctest.Test(t, func(t *testing.T) {
			if proof.Full() {
				err = canceltest.Check(t.Context(), h)
			} else {
				err = canceltest.CheckOnly(t.Context(), h, by...)
			}
		})
		got := rejectedBy(t, err)
		t.Logf("rejected by %s", strings.Join(got, ", "))
		for _, name := range by {
			if !slices.Contains(got, name) {
				t.Errorf("not rejected by %s, but by %q", name, got)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		for _, name := range got {
			rejects[name]++
		}
	}
	t.Run("all", func(t *testing.T) {
		for _, m := range mutants {
			t.Run(m.name, func(t *testing.T) {
				t.Parallel()
				reject(t, harness(m.spoil), m.rejectedBy)
			})
		}
		t.Run("a request is not stored", func(t *testing.T) {
			t.Parallel()
			h := memory()
			h.New = func(_ context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
				return memoryOf(requests[:max(1, len(requests))-1]), nil
			}
			reject(t, h, []string{"Harness/HoldsExactlyTheRequests"})
		})
		t.Run("all repositories are one", func(t *testing.T) {
			t.Parallel()
			one := new(store)
			h := memory()
			h.New = func(_ context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
				s, err := newStore(requests)
				*one = *s
				return one, err
			}
			h.Insert = nil
			reject(t, h, []string{"Harness/RepositoriesShareNothing"})
		})
	})
	t.Logf("%d mutants rejected, by %d checks", len(mutants)+2, len(rejects))
	for name := range canceltest.Contract() {
		if rejects[name] == 0 {
			t.Errorf("no mutant is rejected by %s: can it fail?", name)
		}
	}
}
