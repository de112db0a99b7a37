package cancel_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// TestCancelTable is the table of what a cancel makes of every kind in every state,
// written out by hand.
func TestCancelTable(t *testing.T) {
	t.Parallel()
	const refused = ""
	table := []struct{ state, leaf, container, worker string }{
		{"WAIT", "CANCELLED", "CANCELLED", "CANCELLED"},
		{"READY", "CANCELLED", "CANCELLED", "CANCELLED"},
		{"BLOCKED", "CANCELLED", "CANCELLED", "CANCELLED"},
		{"HOLD", "CANCELLED", "CANCELLED", "CANCELLED"},
		{"RUNNING", "CANCELLING", "CANCELLED", "CANCELLING"},
		{"COMPLETED", "CANCELLING", "CANCELLED", "CANCELLING"},
		{"PAUSED", "CANCELLED", "CANCELLED", "CANCELLED"},
		{"PENDING_VALIDATION", "CANCELLED", "CANCELLED", "CANCELLED"},
		{"ERROR_AUTO_RETRY", "CANCELLED", "CANCELLED", "CANCELLED"},
		{"ERROR_MANUAL_RECOVERY", "CANCELLED", "CANCELLED", "CANCELLED"},
		{"SCHEDULE_ENDED", "CANCELLED", "CANCELLED", "CANCELLED"},
		{"CANCELLING", "CANCELLING", "CANCELLED", "CANCELLING"},
		{"EXPIRED", refused, refused, refused},
		{"CANCELLED", refused, refused, refused},
		{"ERROR", refused, refused, refused},
		{"WARNING", refused, refused, refused},
		{"SUCCEEDED", refused, refused, refused},
		{"VALIDATION_FAILED", refused, refused, refused},
		{"FINISHED", refused, refused, refused},
	}
	if got, want := len(table), lifecycle.Live.Len()+lifecycle.Terminal.Len(); got != want {
		t.Fatalf("the table has %d states, there are %d", got, want)
	}
	for _, row := range table {
		for kind, want := range map[string]string{
			"SINGLETON": row.leaf, "CHILD": row.leaf, "PARENT": row.container, "SUBREQUEST_PARENT": row.worker,
		} {
			each(t, fmt.Sprintf("1 %s %s", kind, row.state), func(t *testing.T, repo *memrepo.Repo, seen cancel.Repository) {
				_, err := cancel.New(seen, nil).Cancel(t.Context(), cancel.Order{ID: 1})
				if refuses := errors.Is(err, esserrors.CodeUnsupportedState); refuses != (want == refused) {
					t.Errorf("cancel of %s in %s: error %v", kind, row.state, err)
				}
				if got := states(repo); got != "1 "+cmp.Or(want, row.state) {
					t.Errorf("cancel of %s in %s: %s, want %s", kind, row.state, got, want)
				}
			})
		}
	}
}

