package memrepo_test

import (
	"context"
	"errors"
	"fmt"
	"go/build"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/memrepo"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

func TestContract(t *testing.T) {
	t.Parallel()
	canceltest.Run(t, canceltest.Harness{
		New: func(_ context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
			repo := new(memrepo.Repo)
			return repo, repo.Insert(requests...)
		},
		Insert: func(_ context.Context, repo cancel.Repository, requests []lifecycle.Request) error {
			return repo.(*memrepo.Repo).Insert(requests...)
		},
	})
}

// TestImportsNoTesting checks that memrepo does not link package testing into a program.
func TestImportsNoTesting(t *testing.T) {
	t.Parallel()
	pkg, err := build.ImportDir(".", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range pkg.Imports {
		if path == "testing" || path == "example.com/ess/cancel/canceltest" {
			t.Errorf("memrepo imports %s", path)
		}
	}
}

func request(id, parent lifecycle.ID, k lifecycle.Kind, s lifecycle.State) lifecycle.Request {
	return lifecycle.Request{ID: id, Parent: parent, Kind: k, State: s}
}

func singleton(id lifecycle.ID, s lifecycle.State) lifecycle.Request {
	return request(id, 0, lifecycle.KindSingleton, s)
}

func child(id, parent lifecycle.ID, s lifecycle.State) lifecycle.Request {
	return request(id, parent, lifecycle.KindChild, s)
}

func parent(id lifecycle.ID, s lifecycle.State) lifecycle.Request {
	return request(id, 0, lifecycle.KindParent, s)
}

func setup(t *testing.T, requests ...lifecycle.Request) *memrepo.Repo {
	t.Helper()
	repo := new(memrepo.Repo)
	if err := repo.Insert(requests...); err != nil {
		t.Fatal(err)
	}
	return repo
}

func all(repo *memrepo.Repo) []lifecycle.Request { return slices.Collect(repo.All()) }

func TestZero(t *testing.T) {
	t.Parallel()
	var repo memrepo.Repo
	ctx := t.Context()
	if got := repo.Len(); got != 0 {
		t.Errorf("Len() = %d, want 0", got)
	}
	if got := all(&repo); len(got) != 0 {
		t.Errorf("All() = %v, want nothing", got)
	}
	if _, err := repo.Get(ctx, 1); !errors.Is(err, cancel.ErrNotFound) {
		t.Errorf("Get(1) returned the error %v, want ErrNotFound", err)
	}
	q := cancel.ChildQuery{Parents: []lifecycle.ID{0, 1}, States: lifecycle.Live, Limit: 10}
	if got, err := repo.Children(ctx, q); err != nil || len(got) != 0 {
		t.Errorf("Children() = %v, %v, want nothing", got, err)
	}
	if got, err := repo.ListCancelling(ctx, 0, 10); err != nil || len(got) != 0 {
		t.Errorf("ListCancelling() = %v, %v, want nothing", got, err)
	}
	if got, err := repo.CancelChildren(ctx, cancel.ChildCancel{Query: q}); err != nil || got.Cancelled != 0 || got.More || len(got.Changes) != 0 {
		t.Errorf("CancelChildren() = %v, %v, want nothing", got, err)
	}
	if got, err := repo.Apply(ctx, []cancel.Change{{Old: singleton(1, lifecycle.StateWait)}}); err != nil || !slices.Equal(got, []bool{false}) {
		t.Errorf("Apply() = %v, %v, want [false]", got, err)
	}
	if err := repo.Insert(); err != nil {
		t.Errorf("Insert() returned the error %v", err)
	}
	if err := repo.Submit(ctx, singleton(1, lifecycle.StateWait)); err != nil {
		t.Errorf("Submit() returned the error %v", err)
	}
}

func TestAll(t *testing.T) {
	t.Parallel()
	want := []lifecycle.Request{parent(9, lifecycle.StateRunning), child(3, 9, lifecycle.StateWait), child(7, 9, lifecycle.StateWait)}
	repo := setup(t, want...)
	if got := all(repo); !slices.Equal(got, want) {
		t.Errorf("All() = %v, want %v", got, want)
	}
	if got := repo.Len(); got != 3 {
		t.Errorf("Len() = %d, want 3", got)
	}
	for r := range repo.All() { // the caller may write, and may stop
		if _, err := fire(t.Context(), repo, r.ID, lifecycle.TriggerComplete); err != nil {
			t.Error(err)
		}
		break
	}
	n := 0
	for range repo.All() { // returns what is inserted meanwhile, and ends
		if n++; n <= 3 {
			if err := repo.Insert(singleton(lifecycle.ID(100+n), lifecycle.StateWait)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n != 6 {
		t.Errorf("All() yielded %d requests, want 6", n)
	}
}

func TestCheckInIsKeptInMicroseconds(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 31, 22, 0, 0, 1_999, time.FixedZone("CEST", 7200))
	r := lifecycle.Request{ID: 1, Kind: lifecycle.KindSingleton, State: lifecycle.StateCancelling, CheckedIn: at}
	repo := setup(t, r)
	got, err := repo.Get(t.Context(), 1)
	if want := at.UTC().Truncate(time.Microsecond); err != nil || got.CheckedIn != want {
		t.Errorf("CheckedIn = %v, %v, want %v", got.CheckedIn, err, want)
	}
}

func TestConcurrentSafe(t *testing.T) {
	t.Parallel()
	const workers, each = 8, 40
	repo := setup(t, parent(1, lifecycle.StateRunning))
	ctx := t.Context()
	var ids atomic.Int64
	ids.Store(1)
	var started, cancelled atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 2))
			for range each {
				id := lifecycle.ID(ids.Add(1))
				if rng.IntN(2) == 0 {
					id += 10_000 // so that ids come in no order
				}
				if err := repo.Submit(ctx, child(id, 1, lifecycle.StateReady)); err != nil {
					t.Error(err)
				}
				page, err := repo.Children(ctx, cancel.ChildQuery{Parents: []lifecycle.ID{1}, States: lifecycle.Pending, After: cancel.Cursor{Parent: 1, ID: lifecycle.ID(rng.IntN(50))}, Limit: 3})
				if err != nil {
					t.Error(err)
				}
				for _, r := range page {
					switch rng.IntN(3) {
					case 0:
						if _, err := fire(ctx, repo, r.ID, lifecycle.TriggerStart); err == nil {
							started.Add(1)
						} else if !errors.Is(err, esserrors.CodeUnsupportedState) {
							t.Error(err)
						}
					case 1:
						made, err := repo.Apply(ctx, []cancel.Change{{Old: r, State: lifecycle.StateCancelled, Cause: cancel.Cause{Root: r.ID}}})
						if err != nil {
							t.Error(err)
						} else if made[0] {
							cancelled.Add(1)
						}
					default:
						if _, err := repo.ListCancelling(ctx, 0, 3); err != nil {
							t.Error(err)
						}
						if _, err := repo.Cause(ctx, r.ID); err != nil {
							t.Error(err)
						}
						for range repo.All() {
							break
						}
					}
				}
			}
		})
	}
	wg.Wait()
	got := map[lifecycle.State]int64{}
	for r := range repo.All() {
		got[r.State]++
	}
	if repo.Len() != 1+workers*each || got[lifecycle.StateRunning] != 1+started.Load() || got[lifecycle.StateCancelled] != cancelled.Load() {
		t.Errorf("there are %d requests: %v; want %d, of which %d started and %d cancelled", repo.Len(), got, 1+workers*each, started.Load(), cancelled.Load())
	}
}

