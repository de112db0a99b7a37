package canceltest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest/internal/rows"
	"example.com/ess/cancel/canceltest/internal/show"
	"example.com/ess/lifecycle"
)

const concurrently = "All methods may be called concurrently."

var repositoryChecks = []check{
	{
		"Repository/AllMethodsAtOnce", concurrently + " So may those of the capabilities.",
		allMethodsAtOnce,
	}, {
		"Repository/ContextEndsMeanwhile", contextDone + " If it ends during a call, the call does what it should or fails so.",
		contextEndsMeanwhile,
	},
}

// allMethodsAtOnce has some goroutines call all methods there are. Each cancels leaves of
// its own, and all together the children of one parent.
func allMethodsAtOnce(ctx context.Context, h Harness) error {
	const callers = 6
	all := h.families()
	return h.with(ctx, all, func(repo cancel.Repository) error {
		children, _ := repo.(cancel.ChildCanceller)
		lister, _ := repo.(cancel.CancellingLister)
		reader, _ := repo.(cancel.CauseReader)
		failed := func(method string, err error) error {
			if err == nil || errors.Is(err, errors.ErrUnsupported) {
				return nil
			}
			return fmt.Errorf("%s, while others call this and other methods, returned the error %w", method, err)
		}
		err := together(ctx, callers, func(i int) error {
			for j := range 2 {
				r := all[4+i+callers*j]
				_, err := repo.Get(ctx, r.ID)
				errs := []error{failed("Get", err)}
				_, err = repo.Apply(ctx, []cancel.Change{cancelled(r)})
				errs = append(errs, failed("Apply", err))
				_, err = repo.Children(ctx, cancel.ChildQuery{Parents: []lifecycle.ID{10, 20, 30}, States: anyState, Limit: 100})
				errs = append(errs, failed("Children", err))
				if children != nil {
					_, err = children.CancelChildren(ctx, cancel.ChildCancel{Query: cancel.ChildQuery{Parents: []lifecycle.ID{30}, States: lifecycle.Live, Limit: 3}, Cause: why})
					errs = append(errs, failed("CancelChildren", err))
				}
				if lister != nil {
					_, err = lister.ListCancelling(ctx, 0, 10)
					errs = append(errs, failed("ListCancelling", err))
				}
				if reader != nil {
					_, err = reader.Cause(ctx, r.ID)
					errs = append(errs, failed("Cause", err))
				}
				if err := errors.Join(errs...); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		var errs []error
		for _, r := range all[4 : 4+2*callers] {
			errs = append(errs, wantGet(ctx, repo, cancelled(r).New()))
		}
		return show.Errors(errs)
	})
}

// contextEndsMeanwhile ends contexts at moments spread over the time that a call takes.
func contextEndsMeanwhile(ctx context.Context, h Harness) error {
	all := h.families()
	leaves := all[4:16]
	return h.with(ctx, all, func(repo cancel.Repository) error {
		calls := []struct {
			name string
			call func(ctx context.Context, r lifecycle.Request) error
		}{
			{"Get", func(ctx context.Context, r lifecycle.Request) error {
				_, err := repo.Get(ctx, r.ID)
				return err
			}},
			{"Children", func(ctx context.Context, _ lifecycle.Request) error {
				_, err := repo.Children(ctx, cancel.ChildQuery{Parents: []lifecycle.ID{10, 20, 30}, States: anyState, Limit: 100})
				return err
			}},
			{"Apply", func(ctx context.Context, r lifecycle.Request) error {
				_, err := repo.Apply(ctx, []cancel.Change{cancelled(r)})
				return err
			}},
		}
		for _, c := range calls {
			took := time.Hour
			for range 3 {
				begin := time.Now()
				if err := c.call(ctx, leaves[0]); err != nil {
					return fmt.Errorf("%s returned the error %w", c.name, err)
				}
				took = min(took, time.Since(begin))
			}
			for i, r := range leaves[1:] {
				ending, stop := context.WithCancelCause(ctx)
				timer := time.AfterFunc(took*time.Duration(i)/time.Duration(len(leaves)-2), func() { stop(errors.New("a cause, which is not ctx.Err()")) })
				err := c.call(ending, r)
				if err != nil && !errors.Is(err, context.Canceled) {
					err = fmt.Errorf("%s returned the error %w when its context ended meanwhile, want none or one matching %q", c.name, err, context.Canceled)
				} else {
					err = nil
				}
				timer.Stop()
				stop(nil)
				if err != nil {
					return err
				}
				got, err := repo.Get(ctx, r.ID)
				if err != nil {
					return err
				}
				if !rows.Same(got, r) && !rows.Same(got, cancelled(r).New()) {
					return fmt.Errorf("after %s, whose context ended meanwhile, there is %s, want %s or %s", c.name, showRow(got), showRow(r), showRow(cancelled(r).New()))
				}
			}
		}
		return nil
	})
}
