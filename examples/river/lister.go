package essriver

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"

	"example.com/ess/cancel"
	"example.com/ess/examples/postgres/pgstore"
	"example.com/ess/lifecycle"
)

var listSQL = `
SELECT ` + columns + `, j.metadata->'ess'->'cause'
FROM {schema}river_job j
WHERE ` + markedSQL + ` AND j.id > @after::bigint
ORDER BY j.id
LIMIT (SELECT @limit::bigint)`

// ListCancelling implements [cancel.CancellingLister].
func (s *Store) ListCancelling(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
	return pgstore.Select(ctx, s.db, s.sql(listSQL), pgx.NamedArgs{"after": after, "limit": limit}, limit, func(row pgx.Row) (u cancel.CancellingRequest, err error) {
		var cause []byte
		u.Request, err = pgstore.NewReader(&cause).Read(row)
		u.Cause = causeOf(cause)
		return u, err
	})
}

const causeSQL = `SELECT j.metadata->'ess'->'cause' FROM {schema}river_job j WHERE j.id = @id`

// Cause implements [cancel.CauseReader]. It is zero for a job that River's JobCancel has
// cancelled: River does not ask who it was, nor why.
func (s *Store) Cause(ctx context.Context, id lifecycle.ID) (cancel.Cause, error) {
	var text []byte
	err := pgstore.Retry(ctx, s.db, func() error {
		return s.db.QueryRow(ctx, s.sql(causeSQL), pgx.NamedArgs{"id": id}).Scan(&text)
	})
	return causeOf(text), pgstore.NotFound(id, err)
}

// causeOf returns the cause in the metadata, or none if what is there is no cause.
func causeOf(text []byte) (cause cancel.Cause) {
	if json.Unmarshal(text, &cause) != nil {
		return cancel.Cause{}
	}
	return cause
}
