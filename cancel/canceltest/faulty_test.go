package canceltest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/memrepo"
	"example.com/ess/lifecycle"
)

var errDown = errors.New("the store is down")

// family returns a repository with a parent and three children.
func family(t testing.TB) *memrepo.Repo {
	t.Helper()
	requests, err := canceltest.ParseTree(`
		1 PARENT RUNNING
		  2 CHILD WAIT
		  3 CHILD WAIT
		  4 CHILD RUNNING`)
	if err != nil {
		t.Fatal(err)
	}
	var repo memrepo.Repo
	if err := repo.Insert(requests...); err != nil {
		t.Fatal(err)
	}
	return &repo
}

func state(t testing.TB, repo cancel.Repository, id lifecycle.ID) lifecycle.State {
	t.Helper()
	r, err := repo.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return r.State
}

// hold returns the change that holds request 2 or 3, which wait.
func hold(id lifecycle.ID) cancel.Change {
	return cancel.Change{
		Old:     lifecycle.Request{ID: id, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateWait},
		Trigger: lifecycle.TriggerHold, State: lifecycle.StateHold,
	}
}

var everyChild = cancel.ChildQuery{Parents: []lifecycle.ID{1}, States: lifecycle.Live | lifecycle.Terminal, Limit: 10}

func ids(page []lifecycle.Request) (ids []lifecycle.ID) {
	for _, r := range page {
		ids = append(ids, r.ID)
	}
	return ids
}

func TestFaultyFail(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		repo := family(t)
		f := canceltest.NewFaulty(repo, canceltest.Fault{Call: 2, After: after, Err: errDown})
		if _, err := f.Get(t.Context(), 2); err != nil {
			t.Errorf("call 1: %v", err)
		}
		if made, err := f.Apply(t.Context(), []cancel.Change{hold(2)}); !errors.Is(err, errDown) || made != nil {
			t.Errorf("call 2 = %v, %v", made, err)
		}
		if _, err := f.Get(t.Context(), 2); err != nil {
			t.Errorf("call 3: %v", err)
		}
		if got, done := state(t, repo, 2), after; (got == lifecycle.StateHold) != done {
			t.Errorf("after %v: request 2 is %v", after, got)
		}
		if f.Calls() != 3 || f.Struck() != 1 {
			t.Errorf("%d calls, %d struck", f.Calls(), f.Struck())
		}
		call := f.Trace()[1]
		if call.Reached != after || call.N != 2 || !errors.Is(call.Err, errDown) || len(call.Faults) != 1 {
			t.Errorf("trace %+v", call)
		}
	}
}

func TestFaultCounts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		fault canceltest.Fault
		want  []int // which of the calls fail
	}{
		{"the first, if nothing is said", canceltest.Fault{Err: errDown}, []int{1}},
		{"one", canceltest.Fault{Call: 3, Err: errDown}, []int{3}},
		{"some", canceltest.Fault{Call: 2, Times: 3, Err: errDown}, []int{2, 3, 4}},
		{"all that follow", canceltest.Fault{Call: 4, Times: -1, Err: errDown}, []int{4, 5, 6}},
		{"of a method", canceltest.Fault{Method: "Get", Call: 2, Err: errDown}, []int{4}},
		{"of a request", canceltest.Fault{ID: 3, Times: -1, Err: errDown}, []int{4, 5}},
		{"of a request and a method", canceltest.Fault{ID: 3, Method: "Apply", Times: -1, Err: errDown}, []int{5}},
		{"a crash", canceltest.Crash(4, false)[0], []int{4}},
		{"after a crash", canceltest.Crash(4, false)[1], []int{5, 6}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := canceltest.NewFaulty(family(t), tt.fault)
			ctx := t.Context()
			calls := []func() error{
				func() error { _, err := f.Get(ctx, 2); return err },
				func() error { _, err := f.Children(ctx, everyChild); return err },
				func() error { _, err := f.Apply(ctx, []cancel.Change{hold(2)}); return err },
				func() error { _, err := f.Get(ctx, 3); return err },
				func() error { _, err := f.Apply(ctx, []cancel.Change{hold(2), hold(3)}); return err },
				func() error { _, err := f.ListCancelling(ctx, 0, 10); return err },
			}
			var failed []int
			for i, call := range calls {
				if call() != nil {
					failed = append(failed, i+1)
				}
			}
			if !slices.Equal(failed, tt.want) || f.Struck() != len(tt.want) {
				t.Errorf("%v: calls %v failed, want %v", tt.fault, failed, tt.want)
			}
		})
	}
}

