package etcd_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	esserrors "example.com/ess/errors"
	"example.com/ess/examples/etcd"
	"example.com/ess/lifecycle"
)

func TestSubmit(t *testing.T) {
	t.Parallel()
	client := connect(t)
	for k := range lifecycle.Kinds() {
		for state := range lifecycle.States() {
			s := open(t, client, request(1, 0, k, state))
			err := s.Submit(t.Context(), request(2, 1, lifecycle.KindChild, lifecycle.StateWait))
			_, getErr := s.Get(t.Context(), 2)
			if lifecycle.AdmitsChildren(k, state) {
				if err != nil || getErr != nil {
					t.Errorf("%v in %v: Submit of a child = %v, Get = %v, want no errors", k, state, err, getErr)
				}
			} else if !errors.Is(err, esserrors.CodeUnsupportedState) || !errors.Is(getErr, cancel.ErrNotFound) {
				t.Errorf("%v in %v: Submit of a child = %v, Get = %v, want both to fail", k, state, err, getErr)
			}
		}
	}
	s := open(t, client)
	if err := s.Submit(t.Context(), request(2, 1, lifecycle.KindChild, lifecycle.StateWait)); !errors.Is(err, esserrors.CodeNotFound) {
		t.Errorf("Submit without the parent = %v, want not found", err)
	}
	if err := s.Submit(t.Context(), request(1, 0, lifecycle.KindParent, lifecycle.StateWait)); err != nil {
		t.Errorf("Submit without a parent = %v", err)
	}
	if err := s.Submit(t.Context(), request(1, 0, lifecycle.KindParent, lifecycle.StateHold)); err == nil {
		t.Error("Submit of an id that is taken returned no error")
	}
	if r, err := s.Get(t.Context(), 1); err != nil || r.State != lifecycle.StateWait {
		t.Errorf("after that Get = %v, %v", r.State, err)
	}
}

