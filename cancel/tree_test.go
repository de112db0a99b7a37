package cancel_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

const deepTree = "1 PARENT RUNNING; 2<1 SUBREQUEST_PARENT RUNNING; 3<2 PARENT WAIT; 4<3 CHILD RUNNING; 5<3 PARENT CANCELLING; 6<5 CHILD WAIT; 7<1 PARENT WAIT; 8<1 CHILD WAIT; 9<7 CHILD RUNNING; 10<7 CHILD WAIT"

// TestTreeDisturbed has something happen before each call in turn that a cancel makes of a
// store which walks its trees in several statements: a child is submitted at some depth,
// work acknowledges, another canceller cancels, the store fails. Nothing escapes, and when
// all work has acknowledged everything has ended.
func TestTreeDisturbed(t *testing.T) {
	t.Parallel()
	disturbances := map[string]func(repo *memrepo.Repo, n int) error{
		"another canceller": func(repo *memrepo.Repo, _ int) error {
			_, err := cancel.New(repo, nil).Cancel(context.Background(), cancel.Order{ID: 1})
			return ignore(err, esserrors.CodeNotFound, esserrors.CodeUnsupportedState)
		},
		"another canceller of a part": func(repo *memrepo.Repo, _ int) error {
			_, err := cancel.New(repo, nil).Cancel(context.Background(), cancel.Order{ID: 3})
			return ignore(err, esserrors.CodeNotFound, esserrors.CodeUnsupportedState)
		},
		"resume": func(repo *memrepo.Repo, _ int) error {
			_, err := cancel.New(repo, nil).Resume(context.Background(), nil)
			return err
		},
		"answers": func(repo *memrepo.Repo, _ int) error {
			for _, id := range []lifecycle.ID{4, 2, 9} {
				_, err := cancel.New(repo, nil).Acknowledge(context.Background(), cancel.Order{ID: id}, lifecycle.StateSucceeded)
				if err := ignore(err, esserrors.CodeNotFound, esserrors.CodeUnsupportedState, esserrors.CodeConflict); err != nil {
					return err
				}
			}
			return nil
		},
		"a child ends": func(repo *memrepo.Repo, _ int) error {
			for _, trigger := range []lifecycle.Trigger{lifecycle.TriggerFail} {
				_, err := fire(context.Background(), repo, 4, trigger)
				if err := ignore(err, esserrors.CodeNotFound, esserrors.CodeUnsupportedState); err != nil {
					return err
				}
			}
			return nil
		},
		"the store fails": func(*memrepo.Repo, int) error { return errDisk },
	}
	for _, parent := range []lifecycle.ID{1, 2, 3, 5, 7} {
		for _, kind := range []lifecycle.Kind{lifecycle.KindChild, lifecycle.KindParent} {
			disturbances[fmt.Sprintf("a %v below %d", kind, parent)] = func(repo *memrepo.Repo, n int) error {
				late := lifecycle.Request{ID: lifecycle.ID(100 + n), Parent: parent, Kind: kind, State: lifecycle.StateReady}
				err := repo.Submit(context.Background(), late)
				if err == nil && kind == lifecycle.KindParent {
					below := lifecycle.Request{ID: lifecycle.ID(200 + n), Parent: late.ID, Kind: lifecycle.KindChild, State: lifecycle.StateReady}
					err = repo.Submit(context.Background(), below)
				}
				return ignore(err, esserrors.CodeNotFound, esserrors.CodeUnsupportedState)
			}
		}
	}
	for name, disturb := range disturbances {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for way := range 16 { // every way to combine the four
				idle, snapshot, always, reports := way&1 > 0, way&2 > 0, way&4 > 0, way&8 > 0
				for last, at := 2, 2; at <= last && at < 50; at++ {
					pageSize := 1000
					if always != reports {
						pageSize = 1
					}
					testDisturbed(t, disturb, at, strings.HasPrefix(name, "another"), idle, always, snapshot, reports, pageSize, &last)
				}
			}
		})
	}
}

