package cancel_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	"example.com/ess/lifecycle"
)

// start is when the clocks of these tests start.
var start = time.Date(2026, 3, 31, 22, 0, 0, 0, time.UTC)

func clock() time.Time { return start }

// tree reads requests written as "1 PARENT RUNNING; 2<1 CHILD WAIT": 2 is below 1.
func tree(t testing.TB, text string) []lifecycle.Request {
	t.Helper()
	var requests []lifecycle.Request
	for part := range strings.SplitSeq(text, ";") {
		words := strings.Fields(part)
		if len(words) != 3 && len(words) != 4 {
			t.Fatalf("tree: %q", part)
		}
		var r lifecycle.Request
		id, parent, _ := strings.Cut(words[0], "<")
		scan(t, id, &r.ID)
		if parent != "" {
			scan(t, parent, &r.Parent)
		}
		must(t, r.Kind.UnmarshalText([]byte(words[1])))
		must(t, r.State.UnmarshalText([]byte(words[2])))
		if len(words) == 4 {
			must(t, r.Outcome.UnmarshalText([]byte(words[3])))
		}
		requests = append(requests, r)
	}
	return requests
}

func scan(t testing.TB, text string, id *lifecycle.ID) {
	t.Helper()
	_, err := fmt.Sscan(text, id)
	must(t, err)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newRepo(t testing.TB, text string) *memrepo.Repo {
	t.Helper()
	var repo memrepo.Repo
	must(t, repo.Insert(tree(t, text)...))
	return &repo
}

// states returns the states by id, such as "1 CANCELLED; 2 RUNNING".
func states(repo *memrepo.Repo) string {
	var parts []string
	for r := range repo.All() {
		parts = append(parts, fmt.Sprintf("%d %v", r.ID, r.State))
	}
	return strings.Join(parts, "; ")
}

// A fake is a Repository whose methods can be replaced. It has no capability, counts
// calls and calls before ahead of each.
type fake struct {
	cancel.Repository
	calls  atomic.Int64
	before func(call int64) error

	get      func(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error)
	children func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error)
	apply    func(ctx context.Context, changes []cancel.Change) ([]bool, error)
}

func (f *fake) call() error {
	n := f.calls.Add(1)
	if f.before == nil {
		return nil
	}
	return f.before(n)
}

func (f *fake) Get(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
	if err := f.call(); err != nil {
		return lifecycle.Request{}, err
	}
	if f.get != nil {
		return f.get(ctx, id)
	}
	return f.Repository.Get(ctx, id)
}

func (f *fake) Children(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
	if err := f.call(); err != nil {
		return nil, err
	}
	if f.children != nil {
		return f.children(ctx, q)
	}
	return f.Repository.Children(ctx, q)
}

func (f *fake) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	if err := f.call(); err != nil {
		return nil, err
	}
	if f.apply != nil {
		return f.apply(ctx, changes)
	}
	return f.Repository.Apply(ctx, changes)
}

// interrupts records what an Interrupter is told.
type interrupts struct {
	mu     sync.Mutex
	ids    []lifecycle.ID
	causes []cancel.Cause
	err    error
}

func (in *interrupts) Interrupt(_ context.Context, ids []lifecycle.ID, cause cancel.Cause) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.ids = append(in.ids, ids...)
	in.causes = append(in.causes, cause)
	return in.err
}

// receipts collects receipts by id and fails on a second one.
func receipts(t testing.TB) (map[lifecycle.ID]cancel.Receipt, func(cancel.Receipt)) {
	t.Helper()
	got := map[lifecycle.ID]cancel.Receipt{}
	return got, func(r cancel.Receipt) {
		if _, twice := got[r.ID]; twice {
			t.Errorf("two receipts for request %d: %v and %v", r.ID, got[r.ID], r)
		}
		got[r.ID] = r
	}
}

var errDisk = errors.New("disk full: secret")

// each runs f on the repository with and without its capabilities.
func each(t *testing.T, text string, f func(t *testing.T, repo *memrepo.Repo, seen cancel.Repository)) {
	t.Helper()
	for _, name := range []string{"plain", "capable"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repo := newRepo(t, text)
			if name == "plain" {
				f(t, repo, struct{ cancel.Repository }{repo})
			} else {
				f(t, repo, repo)
			}
		})
	}
}

func sorted[E ~int64](s []E) []E {
	s = slices.Clone(s)
	slices.Sort(s)
	return s
}

// fire makes a transition as a scheduler does.
func fire(ctx context.Context, repo cancel.Repository, id lifecycle.ID, t lifecycle.Trigger) (lifecycle.Request, error) {
	return cancel.New(repo, nil).Transition(ctx, cancel.Order{ID: id}, t)
}
