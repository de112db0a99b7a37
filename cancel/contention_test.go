package cancel_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// TestManyCallersConcurrentSafe has 64 callers cancel one tree at once. All succeed, and the
// tree is as after one caller.
func TestManyCallersConcurrentSafe(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString("1 PARENT RUNNING")
	for i := 2; i < 12; i++ {
		fmt.Fprintf(&text, "; %d<1 PARENT WAIT", i)
		for j := range 20 {
			fmt.Fprintf(&text, "; %d<%d CHILD %v", i*100+j, i, []string{"WAIT", "RUNNING", "HOLD", "SUCCEEDED"}[j%4])
		}
	}
	want := newRepo(t, text.String())
	if _, err := cancel.New(want, nil).Cancel(t.Context(), cancel.Order{ID: 1}); err != nil {
		t.Fatal(err)
	}
	each(t, text.String(), func(t *testing.T, repo *memrepo.Repo, seen cancel.Repository) {
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				res, err := cancel.New(seen, &cancel.Options{PageSize: 7}).Cancel(t.Context(), cancel.Order{ID: 1})
				if err != nil {
					t.Errorf("one of 64: %v", err)
				}
				if to := res.Root.To; to != lifecycle.StateCancelling {
					t.Errorf("one of 64: root %v", res.Root)
				}
			})
		}
		wg.Wait()
		if got := states(repo); got != states(want) {
			t.Errorf("64 callers: %s\none caller: %s", got, states(want))
		}
	})
}

// TestHundredAtOnceConcurrentSafe has 100 callers cancel a request that becomes CANCELLED at
// once. Those who have read it live succeed, the others are refused, and exactly one has
// made the change.
func TestHundredAtOnceConcurrentSafe(t *testing.T) {
	t.Parallel()
	repo := newRepo(t, "1 SINGLETON WAIT")
	var wg sync.WaitGroup
	var mu sync.Mutex
	byDisposition := map[cancel.Disposition]int{}
	for range 100 {
		wg.Go(func() {
			res, err := cancel.New(repo, nil).Cancel(t.Context(), cancel.Order{ID: 1})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				byDisposition[res.Root.Disposition]++
			} else if e, ok := errors.AsType[*esserrors.Error](err); !ok || e.Code != esserrors.CodeUnsupportedState || e.State != "CANCELLED" {
				t.Errorf("one of 100: %v", err)
			}
		})
	}
	wg.Wait()
	if byDisposition[cancel.DispositionCancelled] != 1 {
		t.Errorf("%v: want one who made the change", byDisposition)
	}
	for d := range byDisposition {
		if d != cancel.DispositionCancelled && d != cancel.DispositionEnded {
			t.Errorf("disposition %v", d)
		}
	}
}

// TestCancelledByAnother has somebody else cancel a request after it was read live. That is
// a success.
func TestCancelledByAnother(t *testing.T) {
	t.Parallel()
	repo := newRepo(t, "1 SINGLETON WAIT")
	f := &fake{Repository: repo}
	f.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
		if _, err := cancel.New(repo, nil).Cancel(ctx, cancel.Order{ID: 1}); err != nil {
			t.Error(err)
		}
		return repo.Apply(ctx, changes)
	}
	res, err := cancel.New(f, nil).Cancel(t.Context(), cancel.Order{ID: 1})
	want := cancel.Receipt{ID: 1, Kind: lifecycle.KindSingleton, Disposition: cancel.DispositionEnded, From: lifecycle.StateWait, To: lifecycle.StateCancelled}
	if err != nil || res.Root != want {
		t.Errorf("Cancel = %v, %v, want %v", res.Root, err, want)
	}
}

// TestBackOff has another canceller win every page. The loser waits instead of failing at
// every request.
func TestBackOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var text strings.Builder
		text.WriteString("1 PARENT RUNNING")
		for i := range 400 {
			fmt.Fprintf(&text, "; %d<1 CHILD WAIT", 2+i)
		}
		repo := newRepo(t, text.String())
		f := &fake{Repository: repo}
		steals := 5
		f.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			if steals > 0 && len(changes) > 1 {
				steals--
				if _, err := repo.Apply(ctx, changes); err != nil {
					t.Error(err)
				}
			}
			return repo.Apply(ctx, changes)
		}
		got, receipt := receipts(t)
		before := time.Now()
		res, err := cancel.New(f, &cancel.Options{PageSize: 50}).Cancel(t.Context(), cancel.Order{ID: 1, Receipt: receipt})
		if err != nil || res.Root.To != lifecycle.StateCancelled {
			t.Fatalf("%v, %v", res.Root, err)
		}
		if took := time.Since(before); took < 10*time.Millisecond || took > 200*time.Millisecond {
			t.Errorf("stepped aside for %v in all", took)
		}
		if n := res.Counts[cancel.DispositionEnded]; n != 250 || res.Counts.Total() != 401 || len(got) != 401 {
			t.Errorf("counts %v, %d receipts", res.Counts, len(got))
		}
	})
	synctest.Test(t, func(t *testing.T) { // it does not wait for a caller that has stopped
		var text strings.Builder
		text.WriteString("1 PARENT RUNNING")
		for i := range 20 {
			fmt.Fprintf(&text, "; %d<1 CHILD WAIT", 2+i)
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Microsecond)
		defer stop()
		repo := newRepo(t, text.String())
		f := &fake{Repository: repo}
		f.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			if len(changes) > 1 {
				return make([]bool, len(changes)), nil
			}
			return repo.Apply(ctx, changes)
		}
		_, err := cancel.New(f, nil).Cancel(ctx, cancel.Order{ID: 1})
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, esserrors.CodeSystem) {
			t.Errorf("error %v, want the context's", err)
		}
	})
}

