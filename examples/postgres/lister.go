package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// listSQL reads an index of the requests that are CANCELLING.
const listSQL = `
SELECT ` + columns + `, NULL::bigint, NULL::text, NULL::text, NULL::timestamptz
FROM {requests} r
WHERE r.{state} = {CANCELLING} AND r.{id} > @after::bigint
ORDER BY r.{id}
LIMIT (SELECT @limit::bigint)`

// listWithCauseSQL does so too, and looks into the audit trail for each.
const listWithCauseSQL = `
SELECT ` + columns + `, a.root, a.actor, a.reason, a.at
FROM {requests} r
LEFT JOIN LATERAL (` + firstCauseSQL + `) a ON true
WHERE r.{state} = {CANCELLING} AND r.{id} > @after::bigint
ORDER BY r.{id}
LIMIT (SELECT @limit::bigint)`

// firstCauseSQL reads the first row of a request in the audit trail that is not the
// scheduler's own: those have no root.
const firstCauseSQL = `
    SELECT a.root, a.actor, a.reason, a.at
    FROM {audit} a
    WHERE a.request = r.{id} AND a.root IS NOT NULL
    ORDER BY a.seq
    LIMIT 1`

// ListCancelling implements [cancel.CancellingLister].
func (s *Store) ListCancelling(ctx context.Context, after lifecycle.ID, limit int) (page []cancel.CancellingRequest, err error) {
	err = s.again(ctx, func() error {
		rows, err := s.db.Query(ctx, s.listCancelling, pgx.NamedArgs{"after": after, "limit": limit})
		if err != nil {
			return err
		}
		page, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (cancel.CancellingRequest, error) { return readCause(row) })
		return err
	})
	return page, err
}

const causeSQL = `
SELECT ` + columns + `, a.root, a.actor, a.reason, a.at
FROM {requests} r
LEFT JOIN LATERAL (` + firstCauseSQL + `) a ON true
WHERE r.{id} = @id::bigint`

// Cause implements [cancel.CauseReader]. Without an audit trail it declines.
func (s *Store) Cause(ctx context.Context, id lifecycle.ID) (cause cancel.Cause, err error) {
	if !s.audited {
		return cause, fmt.Errorf("postgres: no audit trail: %w", errors.ErrUnsupported)
	}
	err = s.again(ctx, func() error {
		u, err := readCause(s.db.QueryRow(ctx, s.cause, pgx.NamedArgs{"id": id}))
		cause = u.Cause
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		err = fmt.Errorf("postgres: request %d: %w", id, cancel.ErrNotFound)
	}
	return cause, err
}

// readCause reads a request and its cause, which is zero if there is none.
func readCause(row pgx.Row) (u cancel.CancellingRequest, err error) {
	var root *lifecycle.ID
	var actor, reason *string
	var at *time.Time
	u.Request, err = newReader(&root, &actor, &reason, &at).read(row)
	if err == nil && root != nil {
		u.Cause = cancel.Cause{Root: *root, Actor: *actor, Reason: *reason, Time: at.UTC()}
	}
	return u, err
}