// TestCauses checks that every change carries who, why, for which root, and when.
func TestCauses(t *testing.T) {
	t.Parallel()
	each(t, "1 PARENT RUNNING; 2<1 SUBREQUEST_PARENT RUNNING; 3<2 CHILD WAIT; 4<1 CHILD RUNNING; 5<1 CHILD SUCCEEDED",
		func(t *testing.T, repo *memrepo.Repo, seen cancel.Repository) {
			now := start.Add(1234567 * time.Nanosecond).In(time.FixedZone("elsewhere", 3600))
			in := &interrupts{}
			c := cancel.New(seen, &cancel.Options{Interrupter: in, Now: func() time.Time { return now }})
			if _, err := c.Cancel(t.Context(), cancel.Order{ID: 1, Actor: "ann", Reason: "ledger"}); err != nil {
				t.Fatal(err)
			}
			// Whole microseconds in UTC, so that any store can keep it.
			want := cancel.Cause{Root: 1, Actor: "ann", Reason: "ledger", Time: start.Add(1234 * time.Microsecond)}
			for _, id := range []lifecycle.ID{1, 2, 3, 4} {
				if got, err := repo.Cause(t.Context(), id); err != nil || got != want {
					t.Errorf("cause of %d = %+v, %v, want %+v", id, got, err, want)
				}
			}
			if got, _ := repo.Cause(t.Context(), 5); got != (cancel.Cause{}) {
				t.Errorf("request 5 had ended and has a cause: %+v", got)
			}
			if got := sorted(in.ids); !slices.Equal(got, []lifecycle.ID{2, 4}) {
				t.Errorf("interrupted %v, want 2 and 4", got)
			}
			for _, cause := range in.causes {
				if cause != want {
					t.Errorf("interrupted with %+v, want %+v", cause, want)
				}
			}
			// Who comes later does not take the place of the first.
			now = now.Add(time.Hour)
			for _, order := range []cancel.Order{{ID: 1, Actor: "bob"}, {ID: 4, Actor: "cem"}} {
				if _, err := c.Cancel(t.Context(), order); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := c.Acknowledge(t.Context(), cancel.Order{ID: 4, Actor: "worker"}, lifecycle.StateSucceeded); err != nil {
				t.Fatal(err)
			}
			if got, _ := repo.Cause(t.Context(), 4); got != want {
				t.Errorf("cause of 4 became %+v", got)
			}
		})
}

// TestChanges checks what a store gets to write.
func TestChanges(t *testing.T) {
	t.Parallel()
	repo := newRepo(t, "1 SUBREQUEST_PARENT RUNNING; 2<1 CHILD WAIT; 3<1 CHILD RUNNING")
	var log []string
	f := &fake{Repository: repo}
	f.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
		for _, ch := range changes {
			trigger := "-"
			if ch.Trigger != 0 {
				trigger = ch.Trigger.String()
			}
			log = append(log, fmt.Sprintf("%d %v %s %v/%d by %s", ch.Old.ID, ch.Old.State, trigger, ch.State, ch.Outcome, ch.Cause.Actor))
		}
		return repo.Apply(ctx, changes)
	}
	now := start
	c := cancel.New(f, &cancel.Options{Now: func() time.Time { return now }})
	do := func(_ any, err error) {
		t.Helper()
		must(t, err)
	}
	do(c.Cancel(t.Context(), cancel.Order{ID: 1, Actor: "ann"}))
	now = now.Add(time.Minute)
	do(c.CheckIn(t.Context(), cancel.Order{ID: 3}))
	do(c.Acknowledge(t.Context(), cancel.Order{ID: 1, Actor: "w1"}, lifecycle.StateWarning))
	do(c.Acknowledge(t.Context(), cancel.Order{ID: 3, Actor: "w3"}, lifecycle.StateCancelled))
	want := []string{
		"1 RUNNING cancel CANCELLING/0 by ann",
		"2 WAIT cancel CANCELLED/0 by ann",
		"3 RUNNING cancel CANCELLING/0 by ann",
		"3 CANCELLING - CANCELLING/0 by ",
		"1 CANCELLING warn CANCELLING/11 by w1",
		"3 CANCELLING acknowledge CANCELLED/0 by w3",
		"1 CANCELLING warn WARNING/0 by w3",
	}
	if diff := gocmp.Diff(want, log); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

// TestSecretStaysInLogs puts a secret where a store fails and looks for it in every
// document.
func TestSecretStaysInLogs(t *testing.T) {
	t.Parallel()
	for n := int64(1); n <= 6; n++ {
		f := &fake{Repository: newRepo(t, "1 PARENT RUNNING; 2<1 CHILD WAIT; 3<1 CHILD RUNNING")}
		f.before = func(call int64) error {
			if call >= n {
				return errDisk
			}
			return nil
		}
		_, err := cancel.New(f, nil).Cancel(t.Context(), cancel.Order{ID: 1})
		if !errors.Is(err, esserrors.CodeSystem) || !errors.Is(err, errDisk) {
			t.Errorf("store fails from call %d: %v, want a system error with its cause", n, err)
		}
		doc, _ := json.Marshal(esserrors.ProblemOf(err, nil))
		if strings.Contains(string(doc), "secret") {
			t.Errorf("store fails from call %d: the document tells %s", n, doc)
		}
	}
}

// TestNonsense has stores answer what no store may answer: the operation fails with a
// system error, ends, and has not made anything up.
func TestNonsense(t *testing.T) {
	t.Parallel()
	const seed = "1 PARENT RUNNING; 2<1 CHILD WAIT; 3<1 CHILD WAIT"
	tests := []struct {
		name     string
		pageSize int
		spoil    func(f *fake)
	}{
		{"Get returns another request", 2, func(f *fake) {
			f.get = func(ctx context.Context, _ lifecycle.ID) (lifecycle.Request, error) { return f.Repository.Get(ctx, 2) }
		}},
		{"Get returns an unknown state", 2, func(f *fake) {
			f.get = func(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
				r, err := f.Repository.Get(ctx, id)
				r.State = 77
				return r, err
			}
		}},
		{"Apply answers for fewer", 2, func(f *fake) {
			f.apply = func(context.Context, []cancel.Change) ([]bool, error) { return nil, nil }
		}},
		{"Apply answers for more", 2, func(f *fake) {
			f.apply = func(_ context.Context, changes []cancel.Change) ([]bool, error) {
				return make([]bool, len(changes)+1), nil
			}
		}},
		{"Children repeats a page for ever", 1, func(f *fake) {
			f.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
				q.After = cancel.Cursor{}
				q.States = lifecycle.Live | lifecycle.Terminal
				return f.Repository.Children(ctx, q)
			}
		}},
		{"Children in descending order", 2, func(f *fake) {
			f.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
				page, err := f.Repository.Children(ctx, q)
				slices.Reverse(page)
				return page, err
			}
		}},
		{"Children ignores the limit", 1, func(f *fake) {
			f.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
				q.Limit = 1000
				return f.Repository.Children(ctx, q)
			}
		}},
		{"Children of somebody else", 2, func(f *fake) {
			f.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
				page, err := f.Repository.Children(ctx, q)
				for i := range page {
					page[i].Parent = 9
				}
				return page, err
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := &fake{Repository: newRepo(t, seed)}
			tt.spoil(f)
			_, err := cancel.New(f, &cancel.Options{PageSize: tt.pageSize}).Cancel(t.Context(), cancel.Order{ID: 1})
			if !errors.Is(err, esserrors.CodeSystem) {
				t.Errorf("error %v, want a system error", err)
			}
			if f.calls.Load() > 20 {
				t.Errorf("%d calls before giving up", f.calls.Load())
			}
		})
	}
}

