package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// Insert stores requests as they are, all or none. It is for a scheduler that moves
// here; one that submits new work calls [Store.Submit].
func (s *Store) Insert(ctx context.Context, requests ...lifecycle.Request) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		for _, r := range requests {
			if err := r.Validate(); err != nil {
				return err
			}
			if err := insert(ctx, tx, r); err != nil {
				return err
			}
		}
		return nil
	})
}

func insert(ctx context.Context, tx *sql.Tx, r lifecycle.Request) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO requests (id, parent, kind, state, outcome, checked_in, attempt) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		r.ID, r.Parent, r.Kind, r.State, name(r.Outcome), micros(r.CheckedIn), r.Attempt)
	return err
}

// NewIDs returns the first of n ids, in a row, that no request has or ever had, nor
// will have unless it is submitted or inserted with one of them. An id whose request is
// deleted does not come again: who kept it must not meet another request.
func (s *Store) NewIDs(ctx context.Context, n int) (first lifecycle.ID, err error) {
	if n <= 0 {
		return 0, fmt.Errorf("sqlite: %d new ids", n)
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		// SQLite itself moves the mark of a table with AUTOINCREMENT behind every id in it.
		return tx.QueryRowContext(ctx, "UPDATE sqlite_sequence SET seq = seq + ?1 WHERE name = 'requests' RETURNING seq - ?1 + 1", n).Scan(&first)
	})
	return first, err
}

// Submit stores a new request, if its parent, should it have one, admits a child at this
// moment: see [lifecycle.Admit]. The error has
// [esserrors.CodeUnsupportedState] if the parent does not, and [esserrors.CodeNotFound]
// if there is none.
func (s *Store) Submit(ctx context.Context, r lifecycle.Request) error {
	if err := r.Validate(); err != nil {
		return err
	}
	return s.write(ctx, func(tx *sql.Tx) error {
		// The transaction has the lock for writing: the parent stays as it is read.
		if r.Parent != 0 {
			p, err := get(ctx, tx, r.Parent)
			if errors.Is(err, cancel.ErrNotFound) {
				return esserrors.NotFound("submit", int64(r.Parent), err)
			}
			if err == nil {
				err = lifecycle.Admit(p)
			}
			if err != nil {
				return err
			}
		}
		return insert(ctx, tx, r)
	})
}
