package canceltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
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