// TestBrokenChild has a child that cannot be understood: its siblings are cancelled, its
// parent waits, and the result says so.
func TestBrokenChild(t *testing.T) {
	t.Parallel()
	repo := newRepo(t, "1 PARENT RUNNING; 2<1 CHILD WAIT; 3<1 CHILD WAIT; 4<1 CHILD WAIT")
	f := &fake{Repository: repo}
	f.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
		page, err := repo.Children(ctx, q)
		for i := range page {
			if page[i].ID == 3 {
				page[i].Kind = 99
			}
		}
		return page, err
	}
	got, receipt := receipts(t)
	res, err := cancel.New(f, nil).Cancel(t.Context(), cancel.Order{ID: 1, Receipt: receipt})
	if !errors.Is(err, esserrors.CodeSystem) {
		t.Errorf("error %v, want a system error", err)
	}
	if _, ok := errors.AsType[*lifecycle.RequestError](err); !ok {
		t.Errorf("error %v does not say what is wrong with the request", err)
	}
	if got[3].Disposition != cancel.DispositionFailed || got[3].Err == nil {
		t.Errorf("receipt of the broken child: %v", got[3])
	}
	if res.Root.To != lifecycle.StateCancelling || states(repo) != "1 CANCELLING; 2 CANCELLED; 3 WAIT; 4 CANCELLED" {
		t.Errorf("%v, %s", res.Root, states(repo))
	}
}

// TestCycle has a store in which two requests are below each other.
func TestCycle(t *testing.T) {
	t.Parallel()
	loop := map[lifecycle.ID]lifecycle.Request{
		1: {ID: 1, Parent: 2, Kind: lifecycle.KindParent, State: lifecycle.StateRunning},
		2: {ID: 2, Parent: 1, Kind: lifecycle.KindParent, State: lifecycle.StateRunning},
	}
	f := &fake{}
	f.get = func(_ context.Context, id lifecycle.ID) (lifecycle.Request, error) { return loop[id], nil }
	f.children = func(_ context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
		for _, p := range q.Parents {
			if r := loop[3-p]; r.Parent == p && (cancel.Cursor{Parent: p, ID: r.ID}).Compare(q.After) > 0 && q.States.Has(r.State) {
				return []lifecycle.Request{r}, nil
			}
		}
		return nil, nil
	}
	f.apply = func(_ context.Context, changes []cancel.Change) ([]bool, error) {
		for _, ch := range changes {
			loop[ch.Old.ID] = ch.New()
		}
		return slices.Repeat([]bool{true}, len(changes)), nil
	}
	c := cancel.New(f, nil)
	res, err := c.Cancel(t.Context(), cancel.Order{ID: 1})
	if !errors.Is(err, esserrors.CodeSystem) || !strings.Contains(err.Error(), "request 1 is below itself") {
		t.Errorf("error %v, want one that names the cycle", err)
	}
	if res.Root.To != lifecycle.StateCancelling || f.calls.Load() > 20 {
		t.Errorf("%v after %d calls", res.Root, f.calls.Load())
	}
	if _, err := c.Resume(t.Context(), nil); err != nil || f.calls.Load() > 60 {
		t.Errorf("resume: %v after %d calls", err, f.calls.Load())
	}
}

