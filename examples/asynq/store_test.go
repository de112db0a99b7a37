package essasynq_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	esserrors "example.com/ess/errors"
	essasynq "example.com/ess/examples/asynq"
	"example.com/ess/lifecycle"
)

// spoil writes to a field of a request what nobody knows, or removes it.
func spoil(ctx context.Context, rdb redis.UniversalClient, s *essasynq.Store, id lifecycle.ID, field string, text *string) error {
	if text == nil {
		return rdb.HDel(ctx, s.Record(id), field).Err()
	}
	return rdb.HSet(ctx, s.Record(id), field, *text).Err()
}

// A record that cannot be read is returned with its ID and Parent and State 0, wherever it is
// asked for, and keeps nobody from the others.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	rdb := connect(t, addr)
	unknown := "\x00'\n|PAUSING"
	for field, text := range map[string]*string{"kind": nil, "state": nil, "parent": nil, "state ": &unknown, "kind ": &unknown, "outcome": &unknown, "checked": &unknown, "attempt": &unknown} {
		s := newStore(t,
			lifecycle.Request{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateRunning},
			lifecycle.Request{ID: 2, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateReady},
			lifecycle.Request{ID: 3, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateReady},
			lifecycle.Request{ID: 4, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateSucceeded})
		if err := spoil(ctx, rdb, s, 2, strings.TrimSpace(field), text); err != nil {
			t.Fatal(err)
		}
		r, err := s.Get(ctx, 2)
		if err != nil || r.ID != 2 || r.State != 0 {
			t.Errorf("%s: Get returns %v, %v", field, r, err)
		}
		for _, states := range []lifecycle.StateSet{lifecycle.Live, lifecycle.Terminal, lifecycle.SetOf(lifecycle.StateHold)} {
			page, err := s.Children(ctx, cancel.ChildQuery{Parents: []lifecycle.ID{1}, States: states, Limit: 10})
			i := slices.IndexFunc(page, func(r lifecycle.Request) bool { return r.ID == 2 && r.Parent == 1 && r.State == 0 })
			if err != nil || i < 0 {
				t.Errorf("%s: Children in %v are %v, %v", field, states, page, err)
			}
		}
		var told []lifecycle.ID
		_, err = cancel.New(s, nil).Cancel(ctx, cancel.Order{ID: 1, Receipt: func(r cancel.Receipt) {
			if r.Err != nil {
				told = append(told, r.ID)
			}
		}})
		if !errors.Is(err, esserrors.CodeSystem) || !slices.Contains(told, 2) {
			t.Errorf("%s: Cancel says %v, of %v", field, err, told)
		}
		if strings.Contains(fmt.Sprint(err), "PAUSING") {
			t.Errorf("%s: the error is %q", field, err)
		}
		if r, err := s.Get(ctx, 3); err != nil || r.State != lifecycle.StateCancelled {
			t.Errorf("%s: the other child is %v, %v", field, r, err)
		}
		if r, err := s.Get(ctx, 1); err != nil || r.State != lifecycle.StateCancelling {
			t.Errorf("%s: the parent is %v, %v", field, r, err)
		}
		if err := s.Submit(ctx, lifecycle.Request{ID: 5, Parent: 2, Kind: lifecycle.KindChild, State: lifecycle.StateWait}); err == nil {
			t.Errorf("%s: it admits a child", field)
		}
	}
}

// A request that has ended is gone when it has been kept for long enough, and nothing is left of it.
func TestRetention(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server := startServer(t)
	rdb := connect(t, server.Addr())
	jobs := essasynq.New(rdb, &essasynq.Options{Store: essasynq.StoreOptions{Retention: 200 * time.Millisecond}})
	for range 3 {
		for range 20 {
			if _, err := jobs.Batch(ctx, 0); err != nil {
				t.Fatal(err)
			}
		}
		roots, err := jobs.Children(ctx, cancel.ChildQuery{Parents: []lifecycle.ID{0}, States: lifecycle.Live, Limit: 100})
		if err != nil || len(roots) != 20 {
			t.Fatal(len(roots), err)
		}
		for _, root := range roots {
			if err := jobs.Submit(ctx, lifecycle.Request{ID: root.ID + 1<<45, Parent: root.ID, Kind: lifecycle.KindChild, State: lifecycle.StateWait}); err != nil {
				t.Fatal(err)
			}
			if res, err := jobs.Cancel(ctx, cancel.Order{ID: root.ID}); err != nil || res.Root.To != lifecycle.StateCancelled {
				t.Fatal(res.Root, err)
			}
			if r, err := jobs.Get(ctx, root.ID); err != nil || r.State != lifecycle.StateCancelled {
				t.Fatal(r, err)
			}
		}
	}
	within(t, "all is gone", func() bool {
		n, err := rdb.DBSize(ctx).Result()
		return err == nil && n == 0
	})
}

