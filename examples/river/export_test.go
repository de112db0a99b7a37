package essriver

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river/rivertype"

	"example.com/ess/lifecycle"
)

// Mark is River's own.
const Mark = mark

// fillSQL inserts jobs as they are.
const fillSQL = `
INSERT INTO {schema}river_job (id, args, kind, queue, attempt, max_attempts, state, attempted_at, finalized_at, metadata)
SELECT id, '{}', 'filled', 'filled', 1, 25, at::{schema}river_job_state, now(), CASE WHEN final THEN now() END, CASE WHEN marked THEN jsonb_build_object('cancel_attempted_at', now()) ELSE '{}' END
    || jsonb_build_object('ess', jsonb_strip_nulls(jsonb_build_object('parent', nullif(parent, 0), 'kind', kind, 'state', note, 'outcome', outcome, 'checked_in', checked_in)))
FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bool[], $9::bool[]) AS r (id, parent, kind, at, note, outcome, checked_in, marked, final)`

// Insert inserts requests as they are.
func (s *Store) Insert(ctx context.Context, requests []lifecycle.Request) error {
	var batch pgx.Batch
	s.insert(&batch, requests)
	return s.db.SendBatch(ctx, &batch).Close()
}

// Fill makes the table hold exactly the requests, in one round trip.
func (s *Store) Fill(ctx context.Context, requests []lifecycle.Request) error {
	var batch pgx.Batch
	batch.Queue(s.sql(`DELETE FROM {schema}river_job`))
	s.insert(&batch, requests)
	return s.db.SendBatch(ctx, &batch).Close()
}

func (s *Store) insert(batch *pgx.Batch, requests []lifecycle.Request) {
	var ids, parents []int64
	var kinds, ats, times []string
	var notes, outcomes []*string
	var marked, final []bool
	for _, r := range requests {
		at, note := Place(r)
		ids, parents = append(ids, int64(r.ID)), append(parents, int64(r.Parent))
		kinds, ats, times = append(kinds, r.Kind.String()), append(ats, at), append(times, timeText(r.CheckedIn))
		notes, outcomes = append(notes, orNull(note)), append(outcomes, orNull(r.Outcome))
		marked, final = append(marked, r.State == lifecycle.StateCancelling), append(final, lifecycle.Terminal.Has(r.State))
	}
	batch.Queue(s.sql(fillSQL), ids, parents, kinds, ats, notes, outcomes, times, marked, final)
}

// Place returns where a request is kept, and with what in the metadata beside the mark of a
// cancel.
func Place(r lifecycle.Request) (at string, note lifecycle.State) {
	switch {
	case r.State != lifecycle.StateCancelling:
		river, note := place(r.Kind, r.State)
		return string(river), note
	case r.Kind.RunsWork() && r.Outcome == 0:
		return "running", 0
	default:
		return "pending", 0
	}
}

// Table returns the name of River's table.
func (s *Store) Table() string { return s.sql(`{schema}river_job`) }

// MappingTable returns the table of states for the README.
func MappingTable() string {
	var b strings.Builder
	b.WriteString("| River | here | in the metadata |\n|---|---|---|\n")
	for _, at := range []rivertype.JobState{
		rivertype.JobStateScheduled, rivertype.JobStateAvailable, rivertype.JobStateRunning, rivertype.JobStateRetryable,
		rivertype.JobStatePending, rivertype.JobStateCompleted, rivertype.JobStateCancelled, rivertype.JobStateDiscarded,
	} {
		var notes []string
		for s := range (refined[at] &^ lifecycle.SetOf(natural[at])).All() {
			notes = append(notes, s.String())
		}
		fmt.Fprintf(&b, "| %s | %v | %s |\n", at, natural[at], strings.Join(notes, ", "))
	}
	fmt.Fprintf(&b, "| any that has not ended | %v | River's own mark, `%s` |\n", lifecycle.StateCancelling, mark)
	return strings.ReplaceAll(b.String(), "|  |", "| |")
}

// Statements returns those that look for many jobs, with their arguments.
func (s *Store) Statements() map[string]pgx.NamedArgs {
	ids := []int64{1, 2}
	return map[string]pgx.NamedArgs{
		s.sql(strings.Replace(childrenSQL, "{states}", states(lifecycle.Live), 1)): {"parents": ids, "after_parent": 0, "after": 0, "limit": 1000},
		s.sql(listSQL):      {"after": 0, "limit": 1000},
		s.sql(interruptSQL): {"schema": "", "ids": ids},
		s.sql(completeSQL):  {"id": 1},
		s.sql(applySQL): {
			"at": nil, "note": nil, "final": false, "outcome": nil, "checked_in": "", "mark": true, "time": "", "cause": "{}", "anew": true,
			"ids": ids, "old_state": "READY", "old_outcome": nil, "old_checked_in": nil,
		},
	}
}
