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

	can rows.Capabilities
}

func newSteppedRepo(a *worldActor, repo cancel.Repository) *steppedRepo {
	return &steppedRepo{a: a, repo: repo, can: rows.CapabilitiesOf(repo)}
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
	if s.can.Children == nil {
		return cancel.ChildPage{}, errors.ErrUnsupported
	}
	a := s.a
	call := worldCall{kind: callCancelChildren, fallible: true}
	call.args.query(c.Query)
	call.args.cause(c.Cause)
	if how := a.gate(call, func() string { return "CancelChildren(" + show.Query(c.Query) + ")" }); how != choiceRuns {
		return cancel.ChildPage{}, a.fault(how, func() { _, _ = s.can.Children.CancelChildren(ctx, c) })
	}
	page, err := s.can.Children.CancelChildren(ctx, c)
	a.saw = a.saw.add(uint64(page.Cancelled)).add(uint64(page.Last.Parent)).add(uint64(page.Last.ID))
	if page.More {
		a.saw = a.saw.add(1)
	}
	a.sawChanges(page.Changes, err, page.Cancelled == 0)
	a.answer(func() string { return show.Answered(err, func() string { return show.Page(page) }) })
	return page, err
}

func (s *steppedRepo) CancelTree(ctx context.Context, c cancel.TreeCancel) (cancel.TreePage, error) {
	if s.can.Tree == nil {
		return cancel.TreePage{}, errors.ErrUnsupported
	}
	a := s.a
	call := worldCall{kind: callCancelTree, fallible: true}
	for _, from := range c.From {
		call.args = call.args.add(uint64(from.Parent)).add(uint64(from.ID))
	}
	call.args = call.args.add(uint64(c.Limit))
	call.args.cause(c.Cause)
	if how := a.gate(call, func() string { return "CancelTree(below " + show.Cursors(c.From) + ")" }); how != choiceRuns {
		return cancel.TreePage{}, a.fault(how, func() { _, _ = s.can.Tree.CancelTree(ctx, c) })
	}
	page, err := s.can.Tree.CancelTree(ctx, c)
	a.saw = a.saw.add(uint64(page.Cancelled))
	for _, rest := range page.Rest {
		a.saw = a.saw.add(uint64(rest.Parent)).add(uint64(rest.ID))
	}
	a.sawChanges(page.Changes, err, page.Cancelled == 0)
	a.answer(func() string { return show.Answered(err, func() string { return show.Tree(page) }) })
	return page, err
}

func (s *steppedRepo) Settle(ctx context.Context, st cancel.Settlement) ([]cancel.Change, error) {
	if s.can.Settler == nil {
		return nil, errors.ErrUnsupported
	}
	a := s.a
	call := worldCall{kind: callSettle, fallible: true}
	for _, id := range st.IDs {
		call.args = call.args.add(uint64(id))
	}
	call.args.cause(st.Cause)
	if how := a.gate(call, func() string { return fmt.Sprintf("Settle(%v)", st.IDs) }); how != choiceRuns {
		return nil, a.fault(how, func() { _, _ = s.can.Settler.Settle(ctx, st) })
	}
	made, err := s.can.Settler.Settle(ctx, st)
	a.sawChanges(made, err, true)
	a.answer(func() string { return show.Answered(err, func() string { return show.Changes(made) }) })
	return made, err
}

// sawChanges notes what the store says that it has done, and whether that is all.
func (a *worldActor) sawChanges(changes []cancel.Change, err error, all bool) {
	for _, ch := range changes {
		a.saw.change(ch)
	}
	a.saw.error(err)
	if !a.run.fresh || err != nil || !all {
		return
	}
	a.said = &said{}
	for _, ch := range changes {
		if ch.State != ch.Old.State {
			a.said.changes = append(a.said.changes, ch)
			a.said.made = append(a.said.made, true)
		}
	}
}

func (s *steppedRepo) EndParent(ctx context.Context, ch cancel.Change) (bool, error) {
	if s.can.Ender == nil {
		return false, errors.ErrUnsupported
	}
	a := s.a
	call := worldCall{kind: callEndParent, fallible: true}
	call.args.change(ch)
	if how := a.gate(call, func() string { return "EndParent(" + show.Changes([]cancel.Change{ch}) + ")" }); how != choiceRuns {
		return false, a.fault(how, func() { _, _ = s.can.Ender.EndParent(ctx, ch) })
	}
	made, err := s.can.Ender.EndParent(ctx, ch)
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
	if s.can.Lister == nil {
		return nil, errors.ErrUnsupported
	}
	a := s.a
	call := worldCall{kind: callListCancelling, pure: true, fallible: true, args: digest{}.add(uint64(after)).add(uint64(limit))}
	if how := a.gate(call, func() string { return fmt.Sprintf("ListCancelling(after %d)", after) }); how != choiceRuns {
		return nil, a.fault(how, nil)
	}
	page, err := s.can.Lister.ListCancelling(ctx, after, limit)
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
	if s.can.Causes == nil {
		return cancel.Cause{}, errors.ErrUnsupported
	}
	a := s.a
	call := worldCall{kind: callCause, pure: true, fallible: true, args: digest{}.add(uint64(id))}
	if how := a.gate(call, func() string { return fmt.Sprintf("Cause(%d)", id) }); how != choiceRuns {
		return cancel.Cause{}, a.fault(how, nil)
	}
	cause, err := s.can.Causes.Cause(ctx, id)
	a.saw.cause(cause)
	a.saw.error(err)
	a.answer(func() string {
		return show.Answered(err, func() string { return fmt.Sprintf("cancelled with request %d by %q", cause.Root, cause.Actor) })
	})
	return cause, err
}