// A parent that lives long does not keep a list of all that is gone.
func TestRetentionOfLists(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	rdb := connect(t, addr)
	s := essasynq.NewStore(rdb, &essasynq.StoreOptions{Prefix: prefix(), Retention: 20 * time.Millisecond})
	if err := s.Insert(ctx, lifecycle.Request{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateRunning}); err != nil {
		t.Fatal(err)
	}
	for id := lifecycle.ID(2); id < 200; id++ {
		if err := s.Submit(ctx, lifecycle.Request{ID: id, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateWait}); err != nil {
			t.Fatal(err)
		}
		if _, err := cancel.New(s, nil).Cancel(ctx, cancel.Order{ID: id}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	if n, err := rdb.ZCard(ctx, s.Ended(1)).Result(); err != nil || n > 100 {
		t.Errorf("the list of children that have ended has %d of 198, %v", n, err)
	}
}

// Requests may be deleted as soon as they have ended, whoever is at work above them.
func TestDeleted(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	rdb := connect(t, addr)
	s := newStore(t, tree(1)...)
	canceller := cancel.New(s, &cancel.Options{PageSize: 10, Hooks: cancel.Hooks{Transition: func(ctx context.Context, info cancel.TransitionInfo) {
		if lifecycle.Terminal.Has(info.To) && info.ID%2 == 0 {
			if err := rdb.Del(ctx, s.Record(info.ID)).Err(); err != nil {
				t.Error(err)
			}
		}
	}}})
	if _, err := canceller.Cancel(ctx, cancel.Order{ID: 1}); err != nil {
		t.Error(err)
	}
	for r, err := range canceller.Overdue(ctx) {
		t.Error(r, err)
	}
	for _, r := range below(t, s, 1) {
		if r.State == lifecycle.StateCancelling && r.Kind.RunsWork() && r.Outcome == 0 {
			if _, err := canceller.Acknowledge(ctx, cancel.Order{ID: r.ID}, lifecycle.StateCancelled); err != nil {
				t.Error(err)
			}
		}
	}
	if r, err := s.Get(ctx, 1); err != nil || r.State != lifecycle.StateCancelled {
		t.Error(r, err)
	}
}

// forest returns trees whose ids have tags.
func forest(tags, trees int) []lifecycle.Request {
	var all []lifecycle.Request
	for i := range trees {
		root := essasynq.Tagged(i%tags, lifecycle.ID(1+1000*i))
		all = append(all, tree(root)...)
	}
	return all
}

// With many tags a store returns the same as one with none, and in the same order.
func TestTags(t *testing.T) {
	t.Parallel()
	const tags = 7
	ctx := t.Context()
	all := forest(5, 11) // two tags have no tree
	reference := new(memrepo.Repo)
	if err := reference.Insert(all...); err != nil {
		t.Fatal(err)
	}
	s := essasynq.NewStore(connect(t, addr), &essasynq.StoreOptions{Prefix: prefix(), Tags: tags})
	if err := s.Insert(ctx, all...); err != nil {
		t.Fatal(err)
	}
	var parents []lifecycle.ID
	for _, r := range all {
		if r.Kind.HasChildren() {
			parents = append(parents, r.ID)
		}
	}
	for range 100 {
		q := cancel.ChildQuery{States: lifecycle.StateSet(rand.Uint32()) & (lifecycle.Live | lifecycle.Terminal), Limit: 1 + rand.IntN(400)}
		if q.States == 0 {
			q.States = lifecycle.Live
		}
		for _, p := range append([]lifecycle.ID{0}, parents...) {
			if rand.IntN(3) == 0 {
				q.Parents = append(q.Parents, p)
			}
		}
		if len(q.Parents) == 0 {
			continue
		}
		slices.Sort(q.Parents)
		if rand.IntN(2) == 0 {
			r := all[rand.IntN(len(all))]
			q.After = cancel.Cursor{Parent: r.Parent, ID: r.ID}
		}
		want, got := collect(t, reference, q), collect(t, s, q)
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("Children(%+v): %d, want %d\n%v\n%v", q, len(got), len(want), got, want)
		}
	}
	for _, repo := range []cancel.Repository{reference, s} {
		c := cancel.New(repo, &cancel.Options{PageSize: 50})
		for _, r := range all {
			if r.Parent == 0 {
				if _, err := c.Fence(ctx, cancel.Order{ID: r.ID}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := c.Resume(ctx, nil); err != nil {
			t.Fatal(err)
		}
	}
	want, got := cancelling(t, reference), cancelling(t, s)
	if !slices.Equal(got, want) || len(got) == 0 {
		t.Errorf("%d are CANCELLING, want %d", len(got), len(want))
	}
	if err := s.Submit(ctx, lifecycle.Request{ID: 5, Parent: parents[len(parents)-1], Kind: lifecycle.KindChild, State: lifecycle.StateWait}); err == nil {
		t.Error("a child may have another tag than its parent")
	}
}

func collect(t testing.TB, repo cancel.Repository, q cancel.ChildQuery) (all []lifecycle.Request) {
	t.Helper()
	for r, err := range cancel.Children(t.Context(), repo, q) {
		if err != nil {
			t.Fatal(err)
		}
		r.Version = ""
		all = append(all, r)
	}
	return all
}

func cancelling(t testing.TB, repo cancel.Repository) (ids []lifecycle.ID) {
	t.Helper()
	for c, err := range cancel.ListCancelling(t.Context(), repo) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, c.Request.ID)
	}
	slices.Sort(ids)
	return ids
}

// A scan of many children of which few are wanted takes several scripts, and finds them all.
func TestLongScan(t *testing.T) {
	t.Parallel()
	requests := []lifecycle.Request{{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateRunning}}
	for i := range 12_000 {
		r := lifecycle.Request{ID: lifecycle.ID(2 + i), Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateReady}
		if i%4000 == 3999 {
			r.State = lifecycle.StateRunning
		}
		requests = append(requests, r)
	}
	s := newStore(t)
	for part := range slices.Chunk(requests, 1000) {
		if err := s.Insert(t.Context(), part...); err != nil {
			t.Fatal(err)
		}
	}
	rdb := connect(t, addr)
	var calls counter
	rdb.AddHook(&calls)
	s = essasynq.NewStore(rdb, &essasynq.StoreOptions{Prefix: s.Prefix()})
	q := cancel.ChildQuery{Parents: []lifecycle.ID{1}, States: lifecycle.SetOf(lifecycle.StateRunning), Limit: 10}
	collect(t, s, q) // connects
	calls.n.Store(0)
	got := collect(t, s, q)
	if len(got) != 3 || got[2].ID != 12_001 {
		t.Errorf("found %v", got)
	}
	if n := calls.n.Load(); n < 4 {
		t.Errorf("12,000 children were looked at in %d calls", n)
	}
}

// What cannot be is refused at once.
func TestNewStorePanics(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func(){
		"tags":    func() { essasynq.NewStore(redis.NewClient(&redis.Options{}), &essasynq.StoreOptions{Tags: 1025}) },
		"replica": func() { essasynq.NewStore(redis.NewClusterClient(&redis.ClusterOptions{ReadOnly: true}), nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

// Ids of two processes do not collide, and have the tag.
func TestIDs(t *testing.T) {
	t.Parallel()
	if id := essasynq.Tagged(1023, math.MaxInt64>>10); id <= 0 {
		t.Errorf("the largest id is %d", id)
	}
	jobs := essasynq.New(connect(t, addr), &essasynq.Options{Store: essasynq.StoreOptions{Prefix: prefix(), Tags: 16}})
	seen := map[lifecycle.ID]bool{}
	tags := map[int64]bool{}
	for range 500 {
		id, err := jobs.Batch(t.Context(), 0)
		if err != nil || seen[id] || id <= 0 {
			t.Fatal(id, err)
		}
		seen[id], tags[int64(id)>>53] = true, true
		child, err := jobs.Batch(t.Context(), id)
		if err != nil || int64(child)>>53 != int64(id)>>53 {
			t.Fatal(child, err)
		}
	}
	if len(tags) != 16 {
		t.Errorf("500 trees have %d tags of 16", len(tags))
	}
}
