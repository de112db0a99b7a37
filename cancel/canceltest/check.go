package canceltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest/internal/show"
	"example.com/ess/lifecycle"
)

// A CheckError says which check of the contract failed, and how.
type CheckError struct {
	// Check is the name of the check, such as "Apply/ComparesOutcome".
	Check string
	// Contract is what the documentation asks for, in a sentence.
	Contract string
	// Err is what was found instead.
	Err error
}

func (e *CheckError) Error() string {
	return fmt.Sprintf("%s failed.\n  contract: %s\n  found: %s", e.Check, e.Contract, strings.ReplaceAll(e.Err.Error(), "\n", "\n         "))
}

// Unwrap returns what was found.
func (e *CheckError) Unwrap() error { return e.Err }

// Check checks repositories against the documentation of [cancel.Repository] and of
// the capabilities that they have. It runs every check and returns what failed,
// joined: a [*CheckError] for each.
//
// A capability that the repository lacks, or declines, is not checked.
func Check(ctx context.Context, h Harness) error {
	if h.New == nil {
		return errors.New("canceltest: Harness.New is nil")
	}
	var errs []error
	for _, c := range contract() {
		if err := ctx.Err(); err != nil {
			errs = append(errs, fmt.Errorf("canceltest: stopped before %s: %w", c.name, err))
			break
		}
		if err := c.on(ctx, h); err != nil && !errors.Is(err, errLacks) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Run is [Check] with every check a subtest of t. A check of a capability that the
// repository lacks is skipped.
func Run(t *testing.T, h Harness) {
	t.Helper()
	if h.New == nil {
		t.Fatal("canceltest: Harness.New is nil")
	}
	for _, c := range contract() {
		t.Run(c.name, func(t *testing.T) {
			switch err := c.on(t.Context(), h); {
			case errors.Is(err, errLacks):
				t.Skip(errors.Unwrap(err))
			case err != nil:
				t.Error(err)
			}
		})
	}
}

// A check enforces one sentence of the contract.
type check struct {
	name string
	why  string // the sentence
	run  func(ctx context.Context, h Harness) error
}

func contract() []check {
	return slices.Concat(harnessChecks, getChecks, childrenChecks, applyChecks, applyOldChecks, applyConcurrentChecks, repositoryChecks,
		causeChecks, listChecks, childChecks, treeChecks, settleChecks, endParentChecks, submitChecks, unreadableChecks, cancelChecks)
}

// on runs the check. Its error is a *CheckError.
func (c check) on(ctx context.Context, h Harness) error {
	limited, stop := context.WithTimeout(ctx, h.timeout())
	defer stop()
	err := c.run(limited, h)
	if err == nil {
		return nil
	}
	if limited.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("the check was given up after %v (Harness.Timeout): %w", h.timeout(), err)
	}
	return &CheckError{c.name, c.why, err}
}

// errLacks is in the error of a check of a capability that is not there.
var errLacks = errors.New("not checked")

// capable is with for the checks of a capability.
func capable[C cancel.Repository](ctx context.Context, h Harness, requests []lifecycle.Request, f func(repo C) error) error {
	return h.with(ctx, requests, func(repo cancel.Repository) error {
		able, ok := repo.(C)
		if !ok {
			return fmt.Errorf("%w: the repository is no %s", errLacks, strings.TrimPrefix(fmt.Sprintf("%T", (*C)(nil)), "*"))
		}
		err := f(able)
		if errors.Is(err, errors.ErrUnsupported) {
			return fmt.Errorf("%w: the repository declines: %w", errLacks, err)
		}
		return err
	})
}

// onStore returns the run of a check that works on one repository with some requests.
func onStore(requests func(h Harness) []lifecycle.Request, run func(ctx context.Context, h Harness, repo cancel.Repository, all []lifecycle.Request) error) func(context.Context, Harness) error {
	return func(ctx context.Context, h Harness) error {
		all := requests(h)
		return h.with(ctx, all, func(repo cancel.Repository) error { return run(ctx, h, repo, all) })
	}
}

// onCapable is onStore for the checks of a capability.
func onCapable[C cancel.Repository](requests func(h Harness) []lifecycle.Request, run func(ctx context.Context, h Harness, repo C, all []lifecycle.Request) error) func(context.Context, Harness) error {
	return func(ctx context.Context, h Harness) error {
		all := requests(h)
		return capable(ctx, h, all, func(repo C) error { return run(ctx, h, repo, all) })
	}
}

// together calls f(0) to f(n-1) at the same time and returns what failed.
func together(ctx context.Context, n int, f func(i int) error) error {
	begin := make(chan struct{})
	done := make(chan error, n)
	for i := range n {
		go func() {
			<-begin
			done <- f(i)
		}()
	}
	close(begin)
	var errs []error
	for i := range n {
		select {
		case err := <-done:
			if err != nil {
				errs = append(errs, err)
			}
			continue
		case <-ctx.Done():
		}
		// Calls that watch their context come back now.
		select {
		case err := <-done:
			errs = append(errs, err)
		case <-time.After(2 * time.Second):
			return fmt.Errorf("%d of %d goroutines still hang in calls of the repository: %w", n-i, n, ctx.Err())
		}
	}
	return show.Errors(errs)
}
