package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"example.com/ess/cancel"
	"example.com/ess/examples/postgres/pgstore"
)

// applySQL changes requests that are all in the same state to another.
//
// Of two transactions that write the same row, the second waits for the first and
// then looks at the row again: if it is not in the old state any more it is left
// alone. Like that in childrenSQL, the sub-select hides the ids from the planner.
const applySQL = `
WITH made AS (
    UPDATE {requests} r
    SET {state} = @state, {outcome} = @outcome, {checked_in} = @checked_in{set_attempt}
    WHERE r.{id} = ANY ((SELECT @ids::bigint[])::bigint[])
      AND r.{state} = @old_state
      AND {r.outcome} IS NOT DISTINCT FROM @old_outcome
      AND {r.checked_in} IS NOT DISTINCT FROM @old_checked_in
      AND {r.attempt} = @old_attempt`

// childlessSQL comes behind it if the request must not have a live child.
const childlessSQL = `
      AND NOT EXISTS (SELECT FROM {requests} c WHERE c.{parent} = r.{id} AND {c.live})`

const madeSQL = `
    RETURNING r.{id} AS id
)`

// keepSQL keeps the cause. Either all is stored or nothing.
const keepSQL = `, audited AS (
    INSERT INTO {audit} (request, root, actor, reason, trigger, from_state, to_state, outcome, at)
    SELECT made.id, @root, @actor, @reason, @trigger, @old_state, @state, @outcome, @at
    FROM made
)`

const applyEndSQL = `
SELECT array_agg(id) FROM made`

// Apply implements [cancel.Repository].
func (s *Store) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	return pgstore.Apply(ctx, s.db, s.turn, changes, func(ch cancel.Change) (string, pgx.NamedArgs) { return s.apply, changeArgs(ch) })
}

// EndParent implements [cancel.ParentEnder].
func (s *Store) EndParent(ctx context.Context, ch cancel.Change) (made bool, err error) {
	return pgstore.EndParent(ctx, s.db, s.turn, ch, func(ch cancel.Change) (string, pgx.NamedArgs) { return s.endParent, changeArgs(ch) })
}

func changeArgs(ch cancel.Change) pgx.NamedArgs {
	return pgx.NamedArgs{
		"old_state": pgstore.OrNull(ch.Old.State), "old_outcome": pgstore.OrNull(ch.Old.Outcome),
		"old_checked_in": pgstore.TimeOrNull(ch.Old.CheckedIn), "old_attempt": ch.Old.Attempt,
		"state": pgstore.OrNull(ch.State), "outcome": pgstore.OrNull(ch.Outcome), "checked_in": pgstore.TimeOrNull(ch.CheckedIn), "attempt": ch.Attempt,
		"trigger": pgstore.OrNull(ch.Trigger), "root": ch.Cause.Root, "actor": ch.Cause.Actor, "reason": ch.Cause.Reason, "at": ch.Cause.Time,
	}
}
