package essriver

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/riverqueue/river/rivertype"

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
	liveSQL   = `j.state IN ('available', 'pending', 'retryable', 'running', 'scheduled')`
	markedSQL = `(` + liveSQL + ` AND j.metadata ? '` + mark + `')`

	// An outcome counts as long as the job is where it was when that was recorded.
	outcomeSQL = `CASE WHEN j.state = 'pending' AND ` + markedSQL + ` THEN j.metadata->'ess'->>'outcome' END`

	// A job that River's JobCancel has marked has not checked in since.
	checkedInSQL = `nullif(coalesce(j.metadata->'ess'->>'checked_in', CASE WHEN ` + markedSQL + ` THEN j.metadata->>'` + mark + `' END), '')::timestamptz`
)

// stateSQL is the state of the job j.
var stateSQL = func() string {
	var b strings.Builder
	fmt.Fprintf(&b, "CASE WHEN %s THEN '%v'", markedSQL, lifecycle.StateCancelling)
	for _, at := range slices.Sorted(maps.Keys(refined)) {
		fmt.Fprintf(&b, "\n WHEN j.state = '%s' AND j.metadata->'ess'->>'state' IN (%s) THEN j.metadata->'ess'->>'state'", at, states(refined[at]))
	}
	b.WriteString("\n ELSE CASE j.state")
	for _, at := range slices.Sorted(maps.Keys(natural)) {
		fmt.Fprintf(&b, " WHEN '%s' THEN '%v'", at, natural[at])
	}
	b.WriteString(" END END")
	return b.String()
}()

// Names of package lifecycle consist of letters and underscores.

func states(set lifecycle.StateSet) string { return literals(set.All()) }

func literals[N fmt.Stringer](names iter.Seq[N]) string {
	var all []string
	for name := range names {
		all = append(all, "'"+name.String()+"'")
	}
	return strings.Join(all, ", ")
}
