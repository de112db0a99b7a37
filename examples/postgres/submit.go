package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"example.com/ess/examples/postgres/pgstore"
	"example.com/ess/lifecycle"
)

// admittingSQL finds a parent if it admits a child, and keeps it from being changed
// until the transaction has ended. A cancel that is just making it CANCELLING is
// waited for, and after that the parent is looked at again; and a cancel that comes
// later waits, and then sees the child.
//
// FOR KEY SHARE, which a foreign key takes, would not do: it waits for nothing but
// the deletion of the parent.
const admittingSQL = `
SELECT p.{id}
FROM {requests} p
WHERE {enter} AND p.{id} = @parent::bigint AND p.{kind} IN ({parents}) AND p.{state} IN ({admitting})
FOR SHARE OF p`

// submitSQL inserts a request if it has no parent, or has one that admits it.
const submitSQL = `
WITH parent AS MATERIALIZED (` + admittingSQL + `)
INSERT INTO {requests} ({id}, {parent}, {kind}, {state})
SELECT @id::bigint, nullif(@parent::bigint, 0), @kind::text, @state::text
WHERE @parent::bigint = 0 OR EXISTS (SELECT FROM parent)`

// Submit inserts a request, but as a child only if its parent admits one at this
// moment (see [lifecycle.AdmitsChildren]). It is for tables in which the columns
// of [Table] are all that has to be given; for others see [Store.Admit].
//
// The error has [example.com/ess/errors.CodeUnsupportedState] if the parent does not admit a
// child and [example.com/ess/errors.CodeNotFound] if there is no such parent.
func (s *Store) Submit(ctx context.Context, r lifecycle.Request) error {
	if err := r.Validate(); err != nil {
		return err
	}
	args := pgx.NamedArgs{"id": r.ID, "parent": r.Parent, "kind": r.Kind.String(), "state": r.State.String()}
	return pgstore.Retry(ctx, s.db, func() error {
		tag, err := s.db.Exec(ctx, s.submit, args)
		if err != nil || tag.RowsAffected() == 1 {
			return err
		}
		return s.refused(ctx, r.Parent)
	})
}

// Admit returns nil if the request admits a child, and keeps it from being cancelled
// until the transaction that s is on has ended. So a scheduler inserts a child into
// a table of its own: in one transaction, after Admit.
//
// The errors are those of [Store.Submit]. On anything but a transaction Admit would
// be of no use, and fails.
func (s *Store) Admit(ctx context.Context, parent lifecycle.ID) error {
	if !pgstore.InTransaction(s.db) {
		return errors.New("postgres: Admit outside of a transaction")
	}
	var id lifecycle.ID
	err := pgstore.Retry(ctx, s.db, func() error {
		return s.db.QueryRow(ctx, s.admit, pgx.NamedArgs{"parent": parent}).Scan(&id)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return s.refused(ctx, parent)
	}
	return err
}

// refused returns the error for a parent that admits no child.
func (s *Store) refused(ctx context.Context, parent lifecycle.ID) error {
	p, err := s.Get(ctx, parent)
	return pgstore.Refused(parent, p, err)
}