// TestSubmitWhileCancelledConcurrentSafe submits children during a cancel. Each is cancelled
// or refused.
func TestSubmitWhileCancelledConcurrentSafe(t *testing.T) {
	t.Parallel()
	for round := range 20 {
		repo := setup(t, parent(1, lifecycle.StateRunning))
		ctx := t.Context()
		var wg sync.WaitGroup
		for w := range lifecycle.ID(4) {
			wg.Go(func() {
				for i := range lifecycle.ID(50) {
					err := repo.Submit(ctx, child(2+50*w+i, 1, lifecycle.StateWait))
					if errors.Is(err, esserrors.CodeUnsupportedState) {
						return
					}
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Go(func() {
			if _, err := cancel.New(repo, &cancel.Options{PageSize: 3}).Cancel(ctx, cancel.Order{ID: 1}); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		for r := range repo.All() {
			if r.State != lifecycle.StateCancelled {
				t.Fatalf("round %d: %s escaped", round, fmt.Sprintf("request %d in %v", r.ID, r.State))
			}
		}
	}
}

// fire makes a transition as a scheduler does.
func fire(ctx context.Context, repo *memrepo.Repo, id lifecycle.ID, t lifecycle.Trigger) (lifecycle.Request, error) {
	return cancel.New(repo, nil).Transition(ctx, cancel.Order{ID: id}, t)
}
