package essriver

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// A DB is what a [Store] sends its statements to: a pool (*pgxpool.Pool), a connection
// (*pgx.Conn) or a transaction (pgx.Tx).
type DB interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	SendBatch(ctx context.Context, batch *pgx.Batch) pgx.BatchResults
}

// A Store is a [cancel.Repository] on River's table. Every job in it is a request.
//
// It is safe for concurrent use if its DB is.
type Store struct {
	db     DB
	schema string // empty for where search_path leads
}

var (
	_ cancel.CancellingLister = (*Store)(nil)
	_ cancel.CauseReader      = (*Store)(nil)
)

// NewStore returns a Store on River's table in the schema, which is that of River's
// Config: empty for where search_path leads.
func NewStore(db DB, schema string) *Store {
	return &Store{db: db, schema: schema}
}

// sql puts the schema into a statement.
func (s *Store) sql(statement string) string {
	prefix := ""
	if s.schema != "" {
		prefix = pgx.Identifier{s.schema}.Sanitize() + "."
	}
	return strings.ReplaceAll(statement, "{schema}", prefix)
}

// columns are what a reader reads.
var columns = `j.id, coalesce(` + parentSQL + `, 0), ` + kindSQL + `, ` + stateSQL + `, ` + outcomeSQL + `, ` + checkedInSQL

// read reads a request, and what comes behind its columns.
func read(row pgx.Row, more ...any) (r lifecycle.Request, err error) {
	var kind, state, outcome pgtype.Text
	var checkedIn pgtype.Timestamptz
	to := append([]any{(*int64)(&r.ID), (*int64)(&r.Parent), &kind, &state, &outcome, &checkedIn}, more...)
	if err := row.Scan(to...); err != nil {
		return r, err
	}
	// A name that is none makes the request invalid, which is reported where it
	// matters: one broken job must not keep a page of others from being read.
	if r.Kind.UnmarshalText([]byte(kind.String)) != nil {
		r.Kind = invalid
	}
	if r.State.UnmarshalText([]byte(state.String)) != nil {
		r.State = invalid
	}
	if outcome.Valid && r.Outcome.UnmarshalText([]byte(outcome.String)) != nil {
		r.Outcome = invalid
	}
	if checkedIn.Valid {
		r.CheckedIn = checkedIn.Time.UTC()
	}
	return r, nil
}

const invalid = 255

var getSQL = `SELECT ` + columns + ` FROM {schema}river_job j WHERE j.id = @id`

// Get implements [cancel.Repository].
func (s *Store) Get(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
	r, err := read(s.db.QueryRow(ctx, s.sql(getSQL), pgx.NamedArgs{"id": id}))
	return r, notFound(id, err)
}

func notFound(id lifecycle.ID, err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("essriver: job %d: %w", id, cancel.ErrNotFound)
	}
	return err
}

// childrenSQL goes along the index of the children in its own order. The sub-selects
// keep the planner from planning anew for every list of parents.
var childrenSQL = `
SELECT ` + columns + `
FROM {schema}river_job j
WHERE j.metadata->'ess'->>'parent' IS NOT NULL
  AND ` + parentSQL + ` = ANY ((SELECT @parents::bigint[])::bigint[])
  AND (` + parentSQL + `, j.id) > (@after_parent::bigint, @after::bigint)
  AND ` + stateSQL + ` IN ({states})
ORDER BY ` + parentSQL + `, j.id
LIMIT (SELECT @limit::bigint)`

var rootsSQL = `
SELECT ` + columns + `
FROM {schema}river_job j
WHERE j.metadata->'ess'->>'parent' IS NULL AND j.id > @after::bigint AND ` + stateSQL + ` IN ({states})
ORDER BY j.id
LIMIT (SELECT @limit::bigint)`

// Children implements [cancel.Repository].
func (s *Store) Children(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
	if q.Parents[0] == 0 && q.After.Parent == 0 {
		page, err := s.page(ctx, rootsSQL, q)
		if err != nil || len(page) > 0 || len(q.Parents) == 1 {
			return page, err
		}
	}
	return s.page(ctx, childrenSQL, q)
}

func (s *Store) page(ctx context.Context, sql string, q cancel.ChildQuery) ([]lifecycle.Request, error) {
	rows, err := s.db.Query(ctx, strings.Replace(s.sql(sql), "{states}", states(q.States), 1), pgx.NamedArgs{
		"parents": ints(q.Parents), "after_parent": q.After.Parent, "after": q.After.ID, "limit": q.Limit,
	})
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (lifecycle.Request, error) { return read(row) })
}

// ints returns ids as what pgx encodes fastest.
func ints(ids []lifecycle.ID) []int64 {
	all := make([]int64, len(ids))
	for i, id := range ids {
		all[i] = int64(id)
	}
	return all
}
