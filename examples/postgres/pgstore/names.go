package pgstore

import (
	"fmt"
	"iter"
	"strings"
	"time"

	"example.com/ess/lifecycle"
)

// Names of package lifecycle stand in statements as literals, and not in parameters,
// because the planner takes a partial index only where it can see that the states asked
// for are in it. They consist of letters and underscores.

// Literal returns a name of package lifecycle as SQL.
func Literal(name fmt.Stringer) string { return "'" + name.String() + "'" }

// Literals returns a list of names as SQL.
func Literals[N fmt.Stringer](names iter.Seq[N]) string {
	var all []string
	for name := range names {
		all = append(all, Literal(name))
	}
	return strings.Join(all, ", ")
}

// States returns the names of the states in the set as SQL.
func States(set lifecycle.StateSet) string { return Literals(set.All()) }

// Parents are the kinds that have children.
func Parents(yield func(lifecycle.Kind) bool) {
	for k := range lifecycle.Kinds() {
		if k.HasChildren() && !yield(k) {
			return
		}
	}
}

// A Columns has three columns of a request, or expressions in their place. The outcome
// has to be NULL in a state other than CANCELLING.
type Columns struct{ Kind, State, Outcome string }

// Live returns the condition that a row is live, or may be: it is in no state that is
// known to be terminal. The predicate of a partial index has to be the same.
func (c Columns) Live() string {
	return fmt.Sprintf("(%s IS NULL OR %[1]s NOT IN (%s))", c.State, States(lifecycle.Terminal))
}

// In returns the condition that a row is in one of the states, or cannot be read. What is
// known to be terminal is not live, though its kind may be unknown.
func (c Columns) In(states lifecycle.StateSet) string {
	const all = lifecycle.Live | lifecycle.Terminal
	live := states&lifecycle.Terminal == 0
	switch {
	case states == all:
		return "true"
	case states == lifecycle.Live:
		return c.Live()
	case live:
		return fmt.Sprintf("(%s AND (%s NOT IN (%s) OR %s))", c.Live(), c.State, States(lifecycle.Live&^states), c.unreadable())
	default:
		return fmt.Sprintf("(%s NOT IN (%s) OR %s)", c.State, States(all&^states), c.unreadable())
	}
}

// unreadable returns the condition that a row cannot be read, whatever its state says.
func (c Columns) unreadable() string {
	return fmt.Sprintf("%s IS NULL OR %s IS NULL OR %[2]s NOT IN (%s) OR %s NOT IN (%s)",
		c.State, c.Kind, Literals(lifecycle.Kinds()), c.Outcome, States(lifecycle.Outcomes))
}

// OrNull returns the name of a state or trigger, or NULL for 0.
func OrNull[N interface {
	comparable
	String() string
}](n N) *string {
	var zero N
	if n == zero {
		return nil
	}
	return new(n.String())
}

// TimeOrNull returns t, or NULL for the zero time.
func TimeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Ints returns ids as what pgx encodes fastest.
func Ints(ids []lifecycle.ID) []int64 {
	all := make([]int64, len(ids))
	for i, id := range ids {
		all[i] = int64(id)
	}
	return all
}
