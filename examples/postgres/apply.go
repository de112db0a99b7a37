package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/ess/cancel"
)

// applySQL changes requests that are all in the same state to another. The changes
// of a batch differ in little but their ids, and to find rows by a list of ids is
// faster than to join them with a list of changes.
//
// Of two transactions that write the same row, the second waits for the first and
// then looks at the row again: if it is not in the old state any more it is left
// alone. Like that in childrenSQL, the sub-select hides the ids from the planner.
const applySQL = `
WITH made AS (
    UPDATE {requests} r
    SET {state} = @state, {outcome} = @outcome, {checked_in} = @checked_in
    WHERE r.{id} = ANY ((SELECT @ids::bigint[])::bigint[])
      AND r.{state} = @old_state
      AND r.{outcome} IS NOT DISTINCT FROM @old_outcome
      AND r.{checked_in} IS NOT DISTINCT FROM @old_checked_in
    RETURNING r.{id} AS id
)`

// applyAuditSQL comes behind it and keeps the cause. Either all is stored or nothing.
const applyAuditSQL = `, audited AS (
    INSERT INTO {audit} (request, root, actor, reason, trigger, from_state, to_state, outcome, at)
    SELECT made.id, @root, @actor, @reason, @trigger, @old_state, @state, @outcome, @at
    FROM made
)`

const applyEndSQL = `
SELECT array_agg(id) FROM made`

// Apply implements [cancel.Repository]. It sends one statement for each sort of
// change in the batch, mostly one or two, in one round trip and one transaction.
func (s *Store) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	index := make(map[int64]int, len(changes))
	for i, ch := range changes {
		index[int64(ch.Old.ID)] = i
	}
	sorts := sortOut(changes)
	var made []bool
	err := s.again(ctx, func() error {
		made = make([]bool, len(changes))
		var batch pgx.Batch
		for _, sort := range sorts {
			batch.Queue(s.apply, sort.args()).QueryRow(func(row pgx.Row) error {
				var ids []int64
				err := row.Scan(&ids)
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

// A sort of change is what many changes have in common.
type sort struct {
	cancel.Change // without what identifies the request
	ids           []int64
}

func sortOut(changes []cancel.Change) []*sort {
	var sorts []*sort
	known := map[cancel.Change]*sort{}
	var last *sort // mostly of the next one, too
	for _, ch := range changes {
		id := int64(ch.Old.ID)
		ch.Old.ID, ch.Old.Parent, ch.Old.Kind, ch.Old.Version = 0, 0, 0, ""
		if last == nil || last.Change != ch {
			if last = known[ch]; last == nil {
				last = &sort{Change: ch}
				known[ch] = last
				sorts = append(sorts, last)
			}
		}
		last.ids = append(last.ids, id)
	}
	return sorts
}

func (s *sort) args() pgx.NamedArgs {
	return pgx.NamedArgs{
		"ids":       s.ids,
		"old_state": orNull(s.Old.State), "old_outcome": orNull(s.Old.Outcome), "old_checked_in": timeOrNull(s.Old.CheckedIn),
		"state": orNull(s.State), "outcome": orNull(s.Outcome), "checked_in": timeOrNull(s.CheckedIn),
		"trigger": orNull(s.Trigger), "root": s.Cause.Root, "actor": s.Cause.Actor, "reason": s.Cause.Reason, "at": s.Cause.Time,
	}
}

// orNull returns the name of a state or trigger, or NULL for 0.
func orNull[N interface {
	comparable
	String() string
}](n N) *string {
	var zero N
	if n == zero {
		return nil
	}
	return new(n.String())
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
