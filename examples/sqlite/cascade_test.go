package sqlite_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	"example.com/ess/lifecycle"
)

// deepTree returns a tree of all kinds and live states, some levels deep, below request 1,
// which is CANCELLING.
func deepTree(random *rand.Rand, n int) []lifecycle.Request {
	all := []lifecycle.Request{request(1, 0, lifecycle.KindParent, lifecycle.StateCancelling)}
	parents := []lifecycle.ID{1}
	kinds, states := slices.Collect(lifecycle.Kinds()), slices.Collect(lifecycle.States())
	for id := lifecycle.ID(2); int(id) <= n; id++ {
		r := request(id, parents[random.IntN(len(parents))], kinds[random.IntN(len(kinds))], states[random.IntN(len(states))])
		if r.State == lifecycle.StateCancelling && random.IntN(2) == 0 {
			r.Outcome = lifecycle.StateWarning
		}
		if r.Kind.HasChildren() && lifecycle.Live.Has(r.State) {
			parents = append(parents, id)
		}
		all = append(all, r)
	}
	return all
}

var someCause = cancel.Cause{Root: 1, Actor: "ann", Reason: "wrong ledger", Time: time.Date(2026, 3, 31, 22, 0, 0, 0, time.UTC)}

// CancelTree does what that of memrepo does, however many requests it may consider in a
// call, and considers each once, a parent before its children.
func TestCancelTree(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 30 {
		requests := deepTree(random, 2+random.IntN(60))
		limit := []int{1, 2, 3, 7, 1000}[round%5]
		stores := []cancel.TreeCanceller{new(memrepo.Repo), open(t, requests...)}
		if err := stores[0].(*memrepo.Repo).Insert(requests...); err != nil {
			t.Fatal(err)
		}
		var changes [2][]cancel.Change
		for i, s := range stores {
			asked := map[lifecycle.ID]bool{1: true}
			calls := 0
			for from := []cancel.Cursor{{Parent: 1}}; len(from) > 0; calls++ {
				if calls > 2*len(requests) {
					t.Fatalf("%d calls for %d requests, and still %v are left", calls, len(requests), from)
				}
				page, err := s.CancelTree(t.Context(), cancel.TreeCancel{From: from, Limit: limit, Cause: someCause, All: true})
				if err != nil || len(page.Changes) > limit || page.Cancelled != 0 {
					t.Fatalf("CancelTree = %+v, %v, the limit is %d", page, err, limit)
				}
				for _, ch := range page.Changes {
					if asked[ch.Old.ID] || !asked[ch.Old.Parent] {
						t.Errorf("request %d came twice, or before its parent %d", ch.Old.ID, ch.Old.Parent)
					}
					asked[ch.Old.ID] = true
				}
				changes[i] = append(changes[i], page.Changes...)
				from = page.Rest
			}
			slices.SortFunc(changes[i], func(a, b cancel.Change) int { return int(a.Old.ID - b.Old.ID) })
		}
		if got, want := fmt.Sprint(changes[1]), fmt.Sprint(changes[0]); got != want {
			t.Errorf("round %d, limit %d: changes\n%s\nwant\n%s", round, limit, got, want)
		}
		compareStores(t, round, requests, stores[1], stores[0])
	}
}

// Settle does what that of memrepo does, in whatever order it is given the ids.
func TestSettle(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	settled := 0
	for round := range 30 {
		requests := deepTree(random, 2+random.IntN(40))
		ids := []lifecycle.ID{9999} // which is gone
		for i := range requests {
			r := &requests[i]
			if lifecycle.Live.Has(r.State) && random.IntN(20) > 0 {
				if r.State = lifecycle.StateCancelling; r.Outcome == 0 && random.IntN(10) > 0 {
					r.Outcome = lifecycle.StateCancelled
				}
			}
			if random.IntN(20) > 0 {
				ids = append(ids, r.ID)
			}
		}
		random.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
		stores := []cancel.Settler{new(memrepo.Repo), open(t, requests...)}
		if err := stores[0].(*memrepo.Repo).Insert(requests...); err != nil {
			t.Fatal(err)
		}
		var changes [2][]cancel.Change
		for i, s := range stores {
			made, err := s.Settle(t.Context(), cancel.Settlement{IDs: ids, Cause: someCause})
			if err != nil {
				t.Fatal(err)
			}
			ended := map[lifecycle.ID]bool{}
			for _, ch := range made {
				if ended[ch.Old.Parent] {
					t.Errorf("request %d was settled after its parent %d", ch.Old.ID, ch.Old.Parent)
				}
				ended[ch.Old.ID] = true
			}
			changes[i] = made
			slices.SortFunc(changes[i], func(a, b cancel.Change) int { return int(a.Old.ID - b.Old.ID) })
		}
		settled += len(changes[0])
		if got, want := fmt.Sprint(changes[1]), fmt.Sprint(changes[0]); got != want {
			t.Errorf("round %d: changes\n%s\nwant\n%s", round, got, want)
		}
		compareStores(t, round, requests, stores[1], stores[0])
	}
	if settled < 100 {
		t.Errorf("only %d requests were settled in all", settled)
	}
}

func compareStores(t *testing.T, round int, requests []lifecycle.Request, s, want cancel.Repository) {
	t.Helper()
	for _, r := range requests {
		got, err := s.Get(t.Context(), r.ID)
		expected, wantErr := want.Get(t.Context(), r.ID)
		if err != nil || wantErr != nil || got != expected {
			t.Errorf("round %d: request %d is %v, %v, want %v, %v", round, r.ID, got, err, expected, wantErr)
		}
	}
}

// A tree of several levels takes three transactions: to fence the root, to cancel what is
// below it, and to settle. Each has a cause.
func TestTransactionsOfATree(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "requests.db")
	requests := []lifecycle.Request{request(1, 0, lifecycle.KindParent, lifecycle.StateRunning)}
	for id := lifecycle.ID(2); id < 256; id++ {
		requests = append(requests, request(id, id/2, lifecycle.KindParent, lifecycle.StateRunning))
	}
	s := openFile(t, path, requests...)
	if _, err := cancel.New(s, nil).Cancel(t.Context(), cancel.Order{ID: 1}); err != nil {
		t.Fatal(err)
	}
	var transactions, left int
	err := database(t, path).QueryRowContext(t.Context(), "SELECT (SELECT count(*) FROM causes), (SELECT count(*) FROM requests WHERE live)").Scan(&transactions, &left)
	if err != nil || transactions != 3 || left != 0 {
		t.Errorf("%d transactions, %d live requests, %v, want 3 and 0", transactions, left, err)
	}
}
