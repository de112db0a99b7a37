package essriver

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// applySQL changes jobs that are all in one state to another.
//
// Of two that write the same job, this statement and one of River's included, the second
// waits for the first and then looks at the job again: if it is not in the old state any
// more it is left alone.
//
// What is cancelled is marked. The cause is kept that made the job CANCELLING or CANCELLED: if
// somebody has made River retry the job after that, and it is cancelled anew, it is the new
// one.
var applySQL = `
UPDATE {schema}river_job j
SET state = coalesce(@at::text::{schema}river_job_state, j.state),
    finalized_at = CASE WHEN @final::boolean THEN now() END,
    metadata = CASE WHEN @mark::boolean THEN jsonb_build_object('` + mark + `', coalesce(nullif(@time::text, '')::timestamptz, now())) ELSE '{}' END
        || j.metadata || jsonb_build_object('ess', jsonb_strip_nulls(
        coalesce(` + noteSQL + `, '{}') || jsonb_build_object(
            'state', @note::text,
            'outcome', @outcome::text,
            'checked_in', @checked_in::text,
            'cause', CASE WHEN @anew::boolean THEN @cause::jsonb ELSE coalesce(` + noteSQL + `->'cause', @cause::jsonb) END
        )))
WHERE j.id = ANY ((SELECT @ids::bigint[])::bigint[])
  AND ` + stateSQL + ` = @old_state::text
  AND (` + outcomeSQL + `) IS NOT DISTINCT FROM @old_outcome::text
  AND ` + checkedInSQL + ` IS NOT DISTINCT FROM @old_checked_in::timestamptz
RETURNING j.id`

// Apply implements [cancel.Repository]. It sends one statement for each sort of change in
// the batch, mostly one or two, in one round trip and one transaction.
func (s *Store) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	index := make(map[int64]int, len(changes))
	sorts := map[cancel.Change][]int64{} // by what their changes have in common
	for i, ch := range changes {
		id := int64(ch.Old.ID)
		index[id] = i
		ch.Old.ID, ch.Old.Parent, ch.Old.Version = 0, 0, ""
		sorts[ch] = append(sorts[ch], id)
	}
	var made []bool
	err := s.again(ctx, func() error {
		made = make([]bool, len(changes))
		var batch pgx.Batch
		for ch, ids := range sorts {
			args, err := changeArgs(ch)
			if err != nil {
				return err
			}
			args["ids"] = ids
			batch.Queue(s.sql(applySQL), args).Query(func(rows pgx.Rows) error {
				ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
				for _, id := range ids {
					made[index[id]] = true
				}
				return err
			})
		}
		return s.db.SendBatch(ctx, &batch).Close()
	})
	return made, err
}

func changeArgs(ch cancel.Change) (pgx.NamedArgs, error) {
	cause, err := json.Marshal(ch.Cause)
	at, note := target(ch)
	return pgx.NamedArgs{
		"at": at, "note": note, "final": lifecycle.Terminal.Has(ch.State),
		"outcome": orNull(ch.Outcome), "checked_in": timeText(ch.CheckedIn),
		"mark": ch.State == lifecycle.StateCancelling || ch.State == lifecycle.StateCancelled,
		"time": timeText(ch.Cause.Time), "cause": string(cause),
		"anew":      ch.Trigger == lifecycle.TriggerCancel && ch.Old.State != ch.State,
		"old_state": ch.Old.State.String(), "old_outcome": orNull(ch.Old.Outcome), "old_checked_in": timeOrNull(ch.Old.CheckedIn),
	}, err
}

// target returns which of River's states a change leads to, nil for the one that the job is
// in, and what goes with it into the metadata.
func target(ch cancel.Change) (at, note *string) {
	switch {
	case ch.State != lifecycle.StateCancelling:
		river, state := place(ch.Old.Kind, ch.State)
		return new(string(river)), orNull(state)
	case ch.Outcome != 0:
		// Nothing of it is to run, and River must not end it before its children.
		river, _ := place(lifecycle.KindParent, lifecycle.StateHold)
		return new(string(river)), nil
	default:
		return nil, nil // its work goes on
	}
}

// orNull returns the name of a state, or NULL for 0.
func orNull(s lifecycle.State) *string {
	if s == 0 {
		return nil
	}
	return new(s.String())
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// timeText returns a time as JSON has it, and an empty text for the zero time.
func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339Nano)
}

// maxAttempts is how often a statement is tried that fails because of others.
const maxAttempts = 16

// again calls f, and calls it again as long as the database has rolled it back because of
// what others did at the same time, River among them: it writes jobs in no certain order. In a
// transaction of the caller's all of that has been rolled back, and to begin again is the
// caller's decision.
func (s *Store) again(ctx context.Context, f func() error) error {
	for attempt := 1; ; attempt++ {
		err := f()
		e, ok := errors.AsType[*pgconn.PgError](err)
		rolledBack := ok && (e.Code == "40001" || e.Code == "40P01") // serialization failure, deadlock
		if _, inTx := s.db.(pgx.Tx); !rolledBack || inTx || attempt == maxAttempts {
			return err
		}
		select {
		case <-time.After(rand.N(time.Millisecond << min(attempt, 8))):
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}
