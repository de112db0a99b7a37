package essriver

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river/rivertype"

	"example.com/ess/cancel"
	"example.com/ess/examples/postgres/pgstore"
	"example.com/ess/lifecycle"
)

// Mark is River's own.
const Mark = mark

// fillSQL inserts jobs as they are.
const fillSQL = `
INSERT INTO {schema}river_job (id, args, kind, queue, attempt, max_attempts, state, attempted_at, finalized_at, metadata)
SELECT id, '{}', 'filled', 'filled', attempt, 25, at::{schema}river_job_state, now(), CASE WHEN final THEN now() END, CASE WHEN marked THEN jsonb_build_object('cancel_attempted_at', now()) ELSE '{}' END
    || jsonb_build_object('ess', jsonb_strip_nulls(jsonb_build_object('parent', nullif(parent, 0), 'kind', kind, 'state', note, 'outcome', outcome, 'checked_in', checked_in)))
FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bool[], $9::bool[], $10::int[]) AS r (id, parent, kind, at, note, outcome, checked_in, marked, final, attempt)`

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
	var attempts []int
	for _, r := range requests {
		at, note := Place(r)
		ids, parents = append(ids, int64(r.ID)), append(parents, int64(r.Parent))
		kinds, ats, times = append(kinds, r.Kind.String()), append(ats, at), append(times, timeText(r.CheckedIn))
		notes, outcomes = append(notes, pgstore.OrNull(note)), append(outcomes, pgstore.OrNull(r.Outcome))
		attempts = append(attempts, r.Attempt)
		marked, final = append(marked, r.State == lifecycle.StateCancelling), append(final, lifecycle.Terminal.Has(r.State))
	}
	batch.Queue(s.sql(fillSQL), ids, parents, kinds, ats, notes, outcomes, times, marked, final, attempts)
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
	change := changeArgs(cancel.Change{
		Old: lifecycle.Request{Kind: lifecycle.KindChild, State: lifecycle.StateReady}, Trigger: lifecycle.TriggerCancel, State: lifecycle.StateCancelled,
	})
	change["ids"] = ids
	statements := map[string]pgx.NamedArgs{
		s.sql(listSQL):                               {"after": 0, "limit": 1000},
		s.sql(interruptSQL):                          {"schema": "", "ids": ids},
		s.sql(admitSQL):                              {"parent": 1},
		s.sql(applySQL + applyEndSQL):                change,
		s.sql(applySQL + childlessSQL + applyEndSQL): change,
		s.turn.Close:                                 {"ids": ids},
	}
	for _, set := range []lifecycle.StateSet{lifecycle.Live, lifecycle.Terminal, lifecycle.SetOf(lifecycle.StateCancelling)} {
		statements[s.sql(strings.Replace(childrenSQL, "{in}", row.In(set), 1))] = pgx.NamedArgs{"parents": ids, "after_parent": 0, "after": 0, "limit": 1000}
	}
	return statements
}
