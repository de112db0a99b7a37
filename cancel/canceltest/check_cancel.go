package canceltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest/internal/show"
	"example.com/ess/cancel/memrepo"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// These checks use the repository as package cancel does. What comes out has to be
// what comes out of package memrepo.
var cancelChecks = []check{
	{
		"Cancel/EveryKindAndState", "Cancel makes the same of a tree on every store, with pages of any size.",
		func(ctx context.Context, h Harness) error {
			for _, s := range []scenario{
				{pageSize: 1, receipts: true}, {pageSize: 2}, {pageSize: 3, receipts: true}, {pageSize: 1000}, {pageSize: 1000, receipts: true},
			} {
				s.begin = everyTree()
				if err := s.run(ctx, h, []step{stepCancel(1)}); err != nil {
					return err
				}
			}
			return nil
		},
	}, {
		"Cancel/Again", "A second cancel succeeds and changes nothing that is done.",
		func(ctx context.Context, h Harness) error {
			return scenario{begin: everyTree(), pageSize: 1000}.run(ctx, h, []step{stepCancel(1), stepCancel(1)})
		},
	}, {
		"Cancel/CapabilitiesHidden", "Without its capabilities a store does the same.",
		func(ctx context.Context, h Harness) error { return without(ctx, h, Plain) },
	}, {
		"Cancel/CapabilitiesDeclined", "If it declines them, with errors.ErrUnsupported, a store does the same.",
		func(ctx context.Context, h Harness) error {
			return without(ctx, h, func(repo cancel.Repository) cancel.Repository { return declining{repo} })
		},
	}, {
		"Cancel/Resumed", "What Fence leaves, or a cancel that was cut off, Resume brings to where Cancel would have come, and keeps the cause of the cancel.",
		func(ctx context.Context, h Harness) error {
			return errors.Join(
				scenario{begin: everyTree(), pageSize: 1000}.run(ctx, h, resumeSteps()),
				scenario{begin: forest(), pageSize: 2}.run(ctx, h, forestSteps()),
			)
		},
	}, {
		"Cancel/AnswersOfTheWork", "Acknowledge, CheckIn and Force do the same on every store, and fail in the same way.",
		func(ctx context.Context, h Harness) error {
			return scenario{begin: workingTree(), pageSize: 1000}.run(ctx, h, answerSteps())
		},
	}, {
		"Cancel/EveryWriteFollowsTheRules", "Terminal is final, changes follow the rules, a parent ends last, no child escapes: after every single write.",
		func(ctx context.Context, h Harness) error {
			return h.with(ctx, workingTree(), func(repo cancel.Repository) error {
				w := &watched{Repository: repo}
				now := moment
				c := cancel.New(w, &cancel.Options{PageSize: 2, Now: func() time.Time { return now }})
				for _, step := range answerSteps() {
					now = now.Add(step.after)
					_, _ = step.do(ctx, c, nil) // what it answers is another check's
					snap, err := TakeSnapshot(ctx, repo)
					if err != nil {
						return err
					}
					if err := errors.Join(w.err, CheckCancelled(snap, 1), CheckQuiet(snap)); err != nil {
						return fmt.Errorf("%s: %w\n%v", step.name, err, snap)
					}
				}
				return nil
			})
		},
	}, {
		"Cancel/SixteenAtOnce", "Of sixteen who cancel one tree at once each gets a definite answer, and the tree comes to where one alone would have brought it.",
		func(ctx context.Context, h Harness) error {
			err := sixteenAtOnce(ctx, h, func(repo cancel.Repository) cancel.Repository { return repo })
			if errPlain := sixteenAtOnce(ctx, h, Plain); err == nil && errPlain != nil {
				return fmt.Errorf("without capabilities: %w", errPlain)
			}
			return err
		},
	}, {
		"Cancel/LastAnswersAtOnce", "Of two children that end last at the same time, at least one sees that nothing is live any more, and ends the parent.",
		lastAnswersAtOnce,
	},
}

// without runs scenarios on a view that has no capabilities.
func without(ctx context.Context, h Harness, view func(cancel.Repository) cancel.Repository) error {
	s := scenario{begin: everyTree(), pageSize: 100, view: view, needs: true}
	if err := s.run(ctx, h, []step{stepCancel(1)}); err != nil {
		return err
	}
	return s.run(ctx, h, resumeSteps())
}

