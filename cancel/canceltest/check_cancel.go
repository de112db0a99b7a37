package canceltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"example.com/ess/cancel"
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
				s.begin = h.everyTree()
				if err := s.run(ctx, h, []step{stepCancel(1)}); err != nil {
					return err
				}
			}
			return nil
		},
	}, {
		"Cancel/Again", "A second cancel succeeds and changes nothing that is done.",
		func(ctx context.Context, h Harness) error {
			return scenario{begin: h.everyTree(), pageSize: 1000}.run(ctx, h, []step{stepCancel(1), stepCancel(1)})
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
				scenario{begin: h.everyTree(), pageSize: 1000}.run(ctx, h, resumeSteps()),
				scenario{begin: h.forest(), pageSize: 2}.run(ctx, h, forestSteps()),
			)
		},
	}, {
		"Cancel/AnswersOfTheWork", "Acknowledge, CheckIn and Force do the same on every store, and fail in the same way.",
		func(ctx context.Context, h Harness) error {
			return scenario{begin: h.workingTree(), pageSize: 1000}.run(ctx, h, h.answerSteps())
		},
	}, {
		"Cancel/EveryWriteFollowsTheRules", "Terminal is final, changes follow the rules, a parent ends last, no child escapes: after every single write.",
		onStore(Harness.workingTree, func(ctx context.Context, h Harness, repo cancel.Repository, _ []lifecycle.Request) error {
			w := &watched{Repository: repo}
			now := moment
			c := cancel.New(w, &cancel.Options{PageSize: 2, Now: func() time.Time { return now }})
			for _, step := range h.answerSteps() {
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
		}),
	}, {
		"Cancel/AnyText", "A cancel takes place whatever bytes its actor and reason have; what is kept of them is what MaxActor and MaxReason say.",
		func(ctx context.Context, h Harness) error {
			texts := []string{"NUL \x00 in it", "not UTF-8: \xff\xfe\xc3", "line\r\nbreak\ttab\x1b[31m", strings.Repeat("1 MiB é ", 1<<17), "half \xe2\x82"}
			var all []lifecycle.Request
			for i := range texts {
				all = append(all, h.request(lifecycle.ID(i+1), 0, lifecycle.KindSingleton, lifecycle.StateWait))
			}
			var mem memrepo.Repo
			if err := mem.Insert(all...); err != nil {
				return err
			}
			return h.with(ctx, all, func(repo cancel.Repository) error {
				for i, text := range texts {
					o := cancel.Order{ID: all[i].ID, Actor: text, Reason: text}
					options := &cancel.Options{Now: func() time.Time { return moment }}
					if _, err := cancel.New(repo, options).Cancel(ctx, o); err != nil {
						return fmt.Errorf("the cancel by %.20q (%d bytes): %w", text, len(text), err)
					}
					_, err := cancel.New(&mem, options).Cancel(ctx, o)
					cause, err2 := mem.Cause(ctx, o.ID)
					for _, kept := range []string{cause.Actor, cause.Reason} {
						if !utf8.ValidString(kept) || strings.ContainsFunc(kept, unicode.IsControl) || len(kept) > cancel.MaxReason || len(cause.Actor) > cancel.MaxActor {
							return fmt.Errorf("the store was given %.50q (%d bytes)", kept, len(kept))
						}
					}
					if err := errors.Join(err, err2, wantState(ctx, repo, o.ID, lifecycle.StateCancelled), wantCause(ctx, repo, o.ID, cause)); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}, {
		"Cancel/DeletedMeanwhile", "Requests that are deleted as soon as they have ended, in the middle of a cancel, have ended: no error, and all others are cancelled.",
		deletedMeanwhile,
	}, {
		"Cancel/WhileTheyChangeState", "A request that changes its state while it is cancelled, and stays live, does not escape.",
		func(ctx context.Context, h Harness) error {
			for _, view := range views {
				err := whileTheyChange(ctx, h, func(ctx context.Context, repo cancel.Repository) error {
					_, err := cancel.New(view(repo), &cancel.Options{PageSize: 7, MaxAttempts: 400}).Cancel(ctx, order(1, nil))
					return err
				})
				if err != nil {
					return err
				}
			}
			return nil
		},
	}, {
		"Cancel/SixteenAtOnce", "Of sixteen who cancel one tree at once each gets a definite answer, and the tree comes to where one alone would have brought it.",
		func(ctx context.Context, h Harness) error {
			for _, view := range views {
				if err := sixteenAtOnce(ctx, h, view); err != nil {
					return err
				}
			}
			return nil
		},
	}, {
		"Cancel/LastAnswersAtOnce", "Of two children that end last at the same time, at least one sees that nothing is live any more, and ends the parent.",
		lastAnswersAtOnce,
	},
}

// views are how package cancel sees a store.
var views = []func(cancel.Repository) cancel.Repository{func(repo cancel.Repository) cancel.Repository { return repo }, ByLevel, Plain}

// without runs scenarios on a view that has no capabilities.
func without(ctx context.Context, h Harness, view func(cancel.Repository) cancel.Repository) error {
	s := scenario{begin: h.everyTree(), pageSize: 100, view: view, needs: true}
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

func (declining) CancelTree(context.Context, cancel.TreeCancel) (cancel.TreePage, error) {
	return cancel.TreePage{}, errDeclined
}

func (declining) Settle(context.Context, cancel.Settlement) ([]cancel.Change, error) {
	return nil, errDeclined
}

func (declining) EndParent(context.Context, cancel.Change) (bool, error) { return false, errDeclined }

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
	all := h.workingTree()
	for id := lifecycle.ID(100); id < 140; id++ {
		r := h.request(id, 2-id%2, lifecycle.KindChild, lifecycle.StateWait)
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
			h.request(id, 0, lifecycle.KindParent, lifecycle.StateRunning),
			h.request(id+1, id, lifecycle.KindSubrequestParent, lifecycle.StateRunning),
			h.request(id+2, id+1, lifecycle.KindChild, lifecycle.StateRunning),
			h.request(id+3, id, lifecycle.KindChild, lifecycle.StateRunning),
		)
	}
	ended := h.fit().Outcome(lifecycle.StateSucceeded)
	var work []lifecycle.ID // of the first tree, less 10
	for i, r := range all[:4] {
		if r.Kind.RunsWork() {
			work = append(work, lifecycle.ID(i))
		}
	}
	return h.with(ctx, all, func(repo cancel.Repository) error {
		c := cancel.New(repo, &cancel.Options{Now: func() time.Time { return moment }})
		for id := lifecycle.ID(10); id <= 10*trees; id += 10 {
			if _, err := c.Cancel(ctx, order(id, nil)); err != nil {
				return err
			}
			var mu sync.Mutex
			var said []string
			err := together(ctx, len(work), func(i int) error {
				result, err := c.Acknowledge(ctx, order(id+work[i], nil), ended)
				mu.Lock()
				defer mu.Unlock()
				said = append(said, fmt.Sprintf("%v (%v)", result.Root, result.Counts))
				return err
			})
			for i := range lifecycle.ID(4) {
				want := lifecycle.StateCancelled
				if slices.Contains(work, i) {
					want = ended
				}
				err = errors.Join(err, wantState(ctx, repo, id+i, want))
			}
			if err != nil {
				return fmt.Errorf("the work of request %d and of those below it acknowledged at once and was told %q: %w", id, said, err)
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

// A deleter deletes every request that it has ended.
type deleter struct {
	cancel.Repository
	delete func(ctx context.Context, ids []lifecycle.ID) error
}

func (d deleter) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	made, err := d.Repository.Apply(ctx, changes)
	if err != nil {
		return nil, err
	}
	var ended []lifecycle.ID
	for i, ok := range made {
		if ok && lifecycle.Terminal.Has(changes[i].State) {
			ended = append(ended, changes[i].Old.ID)
		}
	}
	if len(ended) == 0 {
		return made, nil
	}
	return made, d.delete(ctx, ended)
}

func deletedMeanwhile(ctx context.Context, h Harness) error {
	if h.Delete == nil {
		return fmt.Errorf("%w: Harness.Delete is nil", errLacks)
	}
	all := h.workingTree()
	return h.with(ctx, all, func(repo cancel.Repository) error {
		d := deleter{repo, func(ctx context.Context, ids []lifecycle.ID) error { return h.Delete(ctx, repo, ids) }}
		c := cancel.New(d, &cancel.Options{PageSize: 2})
		if _, err := c.Cancel(ctx, order(1, nil)); err != nil {
			return err
		}
		for _, r := range all[:6] {
			if !r.Kind.RunsWork() {
				continue
			}
			_, err := c.Acknowledge(ctx, order(r.ID, nil), lifecycle.StateCancelled)
			if err != nil && !errors.Is(err, esserrors.CodeNotFound) {
				return err
			}
		}
		if _, err := c.Resume(ctx, nil); err != nil {
			return fmt.Errorf("resume: %w", err)
		}
		snap, err := TakeSnapshot(ctx, repo)
		if err != nil {
			return err
		}
		if left := append(snap.Below(1), snap[1]); left[0].ID != 0 {
			return fmt.Errorf("when all had ended, and what had ended was deleted, there is still %s", showRow(left[0]))
		}
		return nil
	})
}
