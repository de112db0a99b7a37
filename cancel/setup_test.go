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

// A fake is a Repository whose methods can be replaced. It has no capability. It counts the
// calls, and calls before ahead of each.
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

// levelwise is a memrepo whose CancelTree and Settle decline.
type levelwise struct{ *memrepo.Repo }

func (levelwise) CancelTree(context.Context, cancel.TreeCancel) (cancel.TreePage, error) {
	return cancel.TreePage{}, errors.ErrUnsupported
}

func (levelwise) Settle(context.Context, cancel.Settlement) ([]cancel.Change, error) {
	return nil, errors.ErrUnsupported
}

// walking has CancelTree and Settle, made of many calls of the three methods of a store, so
// that something can happen between them. It has no other capability.
type walking struct{ cancel.Repository }

func (w walking) CancelTree(ctx context.Context, c cancel.TreeCancel) (page cancel.TreePage, err error) {
	todo, n := slices.Clone(c.From), 0
	for at := 0; at < len(todo); at++ {
		for {
			q := cancel.ChildQuery{Parents: []lifecycle.ID{todo[at].Parent}, States: lifecycle.Live, After: todo[at], Limit: c.Limit - n + 1}
			rs, err := w.Children(ctx, q)
			if err != nil || len(rs) == 0 {
				if err != nil {
					return page, err
				}
				break
			}
			for _, r := range rs {
				if n == c.Limit {
					page.Rest = todo[at:]
					return page, nil
				}
				ch := cancel.Change{Old: r, State: r.State, Outcome: r.Outcome, CheckedIn: r.CheckedIn, Attempt: r.Attempt}
				for d := range cancel.Decisions() {
					if d.Kind == r.Kind && d.From == r.State {
						ch.Trigger, ch.State, ch.Outcome, ch.Cause = lifecycle.TriggerCancel, d.State, d.Outcome, c.Cause
						if d.State == lifecycle.StateCancelling {
							ch.CheckedIn = c.Cause.Time
						}
					}
				}
				if ch.State != r.State {
					made, err := w.Apply(ctx, []cancel.Change{ch})
					if err != nil {
						return page, err
					}
					if !made[0] {
						break // somebody else has changed it: read it again
					}
				}
				n++
				todo[at].ID = r.ID
				if c.All || ch.State != lifecycle.StateCancelled {
					page.Changes = append(page.Changes, ch)
				} else {
					page.Cancelled++
				}
				if r.Kind.HasChildren() && r.State.Valid() {
					todo = append(todo, cancel.Cursor{Parent: r.ID})
				}
			}
		}
	}
	return page, nil
}

func (w walking) Settle(ctx context.Context, s cancel.Settlement) (changes []cancel.Change, err error) {
	asked := map[lifecycle.ID]bool{}
	for _, id := range s.IDs {
		asked[id] = true
	}
	for _, id := range s.IDs {
		for asked[id] {
			r, err := w.Get(ctx, id)
			if errors.Is(err, cancel.ErrNotFound) {
				break
			}
			if err != nil {
				return changes, err
			}
			live, err := w.Children(ctx, cancel.ChildQuery{Parents: []lifecycle.ID{id}, States: lifecycle.Live, Limit: 1})
			if err != nil {
				return changes, err
			}
			ch, due := cancel.SettleChange(r, s.Cause)
			if !due || len(live) > 0 {
				break
			}
			made, err := w.Apply(ctx, []cancel.Change{ch})
			if err != nil {
				return changes, err
			}
			if made[0] {
				changes = append(changes, ch)
			}
			id = r.Parent
		}
	}
	return changes, nil
}

// snapshots is walking, but reads the whole tree before it writes to it, as one statement of
// a database does: it misses children that are submitted meanwhile.
type snapshots struct{ walking }

func (s snapshots) CancelTree(ctx context.Context, c cancel.TreeCancel) (cancel.TreePage, error) {
	var found []lifecycle.Request
	todo := slices.Clone(c.From)
	for at := 0; at < len(todo); at++ {
		q := cancel.ChildQuery{Parents: []lifecycle.ID{todo[at].Parent}, States: lifecycle.Live, After: todo[at], Limit: 1000}
		rs, err := s.Children(ctx, q)
		if err != nil {
			return cancel.TreePage{}, err
		}
		for _, r := range rs {
			if found = append(found, r); r.Kind.HasChildren() {
				todo = append(todo, cancel.Cursor{Parent: r.ID})
			}
		}
	}
	all := walking{&fake{Repository: s.Repository, children: func(_ context.Context, q cancel.ChildQuery) (page []lifecycle.Request, err error) {
		for _, r := range found {
			if r.Parent == q.Parents[0] && r.ID > q.After.ID && len(page) < q.Limit {
				now, err := s.Get(ctx, r.ID) // the row as it is when it is written
				if err != nil {
					return nil, err
				}
				if lifecycle.Live.Has(now.State) {
					page = append(page, now)
				}
			}
		}
		return page, nil
	}}}
	return all.CancelTree(ctx, c)
}