func testDisturbed(t *testing.T, disturb func(*memrepo.Repo, int) error, at int, byCancel, idle, always, snapshot, reports bool, pageSize int, last *int) {
	t.Helper()
	text := deepTree
	if idle {
		text = "1 PARENT RUNNING; 2<1 PARENT WAIT; 3<2 PARENT WAIT; 4<2 CHILD WAIT; 5<1 PARENT WAIT; 7<1 PARENT WAIT"
	}
	repo := newRepo(t, text)
	f := &fake{Repository: repo}
	f.before = func(n int64) error {
		if *last = max(*last, int(n)); int(n) == at || always && int(n) > at {
			return disturb(repo, int(n))
		}
		return nil
	}
	told := &interrupts{}
	var store cancel.Repository = walking{f}
	if snapshot {
		store = snapshots{walking{f}}
	}
	c := cancel.New(store, &cancel.Options{PageSize: pageSize, Interrupter: told})
	got, receipt := receipts(t)
	order := cancel.Order{ID: 1, Receipt: receipt}
	if !reports {
		order.Receipt = nil
	}
	res, err := c.Cancel(t.Context(), order)
	if got[1] = res.Root; reports && res.Counts.Total() != len(got) && res.Root.ID != 0 {
		t.Errorf("before call %d: %v, and %d receipts", at, res.Counts, len(got))
	}
	failed := errors.Is(err, errDisk)
	if err != nil && !failed {
		t.Errorf("before call %d (always %v, pages of %d): %v", at, always, pageSize, err)
	}
	if !failed {
		for r := range repo.All() {
			if lifecycle.Live.Has(r.State) && r.State != lifecycle.StateCancelling {
				t.Errorf("before call %d (always %v, pages of %d): request %d escapes as %v", at, always, pageSize, r.ID, r.State)
			}
			if r.State == lifecycle.StateCancelling && r.Kind.RunsWork() && r.Outcome == 0 && !contains(told.ids, r.ID) {
				t.Errorf("before call %d: the work of request %d was not told", at, r.ID)
			}
			if _, due := cancel.SettleChange(r, cancel.Cause{}); due && !liveBelow(repo, r.ID) {
				t.Errorf("before call %d (always %v, snapshot %v, receipts %v, pages of %d): request %d waits for nobody", at, always, snapshot, reports, pageSize, r.ID)
			}
			if byCancel && r.ID == 1 && lifecycle.Terminal.Has(r.State) && res.Root.To != 0 && res.Root.To != r.State {
				t.Errorf("before call %d: the root is %v, and Cancel says %v", at, r.State, res.Root)
			}
		}
	}
	f.before = nil
	if _, err := c.Resume(t.Context(), nil); err != nil {
		t.Errorf("before call %d: Resume = %v", at, err)
	}
	if !failed || got[1].To != 0 {
		for r := range repo.All() { // the work answers
			if r.State == lifecycle.StateCancelling && r.Kind.RunsWork() && r.Outcome == 0 {
				if _, err := c.Acknowledge(t.Context(), cancel.Order{ID: r.ID}, lifecycle.StateCancelled); err != nil {
					t.Error(err)
				}
			}
		}
		for r := range repo.All() {
			if lifecycle.Live.Has(r.State) && got[1].ID != 0 {
				t.Errorf("before call %d (always %v, pages of %d): in the end request %d is %v; %v", at, always, pageSize, r.ID, r.State, err)
			}
		}
	}
}

func liveBelow(repo *memrepo.Repo, parent lifecycle.ID) bool {
	for r := range repo.All() {
		if r.Parent == parent && lifecycle.Live.Has(r.State) {
			return true
		}
	}
	return false
}

func contains(ids []lifecycle.ID, id lifecycle.ID) bool {
	return slices.Contains(ids, id)
}

func ignore(err error, codes ...esserrors.Code) error {
	for _, code := range codes {
		if esserrors.CodeOf(err) == code {
			return nil
		}
	}
	return err
}

