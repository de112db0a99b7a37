package cancel_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// An ephemeral store deletes a request as soon as it has ended.
type ephemeral struct {
	*memrepo.Repo
	before func(n int) // called before every call
	n      int
	trees  bool // whether it walks trees
}

func (e *ephemeral) call() {
	if e.n++; e.before != nil {
		e.before(e.n)
	}
}

func (e *ephemeral) Get(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
	e.call()
	r, err := e.Repo.Get(ctx, id)
	if err == nil && lifecycle.Terminal.Has(r.State) {
		return lifecycle.Request{}, fmt.Errorf("row %d: %w", id, esserrors.NotFound("select", int64(id), nil))
	}
	return r, err
}

func (e *ephemeral) Children(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
	e.call()
	if q.States &= lifecycle.Live; q.States == 0 {
		return nil, nil
	}
	return e.Repo.Children(ctx, q)
}

func (e *ephemeral) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	e.call()
	return e.Repo.Apply(ctx, changes)
}

func (e *ephemeral) CancelChildren(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
	e.call()
	return e.Repo.CancelChildren(ctx, c)
}

func (e *ephemeral) CancelTree(ctx context.Context, c cancel.TreeCancel) (cancel.TreePage, error) {
	if !e.trees {
		return cancel.TreePage{}, errors.ErrUnsupported
	}
	e.call()
	return e.Repo.CancelTree(ctx, c)
}

func (e *ephemeral) Settle(ctx context.Context, s cancel.Settlement) ([]cancel.Change, error) {
	if !e.trees {
		return nil, errors.ErrUnsupported
	}
	e.call()
	return e.Repo.Settle(ctx, s)
}

func (e *ephemeral) ListCancelling(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
	e.call()
	return e.Repo.ListCancelling(ctx, after, limit)
}

func (e *ephemeral) Cause(ctx context.Context, id lifecycle.ID) (cancel.Cause, error) {
	e.call()
	if r, err := e.Repo.Get(ctx, id); err != nil || lifecycle.Terminal.Has(r.State) {
		return cancel.Cause{}, cancel.ErrNotFound
	}
	return e.Repo.Cause(ctx, id)
}

// TestDeletedAsTheyEnd has another process bring the whole tree to its end before each
// call of an operation in turn, in a store that deletes what has ended. What was asked for
// has happened, so no operation fails. Counts are the same with receipts and without.
func TestDeletedAsTheyEnd(t *testing.T) {
	t.Parallel()
	const tree = "1 PARENT RUNNING; 2<1 PARENT RUNNING; 3<2 CHILD WAIT; 4<1 SUBREQUEST_PARENT RUNNING; 5<4 CHILD RUNNING"
	const under = "1 PARENT CANCELLING; 2<1 PARENT CANCELLING; 3<2 CHILD WAIT; 4<1 SUBREQUEST_PARENT CANCELLING; 5<4 CHILD CANCELLING"
	ops := map[string]struct {
		tree string
		do   func(c *cancel.Canceller, receipt func(cancel.Receipt)) (cancel.Result, error)
	}{
		"Cancel": {tree, func(c *cancel.Canceller, receipt func(cancel.Receipt)) (cancel.Result, error) {
			return c.Cancel(context.Background(), cancel.Order{ID: 1, Receipt: receipt})
		}},
		"Resume": {under, func(c *cancel.Canceller, receipt func(cancel.Receipt)) (cancel.Result, error) {
			return c.Resume(context.Background(), &cancel.ResumeOptions{Receipt: receipt})
		}},
		"Force": {under, func(c *cancel.Canceller, receipt func(cancel.Receipt)) (cancel.Result, error) {
			return c.Force(context.Background(), cancel.Order{ID: 4, Receipt: receipt})
		}},
		"Acknowledge": {under, func(c *cancel.Canceller, receipt func(cancel.Receipt)) (cancel.Result, error) {
			return c.Acknowledge(context.Background(), cancel.Order{ID: 4, Receipt: receipt}, lifecycle.StateCancelled)
		}},
	}
	for name, op := range ops {
		for _, way := range []string{"plain", "levels", "trees"} {
			t.Run(name+"/"+way, func(t *testing.T) {
				t.Parallel()
				last := 1
				for at := 1; at <= last; at++ {
					var counts []cancel.Counts
					for _, receipts := range []bool{false, true} {
						e := &ephemeral{Repo: newRepo(t, op.tree), trees: way == "trees"}
						other := cancel.New(e.Repo, &cancel.Options{Grace: -1})
						e.before = func(n int) {
							if last = max(last, n); n != at {
								return
							}
							ctx := context.Background()
							_, _ = other.Cancel(ctx, cancel.Order{ID: 1})
							for _, id := range []lifecycle.ID{5, 4} {
								_, _ = other.Acknowledge(ctx, cancel.Order{ID: id}, lifecycle.StateCancelled)
							}
						}
						var repo cancel.Repository = e
						if way == "plain" {
							repo = struct{ cancel.Repository }{e}
						}
						var told cancel.Counts
						receipt := func(r cancel.Receipt) { told[r.Disposition]++ }
						if !receipts {
							receipt = nil
						}
						res, err := op.do(cancel.New(repo, &cancel.Options{Grace: -1}), receipt)
						first := at == 1 && name != "Resume" // it was never there
						if first != (esserrors.CodeOf(err) == esserrors.CodeNotFound) || !first && err != nil {
							t.Errorf("gone before call %d, receipts %v: %v, %v", at, receipts, res.Counts, err)
						}
						if receipts && told != res.Counts {
							t.Errorf("gone before call %d: receipts %v, counts %v", at, told, res.Counts)
						}
						counts = append(counts, res.Counts)
						if got := states(e.Repo); got != "1 CANCELLED; 2 CANCELLED; 3 CANCELLED; 4 CANCELLED; 5 CANCELLED" && err == nil && e.n >= at {
							t.Errorf("gone before call %d: %s", at, got)
						}
					}
					if counts[0] != counts[1] {
						t.Errorf("gone before call %d: without receipts %v, with them %v", at, counts[0], counts[1])
					}
				}
			})
		}
	}
}
