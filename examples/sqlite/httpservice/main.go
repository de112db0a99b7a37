// Httpservice is the scheduler of examples/httpservice with its requests in a SQLite file:
// what has been accepted is there when it starts again.
//
//	go run ./httpservice -file requests.db -addr 127.0.0.1:8080 -operators ann
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"net/url"
	"path/filepath"

	"example.com/ess/examples/httpservice/service"
	"example.com/ess/examples/sqlite"
	"example.com/ess/lifecycle"
)

func main() {
	file := flag.String("file", "requests.db", "keep the requests in this `file`")
	service.Main(func(ctx context.Context) (service.Store, error) { return open(ctx, *file) })
}

// A store keeps the requests, and in a table beside them what their work is. In a
// scheduler of one's own that would be columns of one table.
type store struct {
	*sqlite.Store
	jobs *sql.DB
}

var _ service.Keeper = store{}

func open(ctx context.Context, file string) (service.Store, error) {
	path, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	requests, err := sqlite.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	dsn := url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: "_busy_timeout=60000"}
	jobs, err := sql.Open("sqlite", dsn.String())
	if err == nil {
		_, err = jobs.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS jobs (id INTEGER PRIMARY KEY, job TEXT NOT NULL) STRICT")
	}
	s := store{requests, jobs}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close closes the file.
func (s store) Close() error { return errors.Join(s.jobs.Close(), s.Store.Close()) }

// Keep implements [service.Keeper]. The row of an id that was handed out, and then not
// submitted because the process died, gives way.
func (s store) Keep(ctx context.Context, id lifecycle.ID, job string) error {
	_, err := s.jobs.ExecContext(ctx, "INSERT OR REPLACE INTO jobs VALUES (?, ?)", id, job)
	return err
}

// Kept implements [service.Keeper].
func (s store) Kept(ctx context.Context, id lifecycle.ID) (job string, err error) {
	err = s.jobs.QueryRowContext(ctx, "SELECT job FROM jobs WHERE id = ?", id).Scan(&job)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return job, err
}
