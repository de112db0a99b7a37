package cancel_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	esserrors "example.com/ess/errors"
)

// TestManyFailures has every child fail. The error says how many failed, and has the errors
// of some.
func TestManyFailures(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString("1 PARENT RUNNING")
	for id := 2; id <= 21; id++ {
		fmt.Fprintf(&text, "; %d<1 CHILD WAIT", id)
	}
	f := &fake{Repository: newRepo(t, text.String())}
	f.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
		switch id := changes[0].Old.ID; {
		case id == 1:
			return f.Repository.Apply(ctx, changes)
		case id <= 4: // these are lost to others
			return make([]bool, len(changes)), nil
		default:
			return nil, errDisk
		}
	}
	_, err := cancel.New(f, &cancel.Options{PageSize: 3, MaxAttempts: 1}).Cancel(t.Context(), cancel.Order{ID: 1})
	if !errors.Is(err, esserrors.CodeSystem) || !strings.Contains(err.Error(), "20 failures") {
		t.Errorf("%v, want 20 failures", err)
	}
	if n := strings.Count(err.Error(), "Others kept changing") + strings.Count(err.Error(), errDisk.Error()); n != 8 {
		t.Errorf("the error has %d of them, want the first 8:\n%v", n, err)
	}
}

// A half store cancels two children of a page and then fails.
type half struct {
	levelwise
	tells bool // it returns the changes that it has made
}

func (h half) CancelChildren(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
	c.Query.Limit = 2
	page, err := h.Repo.CancelChildren(ctx, c)
	if err == nil {
		err = errDisk
	}
	if !h.tells {
		page = cancel.ChildPage{}
	}
	return page, err
}

// TestHalfAPage has CancelChildren fail half-way. The changes that it returns are counted,
// and the rest of the page is read and written.
func TestHalfAPage(t *testing.T) {
	t.Parallel()
	for _, tells := range []bool{false, true} {
		for _, reports := range []bool{false, true} {
			repo := newRepo(t, "1 PARENT RUNNING; 2<1 CHILD RUNNING; 3<1 CHILD WAIT; 4<1 PARENT WAIT; 5<1 CHILD WAIT; 6<4 CHILD RUNNING")
			got, receipt := receipts(t)
			order := cancel.Order{ID: 1, Receipt: receipt}
			if !reports {
				order.Receipt = nil
			}
			told := &interrupts{}
			res, err := cancel.New(half{levelwise{repo}, tells}, &cancel.Options{Interrupter: told}).Cancel(t.Context(), order)
			must(t, err)
			want := cancel.Counts{cancel.DispositionCancelled: 2, cancel.DispositionCancelling: 4}
			if tells && res.Counts != want {
				t.Errorf("receipts %v: %v, want %v", reports, res.Counts, want)
			}
			if reports && tells && len(got) != 6 {
				t.Errorf("%d receipts", len(got))
			}
			if s := states(repo); s != "1 CANCELLING; 2 CANCELLING; 3 CANCELLED; 4 CANCELLING; 5 CANCELLED; 6 CANCELLING" || fmt.Sprint(sorted(told.ids)) != "[2 6]" {
				t.Errorf("tells %v: %s, told %v", tells, s, told.ids)
			}
		}
	}
}

// A cautious store sets More on every page that is not empty.
type cautious struct{ *memrepo.Repo }

func (c cautious) CancelChildren(ctx context.Context, q cancel.ChildCancel) (cancel.ChildPage, error) {
	page, err := c.Repo.CancelChildren(ctx, q)
	if n := len(page.Changes) + page.Cancelled; err == nil && n > 0 && !page.More {
		page.More, page.Last = true, cancel.Cursor{Parent: q.Query.Parents[len(q.Query.Parents)-1], ID: math.MaxInt64}
	}
	return page, err
}

// TestLastPageIsEmpty has the last page of children be empty. Parents are settled all the
// same.
func TestLastPageIsEmpty(t *testing.T) {
	t.Parallel()
	for size := 1; size <= 5; size++ {
		repo := newRepo(t, "1 PARENT RUNNING; 2<1 PARENT WAIT; 3<1 PARENT WAIT; 4<2 CHILD WAIT; 5<2 CHILD WAIT; 6<3 CHILD WAIT; 7<3 CHILD WAIT")
		res, err := cancel.New(cautious{repo}, &cancel.Options{PageSize: size}).Cancel(t.Context(), cancel.Order{ID: 1})
		if err != nil || res.Counts[cancel.DispositionCancelled] != 7 {
			t.Errorf("pages of %d: %v, %v; %s", size, res.Counts, err, states(repo))
		}
	}
}