func TestAuthorizer(t *testing.T) {
	t.Parallel()
	no := errors.New("no")
	tests := []struct {
		name string
		auth cancel.AuthorizerFunc
		want error
	}{
		{"yes", func(context.Context, cancel.Access) error { return nil }, nil},
		{"no", func(context.Context, cancel.Access) error { return no }, esserrors.CodeNotAuthorized},
		{"panics", func(context.Context, cancel.Access) error { panic("nil map") }, esserrors.CodeNotAuthorized},
		{"fails with a code of its own", func(context.Context, cancel.Access) error { return esserrors.CodeNotFound }, esserrors.CodeNotAuthorized},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var asked []cancel.Access
			f := &fake{Repository: newRepo(t, "1 SINGLETON RUNNING")}
			auth := func(ctx context.Context, a cancel.Access) error {
				asked = append(asked, a)
				if f.calls.Load() > 0 {
					t.Error("asked after the store was called")
				}
				return tt.auth(ctx, a)
			}
			c := cancel.New(f, &cancel.Options{Authorizer: cancel.AuthorizerFunc(auth), Grace: -1})
			for _, op := range []func(context.Context, cancel.Order) (cancel.Result, error){c.Cancel, c.Fence, c.Force} {
				f.calls.Store(0)
				_, err := op(t.Context(), cancel.Order{ID: 1, Actor: "ann"})
				if code := esserrors.CodeOf(err); tt.want == nil && err != nil || tt.want != nil && code != esserrors.CodeNotAuthorized {
					t.Errorf("error %v, want %v", err, tt.want)
				}
				if tt.want != nil && f.calls.Load() != 0 {
					t.Errorf("%d calls of the store without authorization", f.calls.Load())
				}
			}
			want := []cancel.Access{{Op: "cancel", ID: 1, Actor: "ann"}, {Op: "cancel", ID: 1, Actor: "ann"}, {Op: "force", ID: 1, Actor: "ann"}}
			if diff := gocmp.Diff(want, asked); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("the caller stops meanwhile", func(t *testing.T) {
		t.Parallel()
		ctx, stop := context.WithCancel(t.Context())
		f := &fake{Repository: newRepo(t, "1 SINGLETON RUNNING")}
		c := cancel.New(f, &cancel.Options{Authorizer: cancel.AuthorizerFunc(func(ctx context.Context, _ cancel.Access) error {
			stop()
			return errors.New("token service: timeout")
		})})
		_, err := c.Cancel(ctx, cancel.Order{ID: 1})
		if !errors.Is(err, context.Canceled) || errors.Is(err, esserrors.CodeNotAuthorized) || f.calls.Load() != 0 {
			t.Errorf("error %v after %d calls", err, f.calls.Load())
		}
	})
}

// TestInterrupterFails checks that its failure never fails the cancel, and is reported.
func TestInterrupterFails(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]cancel.InterrupterFunc{
		"error": func(context.Context, []lifecycle.ID, cancel.Cause) error { return errDisk },
		"panic": func(context.Context, []lifecycle.ID, cancel.Cause) error { panic(errDisk) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repo := newRepo(t, "1 PARENT RUNNING; 2<1 CHILD RUNNING; 3<1 CHILD WAIT")
			c := cancel.New(repo, &cancel.Options{Interrupter: in})
			res, err := c.Cancel(t.Context(), cancel.Order{ID: 1})
			if err != nil || res.InterruptErr == nil || !strings.Contains(res.InterruptErr.Error(), errDisk.Error()) || res.Interrupted != 0 {
				t.Errorf("Cancel = %+v, %v", res, err)
			}
			if got := states(repo); got != "1 CANCELLING; 2 CANCELLING; 3 CANCELLED" {
				t.Error(got)
			}
		})
	}
}

// TestInterruptAfterWrite checks that work is told when the store says CANCELLING, and
// not before.
func TestInterruptAfterWrite(t *testing.T) {
	t.Parallel()
	each(t, "1 SUBREQUEST_PARENT RUNNING; 2<1 CHILD RUNNING; 3<1 CHILD WAIT; 4<1 CHILD COMPLETED",
		func(t *testing.T, repo *memrepo.Repo, seen cancel.Repository) {
			told := 0
			c := cancel.New(seen, &cancel.Options{PageSize: 2, Interrupter: cancel.InterrupterFunc(
				func(ctx context.Context, ids []lifecycle.ID, _ cancel.Cause) error {
					for _, id := range ids {
						told++
						if r, err := repo.Get(ctx, id); err != nil || r.State != lifecycle.StateCancelling {
							t.Errorf("told %d while it was %v (%v)", id, r.State, err)
						}
					}
					return nil
				})})
			res, err := c.Cancel(t.Context(), cancel.Order{ID: 1})
			if err != nil || told != 3 || res.Interrupted != 3 {
				t.Errorf("told %d, Result says %d, error %v", told, res.Interrupted, err)
			}
		})
}

