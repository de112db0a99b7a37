package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A DB is what a [Store] sends its statements to: a pool (*pgxpool.Pool), a
// connection (*pgx.Conn) or a transaction (pgx.Tx).
type DB interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// A Store is a [cancel.Repository] on a table in PostgreSQL, with all capabilities.
//
// It is safe for concurrent use if its DB is. A pool is; a connection or a
// transaction serves one operation at a time.
type Store struct {
	db      DB
	audited bool
	sql     func(string) string // see Table.statement

	get, submit, admit, apply, cancelPage, cancelThese, listCancelling, cause string
}

var (
	_ cancel.ChildCanceller   = (*Store)(nil)
	_ cancel.CancellingLister = (*Store)(nil)
	_ cancel.CauseReader      = (*Store)(nil)
)

// New returns a Store of the requests in table, which has to be there.
//
// On a transaction, what the Store does takes effect when the caller commits, and
// not at all if he rolls back.
func New(db DB, table Table) *Store {
	sql := table.statement()
	s := &Store{
		db:             db,
		audited:        len(table.Audit) > 0,
		sql:            sql,
		get:            sql(getSQL),
		submit:         sql(submitSQL),
		admit:          sql(admitSQL),
		apply:          sql(applySQL + applyEndSQL),
		cancelPage:     sql(pageSQL + cancelSQL + cancelEndSQL),
		cancelThese:    sql(theseSQL + cancelSQL + cancelEndSQL),
		listCancelling: sql(listSQL),
		cause:          sql(causeSQL),
	}
	if s.audited {
		s.apply = sql(applySQL + auditSQL + applyEndSQL)
		s.cancelPage = sql(pageSQL + cancelSQL + auditSQL + cancelEndSQL)
		s.cancelThese = sql(theseSQL + cancelSQL + auditSQL + cancelEndSQL)
		s.listCancelling = sql(listWithCauseSQL)
	}
	return s
}

// columns are what scan reads.
const columns = `r.{id}, coalesce(r.{parent}, 0), r.{kind}, r.{state}, r.{outcome}, r.{checked_in}`

// scan reads a request, and what comes behind it into more.
func scan(row pgx.Row, r *lifecycle.Request, more ...any) error {
	var checkedIn *time.Time
	err := row.Scan(append([]any{&r.ID, &r.Parent, kindColumn{&r.Kind}, stateColumn{&r.State}, stateColumn{&r.Outcome}, &checkedIn}, more...)...)
	if checkedIn != nil {
		r.CheckedIn = checkedIn.UTC()
	}
	return err
}

// A column with a name that is none of package lifecycle's becomes an invalid
// value, which [lifecycle.Request.Validate] reports: one broken request must not
// keep a page of others from being read. NULL becomes 0.
type (
	kindColumn  struct{ to *lifecycle.Kind }
	stateColumn struct{ to *lifecycle.State }
)

const invalid = 255

func (c kindColumn) ScanBytes(name []byte) error {
	if *c.to = 0; name != nil && c.to.UnmarshalText(name) != nil {
		*c.to = invalid
	}
	return nil
}

func (c stateColumn) ScanBytes(name []byte) error {
	if *c.to = 0; name != nil && c.to.UnmarshalText(name) != nil {
		*c.to = invalid
	}
	return nil
}

const getSQL = `SELECT ` + columns + ` FROM {requests} r WHERE r.{id} = @id`

// Get implements [cancel.Repository].
func (s *Store) Get(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
	var r lifecycle.Request
	err := s.again(ctx, func() error {
		return scan(s.db.QueryRow(ctx, s.get, pgx.NamedArgs{"id": id}), &r)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		err = fmt.Errorf("postgres: request %d: %w", id, cancel.ErrNotFound)
	}
	return r, err
}

// childrenSQL reads one index, on (parent, id), from where the last page ended, in
// its own order: nothing is sorted, and what is behind the page is not touched.
//
// The sub-select around @parents hides them from the planner. It would otherwise
// plan anew for every page, which for a thousand parents takes longer than to read
// the page; and depending on its statistics it might think that they have few
// children, and read and sort them all.
const childrenSQL = `
SELECT ` + columns + `
FROM {requests} r
WHERE r.{parent} = ANY ((SELECT @parents::bigint[])::bigint[])
  AND (r.{parent}, r.{id}) > (@after_parent::bigint, @after::bigint)
  AND r.{state} IN ({states})
ORDER BY r.{parent}, r.{id}
LIMIT @limit::bigint`

// rootsSQL reads requests that have no parent.
const rootsSQL = `
SELECT ` + columns + `
FROM {requests} r
WHERE r.{parent} IS NULL AND r.{id} > @after::bigint AND r.{state} IN ({states})
ORDER BY r.{id}
LIMIT @limit::bigint`

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

func (s *Store) page(ctx context.Context, sql string, q cancel.ChildQuery) (page []lifecycle.Request, err error) {
	sql = s.sql(strings.Replace(sql, "{states}", states(q.States), 1))
	first, _ := slices.BinarySearch(q.Parents, q.After.Parent) // the others are done with
	args := pgx.NamedArgs{"parents": q.Parents[first:], "after_parent": q.After.Parent, "after": q.After.ID, "limit": q.Limit}
	err = s.again(ctx, func() error {
		rows, err := s.db.Query(ctx, sql, args)
		if err != nil {
			return err
		}
		page, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (r lifecycle.Request, err error) {
			err = scan(row, &r)
			return r, err
		})
		return err
	})
	return page, err
}
