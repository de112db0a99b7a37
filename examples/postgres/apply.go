package postgres

import (
	"context"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
	"github.com/jackc/pgx/v5"
)

// applySQL makes a batch of changes. A change is an id and a way: the changes of a
// batch differ in little but their ids, and so what they have in common, their
// causes included, is sent once.
//
// Of two transactions that write the same row, the second waits for the first, and
// then looks at the row again: if it is not in the old state any more, it is left
// alone. Rows are written in the order of their ids, so that two batches do not
// wait for each other in a circle. Like the one in childrenSQL, the sub-selects
// hide how many there are, and the planner goes from each id to its row, in that
// order, and does not read the table instead.
const applySQL = `
WITH way AS MATERIALIZED (
    SELECT *
    FROM unnest(@old_states::text[], @old_outcomes::text[], @old_times::timestamptz[],
                @triggers::text[], @states::text[], @outcomes::text[], @times::timestamptz[],
                @roots::bigint[], @actors::text[], @reasons::text[], @ats::timestamptz[])
        WITH ORDINALITY AS w (old_state, old_outcome, old_time, trigger, state, outcome, time, root, actor, reason, at, way)
), change AS MATERIALIZED (
    SELECT c.id, c.i, way.*
    FROM unnest((SELECT @ids::bigint[]), (SELECT @ways::bigint[])) WITH ORDINALITY AS c (id, way, i)
    JOIN way USING (way)
    ORDER BY c.id
), made AS (
    UPDATE {requests} r
    SET {state} = c.state, {outcome} = c.outcome, {checked_in} = c.time
    FROM change c
    WHERE r.{id} = c.id
      AND r.{state} = c.old_state
      AND r.{outcome} IS NOT DISTINCT FROM c.old_outcome
      AND r.{checked_in} IS NOT DISTINCT FROM c.old_time
    RETURNING c.*
)`

// auditSQL comes behind a statement that makes changes. Either both are stored or
// neither.
const auditSQL = `, audited AS (
    INSERT INTO {audit} (request, root, actor, reason, trigger, from_state, to_state, outcome, at)
    SELECT m.id, m.root, m.actor, m.reason, m.trigger, m.old_state, m.state, m.outcome, m.at
    FROM made m
)`

const applyEndSQL = `
SELECT array_agg(i) FROM made`

// Apply implements [cancel.Repository]. The batch is one statement and atomic.
func (s *Store) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	var w ways
	ids, of := make([]lifecycle.ID, len(changes)), make([]int64, len(changes))
	for i, ch := range changes {
		ids[i], of[i] = ch.Old.ID, w.add(ch)
	}
	args := pgx.NamedArgs{
		"ids": ids, "ways": of,
		"old_states": w.oldStates, "old_outcomes": w.oldOutcomes, "old_times": w.oldTimes,
		"triggers": w.triggers, "states": w.states, "outcomes": w.outcomes, "times": w.times,
		"roots": w.roots, "actors": w.actors, "reasons": w.reasons, "ats": w.ats,
	}
	var which []int
	err := s.again(ctx, func() error {
		return s.db.QueryRow(ctx, s.apply, args).Scan(&which)
	})
	if err != nil {
		return nil, err
	}
	made := make([]bool, len(changes))
	for _, i := range which {
		made[i-1] = true
	}
	return made, nil
}

// ways are the different ways in which the requests of a batch change, by column.
type ways struct {
	index map[cancel.Change]int64
	last  cancel.Change
	at    int64 // of last

	oldStates, oldOutcomes, triggers, states, outcomes []*string
	oldTimes, times                                    []*time.Time
	roots                                              []lifecycle.ID
	actors, reasons                                    []string
	ats                                                []time.Time
}

// add returns the number of the way in which ch changes its request.
func (w *ways) add(ch cancel.Change) int64 {
	ch.Old.ID, ch.Old.Parent, ch.Old.Kind, ch.Old.Version = 0, 0, 0, ""
	if ch == w.last && w.at != 0 {
		return w.at
	}
	n, ok := w.index[ch]
	if !ok {
		if w.index == nil {
			w.index = map[cancel.Change]int64{}
		}
		n = int64(len(w.index) + 1)
		w.index[ch] = n
		w.oldStates = append(w.oldStates, nameOrNull(ch.Old.State))
		w.oldOutcomes = append(w.oldOutcomes, nameOrNull(ch.Old.Outcome))
		w.oldTimes = append(w.oldTimes, timeOrNull(ch.Old.CheckedIn))
		w.triggers = append(w.triggers, nameOrNull(ch.Trigger))
		w.states = append(w.states, nameOrNull(ch.State))
		w.outcomes = append(w.outcomes, nameOrNull(ch.Outcome))
		w.times = append(w.times, timeOrNull(ch.CheckedIn))
		w.roots = append(w.roots, ch.Cause.Root)
		w.actors = append(w.actors, ch.Cause.Actor)
		w.reasons = append(w.reasons, ch.Cause.Reason)
		w.ats = append(w.ats, ch.Cause.Time)
	}
	w.last, w.at = ch, n
	return n
}

func nameOrNull[N interface {
	Valid() bool
	String() string
}](n N) *string {
	if !n.Valid() {
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