// TestRoundTrips counts calls of the store: at most three for a page of a thousand
// children, three for a level, and a constant.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	parent := func(id, below lifecycle.ID) lifecycle.Request {
		return lifecycle.Request{ID: id, Parent: below, Kind: lifecycle.KindParent, State: lifecycle.StateReady}
	}
	leaf := func(id, below lifecycle.ID, s lifecycle.State) lifecycle.Request {
		return lifecycle.Request{ID: id, Parent: below, Kind: lifecycle.KindChild, State: s}
	}
	wide := func(s lifecycle.State) []lifecycle.Request {
		rs := []lifecycle.Request{parent(1, 0)}
		for i := range lifecycle.ID(100) {
			rs = append(rs, parent(2+i, 1))
		}
		for i := range lifecycle.ID(100 * 1000) {
			rs = append(rs, leaf(1000+i, 2+i/1000, s))
		}
		return rs
	}
	flat := []lifecycle.Request{parent(1, 0)}
	for i := range lifecycle.ID(20_000) {
		flat = append(flat, leaf(2+i, 1, lifecycle.StateWait))
	}
	chain := []lifecycle.Request{parent(1, 0)}
	for i := range lifecycle.ID(300) {
		chain = append(chain, parent(2+i, 1+i))
	}
	binary := []lifecycle.Request{parent(1, 0)}
	for i := lifecycle.ID(2); i < 1<<14; i++ {
		if i < 1<<13 {
			binary = append(binary, parent(i, i/2))
		} else {
			binary = append(binary, leaf(i, i/2, lifecycle.StateWait))
		}
	}
	tests := []struct {
		name          string
		requests      []lifecycle.Request
		pages, levels int
	}{
		{"wide, waiting", wide(lifecycle.StateWait), 101, 3},
		{"wide, running", wide(lifecycle.StateRunning), 101, 3},
		{"flat", flat, 20, 2},
		{"chain", chain, 300, 301},
		{"binary", binary, 17 + 14, 14},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var repo memrepo.Repo
			must(t, repo.Insert(tt.requests...))
			f := &fake{Repository: &repo}
			res, err := cancel.New(f, nil).Cancel(t.Context(), cancel.Order{ID: 1})
			if err != nil || res.Counts.Total() != len(tt.requests) {
				t.Fatalf("%v, %v", res, err)
			}
			calls, limit := int(f.calls.Load()), 3*tt.pages+3*tt.levels+3
			t.Logf("%d requests: %d calls, the bound is %d", len(tt.requests), calls, limit)
			if calls > limit {
				t.Errorf("%d calls for %d pages and %d levels, want at most %d", calls, tt.pages, tt.levels, limit)
			}
		})
	}
}

// TestManyCallersConcurrentSafe has 64 callers cancel one tree at once: everyone gets a
// definite answer, and the tree is as after one.
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

// TestHundredAtOnceConcurrentSafe cancels a request that becomes CANCELLED at once: who
// saw it live succeeds, who came later is refused, and nobody else gets anything
// else.
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

// TestCancelledByAnother reads a request live and finds it CANCELLED by somebody
// else: what was wanted is done.
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

// TestBackOff has another canceller win every page: the loser steps aside instead of
// failing at every request.
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
	synctest.Test(t, func(t *testing.T) { // and stops if its caller does
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

// TestNewChecks checks that mistakes of the programmer are found at once.
func TestNewChecks(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func(){
		"nil Repository": func() { cancel.New(nil, nil) },
		"PageSize":       func() { cancel.New(&memrepo.Repo{}, &cancel.Options{PageSize: -1}) },
		"MaxAttempts":    func() { cancel.New(&memrepo.Repo{}, &cancel.Options{MaxAttempts: -1}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("New with a bad %s did not panic", name)
				}
			}()
			f()
		}()
	}
}

// TestForceBoundary checks the grace to the nanosecond.
func TestForceBoundary(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		after, grace, wait time.Duration
	}{
		{30*time.Minute - 1, 0, 1},
		{30 * time.Minute, 0, 0},
		{30*time.Minute + 1, 0, 0},
		{0, 0, 30 * time.Minute},
		{time.Second - 1, time.Second, 1},
		{time.Second, time.Second, 0},
		{0, -1, 0},
	} {
		now := start
		repo := newRepo(t, "1 SINGLETON RUNNING")
		c := cancel.New(repo, &cancel.Options{Grace: tt.grace, Now: func() time.Time { return now }})
		if _, err := c.Cancel(t.Context(), cancel.Order{ID: 1}); err != nil {
			t.Fatal(err)
		}
		now = now.Add(tt.after)
		_, err := c.Force(t.Context(), cancel.Order{ID: 1})
		wait, early := esserrors.RetryAfter(err)
		if wait != tt.wait || early != (tt.wait > 0) || early != errors.Is(err, esserrors.CodeConflict) || !early && err != nil {
			t.Errorf("force %v after the cancel with grace %v: %v, want to wait %v", tt.after, tt.grace, err, tt.wait)
		}
	}
}

