package mysql

import (
	"cmp"
	"context"
	"database/sql"
	"errors"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// Submit stores a new job and returns its id, which is the next one if r.ID is 0. The error
// has [esserrors.CodeUnsupportedState] if its parent, should it have one, admits no child at
// this moment, and [esserrors.CodeNotFound] if there is no such parent.
func (s *Store) Submit(ctx context.Context, r lifecycle.Request) (id lifecycle.ID, err error) {
	err = s.transact(ctx, func(tx *sql.Tx) error {
		if r.Parent != 0 {
			if err := s.Admit(ctx, tx, r.Parent); err != nil {
				return err
			}
		}
		result, err := tx.ExecContext(ctx, "INSERT INTO "+s.table+" (id, parent_id, type, status) VALUES (?, ?, ?, ?)",
			r.ID, r.Parent, typeOf[r.Kind], statusOf[r.State])
		if err != nil {
			return err
		}
		next, err := result.LastInsertId()
		id = cmp.Or(r.ID, lifecycle.ID(next))
		return err
	})
	return id, err
}

// Admit returns nil if the job admits a child, and then nobody else changes the job before
// the transaction ends, in which the caller inserts the child. The errors are those of
// [Store.Submit].
//
// It counts the child. A lock, such as that of SELECT ... LOCK IN SHARE MODE, holds on one
// server; transactions on two nodes of a Galera cluster exclude each other by what they have
// changed, and by nothing else.
func (s *Store) Admit(ctx context.Context, tx *sql.Tx, id lifecycle.ID) error {
	result, err := tx.ExecContext(ctx, "UPDATE "+s.table+" SET children = children + 1"+
		" WHERE id = ? AND type IN ('flow', 'dynamic_flow') AND status IN ("+statuses(lifecycle.Admitting)+")", id)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 1 {
		return err
	}
	found, _, err := s.find(ctx, tx, "id = ? FOR UPDATE", id) // what is there now, at any level of isolation
	switch parent, err := only(found, err); {
	case errors.Is(err, cancel.ErrNotFound):
		return esserrors.NotFound("submit", int64(id), err)
	case err != nil:
		return err
	default:
		return lifecycle.Admit(parent)
	}
}
