package postgres

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"example.com/ess/cancel"
	"example.com/ess/examples/postgres/pgstore"
	"example.com/ess/lifecycle"
)

// A DB is what a [Store] sends its statements to: a pool (*pgxpool.Pool), a
// connection (*pgx.Conn) or a transaction (pgx.Tx).
type DB = pgstore.DB

// A Store is a [cancel.Repository] on a table in PostgreSQL, with all capabilities.
//
// It is safe for concurrent use if its DB is. A pool is; a connection or a
// transaction serves one operation at a time.
type Store struct {
	db      DB
	audited bool
	sql     func(string) string // see Table.statement
	turn    pgstore.Turnstile

	get, submit, admit, apply, endParent, endPage, cancelPage, cancelThese, listCancelling, cause string
}

var (
	_ cancel.ChildCanceller   = (*Store)(nil)
	_ cancel.ParentEnder      = (*Store)(nil)
	_ cancel.CancellingLister = (*Store)(nil)
	_ cancel.CauseReader      = (*Store)(nil)
)

// New returns a Store of the requests in table, which has to be there.
//
// On a transaction, what the Store does takes effect when the caller commits, and
// not at all if he rolls back.
func New(db DB, table Table) *Store {
	sql := table.statement()
	page := strings.ReplaceAll(childrenSQL, "{states}", "{r.live}")
	keep, audit, cause := "", "", noCauseSQL
	if len(table.Audit) > 0 {
		keep, audit, cause = keepSQL, auditSQL, firstCauseSQL
	}
	return &Store{
		db:      db,
		audited: len(table.Audit) > 0,
		sql:     sql,
		turn:    pgstore.Turnstile{Close: sql(turn.Close), Lock: sql(turn.Lock)},

		get:            sql(getSQL),
		submit:         sql(submitSQL),
		admit:          sql(admittingSQL),
		apply:          sql(applySQL + madeSQL + keep + applyEndSQL),
		endParent:      sql(applySQL + childlessSQL + madeSQL + keep + applyEndSQL),
		endPage:        sql(endSQL),
		cancelPage:     sql(page + cancelSQL + audit + cancelEndSQL),
		cancelThese:    sql(theseSQL + cancelSQL + audit + cancelEndSQL),
		listCancelling: sql(withCauseSQL + cause + listEndSQL),
		cause:          sql(withCauseSQL + cause + causeEndSQL),
	}
}

// On returns a Store of the same requests on another DB, such as a transaction. It
// is like [New], and costs next to nothing.
func (s *Store) On(db DB) *Store {
	on := *s
	on.db = db
	return &on
}

// columns are what a [pgstore.Reader] reads.
const columns = `r.{id}, coalesce(r.{parent}, 0), r.{kind}, r.{state}, {r.outcome}, {r.checked_in}, {r.attempt}`

const getSQL = `SELECT ` + columns + ` FROM {requests} r WHERE r.{id} = @id::bigint`

// Get implements [cancel.Repository].
func (s *Store) Get(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
	return pgstore.Get(ctx, s.db, s.get, id)
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
      AND {states}
    ORDER BY r.{parent}, r.{id}
    LIMIT (SELECT @limit::bigint)
), behind AS MATERIALIZED (
    SELECT ` + columnsAs + `
    FROM {requests} r
    WHERE r.{parent} = ANY ((SELECT @behind::bigint[])::bigint[])
      AND {states}
    ORDER BY r.{parent}, r.{id}
    LIMIT (SELECT @limit::bigint - count(*) FROM here)
), page AS MATERIALIZED (
    SELECT * FROM here UNION ALL SELECT * FROM behind
)`

const childrenEndSQL = `
SELECT id, parent, kind, state, outcome, checked_in, attempt FROM page`

// columnsAs are the columns of a request by the names that they have here.
const columnsAs = `r.{id} AS id, r.{parent} AS parent, r.{kind} AS kind, r.{state} AS state, {r.outcome} AS outcome, {r.checked_in} AS checked_in, {r.attempt} AS attempt`

// rootsSQL reads requests that have no parent.
const rootsSQL = `
SELECT ` + columns + `
FROM {requests} r
WHERE r.{parent} IS NULL AND r.{id} > @after::bigint AND {states}
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

func (s *Store) page(ctx context.Context, sql string, q cancel.ChildQuery) ([]lifecycle.Request, error) {
	sql = s.sql(strings.ReplaceAll(sql, "{states}", row.In(q.States)))
	page, err := pgstore.Select(ctx, s.db, sql, pageArgs(q), q.Limit, pgstore.NewReader().Read)
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
	return pgx.NamedArgs{"here": here, "behind": pgstore.Ints(q.Parents[first:]), "after": q.After.ID, "limit": q.Limit}
}
