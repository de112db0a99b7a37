package cancel_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// randomTree returns n requests of all kinds and states, parents before children. No
// parent has ended before its children.
func randomTree(r *rand.Rand, n int) []lifecycle.Request {
	var requests []lifecycle.Request
	states := slices.Collect((lifecycle.Live | lifecycle.Terminal).All())
	live := slices.Collect(lifecycle.Live.All())
	var parents []lifecycle.ID
	for id := lifecycle.ID(1); id <= lifecycle.ID(n); id++ {
		req := lifecycle.Request{ID: id, Kind: lifecycle.Kind(1 + r.IntN(4)), State: states[r.IntN(len(states))]}
		if id > 1 {
			req.Parent = parents[r.IntN(len(parents))]
		}
		if id == 1 {
			req.Kind = lifecycle.KindParent
		}
		if req.Kind.HasChildren() {
			req.State = live[r.IntN(len(live))]
			parents = append(parents, id)
		}
		requests = append(requests, req)
	}
	return requests
}

// TestPlanEqualsCancel plans and then cancels random trees that nobody else changes. The
// steps are the same, and the plan has written nothing.
func TestPlanEqualsCancel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		requests := randomTree(r, 1+r.IntN(60))
		root := requests[r.IntN(len(requests))].ID
		var repo memrepo.Repo
		must(t, repo.Insert(requests...))
		before := states(&repo)
		opts := &cancel.Options{PageSize: 1 + r.IntN(5), Now: clock}
		plan, planErr := cancel.New(&repo, opts).Plan(t.Context(), cancel.Order{ID: root})
		if after := states(&repo); after != before {
			t.Fatalf("seed %d: the plan has written\nbefore %s\nafter  %s", seed, before, after)
		}
		var steps []string
		var told []lifecycle.ID
		f := &fake{Repository: &repo}
		f.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			for _, ch := range changes {
				steps = append(steps, fmt.Sprintf("%d %v -> %v by %v", ch.Old.ID, ch.Old.State, ch.State, ch.Trigger))
			}
			return repo.Apply(ctx, changes)
		}
		opts.Interrupter = cancel.InterrupterFunc(func(_ context.Context, ids []lifecycle.ID, _ cancel.Cause) error {
			told = append(told, ids...)
			return nil
		})
		res, err := cancel.New(f, opts).Cancel(t.Context(), cancel.Order{ID: root})
		if esserrors.CodeOf(err) != esserrors.CodeOf(planErr) {
			t.Fatalf("seed %d: plan says %v, cancel %v", seed, planErr, err)
		}
		var planned []string
		for _, s := range plan.Steps {
			text, _, _ := strings.Cut(s.String(), " (")
			planned = append(planned, text)
			if s.Rule.Source == 0 {
				t.Errorf("seed %d: step %v has no rule", seed, s)
			}
		}
		if diff := gocmp.Diff(planned, steps); diff != "" {
			t.Fatalf("seed %d, root %d: steps (-plan +cancel):\n%s", seed, root, diff)
		}
		if res.Interrupted = plan.Result.Interrupted; res != plan.Result || !slices.Equal(told, plan.Interrupts) {
			t.Fatalf("seed %d: plan %+v tells %v, cancel %+v tells %v", seed, plan.Result, plan.Interrupts, res, told)
		}
	}
}

