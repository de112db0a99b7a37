package memrepo_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

func TestInsertRefuses(t *testing.T) {
	t.Parallel()
	before := []lifecycle.Request{parent(10, lifecycle.StateRunning), child(20, 10, lifecycle.StateWait), child(5, 10, lifecycle.StateSucceeded)}
	tests := []struct {
		name    string
		bad     lifecycle.Request
		invalid bool // a *lifecycle.RequestError rather than an *InsertError
		want    string
	}{
		{"id zero", singleton(0, lifecycle.StateWait), true, "lifecycle: request 0: id is not positive"},
		{"negative id", singleton(-1, lifecycle.StateWait), true, "lifecycle: request -1: id is not positive"},
		{"negative parent", child(30, -1, lifecycle.StateWait), true, "lifecycle: request 30: parent id is negative"},
		{"own parent", child(30, 30, lifecycle.StateWait), true, "lifecycle: request 30: is its own parent"},
		{"no kind", request(30, 0, 0, lifecycle.StateWait), true, "lifecycle: request 30: unknown kind Kind(0)"},
		{"no state", singleton(30, 0), true, "lifecycle: request 30: unknown state State(0)"},
		{"outcome of a live request", lifecycle.Request{ID: 30, Kind: lifecycle.KindParent, State: lifecycle.StateHold, Outcome: lifecycle.StateError}, true, "lifecycle: request 30: has an outcome in state HOLD"},
		{"no outcome", lifecycle.Request{ID: 30, Kind: lifecycle.KindParent, State: lifecycle.StateCancelling, Outcome: lifecycle.StateWait}, true, "lifecycle: request 30: WAIT is not an outcome"},
		{"id taken", singleton(20, lifecycle.StateWait), false, "memrepo: request 20 is there already"},
		{"id taken in the batch", singleton(11, lifecycle.StateWait), false, "memrepo: request 11 is there already"},
		{"no such parent", child(30, 99, lifecycle.StateWait), false, "memrepo: request 30 has parent 99, which is not there"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			repo := setup(t, before...)
			good := []lifecycle.Request{parent(11, lifecycle.StateWait), child(7, 10, lifecycle.StateRunning), child(8, 11, lifecycle.StateRunning), child(3, 10, lifecycle.StateCancelling)}
			err := repo.Insert(append(slices.Clone(good), tt.bad, child(40, 10, lifecycle.StateWait))...)
			if err == nil || err.Error() != tt.want {
				t.Fatalf("Insert() returned the error %v, want %s", err, tt.want)
			}
			insertErr, isInsert := errors.AsType[*memrepo.InsertError](err)
			requestErr, isRequest := errors.AsType[*lifecycle.RequestError](err)
			if isRequest != tt.invalid || isInsert == tt.invalid {
				t.Errorf("Insert() returned a %T", err)
			}
			if isInsert && insertErr.ID != tt.bad.ID || isRequest && requestErr.ID != tt.bad.ID {
				t.Errorf("the error is about another request: %#v", err)
			}
			// Nothing has changed, by whatever method one reads.
			if got := all(repo); !slices.Equal(got, before) {
				t.Errorf("All() = %v, want %v", got, before)
			}
			if got := repo.Len(); got != len(before) {
				t.Errorf("Len() = %d, want %d", got, len(before))
			}
			for _, id := range []lifecycle.ID{11, 7, 8, 3, 30, 40} {
				if r, err := repo.Get(t.Context(), id); !errors.Is(err, cancel.ErrNotFound) {
					t.Errorf("Get(%d) = %v, %v, want ErrNotFound", id, r, err)
				}
			}
			wantChildren(t, repo, lifecycle.Live|lifecycle.Terminal, 5, 20)
			wantChildren(t, repo, lifecycle.Live, 20)
			if page, err := repo.ListCancelling(t.Context(), 0, 10); err != nil || len(page) != 0 {
				t.Errorf("ListCancelling() = %v, %v, want nothing", page, err)
			}
			// The same requests without the bad one can be inserted.
			if err := repo.Insert(good...); err != nil {
				t.Fatal(err)
			}
			wantChildren(t, repo, lifecycle.Live, 3, 7, 20)
			if page, err := repo.ListCancelling(t.Context(), 0, 10); err != nil || len(page) != 1 || page[0].Request.ID != 3 {
				t.Errorf("ListCancelling() = %v, %v, want request 3", page, err)
			}
		})
	}
}

