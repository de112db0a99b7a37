package sqlite

import (
	"context"
	"database/sql"
	"errors"

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
	_, err := tx.ExecContext(ctx, "INSERT INTO requests ("+columns+") VALUES (?, ?, ?, ?, ?, ?)",
		r.ID, r.Parent, r.Kind, r.State, name(r.Outcome), micros(r.CheckedIn))
	return err
}

// Submit stores a new request, if its parent, should it have one, admits a child at this
// moment: see [lifecycle.AdmitsChildren]. The error has
// [esserrors.CodeUnsupportedState] if the parent does not, and [esserrors.CodeNotFound]
// if there is none.
func (s *Store) Submit(ctx context.Context, r lifecycle.Request) error {
	if err := r.Validate(); err != nil {
		return err
	}
	return s.write(ctx, func(tx *sql.Tx) error {
		// The transaction has the lock for writing: the parent stays as it is read.
		if r.Parent != 0 {
			switch p, err := get(ctx, tx, r.Parent); {
			case errors.Is(err, cancel.ErrNotFound):
				return esserrors.NotFound("submit", int64(r.Parent), err)
			case err != nil:
				return err
			case !lifecycle.AdmitsChildren(p.Kind, p.State):
				return esserrors.UnsupportedState("submit", int64(p.ID), p.Kind.String(), p.State.String())
			}
		}
		return insert(ctx, tx, r)
	})
}

// Fire makes a transition of the scheduler's own, such as the start of a request, by the
// rules of package lifecycle. It returns the request as it is then.
//
// The error has [esserrors.CodeUnsupportedState] if no rule permits the transition,
// [esserrors.CodeConflict] if it would end a request that has a live child, or
// [esserrors.CodeNotFound]. The triggers of a cancel are more than a change of one state:
// for them there is [cancel.Canceller].
func (s *Store) Fire(ctx context.Context, id lifecycle.ID, t lifecycle.Trigger) (lifecycle.Request, error) {
	var fired lifecycle.Request
	err := s.write(ctx, func(tx *sql.Tx) error {
		// Again nobody comes between what is read and what is written.
		r, err := get(ctx, tx, id)
		if errors.Is(err, cancel.ErrNotFound) {
			return esserrors.NotFound(t.String(), int64(id), err)
		}
		if err != nil {
			return err
		}
		to, ok := lifecycle.Next(r.Kind, r.State, t)
		if !ok || r.State == lifecycle.StateCancelling || to == lifecycle.StateCancelling || t == lifecycle.TriggerCancel {
			return esserrors.UnsupportedState(t.String(), int64(id), r.Kind.String(), r.State.String())
		}
		if lifecycle.Terminal.Has(to) {
			var live bool
			err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM requests WHERE parent = ? AND live)", id).Scan(&live)
			if err != nil {
				return err
			}
			if live {
				return esserrors.Conflict(t.String(), int64(id), "The request has a live child.", nil)
			}
		}
		r.State = to
		fired = r
		_, err = tx.ExecContext(ctx, "UPDATE requests SET state = ? WHERE id = ?", to, id)
		return err
	})
	if err != nil {
		return lifecycle.Request{}, err
	}
	return fired, nil
}
