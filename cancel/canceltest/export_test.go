package canceltest

import (
	"context"
	"errors"
	"iter"
	"slices"
)

// Contract returns the names of the checks and what they enforce.
func Contract() iter.Seq2[string, string] {
	return func(yield func(name, why string) bool) {
		for _, c := range contract() {
			if !yield(c.name, c.why) {
				return
			}
		}
	}
}

// Lacks reports whether a check was left out because the store lacks a capability.
func Lacks(err error) bool { return errors.Is(err, errLacks) }

// CheckOnly is Check with only some of the checks.
func CheckOnly(ctx context.Context, h Harness, names ...string) error {
	var errs []error
	for _, c := range contract() {
		if slices.Contains(names, c.name) {
			errs = append(errs, c.on(ctx, h))
		}
	}
	return errors.Join(errs...)
}