// TestExecute executes plans on trees that are, and are not, as planned.
func TestExecute(t *testing.T) {
	t.Parallel()
	const seed = "1 PARENT RUNNING; 2<1 CHILD WAIT; 3<1 CHILD RUNNING; 4<1 PARENT WAIT; 5<4 CHILD READY"
	tests := []struct {
		name   string
		change func(repo *memrepo.Repo) error
		want   string // the difference, or what the tree is
	}{
		{"as planned", func(*memrepo.Repo) error { return nil }, "1 CANCELLING; 2 CANCELLED; 3 CANCELLING; 4 CANCELLED; 5 CANCELLED"},
		{"started", func(repo *memrepo.Repo) error {
			_, err := fire(context.Background(), repo, 5, lifecycle.TriggerStart)
			return err
		}, "cancel: not as planned: request 5: planned READY -> CANCELLED, found RUNNING -> CANCELLING"},
		{"submitted", func(repo *memrepo.Repo) error {
			return repo.Submit(context.Background(), lifecycle.Request{ID: 6, Parent: 4, Kind: lifecycle.KindChild, State: lifecycle.StateWait})
		}, "cancel: not as planned: request 6: planned nothing to do, found WAIT -> CANCELLED"},
		{"ended", func(repo *memrepo.Repo) error {
			_, err := fire(context.Background(), repo, 2, lifecycle.TriggerExpire)
			return err
		}, "cancel: not as planned: request 2: planned WAIT -> CANCELLED, found nothing to do"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			repo := newRepo(t, seed)
			c := cancel.New(repo, nil)
			plan, err := c.Plan(t.Context(), cancel.Order{ID: 1, Actor: "ann"})
			must(t, err)
			must(t, tt.change(repo))
			before := states(repo)
			_, err = c.ExecutePlan(t.Context(), plan)
			if tt.name == "as planned" {
				if err != nil || states(repo) != tt.want {
					t.Errorf("ExecutePlan: %v, %s", err, states(repo))
				}
				return
			}
			e, ok := errors.AsType[*cancel.PlanError](err)
			if !ok || !errors.Is(err, esserrors.CodeConflict) || e.Error() != tt.want {
				t.Errorf("ExecutePlan: %v\nwant %s", err, tt.want)
			}
			if states(repo) != before {
				t.Errorf("it has written: %s", states(repo))
			}
		})
	}
	t.Run("differs after the comparison", func(t *testing.T) {
		t.Parallel()
		repo := newRepo(t, seed)
		f := &fake{Repository: repo}
		plan, err := cancel.New(f, nil).Plan(t.Context(), cancel.Order{ID: 1})
		must(t, err)
		f.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
			if changes[0].Old.ID == 1 {
				if _, err := fire(ctx, repo, 5, lifecycle.TriggerStart); err != nil {
					t.Error(err)
				}
			}
			return repo.Apply(ctx, changes)
		}
		res, err := cancel.New(f, nil).ExecutePlan(t.Context(), plan)
		if !errors.Is(err, esserrors.CodeConflict) || res.Counts[cancel.DispositionConflict] != 1 {
			t.Errorf("ExecutePlan: %v, %v", res.Counts, err)
		}
		if want := "1 CANCELLING; 2 CANCELLED; 3 CANCELLING; 4 CANCELLING; 5 RUNNING"; states(repo) != want {
			t.Errorf("%s, want %s", states(repo), want)
		}
	})
	t.Run("the root differs after the comparison", func(t *testing.T) {
		t.Parallel()
		repo := newRepo(t, "1 SINGLETON READY")
		f := &fake{Repository: repo}
		plan, err := cancel.New(f, nil).Plan(t.Context(), cancel.Order{ID: 1})
		must(t, err)
		f.before = func(call int64) error {
			if call == f.calls.Load() && call == 3 { // the Get of Plan, of the comparison, of the cancel
				_, err := fire(context.Background(), repo, 1, lifecycle.TriggerStart)
				return err
			}
			return nil
		}
		res, err := cancel.New(f, nil).ExecutePlan(t.Context(), plan)
		if !errors.Is(err, esserrors.CodeConflict) || states(repo) != "1 RUNNING" {
			t.Errorf("ExecutePlan: %v, %s", err, states(repo))
		}
		if rec := res.Root; rec.Disposition != cancel.DispositionConflict || rec.To != lifecycle.StateRunning || rec.Err == nil || res.Counts.Total() != 1 {
			t.Errorf("ExecutePlan: %v, %v", rec, res.Counts)
		}
	})
	t.Run("cannot be planned any more", func(t *testing.T) {
		t.Parallel()
		repo := newRepo(t, "1 SINGLETON READY")
		c := cancel.New(repo, nil)
		plan, err := c.Plan(t.Context(), cancel.Order{ID: 1})
		must(t, err)
		if _, err := c.Cancel(t.Context(), cancel.Order{ID: 1}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.ExecutePlan(t.Context(), plan); !errors.Is(err, esserrors.CodeUnsupportedState) {
			t.Errorf("ExecutePlan: %v", err)
		}
	})
}

func TestPlanErrorIsShort(t *testing.T) {
	t.Parallel()
	e := &cancel.PlanError{Differences: make([]cancel.Difference, 10)}
	if got := e.Error(); !strings.HasSuffix(got, "; and 7 more") {
		t.Error(got)
	}
	e.Differences = e.Differences[:3]
	if got := e.Error(); strings.Contains(got, "more") {
		t.Error(got)
	}
}

func ExampleCanceller_Plan() {
	canceller := cancel.New(nightly(), nil)
	plan, err := canceller.Plan(context.Background(), cancel.Order{ID: 42})
	for _, step := range plan.Steps {
		fmt.Println(step)
	}
	fmt.Println("interrupt", plan.Interrupts, err)
	// Output:
	// 42 RUNNING -> CANCELLING by cancel (spec)
	// 43 WAIT -> CANCELLED by cancel (spec)
	// 44 RUNNING -> CANCELLING by cancel (spec)
	// interrupt [44] <nil>
}

func ExampleCanceller_ExecutePlan() {
	ctx := context.Background()
	repo := nightly()
	canceller := cancel.New(repo, nil)
	plan, _ := canceller.Plan(ctx, cancel.Order{ID: 42})

	// Meanwhile, the scheduler goes on.
	_, _ = fire(ctx, repo, 43, lifecycle.TriggerDispatch)

	_, err := canceller.ExecutePlan(ctx, plan)
	if e, ok := errors.AsType[*cancel.PlanError](err); ok {
		fmt.Println(e.Differences[0])
	}
	// Output:
	// request 43: planned WAIT -> CANCELLED, found READY -> CANCELLED
}
