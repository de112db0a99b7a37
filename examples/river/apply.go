package essriver

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/ess/cancel"
	"example.com/ess/examples/postgres/pgstore"
	"example.com/ess/lifecycle"
)

// applySQL changes jobs that are all in one state to another.
//
// Of two that write the same job, this statement and one of River's included, the second
// waits for the first and then looks at the job again: if it is not in the old state any
// more it is left alone.
//
// What is cancelled is marked. The cause of a cancel is kept, and no other: if somebody has
// made River retry the job after that, and it is cancelled anew, it is the new one.
var applySQL = `
WITH made AS (
    UPDATE {schema}river_job j
    SET state = coalesce(@at::text::{schema}river_job_state, j.state),
        attempt = @attempt,
        finalized_at = CASE WHEN @final::boolean THEN now() END,
        metadata = CASE WHEN @mark::boolean THEN jsonb_build_object('` + mark + `', coalesce(nullif(@time::text, '')::timestamptz, now())) ELSE '{}' END
            || j.metadata || jsonb_build_object('ess', jsonb_strip_nulls(
            coalesce(` + noteSQL + `, '{}') || jsonb_build_object(
                'state', @note::text,
                'outcome', @outcome::text,
                'checked_in', @checked_in::text,
                'cause', coalesce(@cause::jsonb, ` + noteSQL + `->'cause')
            )))
    WHERE j.id = ANY ((SELECT @ids::bigint[])::bigint[])
      AND ` + stateSQL + ` = @old_state::text
      AND (` + outcomeSQL + `) IS NOT DISTINCT FROM @old_outcome::text
      AND ` + checkedInSQL + ` IS NOT DISTINCT FROM @old_checked_in::timestamptz
      AND j.attempt = @old_attempt`

// childlessSQL comes behind it if the job must not have a live child.
const childlessSQL = `
      AND NOT EXISTS (
          SELECT FROM {schema}river_job c
          WHERE c.metadata->'ess'->>'parent' IS NOT NULL AND (c.metadata->'ess'->>'parent')::bigint = j.id
            AND c.state NOT IN ('cancelled', 'completed', 'discarded'))`

const applyEndSQL = `
    RETURNING j.id
)
SELECT array_agg(id) FROM made`

// Apply implements [cancel.Repository].
func (s *Store) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	sql := s.sql(applySQL + applyEndSQL)
	return pgstore.Apply(ctx, s.db, s.turn, changes, func(ch cancel.Change) (string, pgx.NamedArgs) { return sql, changeArgs(ch) })
}

// EndParent implements [cancel.ParentEnder].
func (s *Store) EndParent(ctx context.Context, ch cancel.Change) (made bool, err error) {
	sql := s.sql(applySQL + childlessSQL + applyEndSQL)
	return pgstore.EndParent(ctx, s.db, s.turn, ch, func(ch cancel.Change) (string, pgx.NamedArgs) { return sql, changeArgs(ch) })
}

func changeArgs(ch cancel.Change) pgx.NamedArgs {
	at, note := target(ch)
	var cause *string
	if ch.Trigger == lifecycle.TriggerCancel {
		text, _ := json.Marshal(ch.Cause) // fails for a year of five digits, and then there is none
		cause = new(string(text))
	}
	return pgx.NamedArgs{
		"at": at, "note": note, "final": lifecycle.Terminal.Has(ch.State),
		"outcome": pgstore.OrNull(ch.Outcome), "checked_in": timeText(ch.CheckedIn), "attempt": ch.Attempt,
		"mark": ch.State == lifecycle.StateCancelling || ch.State == lifecycle.StateCancelled,
		"time": timeText(ch.Cause.Time), "cause": cause,
		"old_state": ch.Old.State.String(), "old_outcome": pgstore.OrNull(ch.Old.Outcome),
		"old_checked_in": pgstore.TimeOrNull(ch.Old.CheckedIn), "old_attempt": ch.Old.Attempt,
	}
}

// target returns which of River's states a change leads to, nil for the one that the job is
// in, and what goes with it into the metadata.
func target(ch cancel.Change) (at, note *string) {
	switch {
	case ch.State != lifecycle.StateCancelling:
		river, state := place(ch.Old.Kind, ch.State)
		return new(string(river)), pgstore.OrNull(state)
	case ch.Outcome != 0:
		// Nothing of it is to run, and River must not end it before its children.
		river, _ := place(lifecycle.KindParent, lifecycle.StateHold)
		return new(string(river)), nil
	default:
		return nil, nil // its work goes on
	}
}

// timeText returns a time as JSON has it, and an empty text for the zero time.
func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
