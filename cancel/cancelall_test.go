package cancel_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
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

func orders(ids ...lifecycle.ID) func(func(cancel.Order) bool) {
	return func(yield func(cancel.Order) bool) {
		for _, id := range ids {
			if !yield(cancel.Order{ID: id}) {
				return
			}
		}
	}
}

// TestCancelAll orders good and bad requests: each gets its own answer.
func TestCancelAll(t *testing.T) {
	t.Parallel()
	each(t, "1 SINGLETON WAIT; 2 SINGLETON RUNNING; 3 SINGLETON SUCCEEDED; 4 PARENT RUNNING; 5<4 CHILD WAIT",
		func(t *testing.T, repo *memrepo.Repo, seen cancel.Repository) {
			got := map[lifecycle.ID]string{}
			for res, err := range cancel.New(seen, nil).CancelAll(t.Context(), orders(1, 2, 3, 99, 4), nil) {
				if _, twice := got[res.Root.ID]; twice {
					t.Errorf("two answers for %d", res.Root.ID)
				}
				got[res.Root.ID] = fmt.Sprint(res.Counts, ", ", esserrors.CodeOf(err))
			}
			for id, want := range map[lifecycle.ID]string{
				1: "1 cancelled, Code(0)", 2: "1 cancelling, Code(0)", 3: "nothing, unsupported state", 99: "nothing, request not found", 4: "2 cancelled, Code(0)",
			} {
				if got[id] != want {
					t.Errorf("order %d: %s, want %s", id, got[id], want)
				}
			}
			if want := "1 CANCELLED; 2 CANCELLING; 3 SUCCEEDED; 4 CANCELLED; 5 CANCELLED"; states(repo) != want {
				t.Errorf("%s, want %s", states(repo), want)
			}
		})
}

// TestCancelAllOverlapsConcurrentSafe orders requests above and below one another, and
// twice: nothing is done or counted twice, and the tree is as after cancelling its root.
func TestCancelAllOverlapsConcurrentSafe(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 2))
		requests := randomTree(r, 40)
		var want, repo memrepo.Repo
		must(t, want.Insert(requests...))
		must(t, repo.Insert(requests...))
		ids := []lifecycle.ID{1}
		for range 15 {
			// What is terminal at the beginning is refused or not, by who comes first.
			if req := requests[r.IntN(len(requests))]; lifecycle.Live.Has(req.State) {
				ids = append(ids, req.ID)
			}
		}
		r.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
		if _, err := cancel.New(&want, nil).Cancel(t.Context(), cancel.Order{ID: 1}); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		changed := map[lifecycle.ID]int{}
		c := cancel.New(&repo, &cancel.Options{PageSize: 1 + r.IntN(4), Hooks: cancel.Hooks{
			Transition: func(_ context.Context, i cancel.TransitionInfo) {
				mu.Lock()
				defer mu.Unlock()
				if changed[i.ID]++; i.From == i.To || changed[i.ID] > 2 {
					t.Errorf("seed %d: %v for the %dth time", seed, i, changed[i.ID])
				}
			},
		}})
		answers := map[lifecycle.ID]int{}
		for res, err := range c.CancelAll(t.Context(), orders(ids...), &cancel.AllOptions{Concurrency: 8}) {
			answers[res.Root.ID]++
			repeated := answers[res.Root.ID] > 1
			if err != nil && !(repeated && errors.Is(err, esserrors.CodeUnsupportedState)) {
				// A leaf below a parent that another order ended first may be refused
				// only if it was ordered before that parent was come upon.
				e, ok := errors.AsType[*esserrors.Error](err)
				if !ok || e.State != "CANCELLED" {
					t.Errorf("seed %d: order %d: %v", seed, res.Root.ID, err)
				}
			}
		}
		total := 0
		for _, n := range answers {
			total += n
		}
		if total != len(ids) {
			t.Errorf("seed %d: %d answers to %d orders", seed, total, len(ids))
		}
		if got := states(&repo); got != states(&want) {
			t.Fatalf("seed %d, orders %v:\ngot  %s\nwant %s", seed, ids, got, states(&want))
		}
	}
}

// TestCancelAllOfATree orders a parent and then everything below it: nothing is
// refused because the same call has cancelled it.
func TestCancelAllOfATree(t *testing.T) {
	t.Parallel()
	const text = "1 PARENT RUNNING; 2<1 CHILD WAIT; 3<1 PARENT WAIT; 4<3 CHILD WAIT; 5<3 CHILD RUNNING; 6<1 PARENT WAIT"
	each(t, text, func(t *testing.T, repo *memrepo.Repo, seen cancel.Repository) {
		n := 0
		for res, err := range cancel.New(seen, nil).CancelAll(t.Context(), orders(1, 2, 3, 4, 5, 6), &cancel.AllOptions{Concurrency: 1}) {
			n++
			if err != nil {
				t.Errorf("order %d: %v", res.Root.ID, err)
			}
		}
		if n != 6 || states(repo) != "1 CANCELLING; 2 CANCELLED; 3 CANCELLING; 4 CANCELLED; 5 CANCELLING; 6 CANCELLED" {
			t.Errorf("%d answers, %s", n, states(repo))
		}
	})
}

