package canceltest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/internal/memory"
	"example.com/ess/cancel/memrepo"
	"example.com/ess/lifecycle"
)

// A store is one in memory with methods that can be replaced.
type store struct {
	*memory.Store

	get            func(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error)
	children       func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error)
	apply          func(ctx context.Context, changes []cancel.Change) ([]bool, error)
	cancelChildren func(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error)
	list           func(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error)
	cause          func(ctx context.Context, id lifecycle.ID) (cancel.Cause, error)
	endParent      func(ctx context.Context, ch cancel.Change) (bool, error)
	submit         func(ctx context.Context, r lifecycle.Request) error
	remove         func(ctx context.Context, ids ...lifecycle.ID) error
	tree           func(ctx context.Context, c cancel.TreeCancel) (cancel.TreePage, error)
	settle         func(ctx context.Context, s cancel.Settlement) ([]cancel.Change, error)
}

func newStore(requests []lifecycle.Request) (*store, error) {
	mem, err := memory.New(requests...)
	s := &store{Store: mem}
	s.get, s.children, s.apply = mem.Get, mem.Children, mem.Apply
	s.cancelChildren, s.list, s.cause = mem.CancelChildren, mem.ListCancelling, mem.Cause
	s.endParent, s.submit, s.remove = mem.EndParent, mem.Submit, mem.Delete
	s.tree, s.settle = mem.CancelTree, mem.Settle
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

func (s *store) EndParent(ctx context.Context, ch cancel.Change) (bool, error) {
	return s.endParent(ctx, ch)
}

func (s *store) CancelTree(ctx context.Context, c cancel.TreeCancel) (cancel.TreePage, error) {
	return s.tree(ctx, c)
}

func (s *store) Settle(ctx context.Context, st cancel.Settlement) ([]cancel.Change, error) {
	return s.settle(ctx, st)
}

func (s *store) Submit(ctx context.Context, r lifecycle.Request) error { return s.submit(ctx, r) }

// write makes a change whatever the request is like.
func (s *store) write(ctx context.Context, ch cancel.Change) error {
	for {
		var err error
		if ch.Old, err = s.Store.Get(ctx, ch.Old.ID); err != nil {
			return err
		}
		made, err := s.Store.Apply(ctx, []cancel.Change{ch})
		if err != nil || made[0] {
			return err
		}
	}
}

// noTrees declines what does whole trees at once.
func (s *store) noTrees() {
	s.tree = func(context.Context, cancel.TreeCancel) (cancel.TreePage, error) {
		return cancel.TreePage{}, errors.ErrUnsupported
	}
	s.settle = func(context.Context, cancel.Settlement) ([]cancel.Change, error) { return nil, errors.ErrUnsupported }
}

// each has f change the changes before they are applied. It works on a copy.
func (s *store) each(f func(ch *cancel.Change)) {
	s.noTrees()
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
	s.tree = func(ctx context.Context, c cancel.TreeCancel) (cancel.TreePage, error) {
		c.Limit = min(c.Limit, n)
		return s.Store.CancelTree(ctx, c)
	}
	s.cancelChildren = func(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
		c.Query.Limit = min(c.Query.Limit, n)
		return s.Store.CancelChildren(ctx, c)
	}
	s.list = func(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
		return s.Store.ListCancelling(ctx, after, min(limit, n))
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
				if is, err := s.Store.Get(ctx, ch.Old.ID); err == nil {
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

// changeChildren has f change what CancelChildren makes of each child.
func (s *store) changeChildren(f func(ch *cancel.Change)) {
	s.cancelChildren = func(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
		return memory.CancelChildren(ctx, s.Store, c, f)
	}
}

// childPages has f change every page of CancelChildren.
func (s *store) childPages(f func(page *cancel.ChildPage, c cancel.ChildCancel)) {
	s.cancelChildren = func(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
		page, err := s.Store.CancelChildren(ctx, c)
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
		Delete: func(ctx context.Context, repo cancel.Repository, ids []lifecycle.ID) error {
			return repo.(*store).remove(ctx, ids...)
		},
		Spoil: func(_ context.Context, repo cancel.Repository, id lifecycle.ID, column string) error {
			repo.(*store).Spoil(id, column)
			return nil
		},
		Timeout: 5 * time.Second,
	}
}
