package canceltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest/internal/rows"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// These checks are of the scheduler's own statement that inserts a request.
var submitChecks = []check{
	{
		"Submit/OnlyIfTheParentAdmits", "A child is inserted if its parent admits one, and is otherwise refused with an error that has CodeUnsupportedState.",
		func(ctx context.Context, h Harness) error {
			all := h.everyRequest()
			return submitting(ctx, h, all, func(repo cancel.Repository, submit submitter) error {
				for i, parent := range slices.Clone(all) {
					kid := h.request(lifecycle.ID(1000+i), parent.ID, lifecycle.KindChild, lifecycle.StateWait)
					err := submit(ctx, kid)
					switch admits := lifecycle.AdmitsChildren(parent.Kind, parent.State); {
					case admits && err != nil:
						return fmt.Errorf("a child of %s was refused: %w", showRow(parent), err)
					case admits:
						all = append(all, kid)
					case !errors.Is(err, esserrors.CodeUnsupportedState):
						return fmt.Errorf("a child of %s: the error is %v, want one with CodeUnsupportedState", showRow(parent), err)
					}
				}
				return wantAll(ctx, repo, all)
			})
		},
	}, {
		"Submit/UnknownParent", "A child of a parent that is not there is refused with an error that has CodeNotFound; a request without a parent is inserted.",
		func(ctx context.Context, h Harness) error {
			all := h.families()
			return submitting(ctx, h, all, func(repo cancel.Repository, submit submitter) error {
				err := submit(ctx, h.request(1000, 999, lifecycle.KindChild, lifecycle.StateWait))
				if !errors.Is(err, esserrors.CodeNotFound) {
					return fmt.Errorf("a child of a parent that is not there: the error is %v, want one with CodeNotFound", err)
				}
				top := h.request(1001, 0, lifecycle.KindSingleton, lifecycle.StateWait)
				if err := submit(ctx, top); err != nil {
					return fmt.Errorf("a request without a parent was refused: %w", err)
				}
				return wantAll(ctx, repo, append(all, top))
			})
		},
	}, {
		"Submit/BesideAFence", "Once the write that makes a parent CANCELLING has returned, every child that was admitted is seen, and none is admitted any more: many submit at the same time.",
		besideAFence,
	}, {
		"Submit/BesideAnEnd", "A parent that completes and then ends, if no child is live, leaves none live below it: many submit at the same time.",
		func(ctx context.Context, h Harness) error {
			return submissions(ctx, h, func(ctx context.Context, repo cancel.Repository, parent lifecycle.Request) (ended bool, err error) {
				done := cancel.Change{Old: parent, Trigger: lifecycle.TriggerComplete, State: lifecycle.StateCompleted, Cause: why}
				if !h.fit().Has(done.State) {
					return false, fmt.Errorf("%w: the store has no state COMPLETED", errLacks)
				}
				if err := made(ctx, repo, done); err != nil {
					return false, err
				}
				live, err := repo.Children(ctx, cancel.ChildQuery{Parents: []lifecycle.ID{parent.ID}, States: lifecycle.Live, Limit: 1})
				if err != nil || len(live) > 0 {
					return false, err
				}
				end := cancel.Change{Old: done.New(), Trigger: lifecycle.TriggerSucceed, State: h.fit().State(lifecycle.StateSucceeded), Cause: why}
				return true, made(ctx, repo, end)
			})
		},
	},
}

type submitter = func(ctx context.Context, r lifecycle.Request) error

// submitting is with for these checks.
func submitting(ctx context.Context, h Harness, all []lifecycle.Request, f func(repo cancel.Repository, submit submitter) error) error {
	return h.with(ctx, all, func(repo cancel.Repository) error {
		submit := rows.Submitter(h.Submit, repo)
		if submit == nil {
			return fmt.Errorf("%w: the repository has no method Submit, and Harness.Submit is nil", errLacks)
		}
		return f(repo, submit)
	})
}

// unlessRefused returns err, or nil if a submission was refused because of its parent.
func unlessRefused(err error) error {
	if errors.Is(err, esserrors.CodeUnsupportedState) {
		return nil
	}
	return err
}

// rounds is how often many submit below a parent beside what closes it.
const rounds = 12

// A pace spreads submissions and what closes their parent, from round to round, over the
// time that the slower of them takes: in the first rounds the submissions come later.
type pace struct{ took atomic.Int64 }

// closes calls f, which closes the parent.
func (p *pace) closes(round int, f func() error) error { return p.after(round, f) }

// submits calls f, which submits.
func (p *pace) submits(round int, f func() error) error { return p.after(rounds-round, f) }

func (p *pace) after(part int, f func() error) error {
	time.Sleep(time.Duration(p.took.Load()) * time.Duration(part) / rounds)
	begin := time.Now()
	defer func() { p.took.Store(max(p.took.Load(), int64(time.Since(begin)))) }()
	return f()
}

func besideAFence(ctx context.Context, h Harness) error {
	const submitters, each = 4, 3
	var parents []lifecycle.Request
	for i := range lifecycle.ID(rounds) {
		parents = append(parents, h.request(1+i, 0, lifecycle.KindParent, lifecycle.StateRunning))
	}
	return submitting(ctx, h, parents, func(repo cancel.Repository, submit submitter) error {
		var pace pace
		for round, parent := range parents {
			var mu sync.Mutex
			var admitted []lifecycle.ID
			var seen []lifecycle.Request
			err := together(ctx, 1+submitters, func(i int) error {
				if i == 0 {
					err := pace.closes(round, func() error { return made(ctx, repo, toCancelling(parent, moment)) })
					if err != nil {
						return err
					}
					for r, err := range cancel.Children(ctx, repo, cancel.ChildQuery{Parents: []lifecycle.ID{parent.ID}, States: lifecycle.Live}) {
						if err != nil {
							return err
						}
						seen = append(seen, r)
					}
					return nil
				}
				for n := range each {
					kid := h.request(1000*parent.ID+lifecycle.ID(10*i+n), parent.ID, lifecycle.KindChild, lifecycle.StateWait)
					if err := pace.submits(round, func() error { return submit(ctx, kid) }); err != nil {
						return unlessRefused(err)
					}
					mu.Lock()
					admitted = append(admitted, kid.ID)
					mu.Unlock()
				}
				return nil
			})
			if err != nil {
				return err
			}
			for _, id := range admitted {
				if !slices.ContainsFunc(seen, func(r lifecycle.Request) bool { return r.ID == id }) {
					return fmt.Errorf("child %d was admitted below request %d, and who made that CANCELLING and then read its children has not seen it: it escapes the cancel", id, parent.ID)
				}
			}
		}
		return nil
	})
}
