package cancel_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

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
