package canceltest

import (
	"cmp"
	"context"
	"slices"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest/internal/rows"
	"example.com/ess/lifecycle"
)

var (
	_ cancel.ChildCanceller   = (*Faulty)(nil)
	_ cancel.CancellingLister = (*Faulty)(nil)
	_ cancel.CauseReader      = (*Faulty)(nil)
	_ cancel.ParentEnder      = (*Faulty)(nil)
	_ cancel.TreeCanceller    = (*Faulty)(nil)
	_ cancel.Settler          = (*Faulty)(nil)
)

// A strike is what goes wrong with one call.
type strike struct {
	faults          []Fault
	conflict, stale bool
	limit           int // 0 means as asked
}

// enter counts a call and says what goes wrong with it. touches says whether the call
// is about a request.
func (f *Faulty) enter(c *Call, touches func(lifecycle.ID) bool) strike {
	var about []*faultCount
	for _, fault := range f.faults { // without the lock: touches may ask the store
		if fault.fits(c.Method) && (fault.ID == 0 || touches(fault.ID)) {
			about = append(about, fault)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	c.N = f.calls
	var s strike
	for _, fault := range about {
		fault.seen++
		if behind := fault.seen - max(fault.Call, 1); behind < 0 || fault.Times >= 0 && behind >= max(fault.Times, 1) {
			continue
		}
		fault.struck++
		s.faults = append(s.faults, fault.Fault)
		s.conflict = s.conflict || fault.Conflict
		s.stale = s.stale || fault.Stale
		s.limit = cmp.Or(fault.Limit, s.limit)
		c.Faults = append(c.Faults, fault.what())
	}
	return s
}

// run does what the faults on one side of the effect say, and returns the first error.
func (s strike) run(ctx context.Context, after bool) (first error) {
	for _, fault := range s.faults {
		if fault.After == after {
			first = cmp.Or(first, fault.run(ctx))
		}
	}
	return first
}

// around calls effect, which calls the store, with what goes wrong before and after, and
// puts the call on record.
func (f *Faulty) around(ctx context.Context, c *Call, s strike, effect func() error) error {
	c.Err = func() error {
		if err := s.run(ctx, false); err != nil {
			return err
		}
		if !s.conflict {
			c.Reached = true
			if err := effect(); err != nil {
				return err
			}
		}
		return s.run(ctx, true)
	}()
	f.mu.Lock()
	f.trace = append(f.trace, *c)
	watch := f.watch
	f.mu.Unlock()
	if watch != nil {
		watch(*c)
	}
	return c.Err
}

// remember keeps what is about to be changed, if a fault needs it.
func (f *Faulty) remember(requests ...lifecycle.Request) {
	if !f.stale {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range requests {
		if _, ok := f.past[r.ID]; !ok {
			f.past[r.ID] = r
		}
	}
}

func (f *Faulty) before(r lifecycle.Request) lifecycle.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	if past, ok := f.past[r.ID]; ok {
		return past
	}
	return r
}

// Get implements [cancel.Repository].
func (f *Faulty) Get(ctx context.Context, id lifecycle.ID) (r lifecycle.Request, err error) {
	c := Call{Method: "Get", ID: id}
	s := f.enter(&c, func(other lifecycle.ID) bool { return other == id })
	err = f.around(ctx, &c, s, func() error {
		if r, err = f.repo.Get(ctx, id); err != nil {
			return err
		}
		if s.stale {
			r = f.before(r)
		}
		c.Requests = []lifecycle.Request{r}
		return nil
	})
	if err != nil {
		return lifecycle.Request{}, err
	}
	return r, nil
}

// Children implements [cancel.Repository].
func (f *Faulty) Children(ctx context.Context, q cancel.ChildQuery) (page []lifecycle.Request, err error) {
	c := Call{Method: "Children", Query: q}
	c.Query.Parents = slices.Clone(q.Parents)
	s := f.enter(&c, func(lifecycle.ID) bool { return false })
	if s.limit > 0 {
		q.Limit = min(q.Limit, s.limit)
	}
	err = f.around(ctx, &c, s, func() error {
		if s.stale {
			page, err = f.pastChildren(ctx, q)
		} else {
			page, err = f.repo.Children(ctx, q)
		}
		c.Requests = slices.Clone(page)
		return err
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

// pastChildren answers q as it would have been answered before anything was written.
func (f *Faulty) pastChildren(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
	all := q
	all.States = lifecycle.Live | lifecycle.Terminal
	var past []lifecycle.Request
	for {
		page, err := f.repo.Children(ctx, all)
		if err != nil || len(page) == 0 {
			return past, err
		}
		for _, r := range page {
			all.After = cancel.Cursor{Parent: r.Parent, ID: r.ID}
			if r = f.before(r); q.States.Has(r.State) {
				if past = append(past, r); len(past) == q.Limit {
					return past, nil
				}
			}
		}
	}
}

// Apply implements [cancel.Repository].
func (f *Faulty) Apply(ctx context.Context, changes []cancel.Change) (made []bool, err error) {
	c := Call{Method: "Apply", Changes: slices.Clone(changes)}
	s := f.enter(&c, func(id lifecycle.ID) bool {
		return slices.ContainsFunc(changes, func(ch cancel.Change) bool { return ch.Old.ID == id })
	})
	if s.conflict {
		made = make([]bool, len(changes))
		c.Made = made
	}
	err = f.around(ctx, &c, s, func() error {
		made, err = f.repo.Apply(ctx, changes)
		c.Made = slices.Clone(made)
		for i, ch := range changes {
			if i < len(made) && made[i] {
				f.remember(ch.Old)
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return made, nil
}

// CancelChildren implements [cancel.ChildCanceller].
func (f *Faulty) CancelChildren(ctx context.Context, cc cancel.ChildCancel) (page cancel.ChildPage, err error) {
	able := f.can.Children
	if able == nil {
		return page, rows.Lacks("ChildCanceller")
	}
	c := Call{Method: "CancelChildren", Query: cc.Query, Cause: cc.Cause}
	c.Query.Parents = slices.Clone(cc.Query.Parents)
	s := f.enter(&c, func(id lifecycle.ID) bool {
		kids, err := f.repo.Children(ctx, cc.Query)
		return err == nil && slices.ContainsFunc(kids, func(r lifecycle.Request) bool { return r.ID == id })
	})
	if s.limit > 0 {
		cc.Query.Limit = min(cc.Query.Limit, s.limit)
	}
	err = f.around(ctx, &c, s, func() error {
		if f.stale {
			kids, err := f.repo.Children(ctx, cc.Query)
			if err != nil {
				return err
			}
			f.remember(kids...)
		}
		page, err = able.CancelChildren(ctx, cc)
		c.Page = page
		c.Page.Changes = slices.Clone(page.Changes)
		return err
	})
	if err != nil && s.limit == 0 {
		page = cancel.ChildPage{}
	}
	return page, err
}

// CancelTree implements [cancel.TreeCanceller].
func (f *Faulty) CancelTree(ctx context.Context, tc cancel.TreeCancel) (page cancel.TreePage, err error) {
	able := f.can.Tree
	if able == nil {
		return page, rows.Lacks("TreeCanceller")
	}
	tc.From = slices.Clone(tc.From)
	c := Call{Method: "CancelTree", From: tc.From, Limit: tc.Limit, Cause: tc.Cause}
	s := f.enter(&c, func(id lifecycle.ID) bool { return f.below(ctx, tc.From, id) })
	if s.limit > 0 {
		tc.Limit = min(tc.Limit, s.limit)
	}
	err = f.around(ctx, &c, s, func() error {
		page, err = able.CancelTree(ctx, tc)
		c.Changes, c.Rest = slices.Clone(page.Changes), page.Rest
		c.Cancelled = page.Cancelled
		f.rememberOld(page.Changes)
		return err
	})
	if err != nil && s.limit == 0 {
		page = cancel.TreePage{}
	}
	return page, err
}

// below reports whether a request is below one of the positions.
func (f *Faulty) below(ctx context.Context, from []cancel.Cursor, id lifecycle.ID) bool {
	for range 100 { // in a broken store there may be a cycle
		r, err := f.repo.Get(ctx, id)
		if err != nil || r.Parent == 0 {
			return false
		}
		if slices.ContainsFunc(from, func(c cancel.Cursor) bool { return c.Parent == r.Parent && c.ID < id }) {
			return true
		}
		id = r.Parent
	}
	return false
}

// Settle implements [cancel.Settler].
func (f *Faulty) Settle(ctx context.Context, st cancel.Settlement) (made []cancel.Change, err error) {
	able := f.can.Settler
	if able == nil {
		return nil, rows.Lacks("Settler")
	}
	st.IDs = slices.Clone(st.IDs)
	c := Call{Method: "Settle", IDs: st.IDs, Cause: st.Cause}
	s := f.enter(&c, func(id lifecycle.ID) bool { return slices.Contains(st.IDs, id) })
	err = f.around(ctx, &c, s, func() error {
		made, err = able.Settle(ctx, st)
		c.Changes = slices.Clone(made)
		f.rememberOld(made)
		return err
	})
	if err != nil {
		return nil, err
	}
	return made, nil
}

func (f *Faulty) rememberOld(changes []cancel.Change) {
	for _, ch := range changes {
		f.remember(ch.Old)
	}
}

// EndParent implements [cancel.ParentEnder].
func (f *Faulty) EndParent(ctx context.Context, ch cancel.Change) (made bool, err error) {
	able := f.can.Ender
	if able == nil {
		return false, rows.Lacks("ParentEnder")
	}
	c := Call{Method: "EndParent", ID: ch.Old.ID, Changes: []cancel.Change{ch}, Made: []bool{false}}
	s := f.enter(&c, func(id lifecycle.ID) bool { return id == ch.Old.ID })
	err = f.around(ctx, &c, s, func() error {
		made, err = able.EndParent(ctx, ch)
		if c.Made[0] = made; made {
			f.remember(ch.Old)
		}
		return err
	})
	return made && err == nil, err
}

// ListCancelling implements [cancel.CancellingLister].
func (f *Faulty) ListCancelling(ctx context.Context, after lifecycle.ID, limit int) (page []cancel.CancellingRequest, err error) {
	able := f.can.Lister
	if able == nil {
		return nil, rows.Lacks("CancellingLister")
	}
	c := Call{Method: "ListCancelling", After: after, Limit: limit}
	s := f.enter(&c, func(lifecycle.ID) bool { return false })
	if s.limit > 0 {
		limit = min(limit, s.limit)
	}
	err = f.around(ctx, &c, s, func() error {
		page, err = able.ListCancelling(ctx, after, limit)
		for _, u := range page {
			c.Requests = append(c.Requests, u.Request)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

// Cause implements [cancel.CauseReader].
func (f *Faulty) Cause(ctx context.Context, id lifecycle.ID) (cause cancel.Cause, err error) {
	able := f.can.Causes
	if able == nil {
		return cause, rows.Lacks("CauseReader")
	}
	c := Call{Method: "Cause", ID: id}
	s := f.enter(&c, func(other lifecycle.ID) bool { return other == id })
	err = f.around(ctx, &c, s, func() error {
		cause, err = able.Cause(ctx, id)
		c.Cause = cause
		return err
	})
	if err != nil {
		return cancel.Cause{}, err
	}
	return cause, nil
}
