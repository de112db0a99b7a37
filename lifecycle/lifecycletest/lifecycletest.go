// Package lifecycletest tests schedulers that have states and rules of their own against
// those of package lifecycle.
package lifecycletest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"example.com/ess/lifecycle"
)

// A Mapping says how a scheduler's own states, of type S, stand for those of package
// lifecycle.
type Mapping[S comparable] struct {
	// States has every state of the scheduler and what it stands for. Several may
	// stand for the same.
	States map[S]lifecycle.State
	// Without are the states that the scheduler does not have. The rules from and to
	// them are not expected of it.
	Without lifecycle.StateSet
	// Kinds are the kinds of request that the scheduler has. Nil means all.
	Kinds []lifecycle.Kind
	// Next is the scheduler's own decision. It may be nil if the scheduler asks
	// package lifecycle; then only the states are checked.
	Next func(k lifecycle.Kind, s S, t lifecycle.Trigger) (S, bool)
}

// Check returns how a mapping loses, adds or changes a rule, joined, or nil if it does
// not:
//
//   - every state stands for one of lifecycle's, and every one of those, but for
//     Without, is stood for;
//   - what a cancel needs is not left out: CANCELLED, and CANCELLING where there is
//     something to wait for;
//   - in every state, every kind of request takes every trigger to a state that stands
//     for where lifecycle takes it, and refuses what lifecycle refuses. A rule that leads
//     to one of Without may be refused.
func Check[S comparable](m Mapping[S]) error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	kinds := m.Kinds
	if kinds == nil {
		kinds = slices.Collect(lifecycle.Kinds())
	}
	own := slices.Collect(maps.Keys(m.States))
	slices.SortFunc(own, func(a, b S) int { return compare(m.States[a], m.States[b], a, b) })

	var have lifecycle.StateSet
	for _, s := range own {
		stands := m.States[s]
		switch {
		case !stands.Valid():
			bad("state %v stands for %v, which is not a state", s, stands)
		case m.Without.Has(stands):
			bad("state %v stands for %v, which the scheduler is without", s, stands)
		}
		have |= lifecycle.SetOf(stands)
	}
	for s := range ((lifecycle.Live | lifecycle.Terminal) &^ (have | m.Without)).All() {
		bad("no state stands for %v", s)
	}
	if m.Without.Has(lifecycle.StateCancelled) {
		bad("without CANCELLED nothing can be cancelled")
	}
	if m.Without.Has(lifecycle.StateCancelling) {
		for _, k := range kinds {
			for s := range have.All() {
				if to, _ := lifecycle.Next(k, s, lifecycle.TriggerCancel); to == lifecycle.StateCancelling {
					bad("without CANCELLING a %v request in %v cannot be cancelled", k, s)
				}
			}
		}
	}
	if m.Next == nil {
		return errors.Join(errs...)
	}
	for _, k := range kinds {
		for _, s := range own {
			for t := range lifecycle.Triggers() {
				want, permitted := lifecycle.Next(k, m.States[s], t)
				got, ok := m.Next(k, s, t)
				stands := m.States[got]
				switch {
				case ok && !permitted:
					bad("%v request in %v by %v: goes to %v, but no rule permits it in %v", k, s, t, got, m.States[s])
				case !ok && permitted && !m.Without.Has(want):
					bad("%v request in %v by %v: is refused, but a rule leads from %v to %v", k, s, t, m.States[s], want)
				case ok && stands != want:
					bad("%v request in %v by %v: goes to %v, which stands for %v, but the rule leads to %v", k, s, t, got, stands, want)
				}
			}
		}
	}
	return errors.Join(errs...)
}

// compare orders states by what they stand for and then by how they print.
func compare[S any](a, b lifecycle.State, x, y S) int {
	return cmp.Or(cmp.Compare(a, b), cmp.Compare(fmt.Sprint(x), fmt.Sprint(y)))
}

// Assert fails t with what [Check] returns.
func Assert[S comparable](t testing.TB, m Mapping[S]) {
	t.Helper()
	if err := Check(m); err != nil {
		t.Errorf("the scheduler's states do not follow package lifecycle:\n%v", err)
	}
}