func TestFaultyOneRequestOfAPage(t *testing.T) {
	t.Parallel()
	for id, want := range map[lifecycle.ID]error{3: errDown, 9: nil} {
		f := canceltest.NewFaulty(family(t), canceltest.Fault{ID: id, Err: errDown})
		q := everyChild
		q.States = lifecycle.Live
		if _, err := f.CancelChildren(t.Context(), cancel.ChildCancel{Query: q}); !errors.Is(err, want) {
			t.Errorf("request %d: %v, want %v", id, err, want)
		}
	}
}

func TestFaultyConflict(t *testing.T) {
	t.Parallel()
	repo := family(t)
	f := canceltest.NewFaulty(repo, canceltest.Fault{Call: 2, Times: 2, Conflict: true})
	var got []bool
	for _, ch := range []cancel.Change{hold(2), hold(3), hold(3), hold(3)} {
		_, _ = f.Get(t.Context(), 1) // is not counted
		made, err := f.Apply(t.Context(), []cancel.Change{ch})
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, made...)
	}
	if want := []bool{true, false, false, true}; !slices.Equal(got, want) {
		t.Errorf("made %v, want %v", got, want)
	}
}

func TestFaultyStale(t *testing.T) {
	t.Parallel()
	repo := family(t)
	f := canceltest.NewFaulty(repo, canceltest.Fault{Call: 1, Times: 3, Stale: true})
	if _, err := f.Apply(t.Context(), []cancel.Change{hold(2)}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.CancelChildren(t.Context(), cancel.ChildCancel{Query: cancel.ChildQuery{Parents: []lifecycle.ID{1}, States: lifecycle.Live, Limit: 9}}); err != nil {
		t.Fatal(err)
	}
	if r, err := f.Get(t.Context(), 2); err != nil || r.State != lifecycle.StateWait {
		t.Errorf("Get = %v, %v, want WAIT", r, err)
	}
	waiting := everyChild
	waiting.States = lifecycle.SetOf(lifecycle.StateWait)
	if page, err := f.Children(t.Context(), waiting); err != nil || !slices.Equal(ids(page), []lifecycle.ID{2, 3}) {
		t.Errorf("Children = %v, %v, want 2 and 3", page, err)
	}
	waiting.Limit = 1
	if page, err := f.Children(t.Context(), waiting); err != nil || !slices.Equal(ids(page), []lifecycle.ID{2}) {
		t.Errorf("Children = %v, %v, want 2", page, err)
	}
	if r, err := f.Get(t.Context(), 2); err != nil || r.State != lifecycle.StateCancelled {
		t.Errorf("Get = %v, %v, want CANCELLED", r, err)
	}
}

func TestFaultyShort(t *testing.T) {
	t.Parallel()
	f := canceltest.NewFaulty(family(t), canceltest.Fault{Times: -1, Limit: 2})
	if page, err := f.Children(t.Context(), everyChild); err != nil || !slices.Equal(ids(page), []lifecycle.ID{2, 3}) {
		t.Errorf("Children = %v, %v", page, err)
	}
	q := everyChild
	q.States = lifecycle.Live
	if page, err := f.CancelChildren(t.Context(), cancel.ChildCancel{Query: q, All: true}); err != nil || !page.More || page.Last.ID != 3 {
		t.Errorf("CancelChildren = %v, %v", page, err)
	}
	if page, err := f.ListCancelling(t.Context(), 0, 10); err != nil || len(page) != 0 {
		t.Errorf("ListCancelling = %v, %v", page, err)
	}
}

func TestFaultyStopAndDelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		delay := func(ctx context.Context) error {
			select {
			case <-time.After(time.Hour):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		f := canceltest.NewFaulty(family(t),
			canceltest.Fault{Call: 1, Do: delay},
			canceltest.Fault{Call: 2, After: true, Do: func(context.Context) error { stop(); return nil }},
			canceltest.Fault{Call: 3, Do: delay},
		)
		begin := time.Now()
		if _, err := f.Get(ctx, 1); err != nil || time.Since(begin) != time.Hour {
			t.Errorf("the delayed call: %v after %v", err, time.Since(begin))
		}
		if made, err := f.Apply(ctx, []cancel.Change{hold(2)}); err != nil || !made[0] || ctx.Err() == nil {
			t.Errorf("the call after which the caller stops: %v, %v, %v", made, err, ctx.Err())
		}
		if _, err := f.Get(ctx, 1); !errors.Is(err, context.Canceled) || time.Since(begin) != time.Hour {
			t.Errorf("the delayed call of a stopped caller: %v after %v", err, time.Since(begin))
		}
	})
}

