package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	esserrors "example.com/ess/errors"
	"example.com/ess/examples/etcd"
	"example.com/ess/lifecycle"
)

func request(id, parent lifecycle.ID, k lifecycle.Kind, s lifecycle.State) lifecycle.Request {
	return lifecycle.Request{ID: id, Parent: parent, Kind: k, State: s}
}

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

func TestFire(t *testing.T) {
	t.Parallel()
	s := open(t, connect(t),
		request(1, 0, lifecycle.KindSubrequestParent, lifecycle.StateReady),
		request(2, 1, lifecycle.KindChild, lifecycle.StateReady),
		request(3, 0, lifecycle.KindSingleton, lifecycle.StateCancelling))
	for _, step := range []struct {
		id      lifecycle.ID
		trigger lifecycle.Trigger
		want    lifecycle.State
		code    esserrors.Code
	}{
		{1, lifecycle.TriggerStart, lifecycle.StateRunning, 0},
		{1, lifecycle.TriggerStart, 0, esserrors.CodeUnsupportedState},
		{1, lifecycle.TriggerCancel, 0, esserrors.CodeUnsupportedState},
		{1, lifecycle.TriggerFail, 0, esserrors.CodeConflict}, // its child is live
		{2, lifecycle.TriggerExpire, lifecycle.StateExpired, 0},
		{1, lifecycle.TriggerFail, lifecycle.StateError, 0},
		{3, lifecycle.TriggerSucceed, 0, esserrors.CodeUnsupportedState}, // Acknowledge does that
		{4, lifecycle.TriggerStart, 0, esserrors.CodeNotFound},
	} {
		r, err := s.Fire(t.Context(), step.id, step.trigger)
		if esserrors.CodeOf(err) != step.code || r.State != step.want {
			t.Errorf("Fire(%d, %v) = %v, %v, want %v, %v", step.id, step.trigger, r.State, err, step.want, step.code)
		}
		if now, err := s.Get(t.Context(), step.id); step.code == 0 && (err != nil || now != r) {
			t.Errorf("Fire(%d, %v) = %v, then Get = %v, %v", step.id, step.trigger, r, now, err)
		}
	}
}