// TestTreeNonsense has CancelTree and Settle give answers that cannot be true. The tree is
// cancelled all the same, and the answer is an error.
func TestTreeNonsense(t *testing.T) {
	t.Parallel()
	page := func(f func(*cancel.TreePage)) func(cancel.TreeCancel) (cancel.TreePage, error) {
		return func(c cancel.TreeCancel) (cancel.TreePage, error) {
			r := lifecycle.Request{ID: 2, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateRunning}
			p := cancel.TreePage{Changes: []cancel.Change{{Old: r, Trigger: lifecycle.TriggerCancel, State: lifecycle.StateCancelling, CheckedIn: c.Cause.Time}}}
			f(&p)
			return p, nil
		}
	}
	for name, tree := range map[string]func(cancel.TreeCancel) (cancel.TreePage, error){
		"RUNNING -> RUNNING":         page(func(p *cancel.TreePage) { p.Changes[0].State, p.Changes[0].Trigger = lifecycle.StateRunning, 0 }),
		"RUNNING -> CANCELLED":       page(func(p *cancel.TreePage) { p.Changes[0].State = lifecycle.StateCancelled }),
		"a parent that is not there": page(func(p *cancel.TreePage) { p.Changes[0].Old.Parent = 77 }),
		"twice":                      page(func(p *cancel.TreePage) { p.Changes = append(p.Changes, p.Changes[0]) }),
		"itself": page(func(p *cancel.TreePage) {
			p.Changes[0].Old.ID, p.Changes[0].Old.Parent, p.Changes[0].Old.Kind = 2, 2, lifecycle.KindParent
		}),
		"negative":                 page(func(p *cancel.TreePage) { p.Cancelled = -1 }),
		"too many":                 page(func(p *cancel.TreePage) { p.Cancelled = 5000 }),
		"a rest that is not there": page(func(p *cancel.TreePage) { p.Rest = []cancel.Cursor{{Parent: 2}} }),
		"a rest that goes back":    page(func(p *cancel.TreePage) { p.Rest = []cancel.Cursor{{Parent: 1, ID: -1}} }),
		"a rest that does not end": page(func(p *cancel.TreePage) { p.Rest = []cancel.Cursor{{Parent: 1}} }),
		"the same rest twice":      page(func(p *cancel.TreePage) { p.Rest = []cancel.Cursor{{Parent: 1, ID: 3}, {Parent: 1, ID: 4}} }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repo := newRepo(t, "1 PARENT RUNNING; 2<1 CHILD RUNNING; 3<1 PARENT WAIT; 4<3 CHILD WAIT")
			res, err := cancel.New(odd{Repo: repo, tree: tree}, nil).Cancel(t.Context(), cancel.Order{ID: 1})
			if !errors.Is(err, esserrors.CodeSystem) || states(repo) != "1 CANCELLING; 2 CANCELLING; 3 CANCELLED; 4 CANCELLED" || res.Counts.Total() != 4 {
				t.Errorf("%v, %v; %s", res.Counts, err, states(repo))
			}
		})
	}
	settles := func(f func(*cancel.Change)) func(cancel.Settlement) ([]cancel.Change, error) {
		return func(s cancel.Settlement) ([]cancel.Change, error) {
			r := lifecycle.Request{ID: 3, Parent: 1, Kind: lifecycle.KindParent, State: lifecycle.StateCancelling, Outcome: lifecycle.StateCancelled}
			ch, _ := cancel.SettleChange(r, s.Cause)
			f(&ch)
			return []cancel.Change{ch}, nil
		}
	}
	for name, settle := range map[string]func(cancel.Settlement) ([]cancel.Change, error){
		"not asked for":  settles(func(ch *cancel.Change) { ch.Old.ID = 2 }),
		"another state":  settles(func(ch *cancel.Change) { ch.State = lifecycle.StateSucceeded }),
		"another rule":   settles(func(ch *cancel.Change) { ch.Trigger = lifecycle.TriggerForce }),
		"not CANCELLING": settles(func(ch *cancel.Change) { ch.Old.State, ch.Old.Outcome = lifecycle.StateWait, 0 }),
		"impossible":     settles(func(ch *cancel.Change) { ch.Old.Outcome = lifecycle.StateRunning }),
		"twice": func(s cancel.Settlement) ([]cancel.Change, error) {
			ch, err := settles(func(*cancel.Change) {})(s)
			return append(ch, ch...), err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repo := newRepo(t, "1 PARENT RUNNING; 2<1 CHILD RUNNING; 3<1 PARENT WAIT; 4<3 CHILD WAIT")
			_, err := cancel.New(odd{Repo: repo, settle: settle}, nil).Cancel(t.Context(), cancel.Order{ID: 1})
			want := "1 CANCELLING; 2 CANCELLING; 3 CANCELLED; 4 CANCELLED"
			if name == "twice" { // it is believed once
				want = "1 CANCELLING; 2 CANCELLING; 3 CANCELLING; 4 CANCELLED"
			}
			if !errors.Is(err, esserrors.CodeSystem) || states(repo) != want {
				t.Errorf("%v; %s", err, states(repo))
			}
		})
	}
	// If they fail, the rest is done level by level, and there is no error.
	repo := newRepo(t, "1 PARENT RUNNING; 2<1 CHILD RUNNING; 3<1 PARENT CANCELLING; 4<3 CHILD WAIT; 5<3 CHILD CANCELLING")
	told := &interrupts{}
	half := odd{
		Repo: repo,
		tree: func(c cancel.TreeCancel) (cancel.TreePage, error) {
			c.Limit = 2
			page, _ := repo.CancelTree(context.Background(), c)
			return page, errDisk
		},
		settle: func(cancel.Settlement) ([]cancel.Change, error) { return nil, errDisk },
	}
	res, err := cancel.New(half, &cancel.Options{Interrupter: told}).Cancel(t.Context(), cancel.Order{ID: 1})
	if err != nil || states(repo) != "1 CANCELLING; 2 CANCELLING; 3 CANCELLING; 4 CANCELLED; 5 CANCELLING" || res.Counts.Total() != 5 || res.Counts[cancel.DispositionCancelling] != 2 || fmt.Sprint(sorted(told.ids)) != "[2 5]" {
		t.Errorf("half a tree: %v, %v; %s; told %v", res.Counts, err, states(repo), told.ids)
	}
	// It fails in the middle of one parent's children.
	repo = newRepo(t, "1 PARENT RUNNING; 2<1 CHILD RUNNING; 3<1 CHILD RUNNING; 4<1 CHILD RUNNING; 5<1 CHILD RUNNING; 6<1 CHILD RUNNING; 7<1 CHILD RUNNING")
	calls := 0
	half = odd{Repo: repo, tree: func(c cancel.TreeCancel) (cancel.TreePage, error) {
		if calls++; calls == 2 {
			return cancel.TreePage{}, errDisk
		}
		return repo.CancelTree(context.Background(), c)
	}}
	_, receipt := receipts(t)
	res, err = cancel.New(half, &cancel.Options{PageSize: 1}).Cancel(t.Context(), cancel.Order{ID: 1, Receipt: receipt})
	if err != nil || res.Counts[cancel.DispositionCancelling] != 7 || res.Counts.Total() != 7 {
		t.Errorf("half of the children: %v, %v; %s", res.Counts, err, states(repo))
	}
}

