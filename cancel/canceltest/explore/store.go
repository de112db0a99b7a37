package explore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest/internal/rows"
	"example.com/ess/cancel/canceltest/internal/show"
	"example.com/ess/lifecycle"
)

// A steppedRepo is the store as an actor sees it: each call is a step. It declines
// the capabilities that the store does not have.
type steppedRepo struct {
	a    *worldActor
	repo cancel.Repository
	can  rows.Capabilities
}

func newSteppedRepo(a *worldActor, repo cancel.Repository) *steppedRepo {
	return &steppedRepo{a: a, repo: repo, can: rows.CapabilitiesOf(repo)}
}

// A storeStep is a call of the store that returns a T.
type storeStep[T any] struct {
	call worldCall
	asks func() string // what the call is, for a trace
	do   func() (T, error)
	saw  func(d *digest, got T) // adds what was returned
	show func(got T) string
}

// step does it.
func (s storeStep[T]) step(a *worldActor) (got T, err error) {
	s.call.fallible = true
	if how := a.gate(s.call, s.asks); how != choiceRuns {
		var none T
		return none, a.fault(how, func() { _, _ = s.do() })
	}
	got, err = s.do()
	s.saw(&a.saw, got)
	a.saw.error(err)
	a.answer(func() string { return show.Answered(err, func() string { return s.show(got) }) })
	return got, err
}

func (s *steppedRepo) Get(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
	a := s.a
	r, err := storeStep[lifecycle.Request]{
		call: worldCall{kind: callGet, pure: true, args: digest{}.add(uint64(id))},
		asks: func() string { return fmt.Sprintf("Get(%d)", id) },
		do:   func() (lifecycle.Request, error) { return s.repo.Get(ctx, id) },
		saw:  (*digest).request,
		show: show.State,
	}.step(a)
	if op := a.op; op != nil && op.name == opRun && !op.looked && !errors.Is(err, ErrFault) {
		op.looked = true
		// Between what Run learns here and what it does then, somebody may try to
		// interrupt the work.
		a.gate(worldCall{kind: callReturn, pure: true}, func() string { return "goes on" })
		a.answer(nil)
	}
	return r, err
}

func (s *steppedRepo) Children(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
	call := worldCall{kind: callChildren, pure: true}
	call.args.query(q)
	return storeStep[[]lifecycle.Request]{
		call: call,
		asks: func() string { return "Children(" + show.Query(q) + ")" },
		do:   func() ([]lifecycle.Request, error) { return s.repo.Children(ctx, q) },
		saw:  (*digest).requests,
		show: show.Requests,
	}.step(s.a)
}

func (s *steppedRepo) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	for _, ch := range changes {
		if w := s.a.run.w; w.Harness.States != 0 && !w.Harness.States.Has(ch.State) {
			s.a.giveUp(fmt.Errorf("explore: world %q leads to %v, and the store cannot: %w", w.Name, ch.State, errors.ErrUnsupported))
		}
	}
	call := worldCall{kind: callApply}
	call.args.changes(changes)
	made, err := storeStep[[]bool]{
		call: call,
		asks: func() string { return "Apply(" + show.Changes(changes) + ")" },
		do:   func() ([]bool, error) { return s.repo.Apply(ctx, changes) },
		saw:  (*digest).bools,
		show: func(made []bool) string { return show.Made(changes, made) },
	}.step(s.a)
	if s.a.run.fresh && err == nil {
		s.a.said = &said{changes: slices.Clone(changes), made: slices.Clone(made)}
	}
	return made, err
}

func (s *steppedRepo) EndParent(ctx context.Context, ch cancel.Change) (bool, error) {
	if s.can.Ender == nil {
		return false, errors.ErrUnsupported
	}
	changes := []cancel.Change{ch}
	call := worldCall{kind: callEndParent}
	call.args.changes(changes)
	made, err := storeStep[bool]{
		call: call,
		asks: func() string { return "EndParent(" + show.Changes(changes) + ")" },
		do:   func() (bool, error) { return s.can.Ender.EndParent(ctx, ch) },
		saw:  func(d *digest, made bool) { d.bools([]bool{made}) },
		show: func(made bool) string { return show.Made(changes, []bool{made}) },
	}.step(s.a)
	if s.a.run.fresh && err == nil {
		s.a.said = &said{changes: changes, made: []bool{made}}
	}
	return made, err
}

