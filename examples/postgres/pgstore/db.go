package pgstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A DB is what a store sends its statements to: a pool (*pgxpool.Pool), a connection
// (*pgx.Conn) or a transaction (pgx.Tx).
type DB interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	SendBatch(ctx context.Context, batch *pgx.Batch) pgx.BatchResults
}

// Place says which database a connection is to, for an error. It leaves out the password.
func Place(conn *pgx.Conn) string {
	c := conn.Config()
	return fmt.Sprintf("database %q of %s:%d, as %q", c.Database, c.Host, c.Port, c.User)
}

// InTransaction reports whether the caller has begun a transaction around the
// statements sent to db.
func InTransaction(db DB) bool {
	switch db := db.(type) {
	case *pgx.Conn:
		return db.PgConn().TxStatus() != 'I'
	case interface{ Conn() *pgx.Conn }: // a transaction, or a connection of a pool
		return db.Conn().PgConn().TxStatus() != 'I'
	default:
		return false // a pool
	}
}

// SeesNewChildren returns an error if db is a transaction of the caller's in which children
// that others have inserted since it began cannot be seen. Whoever fences a parent has to
// see them.
func SeesNewChildren(ctx context.Context, db DB) error {
	if !InTransaction(db) {
		return nil // each statement sees what was committed before it
	}
	var level string
	if err := db.QueryRow(ctx, `SHOW transaction_isolation`).Scan(&level); err != nil {
		return err
	}
	if level != "read committed" {
		return fmt.Errorf("pgstore: a cancel in a transaction of one's own has to be READ COMMITTED, not %s", strings.ToUpper(level))
	}
	return nil
}

// MaxAttempts is how often a statement is tried that fails because of others. It is
// generous, as one that fails costs little.
const MaxAttempts = 16

// Retry calls f, which sends statements in one transaction, and calls it again as long
// as the database has rolled it back because of what others did at the same time. This
// is safe, since nothing of it has been done, and a statement that was a good idea
// then is one now. In a transaction of the caller's it is not possible: all of
// that has been rolled back, and to begin again is the caller's decision.
func Retry(ctx context.Context, db DB, f func() error) error {
	for attempt := 1; ; attempt++ {
		err := f()
		if err == nil || attempt == MaxAttempts || !rolledBack(err) || InTransaction(db) {
			return explain(err)
		}
		// Whoever was in the way is probably still at work. The time is random, lest
		// two meet again and again.
		select {
		case <-time.After(rand.N(time.Millisecond << min(attempt, 8))):
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// rolledBack reports whether a statement was rolled back for the sake of others.
func rolledBack(err error) bool {
	code := sqlState(err)
	return code == "40001" || // serialization_failure
		code == "40P01" // deadlock_detected
}

// explain says what to do about an error whose own text does not.
func explain(err error) error {
	switch sqlState(err) {
	case "26000", "42P05": // invalid_sql_statement_name, duplicate_prepared_statement
		return fmt.Errorf("%w (behind a pooler in transaction mode, set default_query_exec_mode=cache_describe)", err)
	default:
		return err
	}
}

// sqlState returns the code of an error of the database, and "" for another error.
func sqlState(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}
