package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// Get implements [cancel.Repository].
func (s *Store) Get(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
	r, err := get(ctx, s.readers, id)
	return r, failed(ctx, err)
}

// A querier is a pool or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func get(ctx context.Context, q querier, id lifecycle.ID) (lifecycle.Request, error) {
	r, err := scan(q.QueryRowContext(ctx, "SELECT "+columns+" FROM requests AS r WHERE id = ?", id))
	if errors.Is(err, sql.ErrNoRows) {
		return r, fmt.Errorf("request %d: %w", id, cancel.ErrNotFound)
	}
	return r, err
}

// childrenOf selects children page by page. SQLite reads both halves in the order of
// an index, merges them and stops at the limit: no page costs more than its rows.
// The first half is the rest of the parent at which the page before ended, the second
// the parents behind it. (One condition on (parent, id) for both would make SQLite
// pass over all rows of that parent again. And where a parameter stands bare in place of
// +?1 or (SELECT ?5) it would make a new plan for each value, which takes longer than most
// pages; and to make a table of a dozen states takes longer than to look for one in a text.)
//
// Whatever the states are, a row that nobody can read is among the children, unless it
// has ended: who asked has to know of it.
//
// Its parameters are those of childrenArgs.
func childrenOf(columns string, states lifecycle.StateSet) string {
	wanted := `(instr(?4, '"' || state || '"') OR live AND NOT readable)`
	switch {
	case states == lifecycle.Live:
		wanted = "live"
	case states&lifecycle.Terminal == 0:
		wanted += " AND live" // lets it use the index that has nothing else
	}
	return fmt.Sprintf(`
		SELECT %[1]s FROM requests AS r
		WHERE parent = +?1 AND id > +?2 AND %[2]s
		UNION ALL
		SELECT %[1]s FROM requests AS r
		WHERE parent IN (SELECT value FROM json_each(?3)) AND %[2]s
		ORDER BY parent, id LIMIT (SELECT ?5)`, columns, wanted)
}

func childrenArgs(q cancel.ChildQuery) ([]any, error) {
	first, found := slices.BinarySearch(q.Parents, q.After.Parent)
	after := q.After
	if found && after.ID > 0 { // not at its very beginning
		first++
	} else {
		after.Parent = -1 // nobody's
	}
	behind, err := json.Marshal(q.Parents[first:])
	if err != nil {
		return nil, err
	}
	states, err := json.Marshal(slices.Collect(q.States.All()))
	if err != nil {
		return nil, err
	}
	return []any{after.Parent, after.ID, string(behind), string(states), q.Limit}, nil
}

// Children implements [cancel.Repository].
func (s *Store) Children(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
	args, err := childrenArgs(q)
	if err != nil {
		return nil, failed(ctx, err)
	}
	rows, err := s.readers.QueryContext(ctx, childrenOf(columns, q.States), args...)
	if err != nil {
		return nil, failed(ctx, err)
	}
	defer rows.Close()
	var page []lifecycle.Request
	for rows.Next() {
		r, err := scan(rows)
		if err != nil {
			return nil, failed(ctx, err)
		}
		page = append(page, r)
	}
	return page, failed(ctx, rows.Err())
}

// Apply implements [cancel.Repository]. The whole batch is one transaction, because
// what costs time is to wait for the disk at the end of each.
func (s *Store) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	made := make([]bool, len(changes))
	err := s.write(ctx, func(tx *sql.Tx) error {
		causes := map[cancel.Cause]int64{} // most batches have one
		// Where a context can end the driver has a goroutine wait for that, and these
		// statements take less than to start one.
		quick := context.WithoutCancel(ctx)
		for i, ch := range changes {
			if err := ctx.Err(); err != nil {
				return err
			}
			cause, ok := causes[ch.Cause]
			if !ok {
				var err error
				if cause, err = insertCause(quick, tx, ch.Cause); err != nil {
					return err
				}
				causes[ch.Cause] = cause
			}
			var err error
			if made[i], err = change(quick, tx, ch, cause); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return made, nil
}

// change makes one change, and keeps it in the audit trail. It reports false if the
// request is not as ch.Old says.
func change(ctx context.Context, tx *sql.Tx, ch cancel.Change, cause int64) (made bool, err error) {
	r := ch.New()
	n, err := count(tx.ExecContext(ctx, `
		UPDATE requests SET state = ?, outcome = ?, checked_in = ?, attempt = ?, cause = coalesce(cause, ?)
		WHERE id = ? AND state = ? AND outcome IS ? AND checked_in IS ? AND attempt = ?`,
		r.State, name(r.Outcome), micros(r.CheckedIn), r.Attempt, sql.Null[int64]{V: cause, Valid: ch.Trigger == lifecycle.TriggerCancel},
		ch.Old.ID, ch.Old.State, name(ch.Old.Outcome), micros(ch.Old.CheckedIn), ch.Old.Attempt))
	if err != nil || n == 0 {
		return false, err
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO changes (cause, request, trigger, old_state, state, outcome) VALUES (?, ?, ?, ?, ?, ?)`,
		cause, r.ID, sql.Null[string]{V: ch.Trigger.String(), Valid: ch.Trigger != 0}, ch.Old.State, r.State, name(r.Outcome))
	return err == nil, err
}

// insertCause keeps a cause and returns its id. Each transaction keeps its own, so that
// the ids order the changes of a request.
func insertCause(ctx context.Context, tx *sql.Tx, c cancel.Cause) (int64, error) {
	result, err := tx.ExecContext(ctx, "INSERT INTO causes (root, actor, reason, at) VALUES (?, ?, ?, ?)",
		c.Root, c.Actor, c.Reason, micros(c.Time))
	if err != nil {
		return 0, err
	}
	return result.LastInsertId()
}
