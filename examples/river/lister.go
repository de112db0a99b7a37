package essriver

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"

	"example.com/ess/cancel"
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
	rows, err := s.db.Query(ctx, s.sql(listSQL), pgx.NamedArgs{"after": after, "limit": limit})
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (u cancel.CancellingRequest, err error) {
		var cause []byte
		if u.Request, err = read(row, &cause); err == nil && cause != nil {
			err = json.Unmarshal(cause, &u.Cause)
		}
		return u, err
	})
}

const causeSQL = `SELECT j.metadata->'ess'->'cause' FROM {schema}river_job j WHERE j.id = @id`

// Cause implements [cancel.CauseReader]. It is zero for a job that River's JobCancel has
// cancelled: River does not ask who it was, nor why.
func (s *Store) Cause(ctx context.Context, id lifecycle.ID) (cause cancel.Cause, err error) {
	var text []byte
	err = s.db.QueryRow(ctx, s.sql(causeSQL), pgx.NamedArgs{"id": id}).Scan(&text)
	if err == nil && text != nil {
		err = json.Unmarshal(text, &cause)
	}
	return cause, notFound(id, err)
}
