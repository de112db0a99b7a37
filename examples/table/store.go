// Package table is a [cancel.Repository] over a table that a scheduler has already, with
// names of its own and without a column for everything: the three methods and the
// admission of children, and nothing else. It is made to be copied; its README is the
// guide.
package table

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// A Store is the table job. It is safe for concurrent use.
type Store struct{ db *sql.DB }

var _ cancel.Repository = (*Store)(nil)

// New returns the Store over db, which has the table.
func New(db *sql.DB) *Store { return &Store{db} }

const columns = "id, coalesce(parent_id, 0), type, status, stop_seen, attempt"

// scan reads a row. One that this program does not understand, because another version
// wrote it, is a request all the same, with State 0.
func scan(row interface{ Scan(...any) error }) (r lifecycle.Request, err error) {
	var kind, status string
	var seen int64
	if err := row.Scan(&r.ID, &r.Parent, &kind, &status, &seen, &r.Attempt); err != nil {
		return lifecycle.Request{}, err
	}
	if seen != 0 {
		r.CheckedIn = time.UnixMicro(seen).UTC()
	}
	if m, ok := meanings[status]; ok && kindOf[kind] != 0 {
		r.Kind, r.State, r.Outcome = kindOf[kind], m.state, m.outcome
	}
	return r, nil
}

// Get implements [cancel.Repository].
func (s *Store) Get(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
	r, err := scan(s.db.QueryRowContext(ctx, "SELECT "+columns+" FROM job WHERE id = ?", id))
	if errors.Is(err, sql.ErrNoRows) {
		return r, fmt.Errorf("job %d: %w", id, cancel.ErrNotFound)
	}
	return r, because(ctx, err)
}

// Children implements [cancel.Repository]. It reads the rest of the parent at which the
// page before ended, and then the parents behind it: each in the order of an index, so
// that a page costs what it has.
func (s *Store) Children(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
	at, found := slices.BinarySearch(q.Parents, q.After.Parent)
	var page []lifecycle.Request
	if found {
		where, args := "parent_id = ?", []any{q.After.Parent}
		if q.After.Parent == 0 {
			where, args = "parent_id IS NULL", nil
		}
		rest, err := s.page(ctx, q, where+" AND id > ?", append(args, q.After.ID))
		if err != nil {
			return nil, err
		}
		page, at = rest, at+1
	}
	behind := q.Parents[at:]
	if len(behind) == 0 || len(page) == q.Limit {
		return page, nil
	}
	q.Limit -= len(page)
	more, err := s.page(ctx, q, "parent_id IN "+marks(behind), anys(behind))
	return append(page, more...), err
}

// page reads what the condition says. It asks for "in none of the other states", so that
// rows which cannot be read are among them.
func (s *Store) page(ctx context.Context, q cancel.ChildQuery, where string, args []any) ([]lifecycle.Request, error) {
	others := texts(^q.States)
	rows, err := s.db.QueryContext(ctx, "SELECT "+columns+" FROM job WHERE "+where+
		" AND (status NOT IN "+marks(others)+" OR type NOT IN "+marks(types)+")"+
		" ORDER BY parent_id, id LIMIT ?", slices.Concat(args, others, types, []any{q.Limit})...)
	if err != nil {
		return nil, because(ctx, err)
	}
	defer rows.Close()
	var page []lifecycle.Request
	for rows.Next() {
		r, err := scan(rows)
		if err != nil {
			return nil, because(ctx, err)
		}
		page = append(page, r)
	}
	return page, because(ctx, rows.Err())
}

// Apply implements [cancel.Repository]: one conditional UPDATE for each change, in one
// transaction, because what costs time is the commit.
func (s *Store) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	made := make([]bool, len(changes))
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, because(ctx, err)
	}
	defer tx.Rollback() // does nothing after the commit
	for i, ch := range changes {
		result, err := tx.ExecContext(ctx, `
			UPDATE job SET status = ?, stop_seen = ?, attempt = ?
			WHERE id = ? AND status = ? AND stop_seen = ? AND attempt = ?`,
			status(ch.State, ch.Outcome), micros(ch.CheckedIn), ch.Attempt,
			ch.Old.ID, status(ch.Old.State, ch.Old.Outcome), micros(ch.Old.CheckedIn), ch.Old.Attempt)
		if err != nil {
			return nil, because(ctx, err)
		}
		n, err := result.RowsAffected()
		if err != nil {
			return nil, because(ctx, err)
		}
		made[i] = n == 1
	}
	if err := tx.Commit(); err != nil {
		return nil, because(ctx, err)
	}
	return made, nil
}

// Submit stores a new request. A child is stored only if its parent admits one, which
// the same statement looks at: there is no time in between in which a cancel could fence
// the parent.
func (s *Store) Submit(ctx context.Context, r lifecycle.Request) error {
	if r.Parent == 0 {
		_, err := s.db.ExecContext(ctx, "INSERT INTO job (id, type, status) VALUES (?, ?, ?)",
			r.ID, typeOf(r.Kind), status(r.State, 0))
		return because(ctx, err)
	}
	admitting := texts(lifecycle.Admitting)
	for {
		result, err := s.db.ExecContext(ctx, `
			INSERT INTO job (id, parent_id, type, status)
			SELECT ?, p.id, ?, ? FROM job p
			WHERE p.id = ? AND p.type IN `+marks(parents)+` AND p.status IN `+marks(admitting),
			slices.Concat([]any{r.ID, typeOf(r.Kind), status(r.State, 0), r.Parent}, parents, admitting)...)
		if err != nil {
			return because(ctx, err)
		}
		if n, err := result.RowsAffected(); err != nil || n == 1 {
			return because(ctx, err)
		}
		parent, err := s.Get(ctx, r.Parent)
		if err != nil {
			return err
		}
		if err := lifecycle.Admit(parent); err != nil {
			return err
		}
		// It admits a child now, and has not a moment ago: try again.
	}
}

// micros returns t as the table keeps it. A comparison with = is enough then, where NULL
// would need one of its own in every database.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// because adds the error of a ctx that is done: database/sql and drivers may say only
// that a transaction or a connection is gone.
func because(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		return errors.Join(ctx.Err(), err)
	}
	return err
}

// marks returns "(?, ?, …)", one for each value.
func marks[T any](values []T) string {
	return "(" + strings.TrimSuffix(strings.Repeat("?, ", len(values)), ", ") + ")"
}

func anys[T any](values []T) []any {
	all := make([]any, len(values))
	for i, v := range values {
		all[i] = v
	}
	return all
}

// Insert stores requests as they are: for tests, and for a scheduler that moves here.
func (s *Store) Insert(ctx context.Context, requests []lifecycle.Request) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return because(ctx, err)
	}
	defer tx.Rollback() // does nothing after the commit
	for _, r := range requests {
		if _, err := tx.ExecContext(ctx, `
			INSERT INTO job (id, parent_id, type, status, stop_seen, attempt) VALUES (?, nullif(?, 0), ?, ?, ?, ?)`,
			r.ID, r.Parent, typeOf(r.Kind), status(r.State, r.Outcome), micros(r.CheckedIn), r.Attempt); err != nil {
			return because(ctx, err)
		}
	}
	return because(ctx, tx.Commit())
}