// TestGivesUp has every operation meet a store in which the request keeps changing.
func TestGivesUp(t *testing.T) {
	t.Parallel()
	writes := 0
	losing := func(t *testing.T, text string) *fake {
		f := &fake{Repository: newRepo(t, text)}
		f.apply = func(_ context.Context, changes []cancel.Change) ([]bool, error) {
			writes++
			return make([]bool, len(changes)), nil
		}
		return f
	}
	ops := map[string]func(c *cancel.Canceller) error{
		"cancel": func(c *cancel.Canceller) error { _, err := c.Cancel(t.Context(), cancel.Order{ID: 1}); return err },
		"acknowledge": func(c *cancel.Canceller) error {
			_, err := c.Acknowledge(t.Context(), cancel.Order{ID: 2}, lifecycle.StateError)
			return err
		},
		"force":    func(c *cancel.Canceller) error { _, err := c.Force(t.Context(), cancel.Order{ID: 2}); return err },
		"check in": func(c *cancel.Canceller) error { _, err := c.CheckIn(t.Context(), cancel.Order{ID: 2}); return err },
		"settle":   func(c *cancel.Canceller) error { _, err := c.Cancel(t.Context(), cancel.Order{ID: 3}); return err },
		"settle up": func(c *cancel.Canceller) error {
			_, err := c.Acknowledge(t.Context(), cancel.Order{ID: 6}, lifecycle.StateError)
			return err
		},
	}
	for name, op := range ops {
		writes = 0
		f := losing(t, "1 SINGLETON WAIT; 2 SINGLETON CANCELLING; 3 PARENT CANCELLING CANCELLED; 5 PARENT CANCELLING CANCELLED; 6<5 CHILD ERROR")
		err := op(cancel.New(f, &cancel.Options{MaxAttempts: 3}))
		if !errors.Is(err, esserrors.CodeConflict) {
			t.Errorf("%s: %v, want a conflict", name, err)
		}
		if n := f.calls.Load(); n > 15 || writes != 3 {
			t.Errorf("%s: %d calls, %d of them writes, for three attempts", name, n, writes)
		}
	}
}

// TestContendedAnswer has others keep an acknowledgement from being recorded, which the
// Receipt says.
func TestContendedAnswer(t *testing.T) {
	t.Parallel()
	f := &fake{Repository: newRepo(t, "1 SINGLETON CANCELLING")}
	f.apply = func(_ context.Context, changes []cancel.Change) ([]bool, error) {
		return make([]bool, len(changes)), nil
	}
	got, receipt := receipts(t)
	res, err := cancel.New(f, nil).Acknowledge(t.Context(), cancel.Order{ID: 1, Receipt: receipt}, lifecycle.StateError)
	if !errors.Is(err, esserrors.CodeConflict) || res.Root.Disposition != cancel.DispositionConflict || res.Root.To != lifecycle.StateCancelling || got[1] != res.Root {
		t.Errorf("Acknowledge = %v, %v; receipt %v", res.Root, err, got[1])
	}
}

// TestContendedParent has others, and then the store, keep a parent from being settled,
// which the Receipt says.
func TestContendedParent(t *testing.T) {
	t.Parallel()
	f := &fake{Repository: newRepo(t, "1 PARENT CANCELLING CANCELLED")}
	f.apply = func(_ context.Context, changes []cancel.Change) ([]bool, error) {
		return make([]bool, len(changes)), nil
	}
	if res, _ := cancel.New(f, nil).Cancel(t.Context(), cancel.Order{ID: 1}); res.Root.Disposition != cancel.DispositionConflict {
		t.Errorf("lost to others: %v", res.Root)
	}
	f.apply = func(context.Context, []cancel.Change) ([]bool, error) { return nil, errDisk }
	if res, _ := cancel.New(f, nil).Cancel(t.Context(), cancel.Order{ID: 1}); res.Root.Disposition != cancel.DispositionFailed {
		t.Errorf("the store is down: %v", res.Root)
	}
}
