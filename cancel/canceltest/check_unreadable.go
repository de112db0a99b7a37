package canceltest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// These checks make rows unreadable: a newer version of the module may have written them.
var unreadableChecks = []check{
	{
		"Unreadable/Get", "Get returns a row whose kind, state or outcome cannot be read, with its ID and Parent and with State 0, and no error.",
		func(ctx context.Context, h Harness) error {
			return spoiling(ctx, h, h.spoilt(), func(repo cancel.Repository, odd []lifecycle.ID) error {
				for _, id := range odd {
					r, err := repo.Get(ctx, id)
					if err != nil || r.ID != id || r.Parent != 1 || r.State != 0 {
						return fmt.Errorf("Get(%d), which cannot be read, returned request %d of parent %d in state %v and the error %w, want parent 1 and state 0", id, r.ID, r.Parent, r.State, err)
					}
				}
				return nil
			})
		},
	}, {
		"Unreadable/Children", "Children returns rows that cannot be read, whatever q.States says, in their places, with their ID and Parent and with State 0; and all others.",
		func(ctx context.Context, h Harness) error {
			all := h.spoilt()
			return spoiling(ctx, h, all, func(repo cancel.Repository, odd []lifecycle.ID) error {
				for _, states := range []lifecycle.StateSet{lifecycle.Live, lifecycle.Terminal, anyState, lifecycle.SetOf(lifecycle.StateCancelling)} {
					q := cancel.ChildQuery{Parents: []lifecycle.ID{1}, States: states, Limit: 2}
					var want, got []lifecycle.ID
					for _, r := range all {
						if r.Parent == 1 && (states.Has(r.State) || slices.Contains(odd, r.ID)) {
							want = append(want, r.ID)
						}
					}
					slices.Sort(want)
					for {
						page, err := repo.Children(ctx, q)
						if err != nil {
							return fmt.Errorf("%s returned the error %w", showQuery(q), err)
						}
						if len(page) == 0 {
							break
						}
						for _, r := range page {
							if got = append(got, r.ID); slices.Contains(odd, r.ID) != (r.State == 0) {
								return fmt.Errorf("%s returned request %d with state %v", showQuery(q), r.ID, r.State)
							}
						}
						q.After = position(page[len(page)-1])
					}
					if !slices.Equal(got, want) {
						return fmt.Errorf("%s returned in its pages requests %v, want %v, of which %v cannot be read", showQuery(q), got, want, odd)
					}
				}
				return nil
			})
		},
	}, {
		"Unreadable/ListCancelling", "ListCancelling returns a row in CANCELLING whose kind or outcome cannot be read, with State 0, and all others.",
		func(ctx context.Context, h Harness) error {
			return spoiling(ctx, h, h.spoilt(), func(repo cancel.Repository, _ []lifecycle.ID) error {
				lister, ok := repo.(cancel.CancellingLister)
				if !ok {
					return fmt.Errorf("%w: the repository is no cancel.CancellingLister", errLacks)
				}
				var got []string
				for after := lifecycle.ID(0); ; {
					list, err := lister.ListCancelling(ctx, after, 2)
					switch {
					case errors.Is(err, errors.ErrUnsupported):
						return fmt.Errorf("%w: the repository declines: %w", errLacks, err)
					case err != nil:
						return fmt.Errorf("ListCancelling(after %d, limit 2) returned the error %w", after, err)
					case len(list) == 0:
						if want := []string{"6 State(0)", "7 State(0)", "8 CANCELLING"}; !slices.Equal(got, want) {
							return fmt.Errorf("the pages of ListCancelling have %q, want %q", got, want)
						}
						return nil
					}
					for _, u := range list {
						after = u.Request.ID
						got = append(got, fmt.Sprintf("%d %v", u.Request.ID, u.Request.State))
					}
				}
			})
		},
	}, {
		"Unreadable/Cancel", "A row that cannot be read is never reported as success, stops no other request and no other tree from being cancelled, and nothing is settled above it.",
		func(ctx context.Context, h Harness) error {
			for _, view := range views {
				err := spoiling(ctx, h, h.spoilt(), func(repo cancel.Repository, odd []lifecycle.ID) error {
					c := cancel.New(view(repo), &cancel.Options{PageSize: 3})
					if _, err := c.Fence(ctx, order(20, nil)); err != nil {
						return err
					}
					if _, err := c.Cancel(ctx, order(1, nil)); !errors.Is(err, esserrors.CodeSystem) {
						return fmt.Errorf("the cancel above rows that cannot be read returned the error %w, want one with CodeSystem", err)
					}
					if _, err := c.Resume(ctx, nil); !errors.Is(err, esserrors.CodeSystem) {
						return fmt.Errorf("where rows cannot be read, Resume returned the error %w, want one with CodeSystem", err)
					}
					_, _ = c.Acknowledge(ctx, order(20, nil), lifecycle.StateCancelled) // if it runs work
					for id, want := range map[lifecycle.ID]lifecycle.State{
						1: lifecycle.StateCancelling, 2: lifecycle.StateCancelled, 9: lifecycle.StateCancelled,
						20: lifecycle.StateCancelled, 21: lifecycle.StateCancelled,
					} {
						if err := wantState(ctx, repo, id, want); err != nil {
							return err
						}
					}
					for _, id := range odd {
						if err := wantState(ctx, repo, id, 0); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					return err
				}
			}
			return nil
		},
	},
}

// spoilt returns the requests of these checks, of which 4 to 7 are made unreadable.
func (h Harness) spoilt() []lifecycle.Request {
	return []lifecycle.Request{
		h.request(1, 0, lifecycle.KindParent, lifecycle.StateRunning),
		h.request(2, 1, lifecycle.KindChild, lifecycle.StateWait),
		h.request(3, 1, lifecycle.KindChild, lifecycle.StateSucceeded),
		h.request(4, 1, lifecycle.KindChild, lifecycle.StateWait),
		h.request(5, 1, lifecycle.KindParent, lifecycle.StateWait),
		cancelling(h.request(6, 1, lifecycle.KindChild, lifecycle.StateRunning), moment),
		cancelling(h.request(7, 1, lifecycle.KindParent, lifecycle.StateRunning), moment),
		cancelling(h.request(8, 1, lifecycle.KindChild, lifecycle.StateRunning), moment),
		h.request(9, 1, lifecycle.KindChild, lifecycle.StateWait),
		h.request(20, 0, lifecycle.KindParent, lifecycle.StateRunning),
		h.request(21, 20, lifecycle.KindChild, lifecycle.StateWait),
	}
}

// spoiling is with for these checks. It passes the ids of the rows that cannot be read.
func spoiling(ctx context.Context, h Harness, all []lifecycle.Request, f func(repo cancel.Repository, odd []lifecycle.ID) error) error {
	if h.Spoil == nil {
		return fmt.Errorf("%w: Harness.Spoil is nil", errLacks)
	}
	return h.with(ctx, all, func(repo cancel.Repository) error {
		odd := []lifecycle.ID{4, 5, 6, 7}
		for i, column := range []string{"state", "kind", "kind", "outcome"} {
			if err := h.Spoil(ctx, repo, odd[i], column); err != nil {
				return fmt.Errorf("Harness.Spoil of %q: %w", column, err)
			}
		}
		return f(repo, odd)
	})
}
