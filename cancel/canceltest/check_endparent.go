package canceltest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest/internal/rows"
	"example.com/ess/lifecycle"
)

var endParentChecks = []check{
	{
		"EndParent/MakesTheChange", "EndParent makes ch, and reports so, if the request is as ch.Old says and no child of it is live.",
		onCapable(Harness.endings, func(ctx context.Context, h Harness, repo cancel.ParentEnder, all []lifecycle.Request) error {
			for _, i := range []int{0, 1} {
				if err := wantEnd(ctx, repo, h.failed(all[i]), true); err != nil {
					return err
				}
				all[i] = h.failed(all[i]).New()
			}
			return wantAll(ctx, repo, all)
		}),
	}, {
		"EndParent/NotOverALiveChild", "EndParent leaves a request alone of which a child is live, whatever its state.",
		func(ctx context.Context, h Harness) error {
			for s := range lifecycle.Live.All() {
				all := h.endings()
				parent, kid := all[1], h.request(99, all[1].ID, lifecycle.KindChild, s)
				all = append(all, kid)
				err := capable(ctx, h, all, func(repo cancel.ParentEnder) error {
					if err := wantEnd(ctx, repo, h.failed(parent), false); err != nil {
						return fmt.Errorf("there is %s: %w", showRow(kid), err)
					}
					return wantAll(ctx, repo, all)
				})
				if err != nil {
					return err
				}
			}
			return nil
		},
	}, {
		"EndParent/ComparesOld", "EndParent leaves a request alone that is not as ch.Old says, or gone, and that is no error.",
		onCapable(Harness.endings, func(ctx context.Context, h Harness, repo cancel.ParentEnder, all []lifecycle.Request) error {
			fenced, gone := cancelling(all[0], moment), all[0]
			gone.ID = 777
			var errs []error
			for _, old := range []lifecycle.Request{fenced, gone} {
				errs = append(errs, wantEnd(ctx, repo, h.failed(old), false))
			}
			return errors.Join(append(errs, wantAll(ctx, repo, all))...)
		}),
	}, {
		"EndParent/BesideSubmissions", "No child is admitted between the look of EndParent and its write.",
		func(ctx context.Context, h Harness) error {
			return capable(ctx, h, nil, func(cancel.ParentEnder) error {
				return submissions(ctx, h, func(ctx context.Context, repo cancel.Repository, parent lifecycle.Request) (ended bool, err error) {
					return repo.(cancel.ParentEnder).EndParent(ctx, h.failed(parent))
				})
			})
		},
	}, {
		"EndParent/ContextDone", contextDone,
		func(ctx context.Context, h Harness) error {
			return capable(ctx, h, nil, func(cancel.ParentEnder) error {
				return whenDone(ctx, h, func(ctx context.Context, repo cancel.Repository) error {
					_, err := repo.(cancel.ParentEnder).EndParent(ctx, h.failed(h.families()[0]))
					return err
				})
			})
		},
	},
}

// endings returns two parents, of which one has a child that has ended.
func (h Harness) endings() []lifecycle.Request {
	return []lifecycle.Request{
		h.request(1, 0, lifecycle.KindParent, lifecycle.StateRunning),
		h.request(2, 0, lifecycle.KindSubrequestParent, lifecycle.StateRunning),
		h.request(3, 2, lifecycle.KindChild, lifecycle.StateSucceeded),
	}
}

// failed returns the change by which a scheduler ends a request that fails.
func (h Harness) failed(r lifecycle.Request) cancel.Change {
	return cancel.Change{
		Old: r, Trigger: lifecycle.TriggerFail, State: h.fit().State(lifecycle.StateError), CheckedIn: r.CheckedIn, Attempt: r.Attempt, Cause: why,
	}
}

func wantEnd(ctx context.Context, repo cancel.ParentEnder, ch cancel.Change, want bool) error {
	made, err := repo.EndParent(ctx, ch)
	if err == nil && made != want {
		err = fmt.Errorf("it reported %v, want %v", made, want)
	}
	if err != nil {
		return fmt.Errorf("EndParent of %s: %w", showRow(ch.Old), err)
	}
	return nil
}

// submissions has many submit children below a parent while it is ended, again and again,
// and checks that no child is live below one that has ended.
func submissions(ctx context.Context, h Harness, end func(ctx context.Context, repo cancel.Repository, parent lifecycle.Request) (ended bool, err error)) error {
	const submitters = 4
	var parents []lifecycle.Request
	for i := range lifecycle.ID(rounds) {
		parents = append(parents, h.request(1+i, 0, lifecycle.KindParent, lifecycle.StateRunning))
	}
	return h.with(ctx, parents, func(repo cancel.Repository) error {
		submit := rows.Submitter(h.Submit, repo)
		if submit == nil {
			return fmt.Errorf("%w: the repository has no method Submit, and Harness.Submit is nil", errLacks)
		}
		var pace pace
		for round, parent := range parents {
			var ended atomic.Bool
			err := together(ctx, 1+submitters, func(i int) error {
				if i == 0 {
					return pace.closes(round, func() error {
						ok, err := end(ctx, repo, parent)
						ended.Store(ok)
						return err
					})
				}
				if round == 0 {
					return nil // so that it does end once
				}
				id := 100*parent.ID + lifecycle.ID(i)
				return unlessRefused(pace.submits(round, func() error {
					return submit(ctx, h.request(id, parent.ID, lifecycle.KindChild, lifecycle.StateWait))
				}))
			})
			if err != nil {
				return err
			}
			live, err := repo.Children(ctx, cancel.ChildQuery{Parents: []lifecycle.ID{parent.ID}, States: lifecycle.Live, Limit: 1})
			if err != nil {
				return err
			}
			if late := h.request(100*parent.ID, parent.ID, lifecycle.KindChild, lifecycle.StateWait); ended.Load() && submit(ctx, late) == nil {
				return fmt.Errorf("%s was submitted after its parent had ended, and was not refused", showRow(late))
			}
			if ended.Load() && len(live) > 0 {
				return fmt.Errorf("%s was submitted while its parent was ended, both succeeded, and it is live below it", showRow(live[0]))
			}
		}
		return nil
	})
}