// A declining repository declines every capability.
type declining struct{ cancel.Repository }

var errDeclined = fmt.Errorf("declined: %w", errors.ErrUnsupported)

func (declining) CancelChildren(context.Context, cancel.ChildCancel) (cancel.ChildPage, error) {
	return cancel.ChildPage{}, errDeclined
}

func (declining) ListCancelling(context.Context, lifecycle.ID, int) ([]cancel.CancellingRequest, error) {
	return nil, errDeclined
}

func (declining) Cause(context.Context, lifecycle.ID) (cancel.Cause, error) {
	return cancel.Cause{}, errDeclined
}

// A watched repository checks the rules after every Apply.
type watched struct {
	cancel.Repository
	err error
}

func (w *watched) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	before, err := TakeSnapshot(ctx, w.Repository)
	if err != nil {
		return nil, err
	}
	ok, err := w.Repository.Apply(ctx, changes)
	if err != nil {
		return ok, err
	}
	after, err := TakeSnapshot(ctx, w.Repository)
	if err != nil {
		return nil, err
	}
	if err := CheckStep(before, after); err != nil && w.err == nil {
		w.err = fmt.Errorf("%w\nbefore:\n%vafter:\n%v", err, before, after)
	}
	return ok, nil
}

// everyTree returns a tree with requests of every kind in every state, and children
// in many states below those that can have any.
func everyTree() []lifecycle.Request {
	var all []lifecycle.Request
	add := func(parent lifecycle.ID, k lifecycle.Kind, s, outcome lifecycle.State) lifecycle.ID {
		id := lifecycle.ID(1)
		if n := len(all); n > 0 {
			id = lifecycle.ID(2 + n*379%1009) // in no order
		}
		r := lifecycle.Request{ID: id, Parent: parent, Kind: k, State: s, Outcome: outcome}
		if s == lifecycle.StateCancelling {
			r.CheckedIn = moment.Add(-time.Duration(id) * time.Second)
		}
		all = append(all, r)
		return id
	}
	kids := func(parent lifecycle.ID, states ...lifecycle.State) {
		for _, s := range states {
			add(parent, lifecycle.KindChild, s, 0)
		}
	}
	root := add(0, lifecycle.KindParent, lifecycle.StateRunning, 0)
	for k := range lifecycle.Kinds() {
		for s := range lifecycle.States() {
			switch {
			case !k.HasChildren():
				add(root, k, s, 0)
			case lifecycle.Terminal.Has(s):
				kids(add(root, k, s, 0), lifecycle.StateSucceeded)
			case s == lifecycle.StateCancelling:
				var outcomes []lifecycle.State
				if k.RunsWork() {
					outcomes = []lifecycle.State{0, lifecycle.StateWarning}
				} else {
					outcomes = []lifecycle.State{lifecycle.StateCancelled}
				}
				for _, o := range outcomes {
					kids(add(root, k, s, o), lifecycle.StateSucceeded, lifecycle.StateError)
					kids(add(root, k, s, o), lifecycle.StateWait, lifecycle.StateCancelled)
					kids(add(root, k, s, o), lifecycle.StateCancelling)
				}
			default:
				kids(add(root, k, s, 0), lifecycle.StateBlocked, lifecycle.StateFinished)
				if s == lifecycle.StateRunning || s == lifecycle.StatePaused {
					kids(add(root, k, s, 0), lifecycle.StateRunning, lifecycle.StateCompleted)
					add(root, k, s, 0)
				}
			}
		}
	}
	for parent, depth := root, 0; depth < 5; depth++ {
		parent = add(parent, lifecycle.KindParent, lifecycle.StateHold, 0)
		kids(parent, lifecycle.StateReady)
	}
	return all
}

// workingTree returns a small tree whose work runs.
func workingTree() []lifecycle.Request {
	return []lifecycle.Request{
		request(1, 0, lifecycle.KindParent, lifecycle.StateRunning),
		request(2, 1, lifecycle.KindSubrequestParent, lifecycle.StateRunning),
		request(3, 2, lifecycle.KindChild, lifecycle.StateRunning),
		request(4, 2, lifecycle.KindChild, lifecycle.StateWait),
		request(5, 1, lifecycle.KindChild, lifecycle.StateRunning),
		request(6, 1, lifecycle.KindChild, lifecycle.StateCompleted),
		request(7, 0, lifecycle.KindSingleton, lifecycle.StateRunning),
		request(8, 0, lifecycle.KindSingleton, lifecycle.StateHold),
	}
}

