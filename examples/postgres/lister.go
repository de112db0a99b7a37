package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/ess/cancel"
	"example.com/ess/examples/postgres/pgstore"
	"example.com/ess/lifecycle"
)

// withCauseSQL reads requests and looks into the audit trail for each, if there is one:
// behind it come firstCauseSQL or noCauseSQL, and then which requests.
const withCauseSQL = `
SELECT ` + columns + `, coalesce(a.root, 0), coalesce(a.actor, ''), coalesce(a.reason, ''), a.at
FROM {requests} r
LEFT JOIN LATERAL (`

// firstCauseSQL reads the first row of a request in the audit trail that says that this
// package cancelled it. Rows of the scheduler's own have no root.
const firstCauseSQL = `
    SELECT a.root, a.actor, a.reason, a.at
    FROM {audit} a
    WHERE a.request = r.{id} AND a.trigger = {cancel} AND a.root IS NOT NULL
    ORDER BY a.seq
    LIMIT 1`

const noCauseSQL = `
    SELECT NULL::bigint AS root, NULL::text AS actor, NULL::text AS reason, NULL::timestamptz AS at`

const causeEndSQL = `) a ON true
WHERE r.{id} = @id::bigint`

// listEndSQL reads an index of the requests that are CANCELLING.
const listEndSQL = `) a ON true
WHERE r.{state} = {CANCELLING} AND r.{id} > @after::bigint
ORDER BY r.{id}
LIMIT (SELECT @limit::bigint)`

// ListCancelling implements [cancel.CancellingLister].
func (s *Store) ListCancelling(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
	return pgstore.Select(ctx, s.db, s.listCancelling, pgx.NamedArgs{"after": after, "limit": limit}, limit, readCause)
}

// Cause implements [cancel.CauseReader]. Without an audit trail it declines.
func (s *Store) Cause(ctx context.Context, id lifecycle.ID) (cause cancel.Cause, err error) {
	if !s.audited {
		return cause, fmt.Errorf("postgres: no audit trail: %w", errors.ErrUnsupported)
	}
	err = pgstore.Retry(ctx, s.db, func() error {
		u, err := readCause(s.db.QueryRow(ctx, s.cause, pgx.NamedArgs{"id": id}))
		cause = u.Cause
		return err
	})
	return cause, pgstore.NotFound(id, err)
}

// readCause reads a request and its cause, which is zero if there is none.
func readCause(row pgx.Row) (u cancel.CancellingRequest, err error) {
	var at *time.Time
	u.Request, err = pgstore.NewReader((*int64)(&u.Cause.Root), &u.Cause.Actor, &u.Cause.Reason, &at).Read(row)
	if at != nil {
		u.Cause.Time = at.UTC()
	}
	return u, err
}
