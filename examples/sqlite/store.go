// Package sqlite keeps the requests of a scheduler in one SQLite file: durable,
// without a server, for one machine.
//
// A [Store] is a [cancel.Repository] with all capabilities. Any number of processes
// may open the same file; one at a time writes.
package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
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

	// To read a statement takes SQLite longer than to carry out most of these, so that
	// a connection does it once. What they are for see their texts, in prepare.
	get, children, liveChildren, cancelling, cause             *sql.Stmt // for readers
	reget, insert, fire, hasLive, insertCause, apply, audit    *sql.Stmt // for the writer
	clearPage, fillPage, lastOfPage, decide, auditPage, update *sql.Stmt // for the writer
}

var (
	_ cancel.ChildCanceller   = (*Store)(nil)
	_ cancel.CancellingLister = (*Store)(nil)
	_ cancel.CauseReader      = (*Store)(nil)
)

// maxReaders is how many read at once. Reading keeps a processor busy, so that more
// would not be faster.
const maxReaders = 8

// Open opens the file, and creates it and its tables where they are not there.
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
	s := &Store{writer: sql.OpenDB(writerConnector{writer}), readers: sql.OpenDB(readers)}
	s.writer.SetMaxOpenConns(1)
	s.readers.SetMaxOpenConns(maxReaders)
	s.readers.SetMaxIdleConns(maxReaders)
	err = s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, schema)
		return err
	})
	if err == nil {
		err = failed(ctx, s.prepare(ctx))
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// prepare prepares the statements.
func (s *Store) prepare(ctx context.Context) error {
	for _, p := range []struct {
		statement **sql.Stmt
		pool      *sql.DB
		text      string
	}{
		{&s.get, s.readers, getText},
		{&s.children, s.readers, childrenText(columns, false)},
		{&s.liveChildren, s.readers, childrenText(columns, true)},
		{&s.cancelling, s.readers, cancellingText},
		{&s.cause, s.readers, causeText},
		{&s.reget, s.writer, getText},
		{&s.insert, s.writer, insertText},
		{&s.fire, s.writer, fireText},
		{&s.hasLive, s.writer, hasLiveText},
		{&s.insertCause, s.writer, insertCauseText},
		{&s.apply, s.writer, applyText},
		{&s.audit, s.writer, auditText},
		{&s.clearPage, s.writer, clearPageText},
		{&s.fillPage, s.writer, fillPageText},
		{&s.lastOfPage, s.writer, lastOfPageText},
		{&s.decide, s.writer, decideText},
		{&s.auditPage, s.writer, auditPageText},
		{&s.update, s.writer, updateText},
	} {
		var err error
		if *p.statement, err = p.pool.PrepareContext(ctx, p.text); err != nil {
			return err
		}
	}
	return nil
}
