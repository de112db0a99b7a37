package etcd_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	esserrors "example.com/ess/errors"
	"example.com/ess/examples/etcd"
	"example.com/ess/lifecycle"
)

func request(id, parent lifecycle.ID, k lifecycle.Kind, s lifecycle.State) lifecycle.Request {
	return lifecycle.Request{ID: id, Parent: parent, Kind: k, State: s}
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

// A scheduler submits children and starts them while their parent is cancelled: none
// slips in, and none escapes.
func TestSchedulerBesideCancel(t *testing.T) {
	t.Parallel()
	s := open(t, connect(t))
	c := cancel.New(s, nil)
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
					_, err = c.Transition(t.Context(), cancel.Order{ID: child}, lifecycle.TriggerStart)
				}
				if err == nil {
					started++
				} else if !errors.Is(err, esserrors.CodeUnsupportedState) {
					t.Error(err)
				}
			}
		})
		<-ready
		if _, err := c.Cancel(t.Context(), cancel.Order{ID: root}); err != nil {
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

// No text keeps a request from being cancelled, not even one that package cancel has not
// cleaned.
func TestTexts(t *testing.T) {
	t.Parallel()
	s := open(t, connect(t))
	for i, text := range []string{"wrong\x00ledger", "falsches B\xfcro", "日本語"[:4], "\xed\xa0\x80", "zu spät 🙂 \u202egnp.exe", `"}`} {
		r := request(lifecycle.ID(i+1), 0, lifecycle.KindSingleton, lifecycle.StateWait)
		if err := s.Insert(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		ch := cancel.Change{Old: r, Trigger: lifecycle.TriggerCancel, State: lifecycle.StateCancelled, Cause: cancel.Cause{Root: r.ID, Actor: text, Reason: text}}
		if made, err := s.Apply(t.Context(), []cancel.Change{ch}); err != nil || !made[0] {
			t.Errorf("%q: %v, %v", text, made, err)
		}
		// JSON has a replacement for each byte that is no text.
		if cause, err := s.Cause(t.Context(), r.ID); err != nil || cause.Reason != string([]rune(text)) {
			t.Errorf("%q: kept %q, %v", text, cause.Reason, err)
		}
		checkStates(t, s, map[lifecycle.ID]lifecycle.State{r.ID: lifecycle.StateCancelled})
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