// A step is one call of a Canceller.
type step struct {
	name  string
	after time.Duration // by which the clock is moved before
	do    func(ctx context.Context, c *cancel.Canceller, receipt func(cancel.Receipt)) (cancel.Result, error)
}

func order(id lifecycle.ID, receipt func(cancel.Receipt)) cancel.Order {
	return cancel.Order{ID: id, Actor: "ann", Reason: "wrong ledger", Receipt: receipt}
}

func stepCancel(id lifecycle.ID) step {
	return step{fmt.Sprintf("Cancel(%d)", id), time.Second, func(ctx context.Context, c *cancel.Canceller, receipt func(cancel.Receipt)) (cancel.Result, error) {
		return c.Cancel(ctx, order(id, receipt))
	}}
}

func stepBegin(id lifecycle.ID) step {
	return step{fmt.Sprintf("Fence(%d)", id), time.Second, func(ctx context.Context, c *cancel.Canceller, receipt func(cancel.Receipt)) (cancel.Result, error) {
		return c.Fence(ctx, order(id, receipt))
	}}
}

func stepResume() step {
	return step{"Resume()", time.Second, func(ctx context.Context, c *cancel.Canceller, receipt func(cancel.Receipt)) (cancel.Result, error) {
		return c.Resume(ctx, &cancel.ResumeOptions{Receipt: receipt})
	}}
}

func stepAcknowledge(id lifecycle.ID, outcome lifecycle.State) step {
	return step{fmt.Sprintf("Acknowledge(%d, %v)", id, outcome), time.Second, func(ctx context.Context, c *cancel.Canceller, receipt func(cancel.Receipt)) (cancel.Result, error) {
		return c.Acknowledge(ctx, order(id, receipt), outcome)
	}}
}

func stepCheckIn(id lifecycle.ID) step {
	return step{fmt.Sprintf("CheckIn(%d)", id), time.Second, func(ctx context.Context, c *cancel.Canceller, _ func(cancel.Receipt)) (cancel.Result, error) {
		_, err := c.CheckIn(ctx, cancel.Order{ID: id})
		return cancel.Result{}, err
	}}
}

func stepForce(id lifecycle.ID, after time.Duration) step {
	return step{fmt.Sprintf("Force(%d), %v later", id, after), after, func(ctx context.Context, c *cancel.Canceller, receipt func(cancel.Receipt)) (cancel.Result, error) {
		return c.Force(ctx, order(id, receipt))
	}}
}

func resumeSteps() []step {
	return []step{stepBegin(1), stepResume(), stepResume()}
}

// forest returns some trees.
func forest() []lifecycle.Request {
	var all []lifecycle.Request
	for id := lifecycle.ID(10); id < 20; id++ {
		all = append(all,
			request(id, 0, lifecycle.KindParent, lifecycle.StateRunning),
			request(id+10, id, lifecycle.KindChild, lifecycle.StateWait),
			request(id+20, id, lifecycle.KindChild, lifecycle.StateRunning+lifecycle.State(id%2)),
		)
	}
	return all
}

// forestSteps cancel all but one of them.
func forestSteps() []step {
	var steps []step
	for id := lifecycle.ID(11); id < 20; id++ {
		steps = append(steps, stepBegin(id))
	}
	return append(steps, stepResume(), stepResume())
}

func answerSteps() []step {
	return []step{
		stepCancel(1),
		stepCheckIn(5),
		stepAcknowledge(2, lifecycle.StateSucceeded), // kept until 3 has ended
		stepAcknowledge(2, lifecycle.StateError),     // too late to say otherwise
		stepAcknowledge(3, lifecycle.StateError),
		stepForce(5, 30*time.Minute-5*time.Second), // too early, for it has checked in
		stepForce(5, 4*time.Second),
		stepForce(1, time.Hour), // a container
		stepAcknowledge(6, lifecycle.StateCancelled),
		stepAcknowledge(6, lifecycle.StateCancelled),
		stepCancel(1), // has ended
		stepCancel(7),
		stepCheckIn(7),
		stepAcknowledge(7, lifecycle.StateWarning),
		stepCancel(8),
		stepCheckIn(8),
		stepCancel(99), // is not there
	}
}

