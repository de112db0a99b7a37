package cancel_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	"example.com/ess/lifecycle"
)

// TestAnswerBeforeTheChildEnds has the work of a parent acknowledge right after the parent has
// become CANCELLING, while its child runs. Then the scheduler ends the child, before the
// cancel looks for children. The cancel finds none, and still has to settle the parent.
func TestAnswerBeforeTheChildEnds(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, tree, want string
		parent           lifecycle.ID
	}{
		{"the root", "1 SUBREQUEST_PARENT RUNNING; 2<1 CHILD RUNNING", "1 SUCCEEDED; 2 ERROR", 1},
		{"below the root", "3 PARENT RUNNING; 1<3 SUBREQUEST_PARENT RUNNING; 2<1 CHILD RUNNING", "3 CANCELLED; 1 SUCCEEDED; 2 ERROR", 1},
		{"cancelled before", "3 PARENT RUNNING; 1<3 SUBREQUEST_PARENT CANCELLING; 2<1 CHILD RUNNING", "3 CANCELLED; 1 SUCCEEDED; 2 ERROR", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			each(t, tt.tree, func(t *testing.T, repo *memrepo.Repo, seen cancel.Repository) {
				ends := func(ctx context.Context) {
					if r, err := repo.Get(ctx, tt.parent); err != nil || r.State != lifecycle.StateCancelling {
						t.Errorf("request %d is %v (%v)", tt.parent, r.State, err)
					}
					if _, err := cancel.New(repo, nil).Acknowledge(ctx, cancel.Order{ID: tt.parent}, lifecycle.StateSucceeded); err != nil {
						t.Error(err)
					}
					if _, err := fire(ctx, repo, 2, lifecycle.TriggerFail); err != nil {
						t.Error(err)
					}
				}
				root := lifecycle.ID(1)
				if tt.tree[0] == '3' {
					root = 3
				}
				_, capable := seen.(cancel.ChildCanceller)
				res, err := cancel.New(beforeChildren(repo, tt.parent, capable, ends), nil).Cancel(t.Context(), cancel.Order{ID: root})
				if err != nil || states(repo) != tt.want {
					t.Errorf("%s; %v, %v", states(repo), res.Counts, err)
				}
			})
		})
	}
}

// beforeChildren returns repo with f called once, before the children of parent are read
// or cancelled.
func beforeChildren(repo *memrepo.Repo, parent lifecycle.ID, capable bool, f func(context.Context)) cancel.Repository {
	called := false
	once := func(ctx context.Context, q cancel.ChildQuery) {
		if !called && q.Parents[0] == parent {
			called = true
			f(ctx)
		}
	}
	plain := &fake{Repository: repo, children: func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
		once(ctx, q)
		return repo.Children(ctx, q)
	}}
	if !capable {
		return plain
	}
	return pausing{plain, repo, once}
}

// pausing calls once before it cancels children.
type pausing struct {
	*fake
	repo *memrepo.Repo
	once func(context.Context, cancel.ChildQuery)
}

func (p pausing) CancelChildren(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
	p.once(ctx, c.Query)
	return p.repo.CancelChildren(ctx, c)
}

// TestEndedWhileTold has one of two parents end when its work is told to stop. Both are
// reported as they are then.
func TestEndedWhileTold(t *testing.T) {
	t.Parallel()
	for _, told := range []lifecycle.ID{2, 3} {
		for _, reports := range []bool{false, true} {
			each(t, "1 PARENT RUNNING; 2<1 SUBREQUEST_PARENT RUNNING; 3<1 SUBREQUEST_PARENT RUNNING", func(t *testing.T, repo *memrepo.Repo, seen cancel.Repository) {
				worker := cancel.New(repo, nil)
				c := cancel.New(seen, &cancel.Options{Interrupter: cancel.InterrupterFunc(func(ctx context.Context, _ []lifecycle.ID, _ cancel.Cause) error {
					_, err := worker.Acknowledge(ctx, cancel.Order{ID: told}, lifecycle.StateSucceeded)
					return err
				})})
				order := cancel.Order{ID: 1}
				got, receipt := receipts(t)
				if reports {
					order.Receipt = receipt
				}
				res, err := c.Cancel(t.Context(), order)
				if err != nil || res.InterruptErr != nil || res.Counts.Total() != 3 || res.Counts[cancel.DispositionCancelling] != 3 {
					t.Errorf("request %d ended: %v, %v, %v", told, res.Counts, err, res.InterruptErr)
				}
				_, atOnce := seen.(cancel.Settler) // then it is not read again
				if reports && (got[told].To != lifecycle.StateSucceeded && !atOnce || got[5-told].To != lifecycle.StateCancelling) {
					t.Errorf("receipts %v, %v", got[told], got[5-told])
				}
			})
		}
	}
}

// TestOrderOfReads has the work of many parents answer while they are being settled, and
// checks that they are read again in a fixed order: a run that is repeated repeats its
// calls.
func TestOrderOfReads(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString("1 PARENT RUNNING")
	for id := 2; id < 20; id++ {
		fmt.Fprintf(&text, "; %d<1 SUBREQUEST_PARENT RUNNING", id)
	}
	repo := newRepo(t, text.String())
	f := &fake{Repository: repo}
	f.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
		if q.States == lifecycle.SetOf(lifecycle.StateCancelling) {
			for id := lifecycle.ID(2); id < 20; id++ {
				_, err := cancel.New(repo, nil).Acknowledge(ctx, cancel.Order{ID: id}, lifecycle.StateSucceeded)
				must(t, err)
			}
		}
		return repo.Children(ctx, q)
	}
	var read []lifecycle.ID
	f.get = func(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
		read = append(read, id)
		return repo.Get(ctx, id)
	}
	_, err := cancel.New(f, nil).Cancel(t.Context(), cancel.Order{ID: 1, Receipt: func(cancel.Receipt) {}})
	must(t, err)
	if again := read[1:]; len(again) < 18 || !slices.IsSorted(again[:18]) {
		t.Errorf("read again in the order %v", again)
	}
}
