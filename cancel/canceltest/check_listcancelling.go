package canceltest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest/internal/rows"
	"example.com/ess/cancel/canceltest/internal/show"
	"example.com/ess/lifecycle"
)

var listChecks = []check{
	{
		"ListCancelling/OnlyCancelling", "ListCancelling returns the requests in CANCELLING, at any depth and of any kind, and no others, ordered by ID.",
		func(ctx context.Context, h Harness) error {
			all := append(h.everyRequest(), h.request(1000, 900, lifecycle.KindChild, lifecycle.StateCancelling), h.request(20, 900, lifecycle.KindChild, lifecycle.StateCancelling))
			all[len(all)-2].CheckedIn = moment
			all = slices.Insert(all, len(all)-2, h.request(900, 0, lifecycle.KindParent, lifecycle.StateRunning))
			all = slices.DeleteFunc(all, func(r lifecycle.Request) bool { return r.ID == 20 && r.Parent == 1 })
			return capable(ctx, h, all, func(repo cancel.CancellingLister) error {
				return wantList(ctx, repo, all, 0, 1000)
			})
		},
	}, {
		"ListCancelling/AfterAndLimit", "ListCancelling returns requests whose ID is greater than after, at most limit of them; only an empty page says that there are none left.",
		onCapable(Harness.everyRequest, func(ctx context.Context, _ Harness, repo cancel.CancellingLister, all []lifecycle.Request) error {
			var errs []error
			for _, limit := range []int{1, 2, 5, 1000} {
				errs = append(errs, wantListSeries(ctx, repo, all, limit))
			}
			for _, r := range all {
				if r.State == lifecycle.StateCancelling {
					errs = append(errs, wantList(ctx, repo, all, r.ID-1, 2), wantList(ctx, repo, all, r.ID, 2))
				}
			}
			return show.Errors(append(errs, wantList(ctx, repo, all, math.MaxInt64-1, 5), wantList(ctx, repo, all, math.MaxInt64, 5)))
		}),
	}, {
		"ListCancelling/SeesWrites", "Reads see every write which finished before they began: ListCancelling, too.",
		onCapable(Harness.lives, func(ctx context.Context, h Harness, repo cancel.CancellingLister, all []lifecycle.Request) error {
			for i, r := range all {
				for _, ch := range h.life(r) {
					if err := made(ctx, repo, ch); err != nil {
						return err
					}
					all[i] = ch.New()
					if err := wantListSeries(ctx, repo, all, 1000); err != nil {
						return fmt.Errorf("right after %s: %w", showChange(ch), err)
					}
				}
			}
			return nil
		}),
	}, {
		"ListCancelling/WithCauses", "ListCancelling returns each request with what Cause says of it.",
		onCapable(Harness.everyRequest, func(ctx context.Context, h Harness, repo cancel.CancellingLister, all []lifecycle.Request) error {
			causes := oddCauses()
			for i, r := range all[1 : 1+len(causes)] {
				if ch, ok := h.someChange(r); ok {
					ch.Cause = causes[i]
					if err := made(ctx, repo, ch); err != nil {
						return err
					}
					all[i+1] = ch.New()
				}
			}
			reader, ok := repo.(cancel.CauseReader)
			for after := lifecycle.ID(0); ; {
				list, err := list(ctx, repo, all, after, 7)
				if err != nil || len(list) == 0 {
					return err
				}
				for _, u := range list {
					after = u.Request.ID
					if !ok {
						continue
					}
					cause, err := reader.Cause(ctx, u.Request.ID)
					if errors.Is(err, errors.ErrUnsupported) {
						ok = false
					} else if err != nil {
						return err
					} else if !sameCause(u.Cause, cause) {
						return fmt.Errorf("ListCancelling returned the cause %s with request %d, but Cause says %s", showCause(u.Cause), u.Request.ID, showCause(cause))
					}
				}
			}
		}),
	}, {
		"ListCancelling/ReturnedSlices", "The slice that ListCancelling returns belongs to the caller.",
		onCapable(Harness.everyRequest, func(ctx context.Context, _ Harness, repo cancel.CancellingLister, all []lifecycle.Request) error {
			first, err := repo.ListCancelling(ctx, 0, 3)
			if err != nil {
				return err
			}
			before := slices.Clone(first)
			if err := wantList(ctx, repo, all, 50, 3); err != nil {
				return err
			}
			if !slices.EqualFunc(first, before, func(a, b cancel.CancellingRequest) bool { return rows.Same(a.Request, b.Request) }) {
				return errors.New("the next call of ListCancelling wrote to the page that the one before had returned")
			}
			first = first[:cap(first)]
			for i := range first {
				first[i] = cancel.CancellingRequest{Request: lifecycle.Request{ID: 666}}
			}
			if err := wantListSeries(ctx, repo, all, 1000); err != nil {
				return fmt.Errorf("after the caller had written to the page that ListCancelling returned: %w", err)
			}
			return nil
		}),
	}, {
		"ListCancelling/ContextDone", contextDone,
		func(ctx context.Context, h Harness) error {
			return capable(ctx, h, nil, func(cancel.CancellingLister) error {
				return whenDone(ctx, h, func(ctx context.Context, repo cancel.Repository) error {
					_, err := repo.(cancel.CancellingLister).ListCancelling(ctx, 0, 10)
					return err
				})
			})
		},
	},
}

// list reads one page of ListCancelling and checks it, if the store holds all.
func list(ctx context.Context, repo cancel.CancellingLister, all []lifecycle.Request, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
	var want []lifecycle.Request
	for _, r := range all {
		if r.State == lifecycle.StateCancelling && r.ID > after {
			want = append(want, r)
		}
	}
	slices.SortFunc(want, func(a, b lifecycle.Request) int { return cmp.Compare(a.ID, b.ID) })
	got, err := repo.ListCancelling(ctx, after, limit)
	call := fmt.Sprintf("ListCancelling(after %d, limit %d)", after, limit)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s returned the error %w", call, err)
	case len(got) > limit:
		return nil, fmt.Errorf("%s returned %d requests", call, len(got))
	case len(got) == 0 && len(want) > 0:
		return nil, fmt.Errorf("%s returned an empty page, but there is %s", call, showRow(want[0]))
	}
	for i, u := range got {
		if i >= len(want) {
			return nil, fmt.Errorf("%s returned %s at index %d, want no more than %d requests", call, showRow(u.Request), i, len(want))
		}
		if !rows.Same(u.Request, want[i]) {
			return nil, fmt.Errorf("%s returned %s at index %d, want %s", call, showRow(u.Request), i, showRow(want[i]))
		}
	}
	return got, nil
}

func wantList(ctx context.Context, repo cancel.CancellingLister, all []lifecycle.Request, after lifecycle.ID, limit int) error {
	_, err := list(ctx, repo, all, after, limit)
	return err
}

// wantListSeries reads and checks pages of ListCancelling to the end.
func wantListSeries(ctx context.Context, repo cancel.CancellingLister, all []lifecycle.Request, limit int) error {
	for after := lifecycle.ID(0); ; {
		got, err := list(ctx, repo, all, after, limit)
		if err != nil || len(got) == 0 {
			return err
		}
		after = got[len(got)-1].Request.ID // list has made sure that this is further
	}
}
