package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"slices"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/examples/httpservice/service"
	"example.com/ess/examples/sqlite"
	"example.com/ess/lifecycle"
)

// A store keeps the requests, and in a table beside them what their work is. In a
// scheduler of one's own that would be columns of one table.
type store struct {
	*sqlite.Store
	db     *sql.DB // the same file
	opened closers
}

var _ service.Store = store{}

// open opens a file that nobody else serves.
func open(ctx context.Context, file string) (_ service.Store, err error) {
	path, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	var opened closers
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("%s: %w", file, err), opened.Close())
		}
	}()
	db, err := sql.Open("sqlite", dsn(path, "_busy_timeout=60000&_txlock=immediate&_pragma=synchronous(FULL)"))
	if err != nil {
		return nil, err
	}
	owner, err := own(ctx, db)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	opened = closers{owner, db}
	requests, err := sqlite.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	opened = append(opened, requests)
	_, err = db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS jobs (id INTEGER PRIMARY KEY, job TEXT NOT NULL) STRICT")
	return store{requests, db, opened}, err
}

func dsn(path, options string) string {
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: options}
	return u.String()
}

// Close closes the file, and then lets others serve it.
func (s store) Close() error { return s.opened.Close() }

// Closers are things to close, the last first.
type closers []io.Closer

func (cs closers) Close() error {
	var errs []error
	for _, c := range slices.Backward(cs) {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// Submit implements [service.Store] by one transaction, which has the lock for writing
// from its beginning: what is read stays so until it commits. Ids of a tree that is
// refused are not given again either.
func (s store) Submit(ctx context.Context, t *service.Tree) (top lifecycle.ID, err error) {
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", ctx.Err(), err) // of which the driver may not tell
		}
	}()
	if top, err = s.NewIDs(ctx, t.Len()); err != nil {
		return 0, err
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after the commit
	if err := s.admit(ctx, t.Parent); err != nil {
		return 0, err
	}
	for r, job := range t.Requests(top) {
		text, err := json.Marshal(job)
		if err == nil {
			_, err = tx.ExecContext(ctx, "INSERT INTO jobs (id, job) VALUES (?, ?)", r.ID, string(text))
		}
		if err == nil {
			_, err = tx.ExecContext(ctx, "INSERT INTO requests (id, parent, kind, state) VALUES (?, ?, ?, ?)", r.ID, r.Parent, r.Kind, r.State)
		}
		if err != nil {
			return 0, err
		}
	}
	return top, tx.Commit()
}

func (s store) admit(ctx context.Context, parent lifecycle.ID) error {
	if parent == 0 {
		return nil
	}
	p, err := s.Get(ctx, parent)
	switch {
	case errors.Is(err, cancel.ErrNotFound):
		return esserrors.NotFound("submit", int64(parent), err)
	case err != nil:
		return err
	default:
		return lifecycle.Admit(p)
	}
}

// Job implements [service.Store].
func (s store) Job(ctx context.Context, id lifecycle.ID) (job service.Job, err error) {
	var text string
	err = s.db.QueryRowContext(ctx, "SELECT job FROM jobs WHERE id = ?", id).Scan(&text)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return job, nil // somebody else has inserted it
	case err != nil:
		return job, err
	default:
		return job, json.Unmarshal([]byte(text), &job)
	}
}
