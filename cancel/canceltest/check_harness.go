package canceltest

import (
	"context"
	"errors"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

var harnessChecks = []check{
	{
		"Harness/HoldsExactlyTheRequests", "Harness.New returns a repository that holds exactly the given requests.",
		func(ctx context.Context, h Harness) error {
			return errors.Join(
				h.with(ctx, nil, func(repo cancel.Repository) error { return wantAll(ctx, repo, nil) }),
				h.with(ctx, h.families(), func(repo cancel.Repository) error { return wantAll(ctx, repo, h.families()) }),
			)
		},
	}, {
		"Harness/RepositoriesShareNothing", "Every call of Harness.New returns a repository that shares nothing with the others.",
		func(ctx context.Context, h Harness) error {
			one := []lifecycle.Request{h.request(1, 0, lifecycle.KindSingleton, lifecycle.StateWait)}
			other := []lifecycle.Request{h.request(1, 0, lifecycle.KindParent, lifecycle.StateHold), h.request(2, 1, lifecycle.KindChild, lifecycle.StateHold)}
			return h.with(ctx, one, func(first cancel.Repository) error {
				return h.with(ctx, other, func(second cancel.Repository) error {
					if err := made(ctx, first, cancelled(one[0])); err != nil {
						return err
					}
					return errors.Join(
						wantAll(ctx, first, []lifecycle.Request{cancelled(one[0]).New()}),
						wantAll(ctx, second, other),
					)
				})
			})
		},
	},
}
