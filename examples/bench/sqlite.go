package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"example.com/ess/examples/sqlite"
	"example.com/ess/lifecycle"
)

// sqlite measures cascades in a file, with commits that wait for the disk.
func (b *bench) sqlite(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "ess-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	sizes := append(slices.Clone(b.size.growth), b.size.sqlite)
	slices.Sort(sizes)
	for _, n := range slices.Compact(sizes) {
		c := contest{name: fmt.Sprintf("sqlite/%d", n), rounds: b.size.few}
		if !b.only.MatchString(c.name) {
			continue
		}
		file := sqliteFile{filepath.Join(dir, c.name[len("sqlite/"):]), wide(n/b.size.fan, b.size.fan)}
		if err := file.fill(ctx); err != nil {
			return err
		}
		c.title = "SQLite, " + file.tree.name
		c.ways = []way{
			{name: rawWay, run: file.raw(rawUpdate)},
			{name: rawWay + " with an audit trail", run: file.raw(rawAudit, rawUpdate)},
			{name: threeMethods, goals: []goal{tripsFor(file.tree, defaultPage)}, run: file.cascade(false)},
			{name: oneStatement, goals: []goal{tripsFor(file.tree, defaultPage)}, run: file.cascade(true)},
		}
		if err := b.compete(ctx, c); err != nil {
			return err
		}
		b.note("SQLite by modernc.org/sqlite " + versionOf("modernc.org/sqlite"))
	}
	return nil
}

// A sqliteFile is the file that is copied for every run.
type sqliteFile struct {
	path string
	tree tree
}

func (f sqliteFile) fill(ctx context.Context) error {
	store, err := sqlite.Open(ctx, f.path)
	if err != nil {
		return err
	}
	err = store.Insert(ctx, slices.Collect(f.tree.all())...)
	if err = errors.Join(err, store.Close()); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", f.path)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE); ANALYZE; VACUUM")
	return errors.Join(err, db.Close())
}

// onCopy runs do on a fresh copy of the file, and then looks at the requests in it.
func (f sqliteFile) onCopy(ctx context.Context, do func(path string) error) (err error) {
	dir, err := os.MkdirTemp("", "ess-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "requests.db")
	if err := copyFile(path, f.path); err != nil {
		return err
	}
	if err := do(path); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return err
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx, "SELECT state, count(*) FROM requests GROUP BY state")
	if err != nil {
		return err
	}
	defer rows.Close()
	states := census{}
	for rows.Next() {
		var s lifecycle.State
		var n int
		if err := rows.Scan(&s, &n); err != nil {
			return err
		}
		states[s] = n
	}
	return errors.Join(rows.Err(), states.check(f.tree))
}

// copyFile copies a file, and waits until it is on the disk: it is not to be written while
// the clock runs.
func copyFile(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Sync()
}

func (f sqliteFile) cascade(caps bool) func(context.Context, *meter) error {
	return func(ctx context.Context, m *meter) error {
		return f.onCopy(ctx, func(path string) error {
			store, err := sqlite.Open(ctx, path)
			if err != nil {
				return err
			}
			err = m.measure(func() (int, error) {
				return f.tree.n, cancelTrees(ctx, counting(store, caps, &m.trips), f.tree, defaultPage, 1)
			})
			return errors.Join(err, store.Close())
		})
	}
}

const rawTree = `
WITH RECURSIVE tree (id) AS (
    SELECT ?
    UNION ALL
    SELECT r.id FROM requests AS r JOIN tree AS t ON r.parent = t.id
)`

// rawUpdate cancels a tree without a look at the rules.
const rawUpdate = rawTree + `UPDATE requests SET state = 'CANCELLED' WHERE live AND id IN (SELECT id FROM tree)`

// rawAudit keeps what rawUpdate is going to do, as the store does.
const rawAudit = rawTree + `
INSERT INTO changes (cause, request, trigger, old_state, state)
SELECT 1, r.id, 'cancel', r.state, 'CANCELLED' FROM tree AS t JOIN requests AS r ON r.id = t.id WHERE r.live`

// raw runs statements in one transaction.
func (f sqliteFile) raw(statements ...string) func(context.Context, *meter) error {
	return func(ctx context.Context, m *meter) error {
		return f.onCopy(ctx, func(path string) error {
			db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=temp_store(MEMORY)")
			if err != nil {
				return err
			}
			err = db.PingContext(ctx)
			if err == nil {
				err = m.measure(func() (n int, err error) {
					tx, err := db.BeginTx(ctx, nil)
					if err != nil {
						return 0, err
					}
					defer func() { _ = tx.Rollback() }() // does nothing after the commit
					for _, statement := range statements {
						m.trips.Add(1)
						result, err := tx.ExecContext(ctx, statement, int64(f.tree.roots[0]))
						if err != nil {
							return 0, err
						}
						changed, err := result.RowsAffected()
						if err != nil {
							return 0, err
						}
						n = int(changed)
					}
					return n, tx.Commit()
				})
			}
			return errors.Join(err, db.Close())
		})
	}
}
