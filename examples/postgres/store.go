package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// A DB is what a [Store] sends its statements to: a pool (*pgxpool.Pool), a
// connection (*pgx.Conn) or a transaction (pgx.Tx).
type DB interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	SendBatch(ctx context.Context, batch *pgx.Batch) pgx.BatchResults
}

// A Store is a [cancel.Repository] on a table in PostgreSQL, with all capabilities.
//
// It is safe for concurrent use if its DB is. A pool is; a connection or a
// transaction serves one operation at a time.
type Store struct {
	db      DB
	audited bool
	sql     func(string) string // see Table.statement

	get, submit, admit, apply, endPage, cancelPage, cancelThese, listCancelling, cause string
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
	page := strings.ReplaceAll(childrenSQL, "{states}", "{live}")
	s := &Store{
		db:             db,
		audited:        len(table.Audit) > 0,
		sql:            sql,
		get:            sql(getSQL),
		submit:         sql(submitSQL),
		admit:          sql(admitSQL),
		apply:          sql(applySQL + applyEndSQL),
		endPage:        sql(endSQL),
		cancelPage:     sql(page + cancelSQL + cancelEndSQL),
		cancelThese:    sql(theseSQL + cancelSQL + cancelEndSQL),
		listCancelling: sql(listSQL),
		cause:          sql(causeSQL),
	}
	if s.audited {
		s.apply = sql(applySQL + applyAuditSQL + applyEndSQL)
		s.cancelPage = sql(page + cancelSQL + auditSQL + cancelEndSQL)
		s.cancelThese = sql(theseSQL + cancelSQL + auditSQL + cancelEndSQL)
		s.listCancelling = sql(listWithCauseSQL)
	}
	return s
}

// On returns a Store of the same requests on another DB, such as a transaction. It
// is like [New], and costs next to nothing.
func (s *Store) On(db DB) *Store {
	on := *s
	on.db = db
	return &on
}

// columns are what a reader reads.
const columns = `r.{id}, coalesce(r.{parent}, 0), r.{kind}, r.{state}, r.{outcome}, r.{checked_in}`

// A reader reads requests out of rows: one after the other, to spare the memory
// that each would need while it is read.
type reader struct {
	request   lifecycle.Request
	checkedIn pgtype.Timestamptz
	columns   []any
}

// newReader returns a reader of rows that have, behind the columns of a request, some
// more.
func newReader(more ...any) *reader {
	r := &reader{}
	r.columns = append([]any{
		(*int64)(&r.request.ID), (*int64)(&r.request.Parent),
		kindColumn{&r.request.Kind},
		stateColumn{&r.request.State},
		stateColumn{&r.request.Outcome},
		&r.checkedIn,
	}, more...)
	return r
}

func (r *reader) read(row pgx.Row) (lifecycle.Request, error) {
	err := row.Scan(r.columns...)
	if r.request.CheckedIn = (time.Time{}); r.checkedIn.Valid {
		r.request.CheckedIn = r.checkedIn.Time.UTC()
	}
	return r.request, err
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

const getSQL = `SELECT ` + columns + ` FROM {requests} r WHERE r.{id} = @id::bigint`

// Get implements [cancel.Repository].
func (s *Store) Get(ctx context.Context, id lifecycle.ID) (r lifecycle.Request, err error) {
	err = s.again(ctx, func() error {
		r, err = newReader().read(s.db.QueryRow(ctx, s.get, pgx.NamedArgs{"id": id}))
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		err = fmt.Errorf("postgres: request %d: %w", id, cancel.ErrNotFound)
	}
	return r, err
}

// childrenSQL reads one index, on (parent, id), in its own order: nothing is sorted, and
// what is before or behind the page is not touched. Its first half is the rest of the
// parent at which the page before ended, and its second the parents behind that one.
// (One condition on (parent, id) for both would have PostgreSQL pass over that parent
// from its first child again, at every page.)
//
// The sub-selects hide the parents and the limit from the planner. If it saw the
// parents it would plan anew for every page, which for a thousand of them takes
// longer than to read the page. If it saw the limit and not the parents, it might
// believe that hardly more children are there, and read and sort them all.
const childrenSQL = `
WITH here AS MATERIALIZED (
    SELECT ` + columnsAs + `
    FROM {requests} r
    WHERE r.{parent} = ANY ((SELECT @here::bigint[])::bigint[]) AND r.{id} > @after::bigint
      AND r.{state} IN ({states})
    ORDER BY r.{parent}, r.{id}
    LIMIT (SELECT @limit::bigint)
), behind AS MATERIALIZED (
    SELECT ` + columnsAs + `
    FROM {requests} r
    WHERE r.{parent} = ANY ((SELECT @behind::bigint[])::bigint[])
      AND r.{state} IN ({states})
    ORDER BY r.{parent}, r.{id}
    LIMIT (SELECT @limit::bigint - count(*) FROM here)
), page AS MATERIALIZED (
    SELECT * FROM here UNION ALL SELECT * FROM behind
)`

const childrenEndSQL = `
SELECT id, parent, kind, state, outcome, checked_in FROM page`

// columnsAs are the columns of a request by the names that they have here.
const columnsAs = `r.{id} AS id, r.{parent} AS parent, r.{kind} AS kind, r.{state} AS state, r.{outcome} AS outcome, r.{checked_in} AS checked_in`

// rootsSQL reads requests that have no parent.
const rootsSQL = `
SELECT ` + columns + `
FROM {requests} r
WHERE r.{parent} IS NULL AND r.{id} > @after::bigint AND r.{state} IN ({states})
ORDER BY r.{id}
LIMIT (SELECT @limit::bigint)`

// Children implements [cancel.Repository].
func (s *Store) Children(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
	if q.Parents[0] == 0 && q.After.Parent == 0 {
		page, err := s.page(ctx, rootsSQL, q)
		if err != nil || len(page) > 0 || len(q.Parents) == 1 {
			return page, err
		}
	}
	return s.page(ctx, childrenSQL+childrenEndSQL, q)
}

func (s *Store) page(ctx context.Context, sql string, q cancel.ChildQuery) (page []lifecycle.Request, err error) {
	sql = s.sql(strings.ReplaceAll(sql, "{states}", states(q.States)))
	args := pageArgs(q)
	err = s.again(ctx, func() error {
		rows, err := s.db.Query(ctx, sql, args)
		if err != nil {
			return err
		}
		reader := newReader()
		page, err = pgx.AppendRows(make([]lifecycle.Request, 0, q.Limit), rows, func(row pgx.CollectableRow) (lifecycle.Request, error) {
			return reader.read(row)
		})
		return err
	})
	// They are in this order, but SQL does not promise that.
	slices.SortFunc(page, func(a, b lifecycle.Request) int { return position(a).Compare(position(b)) })
	return page, err
}

func position(r lifecycle.Request) cancel.Cursor { return cancel.Cursor{Parent: r.Parent, ID: r.ID} }

// pageArgs returns where the page is. Parents before the position are done with.
func pageArgs(q cancel.ChildQuery) pgx.NamedArgs {
	first, found := slices.BinarySearch(q.Parents, q.After.Parent)
	here := []int64{}
	if found {
		here = append(here, int64(q.After.Parent))
		first++
	}
	behind := make([]int64, 0, len(q.Parents)-first) // pgx encodes these faster than our own type
	for _, id := range q.Parents[first:] {
		behind = append(behind, int64(id))
	}
	return pgx.NamedArgs{"here": here, "behind": behind, "after": q.After.ID, "limit": q.Limit}
}