// Parents without children, with few and with many are read in one transaction or in
// several, however they follow each other.
func TestChildrenOfAllSorts(t *testing.T) {
	t.Parallel()
	all := []lifecycle.Request{}
	sizes := []int{0, 0, 3, 1, 300, 0, 2, 5, 1, 1, 1, 90, 0}
	var parents []lifecycle.ID
	for round := range 12 {
		for i, n := range sizes {
			parent := lifecycle.ID(1_000_000 * (1 + round*len(sizes) + i))
			parents = append(parents, parent)
			if round > 0 {
				n %= 7 // many parents, few children
			}
			for c := range n {
				state := lifecycle.StateWait
				if c%2 == 1 {
					state = lifecycle.StateSucceeded
				}
				all = append(all, request(parent+lifecycle.ID(1+c), parent, lifecycle.KindChild, state))
			}
		}
	}
	s := open(t, connect(t), all...)
	for _, states := range []lifecycle.StateSet{lifecycle.Live, lifecycle.Terminal, lifecycle.Live | lifecycle.Terminal, lifecycle.SetOf(lifecycle.StateHold)} {
		for _, limit := range []int{7, 100, 1000} {
			q := cancel.ChildQuery{Parents: parents, States: states, Limit: limit}
			var got []lifecycle.ID
			for {
				page, err := s.Children(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				if len(page) == 0 {
					break
				}
				for _, r := range page {
					got = append(got, r.ID)
					q.After = cancel.Cursor{Parent: r.Parent, ID: r.ID}
				}
			}
			var want []lifecycle.ID
			for _, r := range all {
				if states.Has(r.State) {
					want = append(want, r.ID)
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("states %v, limit %d: %d children, want %d", states, limit, len(got), len(want))
			}
		}
	}
	q := cancel.ChildQuery{Parents: parents, States: lifecycle.Live, After: cancel.Cursor{Parent: math.MaxInt64, ID: math.MaxInt64}, Limit: 10}
	if page, err := s.Children(t.Context(), q); err != nil || len(page) != 0 {
		t.Errorf("behind the end: %v, %v", page, err)
	}
}

// A batch whose reasons are long has to go in more requests to the server than its number
// of changes asks for.
func TestLongReasons(t *testing.T) {
	t.Parallel()
	s := open(t, connect(t), tree(2, 100)...)
	reason := strings.Repeat("because ", 2000)
	page, err := s.Children(t.Context(), cancel.ChildQuery{Parents: []lifecycle.ID{2}, States: lifecycle.Live, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	var changes []cancel.Change
	for _, r := range page {
		changes = append(changes, cancel.Change{Old: r, Trigger: lifecycle.TriggerCancel, State: lifecycle.StateCancelling, Cause: cancel.Cause{Root: 1, Reason: reason}})
	}
	// Package cancel would try a batch that is too large once more, in halves.
	if made, err := s.Apply(t.Context(), changes); err != nil || slices.Contains(made, false) {
		t.Errorf("Apply of %d changes = %v, %v", len(changes), made, err)
	}
	if _, err := cancel.New(s, nil).Cancel(t.Context(), cancel.Order{ID: 1, Reason: reason}); err != nil {
		t.Fatal(err)
	}
	if cause, err := s.Cause(t.Context(), 100); err != nil || cause.Reason != reason {
		t.Errorf("Cause = %.20q, %v", cause.Reason, err)
	}
	checkEnd(t, s)
}

// An interloper does something between what a call reads and what it writes.
type interloper struct {
	clientv3.KV
	transactions int
	do           func()
}

func (kv *interloper) Txn(ctx context.Context) clientv3.Txn {
	if kv.transactions++; kv.transactions == 2 { // the first has read
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
	for _, test := range []struct {
		name     string
		call, do func(ctx context.Context, s *etcd.Store) error
		want     esserrors.Code
	}{
		{
			"Submit, Cancel",
			func(ctx context.Context, s *etcd.Store) error {
				return s.Submit(ctx, request(3, 1, lifecycle.KindChild, lifecycle.StateWait))
			}, cancelRoot, esserrors.CodeUnsupportedState,
		},
		{
			"Fire, Cancel",
			func(ctx context.Context, s *etcd.Store) error {
				_, err := s.Fire(ctx, 2, lifecycle.TriggerStart)
				return err
			}, cancelRoot, esserrors.CodeUnsupportedState,
		},
		{
			"Fire, Submit",
			func(ctx context.Context, s *etcd.Store) error {
				_, err := s.Fire(ctx, 4, lifecycle.TriggerFail)
				return err
			},
			func(ctx context.Context, s *etcd.Store) error {
				return s.Submit(ctx, request(5, 4, lifecycle.KindChild, lifecycle.StateWait))
			}, esserrors.CodeConflict,
		},
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
			client.KV = &interloper{KV: client.KV, do: func() {
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

// A scheduler submits children and starts them while their parent is cancelled: none
// slips in, and none escapes.
func TestSchedulerBesideCancel(t *testing.T) {
	t.Parallel()
	s := open(t, connect(t))
	submitted, started := 0, 0
	for round := range lifecycle.ID(20) {
		root := 100 * (round + 1)
		if err := s.Insert(t.Context(), request(root, 0, lifecycle.KindParent, lifecycle.StateRunning)); err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		ready := make(chan struct{})
		group.Go(func() {
			for child := root + 1; child < root+20; child++ {
				err := s.Submit(t.Context(), request(child, root, lifecycle.KindChild, lifecycle.StateReady))
				if child == root+1+round/2 {
					close(ready)
				}
				if err == nil {
					submitted++
					_, err = s.Fire(t.Context(), child, lifecycle.TriggerStart)
				}
				if err == nil {
					started++
				} else if !errors.Is(err, esserrors.CodeUnsupportedState) {
					t.Error(err)
				}
			}
		})
		<-ready
		if _, err := cancel.New(s, nil).Cancel(t.Context(), cancel.Order{ID: root}); err != nil {
			t.Error(err)
		}
		group.Wait()
		snap, err := canceltest.TakeSnapshot(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(canceltest.CheckCancelled(snap, root), canceltest.CheckQuiet(snap)); err != nil {
			t.Fatal(err)
		}
	}
	if submitted == 0 || submitted == 20*19 || started == 0 {
		t.Errorf("%d children submitted, %d started: nobody met", submitted, started)
	}
}

func TestManyCancellers(t *testing.T) {
	t.Parallel()
	const callers = 32
	s := open(t, connect(t), tree(5, 40)...)
	var group sync.WaitGroup
	for i := range callers {
		group.Go(func() {
			result, err := cancel.New(s, &cancel.Options{PageSize: 20}).Cancel(t.Context(), cancel.Order{ID: 1})
			if err != nil || result.Root.To != lifecycle.StateCancelling {
				t.Errorf("canceller %d: %v, %v", i, result.Root, err)
			}
		})
	}
	group.Wait()
	checkEnd(t, s)
}

// tree returns a root with parents below it, and children below them of which every
// third is at work.
func tree(parents, children int) []lifecycle.Request {
	all := []lifecycle.Request{request(1, 0, lifecycle.KindParent, lifecycle.StateRunning)}
	for p := range parents {
		k := lifecycle.KindParent
		if p%5 == 4 {
			k = lifecycle.KindSubrequestParent // with work of its own
		}
		all = append(all, request(lifecycle.ID(2+p), 1, k, lifecycle.StateRunning))
	}
	for p := range parents {
		for c := range children {
			state := lifecycle.StateWait
			switch c % 3 {
			case 1:
				state = lifecycle.StateReady
			case 2:
				state = lifecycle.StateRunning
			}
			all = append(all, request(lifecycle.ID(len(all)+1), lifecycle.ID(2+p), lifecycle.KindChild, state))
		}
	}
	return all
}

// checkEnd checks that the tree below 1 is as far as cancelling can bring it, answers for
// all that is still at work, and checks that then everything has ended.
func checkEnd(t *testing.T, s *etcd.Store) {
	t.Helper()
	snap, err := canceltest.TakeSnapshot(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(canceltest.CheckCancelled(snap, 1), canceltest.CheckQuiet(snap)); err != nil {
		t.Fatal(err)
	}
	c := cancel.New(s, nil)
	for id, r := range snap {
		if r.State == lifecycle.StateCancelling && r.Kind.RunsWork() && r.Outcome == 0 {
			if _, err := c.Acknowledge(t.Context(), cancel.Order{ID: id}, lifecycle.StateCancelled); err != nil {
				t.Fatal(err)
			}
		}
	}
	end, err := canceltest.TakeSnapshot(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	for id, r := range end {
		if !lifecycle.Terminal.Has(r.State) {
			t.Errorf("request %d is %v in the end", id, r.State)
		}
		if was := snap[id]; lifecycle.Terminal.Has(was.State) && was.State != r.State {
			t.Errorf("request %d was %v and is %v", id, was.State, r.State)
		}
	}
}