// odd is a memrepo whose CancelTree and Settle can be replaced.
type odd struct {
	*memrepo.Repo
	tree   func(cancel.TreeCancel) (cancel.TreePage, error)
	settle func(cancel.Settlement) ([]cancel.Change, error)
}

func (o odd) CancelTree(ctx context.Context, c cancel.TreeCancel) (cancel.TreePage, error) {
	if o.tree != nil {
		return o.tree(c)
	}
	return o.Repo.CancelTree(ctx, c)
}

func (o odd) Settle(ctx context.Context, s cancel.Settlement) ([]cancel.Change, error) {
	if o.settle != nil {
		return o.settle(s)
	}
	return o.Repo.Settle(ctx, s)
}

// TestTreeOfOthers resumes trees that are parts of each other, in every order of their ids.
func TestTreeOfOthers(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"1 PARENT CANCELLING; 2<1 PARENT CANCELLING; 3<2 CHILD CANCELLING; 4<2 CHILD WAIT; 5<1 CHILD WAIT",
		"9 PARENT CANCELLING; 5<9 PARENT CANCELLING; 3<5 CHILD CANCELLING; 4<5 CHILD WAIT; 1<9 CHILD WAIT",
		"9 PARENT CANCELLING; 8<9 PARENT WAIT; 2<8 SUBREQUEST_PARENT CANCELLING; 3<2 CHILD CANCELLING; 4<2 CHILD WAIT; 1<9 CHILD WAIT",
	} {
		repo := newRepo(t, text)
		told := &interrupts{}
		got, receipt := receipts(t)
		c := cancel.New(repo, &cancel.Options{Interrupter: told})
		res, err := c.Resume(t.Context(), &cancel.ResumeOptions{Receipt: receipt})
		if err != nil || res.Counts.Total() != repo.Len() || len(got) != repo.Len() {
			t.Errorf("%s: %v, %v", text, res.Counts, err)
		}
		for r := range repo.All() {
			if r.State == lifecycle.StateCancelling && r.Kind.RunsWork() {
				_, err := c.Acknowledge(t.Context(), cancel.Order{ID: r.ID}, lifecycle.StateCancelled)
				must(t, err)
			}
		}
		for r := range repo.All() {
			if r.State != lifecycle.StateCancelled {
				t.Errorf("%s: request %d is %v", text, r.ID, r.State)
			}
		}
	}
}