func (s *steppedRepo) CancelChildren(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
	if s.can.Children == nil {
		return cancel.ChildPage{}, errors.ErrUnsupported
	}
	call := worldCall{kind: callCancelChildren}
	call.args.query(c.Query)
	call.args.cause(c.Cause)
	page, err := storeStep[cancel.ChildPage]{
		call: call,
		asks: func() string { return "CancelChildren(" + show.Query(c.Query) + ")" },
		do:   func() (cancel.ChildPage, error) { return s.can.Children.CancelChildren(ctx, c) },
		saw: func(d *digest, page cancel.ChildPage) {
			d.changes(page.Changes)
			d.bools([]bool{page.More})
			d.cursors([]cancel.Cursor{page.Last})
			*d = d.add(uint64(page.Cancelled))
		},
		show: show.Page,
	}.step(s.a)
	s.said(page.Changes, err, page.Cancelled == 0)
	return page, err
}

func (s *steppedRepo) CancelTree(ctx context.Context, c cancel.TreeCancel) (cancel.TreePage, error) {
	if s.can.Tree == nil {
		return cancel.TreePage{}, errors.ErrUnsupported
	}
	call := worldCall{kind: callCancelTree, args: digest{}.add(uint64(c.Limit))}
	call.args.cursors(c.From)
	call.args.cause(c.Cause)
	page, err := storeStep[cancel.TreePage]{
		call: call,
		asks: func() string { return "CancelTree(below " + show.Cursors(c.From) + ")" },
		do:   func() (cancel.TreePage, error) { return s.can.Tree.CancelTree(ctx, c) },
		saw: func(d *digest, page cancel.TreePage) {
			d.changes(page.Changes)
			d.cursors(page.Rest)
			*d = d.add(uint64(page.Cancelled))
		},
		show: show.Tree,
	}.step(s.a)
	s.said(page.Changes, err, page.Cancelled == 0)
	return page, err
}

func (s *steppedRepo) Settle(ctx context.Context, st cancel.Settlement) ([]cancel.Change, error) {
	if s.can.Settler == nil {
		return nil, errors.ErrUnsupported
	}
	call := worldCall{kind: callSettle}
	for _, id := range st.IDs {
		call.args = call.args.add(uint64(id))
	}
	call.args.cause(st.Cause)
	made, err := storeStep[[]cancel.Change]{
		call: call,
		asks: func() string { return fmt.Sprintf("Settle(%v)", st.IDs) },
		do:   func() ([]cancel.Change, error) { return s.can.Settler.Settle(ctx, st) },
		saw:  (*digest).changes,
		show: show.Changes,
	}.step(s.a)
	s.said(made, err, true)
	return made, err
}

// said notes what the store says that it has changed, if that is all.
func (s *steppedRepo) said(changes []cancel.Change, err error, all bool) {
	if !s.a.run.fresh || err != nil || !all {
		return
	}
	s.a.said = &said{}
	for _, ch := range changes {
		if ch.State != ch.Old.State {
			s.a.said.changes = append(s.a.said.changes, ch)
			s.a.said.made = append(s.a.said.made, true)
		}
	}
}

func (s *steppedRepo) ListCancelling(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
	if s.can.Lister == nil {
		return nil, errors.ErrUnsupported
	}
	return storeStep[[]cancel.CancellingRequest]{
		call: worldCall{kind: callListCancelling, pure: true, args: digest{}.add(uint64(after)).add(uint64(limit))},
		asks: func() string { return fmt.Sprintf("ListCancelling(after %d)", after) },
		do: func() ([]cancel.CancellingRequest, error) {
			return s.can.Lister.ListCancelling(ctx, after, limit)
		},
		saw: func(d *digest, page []cancel.CancellingRequest) {
			for _, u := range page {
				d.request(u.Request)
				d.cause(u.Cause)
			}
		},
		show: func(page []cancel.CancellingRequest) string {
			var found []lifecycle.Request
			for _, u := range page {
				found = append(found, u.Request)
			}
			return show.Requests(found)
		},
	}.step(s.a)
}

func (s *steppedRepo) Cause(ctx context.Context, id lifecycle.ID) (cancel.Cause, error) {
	if s.can.Causes == nil {
		return cancel.Cause{}, errors.ErrUnsupported
	}
	return storeStep[cancel.Cause]{
		call: worldCall{kind: callCause, pure: true, args: digest{}.add(uint64(id))},
		asks: func() string { return fmt.Sprintf("Cause(%d)", id) },
		do:   func() (cancel.Cause, error) { return s.can.Causes.Cause(ctx, id) },
		saw:  (*digest).cause,
		show: func(c cancel.Cause) string { return fmt.Sprintf("cancelled with request %d by %q", c.Root, c.Actor) },
	}.step(s.a)
}
