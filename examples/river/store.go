package essriver

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"

	"example.com/ess/cancel"
	"example.com/ess/examples/postgres/pgstore"
	"example.com/ess/lifecycle"
)

// A DB is what a [Store] sends its statements to: a pool (*pgxpool.Pool), a connection
// (*pgx.Conn) or a transaction (pgx.Tx).
type DB = pgstore.DB

// A Store is a [cancel.Repository] on River's table. Every job in it is a request.
//
// It is safe for concurrent use if its DB is.
type Store struct {
	db   DB
	sql  func(string) string // puts the schema into a statement
	turn pgstore.Turnstile
	name string // of the schema, empty for where search_path leads
}

var (
	_ cancel.ParentEnder      = (*Store)(nil)
	_ cancel.CancellingLister = (*Store)(nil)
	_ cancel.CauseReader      = (*Store)(nil)
)

// turn is the turnstile of River's table.
var turn = pgstore.NewTurnstile("{schema}river_job", "id")

// NewStore returns a Store on River's table in the schema, which is that of River's
// Config: empty for where search_path leads.
func NewStore(db DB, schema string) *Store {
	prefix := ""
	if schema != "" {
		prefix = pgx.Identifier{schema}.Sanitize() + "."
	}
	sql := strings.NewReplacer("{schema}", prefix).Replace
	return &Store{db: db, sql: sql, name: schema, turn: pgstore.Turnstile{Close: sql(turn.Close), Lock: sql(turn.Lock)}}
}

// columns are what a [pgstore.Reader] reads.
var columns = `j.id, coalesce(` + parentSQL + `, 0), ` + kindSQL + `, ` + stateSQL + `, ` + outcomeSQL + `, ` + checkedInSQL + `, j.attempt`

var getSQL = `SELECT ` + columns + ` FROM {schema}river_job j WHERE j.id = @id`

// Get implements [cancel.Repository].
func (s *Store) Get(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
	return pgstore.Get(ctx, s.db, s.sql(getSQL), id)
}

// childrenSQL goes along the index of the children in its own order. The sub-selects
// keep the planner from planning anew for every list of parents.
var childrenSQL = `
SELECT ` + columns + `
FROM {schema}river_job j
WHERE j.metadata->'ess'->>'parent' IS NOT NULL
  AND ` + parentSQL + ` = ANY ((SELECT @parents::bigint[])::bigint[])
  AND (` + parentSQL + `, j.id) > (@after_parent::bigint, @after::bigint)
  AND {in}
ORDER BY ` + parentSQL + `, j.id
LIMIT (SELECT @limit::bigint)`

var rootsSQL = `
SELECT ` + columns + `
FROM {schema}river_job j
WHERE j.metadata->'ess'->>'parent' IS NULL AND j.id > @after::bigint AND {in}
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
	sql = strings.Replace(s.sql(sql), "{in}", row.In(q.States), 1)
	args := pgx.NamedArgs{"parents": pgstore.Ints(q.Parents), "after_parent": q.After.Parent, "after": q.After.ID, "limit": q.Limit}
	return pgstore.Select(ctx, s.db, sql, args, q.Limit, pgstore.NewReader().Read)
}
