package mysql_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/examples/mysql"
	"example.com/ess/examples/mysql/mariadb"
	"example.com/ess/lifecycle"
)

// server is where the tests work, unless they need one of their own.
var server *mariadb.Server

func TestMain(m *testing.M) {
	// What breaks is broken on purpose.
	if err := driver.SetLogger(&driver.NopLogger{}); err != nil {
		panic(err)
	}
	if os.Getenv(errandEnv) != "" {
		runErrand()
		return
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	// Most tests are about what is done, not about whether it lasts.
	server, err = mariadb.Start(context.Background(), mariadb.Options{Fast: true})
	if err != nil {
		// Tests that did not run must not look like tests that passed.
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := server.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// start starts a server of the test's own.
func start(t testing.TB, opts mariadb.Options) *mariadb.Server {
	t.Helper()
	s, err := mariadb.Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func open(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	db, err := mysql.Open(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return pooled(t, db)
}

// openWithout returns connections with the settings of Open, but for what change changes.
func openWithout(t testing.TB, dsn string, change func(cfg *driver.Config)) *sql.DB {
	t.Helper()
	cfg, err := driver.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	if err := mysql.Configure(cfg); err != nil {
		t.Fatal(err)
	}
	change(cfg)
	connector, err := driver.NewConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return pooled(t, sql.OpenDB(connector))
}

func pooled(t testing.TB, db *sql.DB) *sql.DB {
	db.SetMaxOpenConns(40)
	db.SetMaxIdleConns(40)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

var databases atomic.Int64

// newDatabase makes a database without tables and returns its DSN.
func newDatabase(t testing.TB, s *mariadb.Server) string {
	t.Helper()
	name := fmt.Sprintf("test%d", databases.Add(1))
	db := open(t, s.DSN(""))
	mustExec(t, db, "CREATE DATABASE "+name)
	_ = db.Close()
	return s.DSN(name)
}

// setup returns a database with the table jobs and some requests in it.
func setup(t testing.TB, s *mariadb.Server, requests ...lifecycle.Request) *sql.DB {
	t.Helper()
	db := open(t, newDatabase(t, s))
	mustExec(t, db, mysql.Schema)
	if err := insert(t.Context(), db, "jobs", requests); err != nil {
		t.Fatal(err)
	}
	return db
}

func mustExec(t testing.TB, db interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}, query string, args ...any,
) {
	t.Helper()
	if _, err := db.ExecContext(context.Background(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func queryOne[T any](t testing.TB, db interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}, query string, args ...any,
) (v T) {
	t.Helper()
	if err := db.QueryRowContext(context.Background(), query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

// parse returns requests as they are drawn: see canceltest.ParseTree.
func parse(t testing.TB, tree string) []lifecycle.Request {
	t.Helper()
	requests, err := canceltest.ParseTree(tree)
	if err != nil {
		t.Fatal(err)
	}
	return requests
}

// insert stores requests as they are.
func insert(ctx context.Context, db *sql.DB, table string, requests []lifecycle.Request) error {
	for len(requests) > 0 {
		n := min(len(requests), 500)
		var args []any
		for _, r := range requests[:n] {
			typ, status, endsAs, heardAt := mysql.Row(r)
			args = append(args, r.ID, r.Parent, typ, status, endsAs, heardAt, r.Attempt)
		}
		_, err := db.ExecContext(ctx, "INSERT INTO "+table+" (id, parent_id, type, status, ends_as, heard_at, attempt) VALUES "+
			strings.TrimSuffix(strings.Repeat("(?, ?, ?, ?, ?, ?, ?), ", n), ", "), args...)
		if err != nil {
			return err
		}
		requests = requests[n:]
	}
	return nil
}

// A shelf has tables for a harness. A check wants an empty one, and gives it back.
type shelf struct {
	db     *sql.DB
	schema string
	store  func(table string) cancel.Repository

	mu   sync.Mutex
	n    int
	free []string
	used map[cancel.Repository]string
}

func newHarness(db *sql.DB, schema string) canceltest.Harness {
	return (&shelf{db: db, schema: schema, store: func(table string) cancel.Repository { return mysql.New(db, table) }}).harness()
}

func (s *shelf) harness() canceltest.Harness {
	s.used = map[cancel.Repository]string{}
	return canceltest.Harness{
		New: func(ctx context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
			table, err := s.take(ctx)
			if err == nil {
				err = insert(ctx, s.db, table, requests)
			}
			if err != nil {
				return nil, err
			}
			repo := s.store(table)
			s.mu.Lock()
			defer s.mu.Unlock()
			s.used[repo] = table
			return repo, nil
		},
		Insert: func(ctx context.Context, repo cancel.Repository, requests []lifecycle.Request) error {
			return insert(ctx, s.db, s.table(repo), requests)
		},
		Submit: func(ctx context.Context, repo cancel.Repository, r lifecycle.Request) error {
			_, err := repo.(interface {
				Submit(ctx context.Context, r lifecycle.Request) (lifecycle.ID, error)
			}).Submit(ctx, r)
			return err
		},
		Delete: func(ctx context.Context, repo cancel.Repository, ids []lifecycle.ID) error {
			for _, id := range ids {
				if _, err := s.db.ExecContext(ctx, "DELETE FROM "+s.table(repo)+" WHERE id = ? AND live = 0", id); err != nil {
					return err
				}
			}
			return nil
		},
		Spoil: func(ctx context.Context, repo cancel.Repository, id lifecycle.ID, column string) error {
			set := map[string]string{"kind": "type = 'worker'", "state": "status = 'throttled'", "outcome": "ends_as = 'partial'"}[column]
			_, err := s.db.ExecContext(ctx, "UPDATE "+s.table(repo)+" SET "+set+" WHERE id = ?", id)
			return err
		},
		Close: func(repo cancel.Repository) error {
			table := s.table(repo)
			if _, err := s.db.ExecContext(context.Background(), "DELETE FROM "+table); err != nil {
				return err
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.free = append(s.free, table)
			delete(s.used, repo)
			return nil
		},
		Timeout: 3 * time.Minute, // the race detector on a busy machine
	}
}

// newer makes of the schema that of a newer version of the scheduler, which has names that
// this one does not know.
var newer = strings.NewReplacer(
	"'dynamic_flow') NOT NULL", "'dynamic_flow', 'worker') NOT NULL",
	"'closed') NOT NULL", "'closed', 'throttled') NOT NULL",
	"'done'), --", "'done', 'partial'), --",
)

func (s *shelf) table(repo cancel.Repository) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used[repo]
}

func (s *shelf) take(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.free); n > 0 {
		table := s.free[n-1]
		s.free = s.free[:n-1]
		return table, nil
	}
	s.n++
	table := fmt.Sprintf("jobs%d", s.n)
	_, err := s.db.ExecContext(ctx, strings.Replace(newer.Replace(s.schema), "CREATE TABLE jobs", "CREATE TABLE "+table, 1))
	return table, err
}