// A scenario is run on two stores, with the same outcome.
type scenario struct {
	begin    []lifecycle.Request
	pageSize int
	receipts bool
	view     func(cancel.Repository) cancel.Repository // how package cancel sees the stores; nil is as they are
	needs    bool                                      // makes sense only for a store with capabilities
}

// run does the steps on a repository of h and on package memrepo.
func (s scenario) run(ctx context.Context, h Harness, steps []step) error {
	return h.with(ctx, s.begin, func(repo cancel.Repository) error {
		if s.needs && !hasCapabilities(repo) {
			return fmt.Errorf("%w: the repository has no capability", errLacks)
		}
		var mem memrepo.Repo
		if err := mem.Insert(s.begin...); err != nil {
			return err
		}
		got, want := s.runner(repo, s.pageSize), s.runner(&mem, 1000)
		for i, step := range steps {
			g, w := got.do(ctx, step), want.do(ctx, step)
			if err := sameOutcome(ctx, repo, &mem, g, w); err != nil {
				var before strings.Builder
				for _, step := range steps[:i] {
					before.WriteString(step.name + ", ")
				}
				return fmt.Errorf("%v%s with pages of %d: %w", &before, step.name, s.pageSize, err)
			}
		}
		var errs []error
		for _, r := range s.begin {
			cause, err := mem.Cause(ctx, r.ID)
			errs = append(errs, err, wantCause(ctx, repo, r.ID, cause))
		}
		return show.Errors(errs)
	})
}

func hasCapabilities(repo cancel.Repository) bool {
	switch repo.(type) {
	case cancel.ChildCanceller, cancel.CancellingLister, cancel.CauseReader:
		return true
	}
	return false
}

// A runner does steps on one store.
type runner struct {
	now      time.Time
	c        *cancel.Canceller
	receipts bool
	told     []lifecycle.ID
}

func (s scenario) runner(repo cancel.Repository, pageSize int) *runner {
	if s.view != nil {
		repo = s.view(repo)
	}
	t := &runner{now: moment, receipts: s.receipts}
	t.c = cancel.New(repo, &cancel.Options{
		PageSize: pageSize,
		Now:      func() time.Time { return t.now },
		Interrupter: cancel.InterrupterFunc(func(_ context.Context, ids []lifecycle.ID, _ cancel.Cause) error {
			t.told = append(t.told, ids...)
			return nil
		}),
	})
	return t
}

// A outcome is what a step answered.
type outcome struct {
	result   cancel.Result
	err      error
	told     []lifecycle.ID
	receipts map[lifecycle.ID]cancel.Receipt
}

func (r *runner) do(ctx context.Context, s step) outcome {
	r.now = r.now.Add(s.after)
	r.told = nil
	got := outcome{receipts: map[lifecycle.ID]cancel.Receipt{}}
	var receipt func(cancel.Receipt)
	if r.receipts {
		receipt = func(rec cancel.Receipt) { got.receipts[rec.ID] = rec }
	}
	got.result, got.err = s.do(ctx, r.c, receipt)
	slices.Sort(r.told)
	got.told = r.told
	return got
}

// sameOutcome compares what a step answered, and what there is then.
func sameOutcome(ctx context.Context, repo cancel.Repository, mem *memrepo.Repo, got, want outcome) error {
	if g, w := esserrors.CodeOf(got.err), esserrors.CodeOf(want.err); g != w {
		return fmt.Errorf("the error is %v, want %v", got.err, want.err)
	}
	if got.result.Counts != want.result.Counts {
		return fmt.Errorf("the result counts %v, want %v", got.result.Counts, want.result.Counts)
	}
	if g, w := got.result.Root, want.result.Root; g.String() != w.String() {
		return fmt.Errorf("the receipt of the root is %q, want %q", g, w)
	}
	if !slices.Equal(got.told, want.told) {
		return fmt.Errorf("interrupted was the work of %v, want %v", got.told, want.told)
	}
	for id, w := range want.receipts {
		if g, ok := got.receipts[id]; !ok || g.String() != w.String() {
			return fmt.Errorf("the receipt of request %d is %q, want %q", id, g, w)
		}
	}
	snap, err := TakeSnapshot(ctx, repo)
	if err != nil {
		return err
	}
	return diff(snap, snapshotOf(slices.Collect(mem.All())))
}

