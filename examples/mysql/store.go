// Package mysql is a [cancel.Repository] over a table of the scheduler's own in MariaDB
// or MySQL, on one server or on a Galera cluster. It is an example to copy from: the
// README says what to mind, and the tests show each of these points go wrong.
package mysql

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// Schema creates the table jobs.
//
//go:embed schema.sql
var Schema string

// Open returns a pool of connections to the database that dsn names, with the settings
// that a [Store] needs, whatever dsn says of these.
func Open(dsn string) (*sql.DB, error) {
	cfg, err := driver.ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	if cfg.Params == nil {
		cfg.Params = map[string]string{}
	}
	// A DATETIME is a time in UTC: no hour of it is there twice.
	cfg.ParseTime, cfg.Loc = true, time.UTC
	// An UPDATE tells how many rows it has found, not how many it has made different.
	cfg.ClientFoundRows = true
	// A statement is sent in one piece, not prepared, executed and closed.
	cfg.InterpolateParams = true
	// The server is asked how long a statement may be: a longer one is an error, where the
	// server would close the connection.
	cfg.MaxAllowedPacket = 0
	// A statement outside of a transaction is committed at once, and reads what is there now.
	cfg.Params["autocommit"] = "1"
	// Only the rows that are found get locked, not the gaps between them. In MySQL 8 the
	// variable is called transaction_isolation.
	cfg.Params["tx_isolation"] = "'READ-COMMITTED'"
	// What a column cannot keep is an error, and not something else that is kept instead.
	cfg.Params["sql_mode"] = "'STRICT_ALL_TABLES'"
	// Text is what Go takes it for: the utf8 of a DSN, or the server's, may have no emoji.
	if err := cfg.Apply(driver.Charset("utf8mb4", "")); err != nil {
		return nil, err
	}
	connector, err := driver.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// A Store is the jobs in a table that [Schema] describes, with all capabilities. It is
// safe for concurrent use.
type Store struct {
	db    *sql.DB
	table string
}

var (
	_ cancel.ChildCanceller   = (*Store)(nil)
	_ cancel.CancellingLister = (*Store)(nil)
	_ cancel.CauseReader      = (*Store)(nil)
)

// New returns a Store of the jobs in table, which is put into SQL as it is. The
// connections of db have to be as [Open] makes them.
func New(db *sql.DB, table string) *Store { return &Store{db, table} }

// A conn is a pool or a transaction.
type conn interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Get implements [cancel.Repository].
func (s *Store) Get(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
	return only(s.requests(ctx, s.db, "id = ?", id))
}

// Children implements [cancel.Repository]. A job that cannot be read is in every state.
func (s *Store) Children(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
	return s.requests(ctx, s.db, pageOf(q))
}

// pageOf returns the condition, the order and the limit of a page of children. A page of
// live ones is read from one index, in its order, from where the page begins: nothing is
// sorted, and neither what comes before nor what has ended is touched.
func pageOf(q cancel.ChildQuery) string {
	first, found := slices.BinarySearch(q.Parents, q.After.Parent)
	behind := first
	if found {
		behind++
	}
	where := fmt.Sprintf("(parent_id IN (%s) AND id > %d OR parent_id IN (%s)) AND (status IN (%s) AND %s) IS NOT TRUE",
		ids(q.Parents[first:behind]...), q.After.ID, ids(q.Parents[behind:]...), statuses((lifecycle.Live|lifecycle.Terminal)&^q.States), readable)
	if q.States&lifecycle.Terminal == 0 {
		where += " AND live"
	}
	return fmt.Sprintf("%s ORDER BY parent_id, id LIMIT %d", where, q.Limit)
}

// ListCancelling implements [cancel.CancellingLister].
func (s *Store) ListCancelling(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
	return read(ctx, s.db, func(row *sql.Rows) (u cancel.CancellingRequest, err error) {
		var c cause
		u.Request, err = scan(row, c.columns()...)
		u.Cause = c.cause()
		return u, err
	}, "SELECT "+requestColumns+", "+causeColumns+" FROM "+s.table+" WHERE stopping AND id > ? ORDER BY id LIMIT ?", after, limit)
}

// Cause implements [cancel.CauseReader].
func (s *Store) Cause(ctx context.Context, id lifecycle.ID) (cancel.Cause, error) {
	return only(read(ctx, s.db, func(row *sql.Rows) (cancel.Cause, error) {
		var c cause
		err := row.Scan(c.columns()...)
		return c.cause(), err
	}, "SELECT "+causeColumns+" FROM "+s.table+" WHERE id = ?", id))
}

const requestColumns = "id, parent_id, type, status, ends_as, heard_at, attempt"

func (s *Store) requests(ctx context.Context, c conn, rest string, args ...any) ([]lifecycle.Request, error) {
	return read(ctx, c, func(row *sql.Rows) (lifecycle.Request, error) { return scan(row) },
		"SELECT "+requestColumns+" FROM "+s.table+" WHERE "+rest, args...)
}

// scan reads a request. Of one that this program cannot read, because a newer one has
// written it, it returns what it can: the id and the parent.
func scan(row *sql.Rows, more ...any) (lifecycle.Request, error) {
	var r lifecycle.Request
	var typ, status, endsAs sql.NullString
	var heardAt sql.NullTime
	err := row.Scan(append([]any{&r.ID, &r.Parent, &typ, &status, &endsAs, &heardAt, &r.Attempt}, more...)...)
	r.Kind, r.State, r.Outcome, r.CheckedIn = kindOf(typ.String), stateOf(status.String), stateOf(endsAs.String), heardAt.Time
	if r.Kind == 0 || r.State == 0 || r.Outcome == 0 && endsAs.Valid {
		r = lifecycle.Request{ID: r.ID, Parent: r.Parent}
	}
	return r, err
}

const causeColumns = "stop_root, stop_actor, stop_reason, stop_at"

type cause struct {
	root          sql.Null[lifecycle.ID]
	actor, reason sql.NullString
	at            sql.NullTime
}

func (c *cause) columns() []any { return []any{&c.root, &c.actor, &c.reason, &c.at} }

func (c *cause) cause() cancel.Cause {
	return cancel.Cause{Root: c.root.V, Actor: c.actor.String, Reason: c.reason.String, Time: c.at.Time}
}

// read returns what a statement finds.
func read[T any](ctx context.Context, c conn, scan func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
	rows, err := c.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, failed(ctx, err)
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, failed(ctx, err)
		}
		all = append(all, one)
	}
	return all, failed(ctx, rows.Err())
}

// only returns the one that was found.
func only[T any](found []T, err error) (one T, _ error) {
	if err == nil && len(found) == 0 {
		err = cancel.ErrNotFound
	}
	if err != nil {
		return one, err
	}
	return found[0], nil
}

// failed adds the error of a context that is done, of which the driver may say no more
// than that the connection is broken.
func failed(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil || errors.Is(err, ctx.Err()) {
		return err
	}
	return errors.Join(ctx.Err(), err)
}
