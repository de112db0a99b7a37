package postgres

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// maxAttempts is how often a statement is tried that fails because of others. It is
// generous, as one that fails costs little.
const maxAttempts = 16

// again calls f, which sends one statement, and calls it again as long as the
// database has rolled it back because of what others did at the same time. This
// is safe, since nothing of it has been done, and a statement that was a good idea
// then is one now. In a transaction of the caller's it is not possible: all of
// that has been rolled back, and to begin again is the caller's decision.
func (s *Store) again(ctx context.Context, f func() error) error {
	for attempt := 1; ; attempt++ {
		err := f()
		if err == nil || attempt == maxAttempts || !rolledBack(err) || s.inTransaction() {
			return err
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
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == "40001" || // serialization_failure
		e.Code == "40P01") // deadlock_detected
}

// inTransaction reports whether there is a transaction around the statements of s.
func (s *Store) inTransaction() bool {
	switch db := s.db.(type) {
	case *pgx.Conn:
		return db.PgConn().TxStatus() != 'I'
	case interface{ Conn() *pgx.Conn }: // a transaction, or a connection of a pool
		return db.Conn().PgConn().TxStatus() != 'I'
	default:
		return false // a pool
	}
}