func TestFaultyForwards(t *testing.T) {
	t.Parallel()
	repo := family(t)
	q := everyChild
	q.States = lifecycle.Live
	f := canceltest.NewFaulty(repo)
	if _, err := f.CancelChildren(t.Context(), cancel.ChildCancel{Query: q, Cause: cancel.Cause{Root: 1, Actor: "ann"}}); err != nil {
		t.Error(err)
	}
	if cause, err := f.Cause(t.Context(), 2); err != nil || cause.Actor != "ann" {
		t.Errorf("Cause = %v, %v", cause, err)
	}
	if page, err := f.ListCancelling(t.Context(), 0, 10); err != nil || len(page) != 1 {
		t.Errorf("ListCancelling = %v, %v", page, err)
	}

	f = canceltest.NewFaulty(canceltest.Plain(repo))
	_, err := f.CancelChildren(t.Context(), cancel.ChildCancel{Query: q})
	_, err2 := f.ListCancelling(t.Context(), 0, 10)
	_, err3 := f.Cause(t.Context(), 2)
	for _, err := range []error{err, err2, err3} {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("a capability that is not there: %v", err)
		}
	}
	if f.Calls() != 0 {
		t.Errorf("%d calls were counted that the store cannot get", f.Calls())
	}
}

// TestFaultyKeepsTheContract checks that a wrapper is as good a store as what it wraps.
func TestFaultyKeepsTheContract(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string][]canceltest.Fault{
		"no fault":    nil,
		"short pages": {{Times: -1, Limit: 2}},
	} {
		for _, plain := range []bool{false, true} {
			h := inMemory()
			h.Insert, h.Delete, h.Spoil = nil, nil, nil
			h.New = func(ctx context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
				repo, err := inMemory().New(ctx, requests)
				if plain {
					repo = canceltest.Plain(repo)
				}
				return canceltest.NewFaulty(repo, fault...), err
			}
			if err := canceltest.Check(t.Context(), h); err != nil {
				t.Errorf("%s, plain %v: %v", name, plain, err)
			}
		}
	}
}

func TestFaultyConcurrentSafe(t *testing.T) {
	t.Parallel()
	var seen sync.Map
	f := canceltest.NewFaulty(family(t), canceltest.Fault{Call: 50, Err: errDown}, canceltest.Fault{Times: -1, Stale: true})
	f.Watch(func(c canceltest.Call) { seen.Store(c.N, true) })
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			for range 10 {
				_, _ = f.Get(t.Context(), lifecycle.ID(1+i%4))
				_, _ = f.Apply(t.Context(), []cancel.Change{hold(2)})
			}
		})
	}
	wg.Wait()
	n := 0
	seen.Range(func(any, any) bool { n++; return true })
	if f.Calls() != 200 || len(f.Trace()) != 200 || n != 200 {
		t.Errorf("%d calls, %d in the trace, %d watched", f.Calls(), len(f.Trace()), n)
	}
}

func TestTraceReads(t *testing.T) {
	t.Parallel()
	f := canceltest.NewFaulty(family(t),
		canceltest.Fault{Call: 3, After: true, Err: errDown},
		canceltest.Fault{Method: "Apply", Call: 2, Conflict: true},
	)
	_, _ = cancel.New(f, nil).Cancel(t.Context(), cancel.Order{ID: 1, Actor: "ann"})
	_, _ = f.Apply(t.Context(), []cancel.Change{hold(2)})
	_, _ = f.ListCancelling(t.Context(), 0, 10)
	_, _ = f.Cause(t.Context(), 1)
	var lines []string
	for _, c := range f.Trace() {
		lines = append(lines, c.String())
	}
	got := strings.Join(lines, "\n")
	for _, want := range []string{
		"1 Get 1: 1 RUNNING",
		"2 Apply 1 RUNNING -> CANCELLING (then CANCELLED): made",
		"but the answer is lost: the store is down <- fails after its effect",
		"Apply 2 WAIT -> HOLD: lost <- makes nothing",
		"ListCancelling after 0, at most 10: 1 CANCELLING (then CANCELLED), 4 CANCELLING",
		`Cause 1: root 1, actor "ann"`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the trace does not say %q:\n%s", want, got)
		}
	}
}

func TestFaultString(t *testing.T) {
	t.Parallel()
	for want, f := range map[string]canceltest.Fault{
		"call 7: fails after its effect":                                 {Call: 7, After: true, Err: errDown},
		"Apply 1 to 3: makes nothing":                                    {Method: "Apply", Times: 3, Conflict: true},
		"call 2 and all that follow of request 5: answers from the past": {Call: 2, Times: -1, ID: 5, Stale: true},
		"call 1: waits before its effect":                                {Do: func(context.Context) error { return nil }, Name: "waits"},
		"call 1: returns at most 3":                                      {Limit: 3},
	} {
		if got := fmt.Sprint(f); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
