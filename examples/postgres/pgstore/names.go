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

// Live returns the condition that a row is live, or may be: its state, which the column
// has, is none that is known to be terminal. The predicate of a partial index has to be the
// same.
func Live(state string) string {
	return fmt.Sprintf("(%s IS NULL OR %[1]s NOT IN (%s))", state, States(lifecycle.Terminal))
}

// A Row has three columns of a request, or expressions in their place, and the condition
// that it is live. The outcome has to be NULL in a state other than CANCELLING.
type Row struct{ Kind, State, Outcome, Live string }

// In returns the condition that the row is in one of the states, or cannot be read. What is
// known to be terminal is not live, though its kind may be unknown.
func (r Row) In(states lifecycle.StateSet) string {
	const all = lifecycle.Live | lifecycle.Terminal
	unreadable := fmt.Sprintf("%s IS NULL OR %s IS NULL OR %[2]s NOT IN (%s) OR %s NOT IN (%s)",
		r.State, r.Kind, Literals(lifecycle.Kinds()), r.Outcome, States(lifecycle.Outcomes))
	switch {
	case states == all:
		return "true"
	case states == lifecycle.Live:
		return r.Live
	case states&lifecycle.Terminal == 0:
		return fmt.Sprintf("(%s AND (%s NOT IN (%s) OR %s))", r.Live, r.State, States(lifecycle.Live&^states), unreadable)
	default:
		return fmt.Sprintf("(%s NOT IN (%s) OR %s)", r.State, States(all&^states), unreadable)
	}
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