// TestForceWithoutClock forces a request of which nobody knows when it became
// CANCELLING.
func TestForceWithoutClock(t *testing.T) {
	t.Parallel()
	repo := newRepo(t, "1 SINGLETON CANCELLING")
	if _, err := cancel.New(repo, nil).Force(t.Context(), cancel.Order{ID: 1}); err != nil || states(repo) != "1 CANCELLED" {
		t.Errorf("%v, %s", err, states(repo))
	}
}

// TestCheckInBehind checks in with a clock that is behind: one of the two is wrong, and
// the grace is counted from the check-in.
func TestCheckInBehind(t *testing.T) {
	t.Parallel()
	now := start
	repo := newRepo(t, "1 SINGLETON RUNNING")
	c := cancel.New(repo, &cancel.Options{Now: func() time.Time { return now }})
	if _, err := c.Cancel(t.Context(), cancel.Order{ID: 1, Actor: "ann"}); err != nil {
		t.Fatal(err)
	}
	now = now.Add(-time.Hour)
	in, err := c.CheckIn(t.Context(), cancel.Order{ID: 1})
	if err != nil || !in.Cancelling || in.Cause.Actor != "ann" {
		t.Errorf("CheckIn = %+v, %v", in, err)
	}
	if r, _ := repo.Get(t.Context(), 1); !r.CheckedIn.Equal(now) || in.Request != r {
		t.Errorf("checked in %v, want %v; told %v", r, now, in.Request)
	}
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

// TestContendedParent says of a parent that cannot be settled what kept it.
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

// TestManyFailures has every child fail: the error says how many, and has some of them.
func TestManyFailures(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString("1 PARENT RUNNING")
	for id := 2; id <= 21; id++ {
		fmt.Fprintf(&text, "; %d<1 CHILD WAIT", id)
	}
	f := &fake{Repository: newRepo(t, text.String())}
	f.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
		switch id := changes[0].Old.ID; {
		case id == 1:
			return f.Repository.Apply(ctx, changes)
		case id <= 4: // these are lost to others
			return make([]bool, len(changes)), nil
		default:
			return nil, errDisk
		}
	}
	_, err := cancel.New(f, &cancel.Options{PageSize: 3, MaxAttempts: 1}).Cancel(t.Context(), cancel.Order{ID: 1})
	if !errors.Is(err, esserrors.CodeSystem) || !strings.Contains(err.Error(), "20 failures") {
		t.Errorf("%v, want 20 failures", err)
	}
	if n := strings.Count(err.Error(), "Others kept changing") + strings.Count(err.Error(), errDisk.Error()); n != 8 {
		t.Errorf("the error has %d of them, want the first 8:\n%v", n, err)
	}
}

// TestQueriesAreSound checks that no store is asked for the children of nobody, nor for a
// request that cannot be, whatever the size of the pages.
func TestQueriesAreSound(t *testing.T) {
	t.Parallel()
	for size := 1; size <= 5; size++ {
		f := &fake{Repository: newRepo(t, "1 PARENT RUNNING; 2<1 PARENT WAIT; 3<1 PARENT WAIT; 4<2 PARENT WAIT; 5<3 PARENT WAIT; 6<4 CHILD WAIT; 7<5 CHILD RUNNING")}
		f.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
			if len(q.Parents) == 0 || q.States == 0 || q.Limit <= 0 || !slices.IsSorted(q.Parents) {
				t.Errorf("pages of %d: asked for %+v", size, q)
			}
			return f.Repository.Children(ctx, q)
		}
		c := cancel.New(f, &cancel.Options{PageSize: size})
		if _, err := c.Cancel(t.Context(), cancel.Order{ID: 1}); err != nil {
			t.Error(err)
		}
		if _, err := c.Acknowledge(t.Context(), cancel.Order{ID: 7}, lifecycle.StateCancelled); err != nil {
			t.Error(err)
		}
		before := f.calls.Load()
		if _, err := c.Cancel(t.Context(), cancel.Order{}); !errors.Is(err, esserrors.CodeNotFound) || f.calls.Load() != before {
			t.Errorf("request 0: %v after %d calls of the store", err, f.calls.Load()-before)
		}
	}
}