func sixteenAtOnce(ctx context.Context, h Harness, view func(cancel.Repository) cancel.Repository) error {
	const callers = 16
	all := workingTree()
	for id := lifecycle.ID(100); id < 140; id++ {
		r := request(id, 2-id%2, lifecycle.KindChild, lifecycle.StateWait)
		if id%5 == 0 {
			r.State = lifecycle.StateRunning
		}
		all = append(all, r)
	}
	options := &cancel.Options{PageSize: 7, Now: func() time.Time { return moment }}
	var mem memrepo.Repo
	if err := mem.Insert(all...); err != nil {
		return err
	}
	if _, err := cancel.New(&mem, options).Cancel(ctx, order(1, nil)); err != nil {
		return err
	}
	return h.with(ctx, all, func(repo cancel.Repository) error {
		err := together(ctx, callers, func(i int) error {
			id := lifecycle.ID(1 + i%8/7) // one in eight cancels an inner node
			result, err := cancel.New(view(repo), options).Cancel(ctx, order(id, nil))
			if err != nil {
				return fmt.Errorf("one of %d who cancelled one tree at once got the error %w", callers, err)
			}
			if result.Root.To != lifecycle.StateCancelling {
				return fmt.Errorf("one of %d who cancelled one tree at once was told that request %d became %v, want CANCELLING", callers, id, result.Root.To)
			}
			return nil
		})
		if err != nil {
			return err
		}
		snap, err := TakeSnapshot(ctx, repo)
		if err != nil {
			return err
		}
		return errors.Join(CheckCancelled(snap, 1), CheckQuiet(snap), diff(snap, snapshotOf(slices.Collect(mem.All()))))
	})
}

func lastAnswersAtOnce(ctx context.Context, h Harness) error {
	const trees = 12
	var all []lifecycle.Request
	for i := range lifecycle.ID(trees) {
		id := 10 * (i + 1)
		all = append(all,
			request(id, 0, lifecycle.KindParent, lifecycle.StateRunning),
			request(id+1, id, lifecycle.KindSubrequestParent, lifecycle.StateRunning),
			request(id+2, id+1, lifecycle.KindChild, lifecycle.StateRunning),
			request(id+3, id, lifecycle.KindChild, lifecycle.StateRunning),
		)
	}
	return h.with(ctx, all, func(repo cancel.Repository) error {
		c := cancel.New(repo, &cancel.Options{Now: func() time.Time { return moment }})
		for id := lifecycle.ID(10); id <= 10*trees; id += 10 {
			if _, err := c.Cancel(ctx, order(id, nil)); err != nil {
				return err
			}
			var mu sync.Mutex
			var said []string
			err := together(ctx, 3, func(i int) error {
				result, err := c.Acknowledge(ctx, order(id+1+lifecycle.ID(i), nil), lifecycle.StateSucceeded)
				mu.Lock()
				defer mu.Unlock()
				said = append(said, fmt.Sprintf("%v (%v)", result.Root, result.Counts))
				return err
			})
			if err != nil {
				return fmt.Errorf("the work of requests %d, %d and %d acknowledged at once: %w", id+1, id+2, id+3, err)
			}
			if err := errors.Join(
				wantState(ctx, repo, id, lifecycle.StateCancelled), wantState(ctx, repo, id+1, lifecycle.StateSucceeded),
				wantState(ctx, repo, id+2, lifecycle.StateSucceeded), wantState(ctx, repo, id+3, lifecycle.StateSucceeded),
			); err != nil {
				return fmt.Errorf("the work of requests %d, %d and %d acknowledged at once and was told %q: %w", id+1, id+2, id+3, said, err)
			}
		}
		snap, err := TakeSnapshot(ctx, repo)
		if err != nil {
			return err
		}
		return CheckQuiet(snap)
	})
}

func wantState(ctx context.Context, repo cancel.Repository, id lifecycle.ID, want lifecycle.State) error {
	r, err := repo.Get(ctx, id)
	if err != nil {
		return err
	}
	if r.State != want {
		return fmt.Errorf("there is %s, want %v", showRow(r), want)
	}
	return nil
}
