// Package sqlite keeps the requests of a scheduler in one SQLite file: durable,
// without a server, for one machine.
//
// A [Store] is a [cancel.Repository] with all capabilities. The processes of one machine
// may share the file; one at a time writes.
package sqlite

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	driversqlite "modernc.org/sqlite"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

//go:embed schema.sql
var schema string

//go:embed connection.sql
var connection string

// A Store is the requests in one file. It is safe for concurrent use.
type Store struct {
	// SQLite has one writer at a time. A pool of one connection makes the writers of
	// this process queue in order, where connections of their own would poll.
	writer *sql.DB
	// Readers see the last state that was committed before they began, and neither
	// wait for the writer nor hold it up.
	readers *sql.DB
}

var (
	_ cancel.TreeCanceller    = (*Store)(nil)
	_ cancel.Settler          = (*Store)(nil)
	_ cancel.ChildCanceller   = (*Store)(nil)
	_ cancel.ParentEnder      = (*Store)(nil)
	_ cancel.CancellingLister = (*Store)(nil)
	_ cancel.CauseReader      = (*Store)(nil)
)

// maxReaders is how many read at once. Reading keeps a processor busy, so that more
// would not be faster.
const maxReaders = 8

// Open opens the file of that path, and creates it and its tables where they are not
// there. Its errors name the file.
func Open(ctx context.Context, path string) (*Store, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	writer, err := driversqlite.NewConnector(dsn(path, url.Values{
		// BEGIN IMMEDIATE takes the lock for writing at once. A transaction that
		// began by reading, and wanted it later, could find that somebody else has
		// written in between, and would have to be begun again.
		"_txlock": {"immediate"},
		"_pragma": {
			// Readers and the writer do not wait for each other.
			"journal_mode(WAL)",
			// Every commit is on the disk before it returns. The usual advice for
			// WAL, NORMAL, may lose the last commits when the power fails.
			"synchronous(FULL)",
			"temp_store(MEMORY)",
		},
	}))
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	readers, err := driversqlite.NewConnector(dsn(path, url.Values{"_pragma": {"query_only(1)"}}))
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	s := &Store{writer: sql.OpenDB(connector{writer, connection + decisions}), readers: sql.OpenDB(connector{readers, ""})}
	s.writer.SetMaxOpenConns(1)
	s.readers.SetMaxOpenConns(maxReaders)
	s.readers.SetMaxIdleConns(maxReaders)
	err = s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, schema)
		return err
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w (file %q)", err, path), s.Close())
	}
	return s, nil
}

// dsn names the file to the driver. The busy timeout is how long to wait for a lock of
// another process; the context of a call may end it sooner. It is longer than any
// transaction here takes, because who polls for a lock may find it taken many times.
func dsn(path string, options url.Values) string {
	options.Set("_busy_timeout", "60000")
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: options.Encode()}
	return u.String()
}

// Close closes the file.
func (s *Store) Close() error {
	return errors.Join(s.writer.Close(), s.readers.Close())
}

// decisions fills the table of that name with the rules.
var decisions = func() string {
	var b strings.Builder
	for d := range cancel.Decisions() {
		outcome := "NULL"
		if d.Outcome != 0 {
			outcome = fmt.Sprintf("'%v'", d.Outcome)
		}
		fmt.Fprintf(&b, "INSERT INTO decisions VALUES ('%v', '%v', '%v', %s);\n", d.Kind, d.From, d.State, outcome)
	}
	return b.String()
}()

// write runs do in one transaction that has the lock for writing from the beginning.
func (s *Store) write(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return failed(ctx, err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after the commit
	if err := do(tx); err != nil {
		return failed(ctx, err)
	}
	return failed(ctx, tx.Commit())
}

// count returns how many rows a statement wrote.
func count(result sql.Result, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}

// failed names the package in err. It adds the error of a ctx that is done, because the
// driver may say only that it was interrupted.
func failed(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil && !errors.Is(err, ctx.Err()):
		return fmt.Errorf("sqlite: %w: %w", ctx.Err(), err)
	default:
		return fmt.Errorf("sqlite: %w", err)
	}
}

// columns are those of a request, in the order of scan.
const columns = "r.id, r.parent, r.kind, r.state, r.outcome, r.checked_in, r.attempt"

// scan reads a request. One whose names it does not know, or that cannot exist, has
// State 0: who asked for it is told of it, and of the rows beside it.
func scan(row interface{ Scan(...any) error }, more ...any) (lifecycle.Request, error) {
	var r lifecycle.Request
	var kind, state, outcome sql.Null[string]
	var checkedIn sql.Null[int64]
	if err := row.Scan(append([]any{&r.ID, &r.Parent, &kind, &state, &outcome, &checkedIn, &r.Attempt}, more...)...); err != nil {
		return lifecycle.Request{}, err
	}
	r.CheckedIn = timeOf(checkedIn)
	known := r.Kind.UnmarshalText([]byte(kind.V)) == nil && r.State.UnmarshalText([]byte(state.V)) == nil &&
		(!outcome.Valid || r.Outcome.UnmarshalText([]byte(outcome.V)) == nil && r.Outcome != 0)
	if !known || r.Validate() != nil {
		r.State, r.Outcome = 0, 0
	}
	return r, nil
}

// name returns the name of s, and NULL for none.
func name(s lifecycle.State) sql.Null[string] {
	return sql.Null[string]{V: s.String(), Valid: s != 0}
}

// micros returns t as it is kept: package cancel writes whole microseconds.
func micros(t time.Time) sql.Null[int64] {
	return sql.Null[int64]{V: t.UnixMicro(), Valid: !t.IsZero()}
}

func timeOf(micros sql.Null[int64]) time.Time {
	if !micros.Valid {
		return time.Time{}
	}
	return time.UnixMicro(micros.V).UTC()
}
