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

// A Mapping says which state of package lifecycle each of a scheduler's own states
// stands for, and how the scheduler decides. S is the type of the scheduler's states.
type Mapping[S comparable] struct {
	// States has every state of the scheduler and the state that it stands for.
	// Several may stand for the same one.
	States map[S]lifecycle.State
	// Without are the states of package lifecycle that the scheduler does not have.
	// The rules that lead from or to them are not expected of it.
	Without lifecycle.StateSet
	// Kinds are the kinds of request that the scheduler has. Nil means all.
	Kinds []lifecycle.Kind
	// Next is the scheduler's own decision: the state that t takes a request of kind
	// k in state s to, or false if t is refused. It may be nil if the scheduler asks
	// package lifecycle itself; then only the states are checked.
	Next func(k lifecycle.Kind, s S, t lifecycle.Trigger) (S, bool)
	// Own are the decisions of Next that differ from the rules on purpose.
	Own []Difference[S]
}

// A Difference is a decision of a scheduler that differs from the rules on purpose.
//
// Check holds the scheduler to it, and does not judge it: package cancel relies on
// a terminal state never being left, and on CANCELLING being left for a terminal
// state only.
type Difference[S comparable] struct {
	// From and Trigger say which decision.
	From    S
	Trigger lifecycle.Trigger
	// To is where the trigger leads, unless it is Refused.
	To      S
	Refused bool
	// Kinds are the kinds of request that this holds for. Nil means all that the
	// Mapping has.
	Kinds []lifecycle.Kind
}

// Check returns nil if the scheduler follows the rules, but for the differences that
// the mapping declares. Otherwise it returns these errors, joined:
//
//   - one for each state that stands for none of package lifecycle's or for one in
//     Without, and for each state of package lifecycle that is not in Without and
//     that no state stands for;
//   - one for each state that a cancel needs and that is in Without: CANCELLED, and
//     CANCELLING where a cancel has to wait;
//   - one for each rule that is lost, added or changed: every state, kind and trigger
//     is tried. A rule that leads to a state in Without may be refused;
//   - one for each difference that is declared and does not exist: because Next
//     decides otherwise, or because the rules say the same.
func Check[S comparable](m Mapping[S]) error {
	c := checker[S]{Mapping: m}
	if c.Kinds == nil {
		c.Kinds = slices.Collect(lifecycle.Kinds())
	}
	c.states = slices.SortedFunc(maps.Keys(m.States), func(a, b S) int {
		return cmp.Or(cmp.Compare(m.States[a], m.States[b]), cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)))
	})
	c.checkStates()
	c.checkCancel()
	c.checkNext(c.declared())
	return errors.Join(c.errs...)
}

// Assert fails t with what [Check] returns.
func Assert[S comparable](t testing.TB, m Mapping[S]) {
	t.Helper()
	if err := Check(m); err != nil {
		t.Errorf("the scheduler's states do not follow package lifecycle:\n%v", err)
	}
}

type checker[S comparable] struct {
	Mapping[S]
	states []S // in the order in which they are reported
	errs   []error
}

func (c *checker[S]) bad(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf(format, args...))
}

// have returns the states of package lifecycle that some state stands for.
func (c *checker[S]) have() lifecycle.StateSet {
	return lifecycle.SetOf(slices.Collect(maps.Values(c.States))...)
}

func (c *checker[S]) checkStates() {
	for _, s := range c.states {
		switch stands := c.States[s]; {
		case !stands.Valid():
			c.bad("state %v stands for %v, which is not a state", s, stands)
		case c.Without.Has(stands):
			c.bad("state %v stands for %v, which the scheduler is without", s, stands)
		}
	}
	for s := range ((lifecycle.Live | lifecycle.Terminal) &^ (c.have() | c.Without)).All() {
		c.bad("no state stands for %v", s)
	}
}

