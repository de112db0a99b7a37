package pgstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// A Reader reads requests out of rows: one after the other, to spare the memory that each
// would need while it is read.
//
// The columns are the id, the parent (0 for none), the kind, the state, the outcome (NULL
// for none, and in a state other than CANCELLING), the time of the last check-in (NULL
// for none) and the attempt.
type Reader struct {
	request        lifecycle.Request
	kind           kindColumn
	state, outcome stateColumn
	checkedIn      pgtype.Timestamptz
	columns        []any
}

// NewReader returns a Reader of rows that have, behind the columns of a request, some more.
func NewReader(more ...any) *Reader {
	r := &Reader{}
	r.columns = append([]any{
		(*int64)(&r.request.ID), (*int64)(&r.request.Parent), &r.kind, &r.state, &r.outcome, &r.checkedIn, &r.request.Attempt,
	}, more...)
	return r
}

// Read reads a row. One whose kind, state or outcome is no name that package lifecycle
// knows becomes a request in State 0: a broken row must not keep a page of others
// from being read.
func (r *Reader) Read(row pgx.Row) (lifecycle.Request, error) {
	if err := row.Scan(r.columns...); err != nil {
		return lifecycle.Request{}, err
	}
	request := r.request
	request.Kind, request.State, request.Outcome = r.kind.kind, r.state.state, r.outcome.state
	request.CheckedIn = r.checkedIn.Time.UTC() // the zero time if there is none
	if request.Kind == 0 || r.outcome.given && !lifecycle.Outcomes.Has(request.Outcome) {
		request.State = 0
	}
	if request.State == 0 {
		request.Outcome = 0
	}
	return request, nil
}

// A kindColumn has what a column says, or 0 if that is no kind.
type kindColumn struct{ kind lifecycle.Kind }

// ScanBytes implements [pgtype.BytesScanner].
func (c *kindColumn) ScanBytes(name []byte) error {
	if c.kind.UnmarshalText(name) != nil {
		c.kind = 0
	}
	return nil
}

// A stateColumn has what a column says, or 0 if that is no state, and whether it says
// anything.
type stateColumn struct {
	state lifecycle.State
	given bool
}

// ScanBytes implements [pgtype.BytesScanner].
func (c *stateColumn) ScanBytes(name []byte) error {
	if c.given = name != nil; c.state.UnmarshalText(name) != nil {
		c.state = 0
	}
	return nil
}

// Get returns the request that sql selects by @id, or an error that matches
// [cancel.ErrNotFound].
func Get(ctx context.Context, db DB, sql string, id lifecycle.ID) (r lifecycle.Request, err error) {
	err = Retry(ctx, db, func() error {
		r, err = NewReader().Read(db.QueryRow(ctx, sql, pgx.NamedArgs{"id": id}))
		return err
	})
	return r, NotFound(id, err)
}

// NotFound returns err, but [cancel.ErrNotFound] in place of pgx's [pgx.ErrNoRows].
func NotFound(id lifecycle.ID, err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("pgstore: request %d: %w", id, cancel.ErrNotFound)
	}
	return err
}

// Select returns what read makes of the rows that sql selects, at most limit if that is not
// 0.
func Select[T any](ctx context.Context, db DB, sql string, args pgx.NamedArgs, limit int, read func(pgx.Row) (T, error)) (all []T, err error) {
	err = Retry(ctx, db, func() error {
		rows, err := db.Query(ctx, sql, args)
		if err != nil {
			return err
		}
		all, err = pgx.AppendRows(make([]T, 0, limit), rows, func(row pgx.CollectableRow) (T, error) { return read(row) })
		return err
	})
	return all, err
}

// Refused returns the error of who submits a child, for a parent that was found not to admit
// one, and what Get returns of it.
func Refused(id lifecycle.ID, parent lifecycle.Request, err error) error {
	switch {
	case errors.Is(err, cancel.ErrNotFound):
		return esserrors.NotFound("submit", int64(id), err)
	case err != nil:
		return err
	}
	if err := lifecycle.Admit(parent); err != nil {
		return err
	}
	return esserrors.Conflict("submit", int64(id), fmt.Sprintf("Request %d has changed meanwhile.", id), nil)
}
