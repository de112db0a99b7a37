package essriver

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/riverqueue/river/rivertype"

	"example.com/ess/examples/postgres/pgstore"
	"example.com/ess/lifecycle"
)

// natural has what a job is whose metadata say nothing.
var natural = map[rivertype.JobState]lifecycle.State{
	rivertype.JobStateAvailable: lifecycle.StateReady,
	rivertype.JobStateCancelled: lifecycle.StateCancelled,
	rivertype.JobStateCompleted: lifecycle.StateSucceeded,
	rivertype.JobStateDiscarded: lifecycle.StateError,
	rivertype.JobStatePending:   lifecycle.StateHold,
	rivertype.JobStateRetryable: lifecycle.StateErrorAutoRetry,
	rivertype.JobStateRunning:   lifecycle.StateRunning,
	rivertype.JobStateScheduled: lifecycle.StateWait,
}

// refined has, for some of River's states, what the metadata may make of them. All else
// in the metadata is out of date, because River has gone on, and does not count.
var refined = map[rivertype.JobState]lifecycle.StateSet{
	rivertype.JobStateCompleted: lifecycle.SetOf(lifecycle.StateWarning, lifecycle.StateFinished),
	rivertype.JobStateDiscarded: lifecycle.SetOf(lifecycle.StateExpired, lifecycle.StateValidationFailed),
	// Nothing that River knows happens to a pending job.
	rivertype.JobStatePending: lifecycle.Live &^ lifecycle.SetOf(lifecycle.StateCancelling),
}

// place returns where a request of kind k is kept in state s, which is not CANCELLING: in
// which of River's states, and with what in the metadata.
func place(k lifecycle.Kind, s lifecycle.State) (at rivertype.JobState, note lifecycle.State) {
	if k.RunsWork() || lifecycle.Terminal.Has(s) { // River shall not start a container
		for at, state := range natural {
			if state == s {
				return at, 0
			}
		}
	}
	for at, states := range refined {
		if states.Has(s) {
			return at, s
		}
	}
	panic(fmt.Sprintf("essriver: no place for %v", s)) // the two tables have every state but CANCELLING
}

// mark is what River puts into the metadata of a running job that is to be cancelled. It
// tells the job's client, also later should the client not have listened, and keeps River
// from retrying the job.
const mark = "cancel_attempted_at"

// What a statement says of the job j. The note is ours; the rest is River's.
const (
	noteSQL   = `(j.metadata->'ess')`
	parentSQL = `(j.metadata->'ess'->>'parent')::bigint`
	kindSQL   = `coalesce(j.metadata->'ess'->>'kind', CASE WHEN ` + noteSQL + ` ? 'parent' THEN 'CHILD' ELSE 'SINGLETON' END)`
	liveSQL   = `j.state NOT IN ('cancelled', 'completed', 'discarded')`
	markedSQL = `(` + liveSQL + ` AND j.metadata ? '` + mark + `')`

	// An outcome counts as long as the job is where it was when that was recorded.
	outcomeSQL = `CASE WHEN j.state = 'pending' AND ` + markedSQL + ` THEN j.metadata->'ess'->>'outcome' END`

	// A job that River's JobCancel has marked has not checked in since. The time stands there
	// as JSON has it. What is none is NULL, and no error, which would be one of all jobs
	// that are read at once.
	checkedInSQL = `(jsonb_path_query_first_tz(to_jsonb(regexp_replace(replace(
        coalesce(j.metadata->'ess'->>'checked_in', CASE WHEN ` + markedSQL + ` THEN j.metadata->>'` + mark + `' END),
        'Z', '+00:00'), '(\.\d{6})\d+', '\1')),
        '$.datetime() ? (@.type() == "timestamp with time zone")', '{}', true) #>> '{}')::timestamptz`
)

// stateSQL is the state of the job j, or NULL if it cannot be read: a name in the note that is
// none, or a state of River's that is not known here, is one of a newer version.
var stateSQL = func() string {
	const all = lifecycle.Live | lifecycle.Terminal
	var b strings.Builder
	refine := func(at rivertype.JobState) {
		fmt.Fprintf(&b, "\n WHEN j.state = '%s' AND j.metadata->'ess'->>'state' IN (%s) THEN j.metadata->'ess'->>'state'", at, pgstore.States(refined[at]))
	}
	b.WriteString("CASE")
	refine(rivertype.JobStateCompleted)
	refine(rivertype.JobStateDiscarded)
	fmt.Fprintf(&b, "\n WHEN %s THEN %s", markedSQL, pgstore.Literal(lifecycle.StateCancelling))
	fmt.Fprintf(&b, "\n WHEN %s AND j.metadata->'ess'->>'state' NOT IN (%s) THEN NULL", liveSQL, pgstore.States(all))
	refine(rivertype.JobStatePending)
	b.WriteString("\n ELSE CASE j.state")
	for _, at := range slices.Sorted(maps.Keys(natural)) {
		fmt.Fprintf(&b, " WHEN '%s' THEN %s", at, pgstore.Literal(natural[at]))
	}
	b.WriteString(" END END")
	return b.String()
}()

// row is the job j in a statement.
var row = pgstore.Row{Kind: kindSQL, State: "(" + stateSQL + ")", Outcome: "(" + outcomeSQL + ")", Live: liveSQL}
