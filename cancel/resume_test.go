package cancel_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// TestResumeTellsWhenCutOff has the store fail after it has listed a request whose work is to
// be interrupted, and before the end of the list.
func TestResumeTellsWhenCutOff(t *testing.T) {
	t.Parallel()
	f := &fake{Repository: newRepo(t, "1 SINGLETON CANCELLING")}
	f.before = func(call int64) error {
		if call == 4 {
			return errDisk
		}
		return nil
	}
	var in interrupts
	got, receipt := receipts(t)
	res, err := cancel.New(f, &cancel.Options{Interrupter: &in}).Resume(t.Context(), &cancel.ResumeOptions{Receipt: receipt})
	if !errors.Is(err, esserrors.CodeSystem) || f.calls.Load() != 4 {
		t.Fatalf("error %v after %d calls", err, f.calls.Load())
	}
	if got[1].Disposition != cancel.DispositionAlreadyCancelling || !slices.Equal(in.ids, []lifecycle.ID{1}) || res.Interrupted != 1 {
		t.Errorf("receipt %v, interrupted %v, result %+v", got[1], in.ids, res)
	}
}

// TestResumeTellsInPages has Resume interrupt work in pages, if the store cannot tell causes,
// and otherwise in one call for each cause.
func TestResumeTellsInPages(t *testing.T) {
	t.Parallel()
	each(t, "1 SINGLETON RUNNING; 2 SINGLETON RUNNING; 3 SINGLETON RUNNING", func(t *testing.T, repo *memrepo.Repo, seen cancel.Repository) {
		for id := lifecycle.ID(1); id <= 3; id++ {
			if _, err := cancel.New(repo, nil).Cancel(t.Context(), cancel.Order{ID: id}); err != nil {
				t.Fatal(err)
			}
		}
		var batches [][]lifecycle.ID
		c := cancel.New(seen, &cancel.Options{PageSize: 2, Interrupter: cancel.InterrupterFunc(func(_ context.Context, ids []lifecycle.ID, _ cancel.Cause) error {
			batches = append(batches, slices.Clone(ids))
			return nil
		})})
		if _, err := c.Resume(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		want := "[[1 2] [3]]"
		if _, knows := seen.(cancel.CauseReader); knows {
			want = "[[1] [2] [3]]"
		}
		if got := fmt.Sprint(batches); got != want {
			t.Errorf("told in %s, want %s", got, want)
		}
	})
}
