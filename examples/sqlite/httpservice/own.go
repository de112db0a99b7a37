package main

import (
	"context"
	"database/sql"
	"errors"
	"io"

	driversqlite "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

var errServed = errors.New("another process serves this file")

// own makes this process the only one that serves the file which db is open on, until the
// result is closed or the process ends, whichever way. It returns errServed if another does.
//
// It locks a second file beside that one: it begins a transaction there that never ends.
// SQLite locks by means of the operating system, which takes the lock from a process that
// dies, and from no other. No clock has a part in it: the owner may be stopped for an hour,
// or its machine suspended, and owns the file all the same.
func own(ctx context.Context, db *sql.DB) (io.Closer, error) {
	// SQLite knows the file's own name, whatever links lead there.
	var path string
	if err := db.QueryRowContext(ctx, "SELECT file FROM pragma_database_list WHERE name = 'main'").Scan(&path); err != nil {
		return nil, err
	}
	// A process that has just been killed takes a moment to end.
	owner, err := sql.Open("sqlite", dsn(path+"-owner", "_busy_timeout=1000"))
	if err != nil {
		return nil, err
	}
	conn, err := owner.Conn(ctx)
	if err != nil {
		return nil, errors.Join(err, owner.Close())
	}
	lock := closers{owner, conn}
	_, err = conn.ExecContext(ctx, "BEGIN EXCLUSIVE")
	if failed, ok := errors.AsType[*driversqlite.Error](err); ok && failed.Code()&0xff == sqlite3.SQLITE_BUSY {
		err = errServed
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}
