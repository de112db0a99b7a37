package mysql_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/examples/mysql"
	"example.com/ess/examples/mysql/mariadb"
	"example.com/ess/lifecycle"
)

// server is where the tests work, unless they need one of their own.
var server *mariadb.Server

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx := context.Background()
	var err error
	// Most tests are about what is done, not about whether it lasts.
	if server, err = mariadb.Start(ctx, mariadb.Options{Fast: true}); err != nil {
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

func open(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	db, err := mysql.Open(dsn)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxIdleConns(32)
	db.SetMaxOpenConns(64)
	t.Cleanup(func() { db.Close() })
	return db
}

func exec(t testing.TB, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(context.Background(), query, args...); err != nil {
		t.Fatal(err)
	}
}

var databases struct {
	sync.Mutex
	n int
}

func newDatabase(t testing.TB, s *mariadb.Server) string {
	t.Helper()
	databases.Lock()
	databases.n++
	name := fmt.Sprintf("test%d", databases.n)
	databases.Unlock()
	exec(t, open(t, s.DSN("")), "CREATE DATABASE "+name)
	return s.DSN(name)
}

// kitStore is a Store as package canceltest wants it.
type kitStore struct {
	*mysql.Store
	table string
}

func (s kitStore) Submit(ctx context.Context, r lifecycle.Request) error {
	_, err := s.Store.Submit(ctx, r)
	return err
}

// tables has tables for a harness.
type tables struct {
	db     *sql.DB
	schema string
	mu     sync.Mutex
	n      int
	free   []string
}

func harness(t testing.TB) canceltest.Harness {
	p := &tables{db: open(t, newDatabase(t, server)), schema: mysql.Schema}
	return p.harness()
}

func (p *tables) harness() canceltest.Harness {
	return canceltest.Harness{
		New: func(ctx context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
			table, err := p.take(ctx)
			if err != nil {
				return nil, err
			}
			return kitStore{mysql.New(p.db, table), table}, insert(ctx, p.db, table, requests)
		},
		Insert: func(ctx context.Context, repo cancel.Repository, requests []lifecycle.Request) error {
			return insert(ctx, p.db, repo.(kitStore).table, requests)
		},
		Close: func(repo cancel.Repository) error {
			table := repo.(kitStore).table
			if _, err := p.db.ExecContext(context.Background(), "DELETE FROM "+table); err != nil {
				return err
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			p.free = append(p.free, table)
			return nil
		},
	}
}

func (p *tables) take(ctx context.Context) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		table := p.free[n-1]
		p.free = p.free[:n-1]
		return table, nil
	}
	p.n++
	table := fmt.Sprintf("jobs%d", p.n)
	_, err := p.db.ExecContext(ctx, strings.ReplaceAll(p.schema, "TABLE jobs", "TABLE "+table))
	return table, err
}

// insert stores requests as they are.
func insert(ctx context.Context, db *sql.DB, table string, requests []lifecycle.Request) error {
	for len(requests) > 0 {
		n := min(len(requests), 1000)
		var args []any
		for _, r := range requests[:n] {
			status, typ, ends, at := mysql.Row(r)
			args = append(args, r.ID, r.Parent, typ, status, ends, at, r.Attempt)
		}
		if _, err := db.ExecContext(ctx, "INSERT INTO "+table+" (id, parent_id, type, status, ends_as, heard_at, attempt) VALUES "+
			strings.TrimSuffix(strings.Repeat("(?,?,?,?,?,?,?),", n), ","), args...); err != nil {
			return err
		}
		requests = requests[n:]
	}
	return nil
}

func TestContract(t *testing.T) { canceltest.Run(t, harness(t)) }
