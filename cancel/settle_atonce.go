package cancel

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"example.com/ess/lifecycle"
)

// settle ends the nodes that can end, the deepest first: in a few calls if the store is a
// [Settler], and what that leaves level by level.
func (t *tree) settle(ctx context.Context) error {
	if t.o.c.settler != nil && t.o.planned == nil {
		if done, err := t.settleAtOnce(ctx); done || err != nil {
			return err
		}
	}
	for l, level := range slices.Backward(t.levels) {
		if err := t.o.settleLevel(ctx, level, l == 0); err != nil {
			return err
		}
		for _, n := range level {
			if l > 0 && n.ended() {
				t.parent(l, n).mustLook = true
			}
		}
	}
	return nil
}

// settleAtOnce ends the nodes that can end by the store's own means. It reports false if
// the store declines, fails or answers nonsense: then what is left is for the other way.
func (t *tree) settleAtOnce(ctx context.Context) (done bool, err error) {
	o := t.o
	ask := map[lifecycle.ID]*node{}
	var ids []lifecycle.ID
	for l, level := range slices.Backward(t.levels) {
		for _, n := range level {
			if !n.maySettle() && ask[n.req.ID] == nil {
				continue
			}
			ask[n.req.ID] = n
			ids = append(ids, n.req.ID)
			if l > 0 { // its end may be what the one above waits for
				if p := t.parent(l, n); p.failed == nil && !p.ended() && !p.passed {
					ask[p.req.ID] = p
				}
			}
		}
	}
	for part := range slices.Chunk(ids, treePages*o.c.opts.PageSize) {
		made, err := o.c.settler.Settle(ctx, Settlement{IDs: part, Cause: o.now()})
		if errors.Is(err, errors.ErrUnsupported) {
			return false, nil
		}
		for _, ch := range made {
			n := ask[ch.Old.ID]
			want, due := SettleChange(ch.Old, ch.Cause)
			if n == nil || n.ended() || !due || ch.Old.Validate() != nil || ch.State != want.State || ch.Trigger != want.Trigger {
				o.failures.fail(fmt.Errorf("cancel: Settle says that request %d went from %v (then %v) to %v by %v", ch.Old.ID, ch.Old.State, ch.Old.Outcome, ch.State, ch.Trigger))
				return false, nil
			}
			o.stored(ctx, &ch)
			n.req, n.settled = ch.New(), true
		}
		if err != nil && ctx.Err() != nil {
			return false, o.storeError(ctx, err)
		}
		if err != nil {
			return false, nil
		}
	}
	// Whether somebody else has ended the root is what the caller wants to know.
	if root := t.levels[0][0]; ask[root.req.ID] != nil && !root.ended() {
		return true, o.reget(ctx, root)
	}
	return true, nil
}

// maySettle reports whether somebody has to look whether n can end. Where children
// were seen and none ended, each of them is CANCELLING, and whoever ends it looks.
// Where no child was seen, one may have ended by itself after the work's answer had been
// recorded because of it.
func (n *node) maySettle() bool {
	return n.failed == nil && !n.ended() && (n.mustLook || !n.children)
}
