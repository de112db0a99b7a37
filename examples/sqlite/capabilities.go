package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// ofPage joins the requests of the page with what is decided for them, which is NULL
// where a request is CANCELLING already or cannot be read. In SQLite a CROSS JOIN also
// says which table to begin with: here the small one.
const ofPage = `
	FROM page
	CROSS JOIN requests AS r ON r.id = page.id
	LEFT JOIN decisions AS d ON d.kind = r.kind AND d.old_state = r.state AND r.outcome IS NULL`

// updatePage changes the requests of the page that are still in the state from which
// something is decided for them.
const updatePage = `
	UPDATE requests SET
		state = d.state,
		outcome = d.outcome,
		checked_in = iif(d.state = ?, ?, checked_in),
		cause = coalesce(cause, ?)
	FROM page CROSS JOIN decisions AS d
	WHERE requests.id = page.id AND d.kind = requests.kind AND d.old_state = requests.state AND requests.outcome IS NULL`

// CancelChildren implements [cancel.ChildCanceller]: a page is one transaction of a
// handful of statements, and only the children that the caller has to know of leave
// the database. After any error but one of the commit itself nothing of the page has been
// changed; of the commit nobody knows.
func (s *Store) CancelChildren(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
	var page cancel.ChildPage
	args, err := childrenArgs(c.Query)
	if err != nil {
		return page, failed(ctx, err)
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		// The page. Nobody else writes before the commit, and so it stays what it is.
		if _, err := tx.ExecContext(ctx, "DELETE FROM page"); err != nil {
			return err
		}
		n, err := count(tx.ExecContext(ctx, "INSERT INTO page (parent, id) "+childrenOf("parent, id", c.Query.States), args...))
		if err != nil || n == 0 {
			return err
		}
		page.More = n == c.Query.Limit
		err = tx.QueryRowContext(ctx, "SELECT parent, id FROM page ORDER BY parent DESC, id DESC LIMIT 1").
			Scan(&page.Last.Parent, &page.Last.ID)
		if err != nil {
			return err
		}
		if page.Changes, err = decided(ctx, tx, c); err != nil {
			return err
		}

		// The audit trail, which knows the states before ...
		cause, err := insertCause(ctx, tx, c.Cause)
		if err != nil {
			return err
		}
		changed, err := count(tx.ExecContext(ctx, `
			INSERT INTO changes (cause, request, trigger, old_state, state, outcome)
			SELECT ?, r.id, ?, r.state, d.state, d.outcome `+ofPage+` WHERE d.state IS NOT NULL`, cause, lifecycle.TriggerCancel))
		if err != nil {
			return err
		}
		// ... and then the requests.
		_, err = tx.ExecContext(ctx, updatePage, lifecycle.StateCancelling, micros(c.Cause.Time), cause)
		for _, ch := range page.Changes {
			if ch.State != ch.Old.State {
				changed--
			}
		}
		page.Cancelled = changed
		return err
	})
	return page, err
}

// decided returns the changes that make the page what has been decided, as far as the
// caller wants to know them.
func decided(ctx context.Context, tx *sql.Tx, c cancel.ChildCancel) ([]cancel.Change, error) {
	rows, err := tx.QueryContext(ctx, "SELECT "+columns+", d.state, d.outcome "+ofPage+`
		WHERE ? OR d.state IS NULL OR d.state = ? ORDER BY page.parent, page.id`, c.All, lifecycle.StateCancelling)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var changes []cancel.Change
	for rows.Next() {
		var state, outcome sql.Null[lifecycle.State]
		r, err := scan(rows, &state, &outcome)
		if err != nil {
			return nil, err
		}
		ch := cancel.Change{Old: r, State: r.State, Outcome: r.Outcome, CheckedIn: r.CheckedIn, Attempt: r.Attempt}
		if state.Valid {
			ch.Trigger, ch.State, ch.Outcome, ch.Cause = lifecycle.TriggerCancel, state.V, outcome.V, c.Cause
			if ch.State == lifecycle.StateCancelling {
				ch.CheckedIn = c.Cause.Time
			}
		}
		changes = append(changes, ch)
	}
	return changes, rows.Err()
}

// count returns how many rows a statement wrote.
func count(result sql.Result, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}

const causeColumns = "coalesce(c.root, 0), coalesce(c.actor, ''), coalesce(c.reason, ''), c.at"

const listCancelling = `
	SELECT ` + columns + `, ` + causeColumns + `
	FROM requests AS r LEFT JOIN causes AS c ON c.id = r.cause
	WHERE r.state = 'CANCELLING' AND r.id > ? ORDER BY r.id LIMIT ?`

// ListCancelling implements [cancel.CancellingLister].
func (s *Store) ListCancelling(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
	rows, err := s.readers.QueryContext(ctx, listCancelling, after, limit)
	if err != nil {
		return nil, failed(ctx, err)
	}
	defer rows.Close()
	var page []cancel.CancellingRequest
	for rows.Next() {
		var u cancel.CancellingRequest
		var at sql.Null[int64]
		u.Request, err = scan(rows, &u.Cause.Root, &u.Cause.Actor, &u.Cause.Reason, &at)
		if err != nil {
			return nil, failed(ctx, err)
		}
		u.Cause.Time = timeOf(at)
		page = append(page, u)
	}
	return page, failed(ctx, rows.Err())
}

// Cause implements [cancel.CauseReader].
func (s *Store) Cause(ctx context.Context, id lifecycle.ID) (cancel.Cause, error) {
	var cause cancel.Cause
	var at sql.Null[int64]
	err := s.readers.QueryRowContext(ctx, `
		SELECT `+causeColumns+` FROM requests AS r LEFT JOIN causes AS c ON c.id = r.cause
		WHERE r.id = ?`, id).Scan(&cause.Root, &cause.Actor, &cause.Reason, &at)
	if errors.Is(err, sql.ErrNoRows) {
		err = fmt.Errorf("request %d: %w", id, cancel.ErrNotFound)
	}
	cause.Time = timeOf(at)
	return cause, failed(ctx, err)
}

// EndParent implements [cancel.ParentEnder]. Nobody else writes between the look and the
// commit.
func (s *Store) EndParent(ctx context.Context, ch cancel.Change) (made bool, err error) {
	err = s.write(ctx, func(tx *sql.Tx) error {
		var live bool
		err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM requests WHERE parent = ? AND live)", ch.Old.ID).Scan(&live)
		if err != nil || live {
			return err
		}
		cause, err := insertCause(ctx, tx, ch.Cause)
		if err != nil {
			return err
		}
		made, err = change(ctx, tx, ch, cause)
		return err
	})
	return made && err == nil, err
}