// TestCancelAllOverlaps orders requests that another order has cancelled or that were
// CANCELLED long ago, and one that has ended otherwise: only that is refused.
func TestCancelAllOverlaps(t *testing.T) {
	t.Parallel()
	repo := newRepo(t, "1 PARENT RUNNING; 2<1 SUBREQUEST_PARENT CANCELLING SUCCEEDED; 3<1 SUBREQUEST_PARENT RUNNING; 4 SINGLETON CANCELLED")
	told := &interrupts{}
	c := cancel.New(repo, &cancel.Options{Interrupter: told})
	got := map[lifecycle.ID]error{}
	for res, err := range c.CancelAll(t.Context(), orders(1, 2, 3), &cancel.AllOptions{Concurrency: 1}) {
		got[res.Root.ID] = err
	}
	for res, err := range c.CancelAll(t.Context(), orders(4), nil) {
		got[res.Root.ID] = err
	}
	refused := func(id lifecycle.ID) bool { return errors.Is(got[id], esserrors.CodeUnsupportedState) }
	if len(got) != 4 || got[1] != nil || !refused(2) || got[3] != nil || got[4] != nil {
		t.Errorf("answers %v", got)
	}
	if !slices.Equal(told.ids, []lifecycle.ID{3, 3}) {
		t.Errorf("told to stop: %v", told.ids)
	}
}

// TestCancelAllStops lets the caller stop: at a result, by its context, and by a panic
// in its own sequence. No goroutine is left, which synctest would report.
func TestCancelAllStops(t *testing.T) {
	t.Parallel()
	var text []lifecycle.Request
	var ids []lifecycle.ID
	for id := lifecycle.ID(1); id <= 100; id++ {
		text = append(text, lifecycle.Request{ID: id, Kind: lifecycle.KindSingleton, State: lifecycle.StateWait})
		ids = append(ids, id)
	}
	var repo memrepo.Repo
	must(t, repo.Insert(text...))
	c := cancel.New(&repo, nil)
	n := 0
	for range c.CancelAll(t.Context(), orders(ids...), nil) {
		if n++; n == 10 {
			break
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	n = 0
	for _, err := range c.CancelAll(ctx, orders(ids...), nil) {
		if n++; !errors.Is(err, context.Canceled) {
			t.Errorf("after the caller has stopped: %v", err)
		}
	}
	if n != 100 {
		t.Errorf("%d answers to 100 orders", n)
	}
	for name, f := range map[string]func(){
		"a panic in the sequence": func() {
			for range c.CancelAll(t.Context(), func(func(cancel.Order) bool) { panic("no") }, nil) {
				continue
			}
		},
		"negative concurrency": func() { c.CancelAll(t.Context(), orders(1), &cancel.AllOptions{Concurrency: -1}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s did not panic", name)
				}
			}()
			f()
		}()
	}
}

// TestCancelAllLeavesNobody has the caller stop while several orders are being worked on. No
// goroutine outlives the sequence: synctest would report it.
func TestCancelAllLeavesNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		text := make([]string, 40)
		ids := make([]lifecycle.ID, len(text))
		for i := range ids {
			ids[i] = lifecycle.ID(i + 1)
			text[i] = fmt.Sprintf("%d SINGLETON WAIT", ids[i])
		}
		f := &fake{Repository: newRepo(t, strings.Join(text, ";")), before: func(int64) error {
			time.Sleep(time.Second) // so that all have begun when the first has finished
			return nil
		}}
		for range cancel.New(f, nil).CancelAll(t.Context(), orders(ids...), &cancel.AllOptions{Concurrency: 8}) {
			break
		}
	})
}

// TestCancelAllTakesUp has the order for a tree fail before it has cancelled a request in it
// that is ordered, too.
func TestCancelAllTakesUp(t *testing.T) {
	t.Parallel()
	repo := newRepo(t, "1 PARENT RUNNING; 2<1 PARENT RUNNING; 3<2 CHILD WAIT")
	f := &fake{Repository: repo}
	failed := false
	f.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
		if q.Parents[0] == 2 && !failed {
			failed = true
			return nil, errDisk
		}
		return repo.Children(ctx, q)
	}
	got := map[lifecycle.ID]error{}
	for res, err := range cancel.New(f, nil).CancelAll(t.Context(), orders(1, 2), &cancel.AllOptions{Concurrency: 1}) {
		got[res.Root.ID] = err
	}
	if !errors.Is(got[1], errDisk) || got[2] != nil {
		t.Errorf("answers %v", got)
	}
	if want := "1 CANCELLED; 2 CANCELLED; 3 CANCELLED"; states(repo) != want {
		t.Errorf("%s, want %s", states(repo), want)
	}
}

func ExampleCanceller_CancelAll() {
	canceller := cancel.New(nightly(), nil)
	wanted := slices.Values([]cancel.Order{
		{ID: 43, Actor: "ann"}, {ID: 99, Actor: "ann"},
	})
	for res, err := range canceller.CancelAll(context.Background(), wanted, &cancel.AllOptions{Concurrency: 1}) {
		fmt.Println(res.Root.ID, res.Counts, esserrors.CodeOf(err))
	}
	// Output:
	// 43 1 cancelled Code(0)
	// 99 nothing request not found
}