// wantChildren checks the ids of the children of request 10.
func wantChildren(t *testing.T, repo *memrepo.Repo, states lifecycle.StateSet, want ...lifecycle.ID) {
	t.Helper()
	page, err := repo.Children(t.Context(), cancel.ChildQuery{Parents: []lifecycle.ID{10}, States: states, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var got []lifecycle.ID
	for _, r := range page {
		got = append(got, r.ID)
	}
	if !slices.Equal(got, want) {
		t.Errorf("children of 10 in %v: %v, want %v", states, got, want)
	}
}

// TestInsertAnyOrder inserts and ends children in any order and in batches of any size, and
// checks that they are found.
func TestInsertAnyOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		states := []lifecycle.State{lifecycle.StateRunning, lifecycle.StateSucceeded, lifecycle.StateCancelling, lifecycle.StateWait, lifecycle.StateError}
		model := map[lifecycle.ID]lifecycle.Request{}
		var ids []lifecycle.ID
		for _, n := range rng.Perm(60) {
			ids = append(ids, lifecycle.ID(n+1))
		}
		if seed%3 == 0 {
			slices.Sort(ids)
		}
		repo := setup(t, parent(100, lifecycle.StateRunning), parent(10_000, lifecycle.StateRunning))
		for len(ids) > 0 {
			n := min(1+rng.IntN(4), len(ids))
			if seed%2 == 0 {
				n = 1
			}
			var batch []lifecycle.Request
			for _, id := range ids[:n] {
				r := child(id, 100, states[rng.IntN(len(states))])
				batch = append(batch, r)
				model[id] = r
			}
			ids = ids[n:]
			if err := repo.Insert(batch...); err != nil {
				t.Fatal(err)
			}
			// Requests end. With some seeds they come back, which no rule permits.
			for id, r := range model {
				if rng.IntN(4) > 0 {
					continue
				}
				ch := cancel.Change{Old: r, State: states[rng.IntN(len(states))]}
				if seed%5 > 0 {
					ch.State = lifecycle.StateSucceeded
				}
				if ok, err := repo.Apply(t.Context(), []cancel.Change{ch}); err != nil || !ok[0] {
					t.Fatalf("Apply(%v) = %v, %v", ch, ok, err)
				}
				model[id] = ch.New()
			}
			checkModel(t, repo, model, lifecycle.ID(rng.IntN(70)), 1+rng.IntN(20))
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
	}
}

func checkModel(t *testing.T, repo *memrepo.Repo, model map[lifecycle.ID]lifecycle.Request, after lifecycle.ID, limit int) {
	t.Helper()
	pick := func(states lifecycle.StateSet) []lifecycle.ID {
		var ids []lifecycle.ID
		for id, r := range model {
			if id > after && states.Has(r.State) {
				ids = append(ids, id)
			}
		}
		slices.Sort(ids)
		return ids[:min(limit, len(ids))]
	}
	for _, states := range []lifecycle.StateSet{lifecycle.Live, lifecycle.Terminal, lifecycle.Live | lifecycle.Terminal, lifecycle.SetOf(lifecycle.StateCancelling)} {
		page, err := repo.Children(t.Context(), cancel.ChildQuery{Parents: []lifecycle.ID{100}, States: states, After: cancel.Cursor{Parent: 100, ID: after}, Limit: limit})
		if err != nil {
			t.Fatal(err)
		}
		var got []lifecycle.ID
		for _, r := range page {
			got = append(got, r.ID)
		}
		if want := pick(states); !slices.Equal(got, want) {
			t.Errorf("Children(%v after %d, limit %d) = %v, want %v", states, after, limit, got, want)
		}
	}
	page, err := repo.ListCancelling(t.Context(), after, limit)
	if err != nil {
		t.Fatal(err)
	}
	var got []lifecycle.ID
	for _, u := range page {
		got = append(got, u.Request.ID)
	}
	if want := pick(lifecycle.SetOf(lifecycle.StateCancelling)); !slices.Equal(got, want) {
		t.Errorf("ListCancelling(%d, %d) = %v, want %v", after, limit, got, want)
	}
}

func TestSubmit(t *testing.T) {
	t.Parallel()
	repo := setup(t,
		parent(1, lifecycle.StateRunning), parent(2, lifecycle.StateCancelling), parent(3, lifecycle.StateFinished),
		parent(4, lifecycle.StateScheduleEnded), singleton(5, lifecycle.StateRunning),
		request(6, 1, lifecycle.KindSubrequestParent, lifecycle.StatePaused),
	)
	done, stop := context.WithCancel(t.Context())
	stop()
	tests := []struct {
		name string
		ctx  context.Context
		r    lifecycle.Request
		want error // nil if it is inserted
	}{
		{"no parent", t.Context(), singleton(20, lifecycle.StateWait), nil},
		{"parent running", t.Context(), child(21, 1, lifecycle.StateWait), nil},
		{"nested", t.Context(), child(22, 6, lifecycle.StatePendingValidation), nil},
		{"parent cancelling", t.Context(), child(23, 2, lifecycle.StateWait), esserrors.CodeUnsupportedState},
		{"parent ended", t.Context(), child(24, 3, lifecycle.StateWait), esserrors.CodeUnsupportedState},
		{"schedule ended", t.Context(), child(25, 4, lifecycle.StateWait), esserrors.CodeUnsupportedState},
		{"parent is a leaf", t.Context(), child(26, 5, lifecycle.StateWait), esserrors.CodeUnsupportedState},
		{"no such parent", t.Context(), child(27, 99, lifecycle.StateWait), esserrors.CodeNotFound},
		{"id taken", t.Context(), child(5, 1, lifecycle.StateWait), &memrepo.InsertError{ID: 5, Problem: "is there already"}},
		{"cannot exist", t.Context(), child(28, 1, 0), &lifecycle.RequestError{ID: 28, Problem: "unknown state State(0)"}},
		{"context done", done, singleton(29, lifecycle.StateWait), context.Canceled},
	}
	for _, tt := range tests {
		before := all(repo)
		err := repo.Submit(tt.ctx, tt.r)
		after := all(repo)
		if tt.want == nil {
			if err != nil || !slices.Equal(after, append(before, tt.r)) {
				t.Errorf("%s: Submit() returned %v, and then there is %v", tt.name, err, after)
			}
			continue
		}
		if !errors.Is(err, tt.want) && (err == nil || err.Error() != tt.want.Error()) {
			t.Errorf("%s: Submit() returned the error %v, want %v", tt.name, err, tt.want)
		}
		if !slices.Equal(before, after) {
			t.Errorf("%s: Submit() failed and changed %v to %v", tt.name, before, after)
		}
	}
}
