package postgres

import (
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"example.com/ess/cancel"
	"example.com/ess/examples/postgres/pgstore"
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

	// Attempt counts how often the work has been started. Here no name means that it is not
	// kept: the attempt of a request is always 0.
	Attempt string

	// Audit is the table that keeps the [cancel.Cause] of every change, made as in
	// migrations/002_audit.sql. Here no name means that nothing is kept.
	Audit pgx.Identifier
}

// DefaultTable returns the table that [Migrate] creates, with attempts and audit trail.
func DefaultTable() Table { return Table{Attempt: "attempt", Audit: pgx.Identifier{"ess_audit"}} }

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
	attempt, setAttempt := "0", ""
	if t.Attempt != "" {
		attempt = "coalesce(r." + column(t.Attempt, "") + ", 0)"
		setAttempt = ", " + column(t.Attempt, "") + " = @attempt"
	}
	names := strings.NewReplacer(
		"{requests}", name.Sanitize(),
		"{id}", column(t.ID, "id"),
		"{parent}", column(t.Parent, "parent"),
		"{kind}", column(t.Kind, "kind"),
		"{state}", column(t.State, "state"),
		"{outcome}", column(t.Outcome, "outcome"),
		"{checked_in}", column(t.CheckedIn, "checked_in"),
		"{r.attempt}", attempt,
		"{set_attempt}", setAttempt,
		"{audit}", t.Audit.Sanitize(),
	)
	return func(sql string) string { return names.Replace(rules.Replace(sql)) }
}

// An outcome counts only in CANCELLING: a scheduler that ends a request need not clear it.
const outcomeSQL = `(CASE WHEN r.{state} = 'CANCELLING' THEN r.{outcome} END)`

// row is the request r in a statement.
var row = pgstore.Row{Kind: "r.{kind}", State: "r.{state}", Outcome: outcomeSQL, Live: pgstore.Live("r.{state}")}

var turn = pgstore.NewTurnstile("{requests}", "{id}")

// rules has what stands in the statements whatever the table is called.
var rules = strings.NewReplacer(
	"{r.outcome}", outcomeSQL,
	"{r.checked_in}", "(CASE WHEN isfinite(r.{checked_in}) THEN r.{checked_in} END)",
	"{r.live}", row.Live,
	"{c.live}", pgstore.Live("c.{state}"),
	"{CANCELLING}", pgstore.Literal(lifecycle.StateCancelling),
	"{CANCELLED}", pgstore.Literal(lifecycle.StateCancelled),
	"{cancel}", pgstore.Literal(lifecycle.TriggerCancel),
	"{parents}", pgstore.Literals(pgstore.Parents),
	"{admitting}", pgstore.States(lifecycle.Admitting),
	"{enter}", turn.Enter,
	"{closing}", turn.Closing,
	"{r.ends}", ends(row.Kind, row.State),
	"{r.to_state}", decide(row.Kind, row.State, newState),
	"{r.to_outcome}", decide(row.Kind, row.State, newOutcome),
	"{p.to_state}", decide("p.kind", "p.state", newState),
	"{p.to_outcome}", decide("p.kind", "p.state", newOutcome),
)

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
		fmt.Fprintf(&b, " WHEN %s THEN %s", where(kind, state, func(d cancel.Decision) bool { return becomes(d) == s }), pgstore.Literal(s))
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
			any = append(any, fmt.Sprintf("%s = %s AND %s IN (%s)", kind, pgstore.Literal(k), state, pgstore.States(from[k])))
		}
	}
	return "(" + strings.Join(any, " OR ") + ")"
}
