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

// TestOrderOfReads loses the settlement of many parents to another cancel and checks that
// they are read again in a fixed order: a run that is repeated repeats its calls.
func TestOrderOfReads(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString("1 PARENT RUNNING")
	for id := 2; id < 20; id++ {
		fmt.Fprintf(&text, "; %d<1 PARENT RUNNING", id)
	}
	repo := newRepo(t, text.String())
	f := &fake{Repository: repo}
	f.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
		if changes[0].Trigger == lifecycle.TriggerSettle && changes[0].Old.ID == 2 {
			_, err := cancel.New(repo, nil).Cancel(ctx, cancel.Order{ID: 1})
			must(t, err)
		}
		return repo.Apply(ctx, changes)
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
