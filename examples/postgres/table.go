package postgres

import (
	"fmt"
	"iter"
	"strings"

	"github.com/jackc/pgx/v5"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// A Table says where the requests are: in a table of the caller's, whose columns may
// have any names. Of the columns, ID and Parent are integers, CheckedIn is a
// timestamptz, and the others are text or varchar. Parent is NULL in a request
// without a parent. Outcome and CheckedIn are NULL until this package sets them.
// Other columns are left alone.
//
// An empty name stands for the one in parentheses, which [Migrate] creates.
type Table struct {
	Name      pgx.Identifier // the table, with or without its schema (ess_requests)
	ID        string         // the primary key (id)
	Parent    string         // (parent)
	Kind      string         // (kind)
	State     string         // (state)
	Outcome   string         // (outcome)
	CheckedIn string         // (checked_in)

	// Audit is the table that keeps the [cancel.Cause] of every change, made as in
	// migrations/002_audit.sql. Here no name means that nothing is kept.
	Audit pgx.Identifier
}

// DefaultTable returns the table that [Migrate] creates, with its audit trail.
func DefaultTable() Table { return Table{Audit: pgx.Identifier{"ess_audit"}} }

// statement returns a function that puts the names of the table, and those of
// package lifecycle, into a statement, where it has words in braces. The names of
// the table are quoted: none, however odd, is taken for SQL.
func (t Table) statement() func(string) string {
	name := t.Name
	if len(name) == 0 {
		name = pgx.Identifier{"ess_requests"}
	}
	column := func(name, standard string) string {
		if name == "" {
			name = standard
		}
		return pgx.Identifier{name}.Sanitize()
	}
	kind, state := column(t.Kind, "kind"), column(t.State, "state")
	return strings.NewReplacer(
		"{requests}", name.Sanitize(),
		"{id}", column(t.ID, "id"),
		"{parent}", column(t.Parent, "parent"),
		"{kind}", kind,
		"{state}", state,
		"{outcome}", column(t.Outcome, "outcome"),
		"{checked_in}", column(t.CheckedIn, "checked_in"),
		"{audit}", t.Audit.Sanitize(),
		"{CANCELLING}", literal(lifecycle.StateCancelling),
		"{cancel}", literal(lifecycle.TriggerCancel),
		"{CANCELLED}", literal(lifecycle.StateCancelled),
		"{live}", states(lifecycle.Live),
		"{admitting}", states(lifecycle.Admitting),
		"{kinds}", literals(lifecycle.Kinds()),
		"{parents}", literals(parents),
		"{ends}", ends("r."+kind, "r."+state),
		"{to_state}", decide("p.kind", "p.state", newState),
		"{to_outcome}", decide("p.kind", "p.state", newOutcome),
		"{r.to_state}", decide("r."+kind, "r."+state, newState),
		"{r.to_outcome}", decide("r."+kind, "r."+state, newOutcome),
	).Replace
}

// Names of package lifecycle stand in the statements as literals, and not in
// parameters, because the planner takes a partial index only where it can see
// that the states asked for are in it. They consist of letters and underscores.

func literal(name fmt.Stringer) string { return "'" + name.String() + "'" }

func literals[N fmt.Stringer](names iter.Seq[N]) string {
	var all []string
	for name := range names {
		all = append(all, literal(name))
	}
	return strings.Join(all, ", ")
}

func states(set lifecycle.StateSet) string { return literals(set.All()) }

// parents are the kinds that have children.
func parents(yield func(lifecycle.Kind) bool) {
	for k := range lifecycle.Kinds() {
		if k.HasChildren() && !yield(k) {
			return
		}
	}
}

// ends returns the condition that a cancel makes a request CANCELLED at once.
func ends(kind, state string) string {
	return where(kind, state, func(d cancel.Decision) bool { return d.State == lifecycle.StateCancelled })
}

// decide returns an expression of what a cancel makes of a request: of the state, or the
// outcome, that becomes returns. It is NULL where that is 0, or the rules say nothing.
func decide(kind, state string, becomes func(cancel.Decision) lifecycle.State) string {
	var to lifecycle.StateSet
	for d := range cancel.Decisions() {
		if s := becomes(d); s != 0 {
			to |= lifecycle.SetOf(s)
		}
	}
	var b strings.Builder
	b.WriteString("CASE")
	for s := range to.All() {
		fmt.Fprintf(&b, " WHEN %s THEN %s", where(kind, state, func(d cancel.Decision) bool { return becomes(d) == s }), literal(s))
	}
	return b.String() + " END"
}

func newState(d cancel.Decision) lifecycle.State   { return d.State }
func newOutcome(d cancel.Decision) lifecycle.State { return d.Outcome }

// where returns the condition that the decision about a request is one of those wanted.
func where(kind, state string, wanted func(cancel.Decision) bool) string {
	from := map[lifecycle.Kind]lifecycle.StateSet{}
	for d := range cancel.Decisions() {
		if wanted(d) {
			from[d.Kind] |= lifecycle.SetOf(d.From)
		}
	}
	var any []string
	for k := range lifecycle.Kinds() {
		if from[k] != 0 {
			any = append(any, fmt.Sprintf("%s = %s AND %s IN (%s)", kind, literal(k), state, states(from[k])))
		}
	}
	return "(" + strings.Join(any, " OR ") + ")"
}
