package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

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
		live, err := hasLiveChild(ctx, tx, ch.Old.ID)
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

func hasLiveChild(ctx context.Context, tx *sql.Tx, id lifecycle.ID) (live bool, err error) {
	err = tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM requests WHERE parent = ? AND live)", id).Scan(&live)
	return live, err
}