// checkCancel checks that every request can be cancelled.
func (c *checker[S]) checkCancel() {
	if c.Without.Has(lifecycle.StateCancelled) {
		c.bad("without CANCELLED nothing can be cancelled")
	}
	for _, k := range c.Kinds {
		if !k.Valid() {
			c.bad("%v is not a kind", k)
		}
		for s := range c.have().All() {
			to, _ := lifecycle.Next(k, s, lifecycle.TriggerCancel)
			if to == lifecycle.StateCancelling && c.Without.Has(to) {
				c.bad("without CANCELLING a %v request in %v cannot be cancelled", k, s)
			}
		}
	}
}

// A question is what Next is asked.
type question[S comparable] struct {
	kind    lifecycle.Kind
	from    S
	trigger lifecycle.Trigger
}

func (q question[S]) String() string {
	return fmt.Sprintf("%v request in %v by %v", q.kind, q.from, q.trigger)
}

// declared returns the differences by what they answer.
func (c *checker[S]) declared() map[question[S]]Difference[S] {
	own := make(map[question[S]]Difference[S])
	if len(c.Own) > 0 && c.Next == nil {
		c.bad("differences are declared, but there is no Next that could differ")
	}
	for _, d := range c.Own {
		kinds := d.Kinds
		if kinds == nil {
			kinds = c.Kinds
		}
		if _, ok := c.States[d.From]; !ok {
			c.bad("a difference is declared from %v, which is not a state of the scheduler", d.From)
		}
		if _, ok := c.States[d.To]; !ok && !d.Refused {
			c.bad("a difference is declared from %v to %v, which is not a state of the scheduler", d.From, d.To)
		}
		if !d.Trigger.Valid() {
			c.bad("a difference is declared from %v by %v, which is not a trigger", d.From, d.Trigger)
		}
		for _, k := range kinds {
			q := question[S]{k, d.From, d.Trigger}
			if !slices.Contains(c.Kinds, k) {
				c.bad("%v: a difference is declared, but the scheduler does not have this kind", q)
			}
			if _, twice := own[q]; twice {
				c.bad("%v: a difference is declared twice", q)
			}
			own[q] = d
		}
	}
	return own
}

// checkNext asks Next everything.
func (c *checker[S]) checkNext(own map[question[S]]Difference[S]) {
	if c.Next == nil {
		return
	}
	for _, k := range c.Kinds {
		for _, s := range c.states {
			for t := range lifecycle.Triggers() {
				q := question[S]{k, s, t}
				to, ok := c.Next(k, s, t)
				differs := c.differs(q, to, ok)
				d, declared := own[q]
				switch {
				case !declared && differs != "":
					c.bad("%v: %s", q, differs)
				case declared && d.Refused && ok:
					c.bad("%v: goes to %v, but is declared to be refused", q, to)
				case declared && !d.Refused && !ok:
					c.bad("%v: is refused, but is declared to go to %v", q, d.To)
				case declared && !d.Refused && to != d.To:
					c.bad("%v: goes to %v, but is declared to go to %v", q, to, d.To)
				case declared && differs == "":
					c.bad("%v: a difference is declared, but the rules say the same", q)
				}
			}
		}
	}
}

// differs says how Next's answer to q differs from the rules, or nothing.
func (c *checker[S]) differs(q question[S], to S, ok bool) string {
	from := c.States[q.from]
	want, permitted := lifecycle.Next(q.kind, from, q.trigger)
	switch stands, known := c.States[to]; {
	case ok && !permitted:
		return fmt.Sprintf("goes to %v, but no rule permits it in %v", to, from)
	case !ok && permitted && !c.Without.Has(want):
		return fmt.Sprintf("is refused, but a rule leads from %v to %v", from, want)
	case ok && !known:
		return fmt.Sprintf("goes to %v, which is not a state of the scheduler", to)
	case ok && stands != want:
		return fmt.Sprintf("goes to %v, which stands for %v, but the rule leads to %v", to, stands, want)
	}
	return ""
}