// A cautious store says that there may be more unless it has found nothing.
type cautious struct{ *memrepo.Repo }

func (c cautious) CancelChildren(ctx context.Context, q cancel.ChildCancel) (cancel.ChildPage, error) {
	page, err := c.Repo.CancelChildren(ctx, q)
	if n := len(page.Changes) + page.Cancelled; err == nil && n > 0 && !page.More {
		page.More, page.Last = true, cancel.Cursor{Parent: q.Query.Parents[len(q.Query.Parents)-1], ID: math.MaxInt64}
	}
	return page, err
}

// TestLastPageIsEmpty has the last page of children be an empty one: parents are settled
// all the same.
func TestLastPageIsEmpty(t *testing.T) {
	t.Parallel()
	for size := 1; size <= 5; size++ {
		repo := newRepo(t, "1 PARENT RUNNING; 2<1 PARENT WAIT; 3<1 PARENT WAIT; 4<2 CHILD WAIT; 5<2 CHILD WAIT; 6<3 CHILD WAIT; 7<3 CHILD WAIT")
		res, err := cancel.New(cautious{repo}, &cancel.Options{PageSize: size}).Cancel(t.Context(), cancel.Order{ID: 1})
		if err != nil || res.Counts[cancel.DispositionCancelled] != 7 {
			t.Errorf("pages of %d: %v, %v; %s", size, res.Counts, err, states(repo))
		}
	}
}

// TestCancelling compares the ways of finding what is CANCELLING.
func TestCancelling(t *testing.T) {
	t.Parallel()
	each(t, "1 PARENT RUNNING; 2<1 PARENT CANCELLING CANCELLED; 3<2 CHILD CANCELLING; 4<1 SUBREQUEST_PARENT CANCELLING; 5<4 PARENT WAIT; 6<5 CHILD CANCELLING; 7 SINGLETON CANCELLING; 8 SINGLETON RUNNING",
		func(t *testing.T, _ *memrepo.Repo, seen cancel.Repository) {
			var got []lifecycle.ID
			for u, err := range cancel.ListCancelling(t.Context(), seen) {
				must(t, err)
				got = append(got, u.Request.ID)
			}
			if want := []lifecycle.ID{2, 3, 4, 6, 7}; !slices.Equal(sorted(got), want) {
				t.Errorf("Cancelling = %v, want %v", got, want)
			}
			for range cancel.ListCancelling(t.Context(), seen) {
				break // may be left at any time
			}
			ctx, stop := context.WithCancel(t.Context())
			stop()
			n := 0
			for u, err := range cancel.ListCancelling(ctx, seen) {
				if n++; !errors.Is(err, context.Canceled) || u != (cancel.CancellingRequest{}) {
					t.Errorf("yielded %v, %v", u, err)
				}
			}
			if n != 1 {
				t.Errorf("an error was yielded %d times", n)
			}
		})
}

// lister lists nonsense, or declines.
type lister struct {
	cancel.Repository
	page []cancel.CancellingRequest
	err  error
}

func (l lister) ListCancelling(context.Context, lifecycle.ID, int) ([]cancel.CancellingRequest, error) {
	return l.page, l.err
}

func TestListerDoesNotAdvance(t *testing.T) {
	t.Parallel()
	repo := newRepo(t, "1 SINGLETON CANCELLING")
	l := lister{Repository: repo, page: []cancel.CancellingRequest{{Request: lifecycle.Request{ID: 1, Kind: lifecycle.KindSingleton, State: lifecycle.StateCancelling}}}}
	if _, err := cancel.New(l, nil).Resume(t.Context(), nil); !errors.Is(err, esserrors.CodeSystem) {
		t.Errorf("a list without an end: %v", err)
	}
	l = lister{Repository: repo, err: fmt.Errorf("no index: %w", errors.ErrUnsupported)}
	if res, err := cancel.New(l, nil).Resume(t.Context(), nil); err != nil || res.Counts.Total() != 1 {
		t.Errorf("a list that declines: %v, %v", res, err)
	}
	l = lister{Repository: repo, page: []cancel.CancellingRequest{{Request: lifecycle.Request{ID: 9}}}}
	if _, err := cancel.New(l, nil).Resume(t.Context(), nil); !errors.Is(err, esserrors.CodeSystem) {
		t.Errorf("a list of what cannot be: %v", err)
	}
}

// atOnce answers nonsense for a page, or declines.
type atOnce struct {
	cancel.Repository
	page cancel.ChildPage
	err  error
}

func (a atOnce) CancelChildren(context.Context, cancel.ChildCancel) (cancel.ChildPage, error) {
	return a.page, a.err
}

