// Package mysql is a [cancel.Repository] over a table of the scheduler's own in MariaDB or
// MySQL, on one server or on a Galera cluster. It is an example to copy from: the README says
// what to mind, and the tests show how each of these points goes wrong.
package mysql

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// Schema creates the table jobs.
//
//go:embed schema.sql
var Schema string

// A Store is the jobs in a table that [Schema] describes, with all capabilities. It is safe
// for concurrent use.
type Store struct {
	db    *sql.DB
	table string
}

var (
	_ cancel.ChildCanceller   = (*Store)(nil)
	_ cancel.ParentEnder      = (*Store)(nil)
	_ cancel.CancellingLister = (*Store)(nil)
	_ cancel.CauseReader      = (*Store)(nil)
)

// New returns a Store of the jobs in table, a name that stands in SQL as it is. The
// connections of db have to be as [Open] makes them.
func New(db *sql.DB, table string) *Store { return &Store{db, table} }

// Get implements [cancel.Repository].
func (s *Store) Get(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
	found, _, err := s.find(ctx, s.db, "id = ?", id)
	return only(found, err)
}

// Cause implements [cancel.CauseReader].
func (s *Store) Cause(ctx context.Context, id lifecycle.ID) (cancel.Cause, error) {
	_, causes, err := s.find(ctx, s.db, "id = ?", id)
	return only(causes, err)
}

func only[T any](found []T, err error) (one T, _ error) {
	if err == nil && len(found) == 0 {
		err = cancel.ErrNotFound
	}
	if err != nil {
		return one, err
	}
	return found[0], nil
}

// Children implements [cancel.Repository].
func (s *Store) Children(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
	found, _, err := s.find(ctx, s.db, page(q))
	return found, err
}

// page is which children are asked for. A page of live ones is read from one index, in its
// order, from where the page begins: nothing is sorted, and neither what comes before nor
// what has ended is touched. (To the optimizer "live" is not "live = 1": it would sort.)
func page(q cancel.ChildQuery) string {
	live := ""
	if q.States&lifecycle.Terminal == 0 {
		live = "live = 1 AND "
	}
	unwanted := (lifecycle.Live | lifecycle.Terminal) &^ q.States
	return fmt.Sprintf("%sparent_id IN (%s) AND (parent_id > %d OR parent_id = %[3]d AND id > %d) AND (status IN (%s) AND %s) IS NOT TRUE ORDER BY parent_id, id LIMIT %d",
		live, ids(q.Parents...), q.After.Parent, q.After.ID, statuses(unwanted), readable, q.Limit)
}

// ListCancelling implements [cancel.CancellingLister].
func (s *Store) ListCancelling(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
	found, causes, err := s.find(ctx, s.db, "status = 'stopping' AND id > ? ORDER BY id LIMIT ?", after, limit)
	all := make([]cancel.CancellingRequest, len(found))
	for i, r := range found {
		all[i] = cancel.CancellingRequest{Request: r, Cause: causes[i]}
	}
	return all, err
}

// A conn is a pool or a transaction.
type conn interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// find returns jobs and why they were stopped. Of a job that this program cannot read, since
// a newer one has written it, it returns the id and the parent.
func (s *Store) find(ctx context.Context, c conn, which string, args ...any) (found []lifecycle.Request, causes []cancel.Cause, _ error) {
	rows, err := c.QueryContext(ctx, "SELECT id, parent_id, type, status, IFNULL(ends_as, ''), heard_at, attempt,"+
		" IFNULL(stop_root, 0), IFNULL(stop_actor, ''), IFNULL(stop_reason, ''), stop_at FROM "+s.table+" WHERE "+which, args...)
	if err != nil {
		return nil, nil, orDone(ctx, err)
	}
	defer rows.Close()
	for rows.Next() {
		var r lifecycle.Request
		var why cancel.Cause
		var typ, status, endsAs string
		var heardAt, stopAt sql.NullTime
		if err := rows.Scan(&r.ID, &r.Parent, &typ, &status, &endsAs, &heardAt, &r.Attempt, &why.Root, &why.Actor, &why.Reason, &stopAt); err != nil {
			return nil, nil, orDone(ctx, err)
		}
		r.Kind, r.State, r.Outcome, r.CheckedIn, why.Time = kindOf(typ), stateOf(status), stateOf(endsAs), heardAt.Time, stopAt.Time
		if r.Kind == 0 || r.State == 0 || r.Outcome == 0 && endsAs != "" {
			r = lifecycle.Request{ID: r.ID, Parent: r.Parent}
		}
		found, causes = append(found, r), append(causes, why)
	}
	return found, causes, orDone(ctx, rows.Err())
}

// orDone returns err, with the error of ctx if that is done: the driver may say only that the
// connection is broken.
func orDone(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil || errors.Is(err, ctx.Err()) {
		return err
	}
	return errors.Join(ctx.Err(), err)
}
