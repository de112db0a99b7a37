// Package memory is a store of the proof kit: package memrepo, and besides rows that are
// deleted and rows that cannot be read.
package memory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	"example.com/ess/lifecycle"
)

// A Store is a repository with every capability.
type Store struct {
	*memrepo.Repo

	mu sync.RWMutex
	// odd has the rows that are not as the Repo has them.
	odd map[lifecycle.ID]oddity
}

// An oddity says what is wrong with a row: it is deleted, or a column cannot be read.
type oddity struct {
	deleted bool
	column  string
}

// New returns a store that holds the requests.
func New(requests ...lifecycle.Request) (*Store, error) {
	s := &Store{Repo: new(memrepo.Repo), odd: map[lifecycle.ID]oddity{}}
	return s, s.Insert(requests...)
}

// Delete deletes requests that have ended.
func (s *Store) Delete(ctx context.Context, ids ...lifecycle.ID) error {
	for _, id := range ids {
		r, err := s.Get(ctx, id)
		if err != nil {
			return err
		}
		if !lifecycle.Terminal.Has(r.State) {
			return fmt.Errorf("memory: request %d is %v and must not be deleted", id, r.State)
		}
		s.set(id, oddity{deleted: true})
	}
	return nil
}

// Spoil has a column of a request, "kind", "state" or "outcome", be unreadable.
func (s *Store) Spoil(id lifecycle.ID, column string) { s.set(id, oddity{column: column}) }

func (s *Store) set(id lifecycle.ID, o oddity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.odd[id] = o
}

func (s *Store) any() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.odd) > 0
}

// read returns r as it reads, and whether it is there.
func (s *Store) read(r lifecycle.Request) (lifecycle.Request, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	switch o := s.odd[r.ID]; o.column {
	case "":
		return r, !o.deleted
	case "kind":
		return lifecycle.Request{ID: r.ID, Parent: r.Parent}, true
	default:
		return lifecycle.Request{ID: r.ID, Parent: r.Parent, Kind: r.Kind}, true
	}
}

// Get implements [cancel.Repository].
func (s *Store) Get(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
	r, err := s.Repo.Get(ctx, id)
	if err != nil {
		return r, err
	}
	r, ok := s.read(r)
	if !ok {
		return lifecycle.Request{}, cancel.ErrNotFound
	}
	return r, nil
}

// Children implements [cancel.Repository].
func (s *Store) Children(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
	if !s.any() {
		return s.Repo.Children(ctx, q)
	}
	all := q
	all.States = lifecycle.Live | lifecycle.Terminal
	var found []lifecycle.Request
	for {
		page, err := s.Repo.Children(ctx, all)
		if err != nil || len(page) == 0 {
			return found, err
		}
		for _, r := range page {
			all.After = cancel.Cursor{Parent: r.Parent, ID: r.ID}
			if r, ok := s.read(r); ok && (!r.State.Valid() || q.States.Has(r.State)) {
				if found = append(found, r); len(found) == q.Limit {
					return found, nil
				}
			}
		}
	}
}

// Apply implements [cancel.Repository].
func (s *Store) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	if !s.any() {
		return s.Repo.Apply(ctx, changes)
	}
	s.mu.RLock()
	var fit []cancel.Change
	for _, ch := range changes {
		if _, odd := s.odd[ch.Old.ID]; !odd {
			fit = append(fit, ch)
		}
	}
	s.mu.RUnlock()
	done, err := s.Repo.Apply(ctx, fit)
	if err != nil {
		return nil, err
	}
	made := make([]bool, len(changes))
	for i, ch := range changes {
		if len(fit) > 0 && ch.Old.ID == fit[0].Old.ID {
			made[i], done, fit = done[0], done[1:], fit[1:]
		}
	}
	return made, nil
}

// CancelChildren implements [cancel.ChildCanceller].
func (s *Store) CancelChildren(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
	if !s.any() {
		return s.Repo.CancelChildren(ctx, c)
	}
	return CancelChildren(ctx, s, c, nil)
}

