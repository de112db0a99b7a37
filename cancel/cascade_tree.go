package cancel

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"example.com/ess/lifecycle"
)

// treePages is how many pages of requests one call of CancelTree or Settle is asked for.
const treePages = 5

// sweepAtOnce cancels and settles what is below the root with calls of a TreeCanceller.
//
// CancelTree can miss a child that is submitted while it runs, below a parent that it makes
// CANCELLING itself: it may have read the children before. So those of these parents that
// have not ended afterwards are looked at once more, for children that are live and not
// CANCELLING. A parent that has ended needs no such look: when it was settled it was
// CANCELLING, and had no live child.
func (t *tree) sweepAtOnce(ctx context.Context) error {
	root := t.levels[0][0]
	t.byID = map[lifecycle.ID]*node{root.req.ID: root}
	t.o.again = true
	for from := []Cursor{{Parent: root.req.ID}}; ; {
		err := t.cancelBelow(ctx, from)
		t.sortLevels()
		if err == nil {
			err = t.settle(ctx)
		}
		if err != nil {
			return err
		}
		late, seen, err := t.lookAgain(ctx)
		t.sortLevels()
		if err != nil || !seen {
			return err
		}
		if len(late) == 0 {
			return t.settle(ctx)
		}
		from = late
	}
}

// lookAgain cancels the children that CancelTree has missed, below nodes that have not
// ended. It reports whether it has seen any, and returns the positions below them.
func (t *tree) lookAgain(ctx context.Context) (late []Cursor, seen bool, err error) {
	var open []*node
	for _, level := range t.levels {
		for _, n := range level {
			if !n.looked && !n.ended() && n.failed == nil && n.req.Kind.HasChildren() {
				n.looked = true
				open = append(open, n)
			}
		}
	}
	slices.SortFunc(open, compareNodes)
	for part := range slices.Chunk(open, t.o.c.opts.PageSize) {
		d := descent{o: t.o, parents: part, states: lifecycle.Live &^ lifecycle.SetOf(lifecycle.StateCancelling)}
		err = d.cancelChildren(ctx, 0)
		seen = seen || d.seen > 0
		late = append(late, t.addNodes(d.next)...)
		if err != nil {
			break
		}
	}
	return late, seen, err
}

// addNodes adds nodes to their levels and returns the positions below them.
func (t *tree) addNodes(nodes []*node) (below []Cursor) {
	for _, n := range nodes {
		p := t.byID[n.req.Parent]
		n.level = p.level + 1
		for len(t.levels) <= n.level {
			t.levels = append(t.levels, nil)
		}
		t.levels[n.level] = append(t.levels[n.level], n)
		t.byID[n.req.ID] = n
		if n.req.Kind.HasChildren() {
			below = append(below, Cursor{Parent: n.req.ID})
		}
	}
	return below
}

// sortLevels orders the nodes of each level by ID.
func (t *tree) sortLevels() {
	for _, level := range t.levels {
		slices.SortFunc(level, compareNodes)
	}
}

// cancelBelow cancels what is below the given positions.
func (t *tree) cancelBelow(ctx context.Context, from []Cursor) error {
	for len(from) > 0 {
		part := from[:min(len(from), t.o.c.opts.PageSize)]
		more, err := t.page(ctx, part)
		if err != nil {
			return err
		}
		from = append(from[len(part):], more...)
	}
	return nil
}

// page cancels some of what is below the given positions, and returns the positions at
// which to go on.
func (t *tree) page(ctx context.Context, from []Cursor) ([]Cursor, error) {
	o := t.o
	for _, c := range from {
		t.byID[c.Parent].looked = true
	}
	if t.declined {
		return t.cancelLevel(ctx, from, nil)
	}
	ask := TreeCancel{From: from, Limit: treePages * o.c.opts.PageSize, Cause: o.now(), All: o.receipt != nil || o.c.opts.Hooks.Transition != nil}
	page, err := o.c.trees.CancelTree(ctx, ask)
	if errors.Is(err, errors.ErrUnsupported) {
		t.declined = true
		return t.cancelLevel(ctx, from, nil)
	}
	o.store.note(err)
	failed := err != nil
	if nonsense := t.checkPage(ask, page, failed); nonsense != nil {
		o.failures.fail(o.storeError(ctx, nonsense))
		failed, page = true, TreePage{}
	}
	known := visits{}
	ended := failed || page.Cancelled > 0
	for i := range page.Changes {
		ch := &page.Changes[i]
		ended = ended || ch.State == lifecycle.StateCancelled
		known.visit(ch.Old.ID)
		t.record(ctx, ch)
	}
	o.result.Counts[DispositionCancelled] += page.Cancelled
	if ended {
		// The store need not say whose children have ended. A look that finds nothing is
		// harmless.
		for _, c := range from {
			t.byID[c.Parent].children, t.byID[c.Parent].mustLook = true, true
		}
		for i := range page.Changes {
			if n := t.byID[page.Changes[i].Old.ID]; n != nil {
				n.children, n.mustLook = true, true
			}
		}
	}
	o.interruptRecorded(ctx)
	if !failed {
		return page.Rest, nil
	}
	if o.store.giveUp(ctx) {
		return nil, o.storeError(ctx, err)
	}
	// The failure may be about one request, which must not keep the others from being
	// cancelled.
	below, err := t.cancelLevel(ctx, from, known)
	for i := range page.Changes {
		if n := t.byID[page.Changes[i].Old.ID]; n != nil && n.req.Kind.HasChildren() {
			below = append(below, Cursor{Parent: n.req.ID})
		}
	}
	return below, err
}

