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
	r, err := scan(q.QueryRowContext(ctx, "SELECT "+columns+" FROM requests WHERE id = ?", id))
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
// Its parameters are those of childrenArgs.
func childrenOf(columns string, states lifecycle.StateSet) string {
	live := ""
	if states&lifecycle.Terminal == 0 {
		live = "AND live" // lets it use the index that has nothing else
	}
	return fmt.Sprintf(`
		SELECT %[1]s FROM requests
		WHERE parent = +?1 AND id > +?2 AND instr(?4, '"' || state || '"') %[2]s
		UNION ALL
		SELECT %[1]s FROM requests
		WHERE parent IN (SELECT value FROM json_each(?3)) AND instr(?4, '"' || state || '"') %[2]s
		ORDER BY parent, id LIMIT (SELECT ?5)`, columns, live)
}

func childrenArgs(q cancel.ChildQuery) ([]any, error) {
	first, found := slices.BinarySearch(q.Parents, q.After.Parent)
	after := q.After
	if found {
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
			n, err := count(tx.ExecContext(quick, `
				UPDATE requests SET state = ?, outcome = ?, checked_in = ?, cause = coalesce(cause, ?)
				WHERE id = ? AND state = ? AND outcome IS ? AND checked_in IS ?`,
				ch.State, name(ch.Outcome), micros(ch.CheckedIn), cause,
				ch.Old.ID, ch.Old.State, name(ch.Old.Outcome), micros(ch.Old.CheckedIn)))
			if err != nil {
				return err
			}
			if n == 0 {
				continue
			}
			_, err = tx.ExecContext(quick, `
				INSERT INTO changes (cause, request, trigger, old_state, state, outcome) VALUES (?, ?, ?, ?, ?, ?)`,
				cause, ch.Old.ID, sql.Null[string]{V: ch.Trigger.String(), Valid: ch.Trigger != 0}, ch.Old.State, ch.State, name(ch.Outcome))
			if err != nil {
				return err
			}
			made[i] = true
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return made, nil
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
