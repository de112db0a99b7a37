package explore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest/internal/show"
	"example.com/ess/lifecycle"
)

// A steppedRepo is the store as an actor sees it: each call is a step. It declines
// the capabilities that the store does not have.
type steppedRepo struct {
	a    *worldActor
	repo cancel.Repository

	children cancel.ChildCanceller
	lister   cancel.CancellingLister
	causes   cancel.CauseReader
	ender    cancel.ParentEnder
}

func newSteppedRepo(a *worldActor, repo cancel.Repository) *steppedRepo {
	s := &steppedRepo{a: a, repo: repo}
	s.children, _ = repo.(cancel.ChildCanceller)
	s.lister, _ = repo.(cancel.CancellingLister)
	s.causes, _ = repo.(cancel.CauseReader)
	s.ender, _ = repo.(cancel.ParentEnder)
	return s
}

func (s *steppedRepo) Get(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
	a := s.a
	call := worldCall{kind: callGet, pure: true, fallible: true, args: digest{}.add(uint64(id))}
	if how := a.gate(call, func() string { return fmt.Sprintf("Get(%d)", id) }); how != choiceRuns {
		return lifecycle.Request{}, a.fault(how, nil)
	}
	r, err := s.repo.Get(ctx, id)
	a.saw.request(r)
	a.saw.error(err)
	a.answer(func() string { return show.Answered(err, func() string { return show.State(r) }) })
	if op := a.op; op != nil && op.name == opRun && !op.looked {
		op.looked = true
		// Between what Run learns here and what it does then, somebody may try to
		// interrupt the work.
		a.gate(worldCall{kind: callReturn, pure: true}, func() string { return "goes on" })
		a.answer(nil)
	}
	return r, err
}

func (s *steppedRepo) Children(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
	a := s.a
	call := worldCall{kind: callChildren, pure: true, fallible: true}
	call.args.query(q)
	if how := a.gate(call, func() string { return "Children(" + show.Query(q) + ")" }); how != choiceRuns {
		return nil, a.fault(how, nil)
	}
	page, err := s.repo.Children(ctx, q)
	for _, r := range page {
		a.saw.request(r)
	}
	a.saw.error(err)
	a.answer(func() string { return show.Answered(err, func() string { return show.Requests(page) }) })
	return page, err
}

func (s *steppedRepo) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	a := s.a
	call := worldCall{kind: callApply, fallible: true}
	for _, ch := range changes {
		call.args.change(ch)
	}
	if how := a.gate(call, func() string { return "Apply(" + show.Changes(changes) + ")" }); how != choiceRuns {
		return nil, a.fault(how, func() { _, _ = s.repo.Apply(ctx, changes) })
	}
	made, err := s.repo.Apply(ctx, changes)
	for _, ok := range made {
		if ok {
			a.saw = a.saw.add(1)
		} else {
			a.saw = a.saw.add(2)
		}
	}
	a.saw.error(err)
	if a.run.fresh && err == nil {
		a.said = &said{changes: slices.Clone(changes), made: slices.Clone(made)}
	}
	a.answer(func() string { return show.Answered(err, func() string { return show.Made(changes, made) }) })
	return made, err
}

func (s *steppedRepo) CancelChildren(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
	if s.children == nil {
		return cancel.ChildPage{}, errors.ErrUnsupported
	}
	a := s.a
	call := worldCall{kind: callCancelChildren, fallible: true}
	call.args.query(c.Query)
	call.args.cause(c.Cause)
	if how := a.gate(call, func() string { return "CancelChildren(" + show.Query(c.Query) + ")" }); how != choiceRuns {
		return cancel.ChildPage{}, a.fault(how, func() { _, _ = s.children.CancelChildren(ctx, c) })
	}
	page, err := s.children.CancelChildren(ctx, c)
	for _, ch := range page.Changes {
		a.saw.change(ch)
	}
	a.saw = a.saw.add(uint64(page.Cancelled)).add(uint64(page.Last.Parent)).add(uint64(page.Last.ID))
	if page.More {
		a.saw = a.saw.add(1)
	}
	a.saw.error(err)
	if a.run.fresh && err == nil && page.Cancelled == 0 {
		a.said = &said{}
		for _, ch := range page.Changes {
			if ch.State != ch.Old.State {
				a.said.changes = append(a.said.changes, ch)
				a.said.made = append(a.said.made, true)
			}
		}
	}
	a.answer(func() string { return show.Answered(err, func() string { return show.Page(page) }) })
	return page, err
}

func (s *steppedRepo) EndParent(ctx context.Context, ch cancel.Change) (bool, error) {
	if s.ender == nil {
		return false, errors.ErrUnsupported
	}
	a := s.a
	call := worldCall{kind: callEndParent, fallible: true}
	call.args.change(ch)
	if how := a.gate(call, func() string { return "EndParent(" + show.Changes([]cancel.Change{ch}) + ")" }); how != choiceRuns {
		return false, a.fault(how, func() { _, _ = s.ender.EndParent(ctx, ch) })
	}
	made, err := s.ender.EndParent(ctx, ch)
	if made {
		a.saw = a.saw.add(1)
	}
	a.saw.error(err)
	if a.run.fresh && err == nil {
		a.said = &said{changes: []cancel.Change{ch}, made: []bool{made}}
	}
	a.answer(func() string {
		return show.Answered(err, func() string { return show.Made([]cancel.Change{ch}, []bool{made}) })
	})
	return made, err
}

func (s *steppedRepo) ListCancelling(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
	if s.lister == nil {
		return nil, errors.ErrUnsupported
	}
	a := s.a
	call := worldCall{kind: callListCancelling, pure: true, fallible: true, args: digest{}.add(uint64(after)).add(uint64(limit))}
	if how := a.gate(call, func() string { return fmt.Sprintf("ListCancelling(after %d)", after) }); how != choiceRuns {
		return nil, a.fault(how, nil)
	}
	page, err := s.lister.ListCancelling(ctx, after, limit)
	for _, u := range page {
		a.saw.request(u.Request)
		a.saw.cause(u.Cause)
	}
	a.saw.error(err)
	a.answer(func() string {
		return show.Answered(err, func() string {
			var found []lifecycle.Request
			for _, u := range page {
				found = append(found, u.Request)
			}
			return show.Requests(found)
		})
	})
	return page, err
}

func (s *steppedRepo) Cause(ctx context.Context, id lifecycle.ID) (cancel.Cause, error) {
	if s.causes == nil {
		return cancel.Cause{}, errors.ErrUnsupported
	}
	a := s.a
	call := worldCall{kind: callCause, pure: true, fallible: true, args: digest{}.add(uint64(id))}
	if how := a.gate(call, func() string { return fmt.Sprintf("Cause(%d)", id) }); how != choiceRuns {
		return cancel.Cause{}, a.fault(how, nil)
	}
	cause, err := s.causes.Cause(ctx, id)
	a.saw.cause(cause)
	a.saw.error(err)
	a.answer(func() string {
		return show.Answered(err, func() string { return fmt.Sprintf("cancelled with request %d by %q", cause.Root, cause.Actor) })
	})
	return cause, err
}