func TestChildCancellerAnswersNonsense(t *testing.T) {
	t.Parallel()
	for name, a := range map[string]atOnce{
		"does not advance": {page: cancel.ChildPage{More: true}},
		"somebody else's":  {page: cancel.ChildPage{Changes: []cancel.Change{{Old: lifecycle.Request{ID: 7, Parent: 6}}}}},
	} {
		a.Repository = newRepo(t, "1 PARENT RUNNING; 2<1 CHILD WAIT")
		if _, err := cancel.New(a, nil).Cancel(t.Context(), cancel.Order{ID: 1}); !errors.Is(err, esserrors.CodeSystem) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Where it declines, or fails, the page is read and written instead.
	for _, err := range []error{errors.ErrUnsupported, errDisk} {
		repo := newRepo(t, "1 PARENT RUNNING; 2<1 CHILD WAIT")
		a := atOnce{Repository: repo, err: err}
		if _, err := cancel.New(a, nil).Cancel(t.Context(), cancel.Order{ID: 1}); err != nil || states(repo) != "1 CANCELLED; 2 CANCELLED" {
			t.Errorf("%v: %v, %s", a.err, err, states(repo))
		}
	}
}

// causeless cannot say why.
type causeless struct {
	cancel.Repository
	err error
}

func (c causeless) Cause(context.Context, lifecycle.ID) (cancel.Cause, error) {
	return cancel.Cause{}, c.err
}

func TestCauseReaderFails(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want esserrors.Code
	}{
		{errDisk, esserrors.CodeSystem},
		{errors.ErrUnsupported, 0},
		{cancel.ErrNotFound, 0},
	} {
		repo := causeless{newRepo(t, "1 PARENT CANCELLING; 2<1 CHILD CANCELLING"), tt.err}
		c := cancel.New(repo, nil)
		if in, err := c.CheckIn(t.Context(), cancel.Order{ID: 2}); err != nil || !in.Cancelling || in.Cause != (cancel.Cause{}) {
			t.Errorf("CheckIn with %v: %+v, %v", tt.err, in, err)
		}
		if _, err := c.Resume(t.Context(), nil); esserrors.CodeOf(err) != tt.want {
			t.Errorf("Resume with %v: %v", tt.err, err)
		}
	}
}

func TestDecisions(t *testing.T) {
	t.Parallel()
	n := 0
	for d := range cancel.Decisions() {
		n++
		to, ok := lifecycle.Next(d.Kind, d.From, lifecycle.TriggerCancel)
		if !ok || to != d.State {
			t.Errorf("%v: the rules say %v, %v", d, to, ok)
		}
		wantOutcome := d.State == lifecycle.StateCancelling && !lifecycle.Executes(d.Kind, d.From)
		if (d.Outcome == lifecycle.StateCancelled) != wantOutcome || !wantOutcome && d.Outcome != 0 {
			t.Errorf("%v: outcome %v", d, d.Outcome)
		}
	}
	if n != 4*(lifecycle.Live.Len()-1) {
		t.Errorf("%d decisions", n)
	}
	for range cancel.Decisions() {
		break
	}
}

func TestTexts(t *testing.T) {
	t.Parallel()
	for d := range cancel.Dispositions() {
		if d.String() == "" || strings.HasPrefix(d.String(), "Disposition(") {
			t.Errorf("disposition %d is %q", d, d)
		}
	}
	for range cancel.Dispositions() {
		break
	}
	for got, want := range map[string]string{
		cancel.Disposition(0).String():   "none",
		cancel.Disposition(200).String(): "Disposition(200)",
		cancel.Counts{}.String():         "nothing",
		(&cancel.CancelledError{ID: 7, Cause: cancel.Cause{Actor: "ann", Reason: "ledger"}}).Error():                   `request 7 was cancelled by "ann": ledger`,
		(&cancel.CancelledError{ID: 7}).Error():                                                                        "request 7 was cancelled",
		cancel.Receipt{ID: 7, From: lifecycle.StateWait, Disposition: cancel.DispositionFailed, Err: errDisk}.String(): "7 WAIT -> ?: failed: disk full: secret",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestCursorCompare(t *testing.T) {
	t.Parallel()
	cursors := []cancel.Cursor{{}, {0, 1}, {0, math.MaxInt64}, {1, 0}, {1, 5}, {2, 3}}
	for i, a := range cursors {
		for j, b := range cursors {
			if got, want := a.Compare(b), cmp.Compare(i, j); got != want {
				t.Errorf("%v.Compare(%v) = %d, want %d", a, b, got, want)
			}
		}
	}
}
