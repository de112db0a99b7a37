package cancel

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"example.com/ess/lifecycle"
)

// settleAtOnce ends the nodes that can end by calls of a Settler. It reports false if that
// declines, fails, or answers what cannot be true: then what is left has to be settled
// level by level.
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
			if l > 0 { // its parent may wait for nothing else
				if p := t.parent(l, n); p.failed == nil && !p.ended() && !p.doneBefore {
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
			o.tellTransition(ctx, &ch)
			n.req, n.settled = ch.New(), true
		}
		if err != nil && ctx.Err() != nil {
			return false, o.storeError(ctx, err)
		}
		if err != nil {
			return false, nil
		}
	}
	// If this has not ended the root, somebody else may have, and the Result says so.
	if root := t.levels[0][0]; ask[root.req.ID] != nil && !root.ended() {
		return true, o.rereadNode(ctx, root)
	}
	return true, nil
}