func TestEndParent(t *testing.T) {
	t.Parallel()
	client := connect(t)
	for state := range lifecycle.States() {
		s := open(t, client, request(1, 0, lifecycle.KindParent, lifecycle.StateRunning), request(2, 1, lifecycle.KindChild, state))
		parent, err := s.Get(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		fail := func(r lifecycle.Request) cancel.Change {
			return cancel.Change{Old: r, Trigger: lifecycle.TriggerFail, State: lifecycle.StateError}
		}
		stale, gone := parent, parent
		stale.Version, stale.State, gone.Version, gone.ID = "", lifecycle.StatePaused, "", 3
		for _, r := range []lifecycle.Request{stale, gone} {
			if made, err := s.EndParent(t.Context(), fail(r)); made || err != nil {
				t.Errorf("EndParent of what is not as it was = %v, %v", made, err)
			}
		}
		if state%2 == 0 {
			parent.Version = "" // as package cancel has it from a write of its own
		}
		made, err := s.EndParent(t.Context(), fail(parent))
		if made == lifecycle.Live.Has(state) || err != nil {
			t.Errorf("EndParent with a child in %v = %v, %v", state, made, err)
		}
		want := lifecycle.StateRunning
		if made {
			want = lifecycle.StateError
		}
		checkStates(t, s, map[lifecycle.ID]lifecycle.State{1: want})
	}
}

func TestNewIDs(t *testing.T) {
	t.Parallel()
	client, prefix := connect(t), newPrefix()
	s, other := etcd.New(client, prefix), etcd.New(connect(t), prefix)
	check := func(s *etcd.Store, n int, want lifecycle.ID) {
		t.Helper()
		if first, err := s.NewIDs(t.Context(), n); err != nil || first != want {
			t.Errorf("NewIDs(%d) = %d, %v, want %d", n, first, err, want)
		}
	}
	check(s, 1, 1)
	check(other, 10, 2)
	check(s, 1, 12)
	// They come after those that a scheduler brings along ...
	if err := s.Insert(t.Context(), request(100, 0, lifecycle.KindSingleton, lifecycle.StateSucceeded), request(50, 0, lifecycle.KindSingleton, lifecycle.StateSucceeded)); err != nil {
		t.Fatal(err)
	}
	check(s, 1, 101)
	for _, id := range []lifecycle.ID{200, 150} {
		if err := s.Submit(t.Context(), request(id, 0, lifecycle.KindSingleton, lifecycle.StateWait)); err != nil {
			t.Fatal(err)
		}
	}
	// ... even if these have been deleted.
	for _, space := range []string{"at/", "live/", "ended/"} {
		if _, err := client.Delete(t.Context(), prefix+space, clientv3.WithPrefix()); err != nil {
			t.Fatal(err)
		}
	}
	check(s, 1, 201)

	var mu sync.Mutex
	var all []lifecycle.ID
	var group sync.WaitGroup
	for _, s := range []*etcd.Store{s, s, other, other} {
		group.Go(func() {
			for range 10 {
				first, err := s.NewIDs(t.Context(), 2)
				mu.Lock()
				all = append(all, first, first+1)
				mu.Unlock()
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	slices.Sort(all)
	if len(slices.Compact(slices.Clone(all))) != len(all) || all[0] != 202 || all[len(all)-1] != 281 {
		t.Errorf("new ids %v, want 202 to 281, each once", all)
	}

	if first, err := s.NewIDs(t.Context(), 0); err == nil {
		t.Errorf("NewIDs(0) = %d", first)
	}
	if err := s.Insert(t.Context(), request(math.MaxInt64-1, 0, lifecycle.KindSingleton, lifecycle.StateWait)); err != nil {
		t.Fatal(err)
	}
	if first, err := s.NewIDs(t.Context(), 2); err == nil {
		t.Errorf("NewIDs behind the largest id = %d", first)
	}
	check(s, 1, math.MaxInt64)
}

// Transition, over this store, counts attempts, and does not end a parent over a live child.
func TestTransition(t *testing.T) {
	t.Parallel()
	s := open(t, connect(t),
		request(1, 0, lifecycle.KindSubrequestParent, lifecycle.StateReady),
		request(2, 1, lifecycle.KindChild, lifecycle.StateReady),
		request(3, 0, lifecycle.KindSingleton, lifecycle.StateCancelling))
	c := cancel.New(s, nil)
	for _, step := range []struct {
		id      lifecycle.ID
		trigger lifecycle.Trigger
		want    lifecycle.State
		attempt int
		err     error
	}{
		{1, lifecycle.TriggerStart, lifecycle.StateRunning, 1, nil},
		{1, lifecycle.TriggerPause, lifecycle.StatePaused, 1, nil},
		{1, lifecycle.TriggerResume, lifecycle.StateRunning, 2, nil},
		{1, lifecycle.TriggerFail, lifecycle.StateRunning, 2, cancel.ErrLiveChild},
		{2, lifecycle.TriggerExpire, lifecycle.StateExpired, 0, nil},
		{1, lifecycle.TriggerFail, lifecycle.StateError, 2, nil},
		{3, lifecycle.TriggerSucceed, lifecycle.StateCancelling, 0, esserrors.CodeUnsupportedState}, // Acknowledge does that
		{4, lifecycle.TriggerStart, 0, 0, esserrors.CodeNotFound},
	} {
		r, err := c.Transition(t.Context(), cancel.Order{ID: step.id}, step.trigger)
		if !errors.Is(err, step.err) || r.State != step.want || r.Attempt != step.attempt {
			t.Errorf("Transition(%d, %v) = %v, attempt %d, %v, want %v, %d, %v", step.id, step.trigger, r.State, r.Attempt, err, step.want, step.attempt, step.err)
		}
	}
	// Nobody has cancelled it.
	if cause, err := s.Cause(t.Context(), 1); err != nil || cause != (cancel.Cause{}) {
		t.Errorf("Cause = %+v, %v, want none", cause, err)
	}
}

// The attempt is compared as the state is, where there is no version to compare.
func TestAttempt(t *testing.T) {
	t.Parallel()
	r := request(1, 0, lifecycle.KindSingleton, lifecycle.StateRunning)
	r.Attempt = 3
	s := open(t, connect(t), r)
	old := r
	old.Attempt = 2
	for _, change := range []struct {
		old  lifecycle.Request
		made bool
	}{{old, false}, {r, true}} {
		ch := cancel.Change{Old: change.old, Trigger: lifecycle.TriggerCancel, State: lifecycle.StateCancelling, Attempt: 4}
		if made, err := s.Apply(t.Context(), []cancel.Change{ch}); err != nil || made[0] != change.made {
			t.Errorf("Apply to attempt %d = %v, %v, want %v", change.old.Attempt, made, err, change.made)
		}
	}
	if r, err := s.Get(t.Context(), 1); err != nil || r.Attempt != 4 {
		t.Errorf("attempt %d, %v, want 4", r.Attempt, err)
	}
}

// An interloper does something between what a call reads and what it writes.
type interloper struct {
	clientv3.KV
	transactions int
	at           int // the transaction before which it does that
	do           func()
}

func (kv *interloper) Txn(ctx context.Context) clientv3.Txn {
	if kv.transactions++; kv.transactions == kv.at {
		kv.do()
	}
	return kv.KV.Txn(ctx)
}

func TestBetweenReadAndWrite(t *testing.T) {
	t.Parallel()
	cancelRoot := func(ctx context.Context, s *etcd.Store) error {
		_, err := cancel.New(s, nil).Cancel(ctx, cancel.Order{ID: 1})
		return err
	}
	transition := func(id lifecycle.ID, trigger lifecycle.Trigger) func(ctx context.Context, s *etcd.Store) error {
		return func(ctx context.Context, s *etcd.Store) error {
			_, err := cancel.New(s, nil).Transition(ctx, cancel.Order{ID: id}, trigger)
			return err
		}
	}
	submit := func(id, parent lifecycle.ID) func(ctx context.Context, s *etcd.Store) error {
		return func(ctx context.Context, s *etcd.Store) error {
			return s.Submit(ctx, request(id, parent, lifecycle.KindChild, lifecycle.StateWait))
		}
	}
	for _, test := range []struct {
		name     string
		call, do func(ctx context.Context, s *etcd.Store) error
		at       int
		want     esserrors.Code
	}{
		{"Submit, Cancel", submit(3, 1), cancelRoot, 2, esserrors.CodeUnsupportedState},
		{"Transition, Cancel", transition(2, lifecycle.TriggerStart), cancelRoot, 2, esserrors.CodeUnsupportedState},
		// EndParent, after the look for live children.
		{"Transition, Submit", transition(4, lifecycle.TriggerFail), submit(5, 4), 3, esserrors.CodeConflict},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			client, prefix := connect(t), newPrefix()
			other := etcd.New(connect(t), prefix)
			if err := other.Insert(t.Context(),
				request(1, 0, lifecycle.KindParent, lifecycle.StateRunning),
				request(2, 1, lifecycle.KindChild, lifecycle.StateReady),
				request(4, 0, lifecycle.KindSubrequestParent, lifecycle.StateRunning)); err != nil {
				t.Fatal(err)
			}
			client.KV = &interloper{KV: client.KV, at: test.at, do: func() {
				if err := test.do(t.Context(), other); err != nil {
					t.Error(err)
				}
			}}
			if err := test.call(t.Context(), etcd.New(client, prefix)); !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
			snap, err := canceltest.TakeSnapshot(t.Context(), other)
			if err != nil {
				t.Fatal(err)
			}
			if err := canceltest.CheckQuiet(snap); err != nil {
				t.Error(err)
			}
		})
	}
}