// record records what CancelTree did to one child. A child that this operation has
// recorded before, as part of another tree, is recorded again only if it was changed now.
func (t *tree) record(ctx context.Context, ch *Change) {
	o := t.o
	parent := t.byID[ch.Old.Parent]
	what, r, err := DispositionAlreadyCancelling, ch.Old, ch.Old.Validate()
	switch {
	case ch.State != ch.Old.State:
		o.tellTransition(ctx, ch)
		what, r = madeOf(*ch), ch.New()
	case err != nil:
		what = DispositionFailed
	case parent.doneBefore && !(&node{req: r}).opensBelow():
		return
	}
	n := o.record(parent, r, ch.Old.State, what, err)
	switch {
	case n != nil:
		t.addNodes([]*node{n})
	case r.Kind.HasChildren() && t.byID[r.ID] == nil:
		t.byID[r.ID] = &node{req: r, level: parent.level + 1, doneBefore: true}
	}
}

// cancelLevel cancels the children behind the given positions, and returns the positions below
// them. Children in known have been recorded already.
func (t *tree) cancelLevel(ctx context.Context, from []Cursor, known visits) ([]Cursor, error) {
	slices.SortFunc(from, Cursor.Compare)
	var whole []*node
	var below []Cursor
	run := func(parents []*node, after lifecycle.ID) error {
		d := descent{o: t.o, parents: parents, states: lifecycle.Live, known: known}
		err := d.cancelChildren(ctx, after)
		below = append(below, t.addNodes(d.next)...)
		return err
	}
	for _, c := range from {
		n := t.byID[c.Parent]
		if c.ID == 0 {
			whole = append(whole, n)
		} else if err := run([]*node{n}, c.ID); err != nil {
			return nil, err
		}
	}
	if len(whole) > 0 {
		if err := run(whole, 0); err != nil {
			return nil, err
		}
	}
	return below, nil
}

// checkPage returns an error if page, the answer to ask, cannot be true. If the store has
// failed, the page need not say where to go on.
func (t *tree) checkPage(ask TreeCancel, page TreePage, failed bool) error {
	if page.Cancelled < 0 || len(page.Changes)+page.Cancelled > ask.Limit {
		return fmt.Errorf("cancel: CancelTree answered for %d and %d children, the limit is %d", len(page.Changes), page.Cancelled, ask.Limit)
	}
	parents := make(map[lifecycle.ID]lifecycle.ID, len(ask.From)) // with the child to begin behind
	for _, c := range ask.From {
		parents[c.Parent] = c.ID
	}
	seen := visits{}
	for i := range page.Changes {
		ch := &page.Changes[i]
		if after, ok := parents[ch.Old.Parent]; !ok || ch.Old.ID <= after || !seen.visit(ch.Old.ID) {
			return fmt.Errorf("cancel: CancelTree returned request %d of parent %d, which was not asked for or is out of order", ch.Old.ID, ch.Old.Parent)
		}
		if err := checkChange(*ch, ask.Cause); err != nil {
			return err
		}
		if ch.State == lifecycle.StateCancelling && ch.Old.Kind.HasChildren() {
			if _, ok := parents[ch.Old.ID]; ok {
				return fmt.Errorf("cancel: CancelTree returned request %d, which is below itself", ch.Old.ID)
			}
			parents[ch.Old.ID] = 0
		}
	}
	if failed {
		return nil
	}
	advance := len(page.Rest) == 0
	for _, c := range page.Rest {
		after, ok := parents[c.Parent]
		if !ok || c.ID < after {
			return fmt.Errorf("cancel: CancelTree goes on behind child %d of request %d, which it has not come upon", c.ID, c.Parent)
		}
		delete(parents, c.Parent) // each once
		advance = advance || c.ID > after
	}
	for _, c := range ask.From {
		if _, done := parents[c.Parent]; done {
			advance = true
		}
	}
	if !advance {
		return errors.New("cancel: CancelTree does not advance")
	}
	return nil
}