// CancelChildren cancels a page of children with Children and Apply. If edit is not nil,
// it may change the changes before they are made.
func CancelChildren(ctx context.Context, repo cancel.Repository, c cancel.ChildCancel, edit func(*cancel.Change)) (page cancel.ChildPage, err error) {
	children, err := repo.Children(ctx, c.Query)
	if err != nil {
		return page, err
	}
	for _, r := range children {
		page.Last = cancel.Cursor{Parent: r.Parent, ID: r.ID}
		ch, ended, err := CancelOne(ctx, repo, r, c.Cause, edit)
		switch {
		case err != nil:
			return page, err
		case ended:
		case c.All || ch.State != lifecycle.StateCancelled:
			page.Changes = append(page.Changes, ch)
		default:
			page.Cancelled++
		}
	}
	page.More = len(children) == c.Query.Limit
	return page, nil
}

// CancelOne cancels r, which others may change meanwhile. It reports whether they have
// ended it, and otherwise returns the change that it has made.
func CancelOne(ctx context.Context, repo cancel.Repository, r lifecycle.Request, cause cancel.Cause, edit func(*cancel.Change)) (made cancel.Change, ended bool, err error) {
	for {
		ch := cancel.Change{Old: r, State: r.State, Outcome: r.Outcome, CheckedIn: r.CheckedIn, Attempt: r.Attempt}
		for d := range cancel.Decisions() {
			if d.Kind == r.Kind && d.From == r.State {
				ch.Trigger, ch.State, ch.Outcome, ch.Cause = lifecycle.TriggerCancel, d.State, d.Outcome, cause
			}
		}
		if ch.Trigger == 0 {
			return ch, lifecycle.Terminal.Has(r.State), nil
		}
		if ch.State == lifecycle.StateCancelling {
			ch.CheckedIn = cause.Time
		}
		if edit != nil {
			edit(&ch)
		}
		made, err := repo.Apply(ctx, []cancel.Change{ch})
		if err != nil || made[0] {
			return ch, false, err
		}
		if r, err = repo.Get(ctx, r.ID); err != nil {
			return ch, false, err
		}
	}
}

// CancelTree implements [cancel.TreeCanceller]. It declines where rows are odd.
func (s *Store) CancelTree(ctx context.Context, c cancel.TreeCancel) (cancel.TreePage, error) {
	if s.any() {
		return cancel.TreePage{}, errors.ErrUnsupported
	}
	return s.Repo.CancelTree(ctx, c)
}

// Settle implements [cancel.Settler]. It declines where rows are odd.
func (s *Store) Settle(ctx context.Context, st cancel.Settlement) ([]cancel.Change, error) {
	if s.any() {
		return nil, errors.ErrUnsupported
	}
	return s.Repo.Settle(ctx, st)
}

// EndParent implements [cancel.ParentEnder].
func (s *Store) EndParent(ctx context.Context, ch cancel.Change) (bool, error) {
	s.mu.RLock()
	_, odd := s.odd[ch.Old.ID]
	s.mu.RUnlock()
	if odd {
		return false, ctx.Err()
	}
	kids, err := s.Children(ctx, cancel.ChildQuery{Parents: []lifecycle.ID{ch.Old.ID}, States: lifecycle.Live, Limit: 1})
	if err != nil || len(kids) > 0 {
		return false, err
	}
	return s.Repo.EndParent(ctx, ch)
}

// ListCancelling implements [cancel.CancellingLister].
func (s *Store) ListCancelling(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
	page, err := s.Repo.ListCancelling(ctx, after, limit)
	for i := range page {
		page[i].Request, _ = s.read(page[i].Request)
	}
	return slices.DeleteFunc(page, func(c cancel.CancellingRequest) bool { return s.column(c.Request.ID) == "state" }), err
}

func (s *Store) column(id lifecycle.ID) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.odd[id].column
}

// Cause implements [cancel.CauseReader].
func (s *Store) Cause(ctx context.Context, id lifecycle.ID) (cancel.Cause, error) {
	if _, err := s.Get(ctx, id); err != nil {
		return cancel.Cause{}, err
	}
	return s.Repo.Cause(ctx, id)
}

// Submit inserts a request if its parent admits one.
func (s *Store) Submit(ctx context.Context, r lifecycle.Request) error {
	if s.any() && r.Parent != 0 {
		parent, err := s.Get(ctx, r.Parent)
		if err != nil {
			return err
		}
		if err := lifecycle.Admit(parent); err != nil {
			return err
		}
	}
	return s.Repo.Submit(ctx, r)
}
