package postgres_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/examples/postgres"
	"example.com/ess/examples/postgres/pgserver"
	"example.com/ess/lifecycle"
)

// serverURL is where the tests find a server, unless they need one of their own.
var serverURL string

func TestMain(m *testing.M) {
	if os.Getenv(helperEnv) != "" {
		help()
		return
	}
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctx := context.Background()
	if serverURL = os.Getenv("ESS_POSTGRES_URL"); serverURL != "" {
		code := m.Run()
		return or1(code, dropDatabases(ctx))
	}
	// Most tests are about what is done, not about whether it lasts.
	server, err := pgserver.Start(ctx, pgserver.Options{Fast: true, Settings: map[string]string{"max_connections": "200"}})
	if err != nil {
		// Tests that did not run must not look like tests that passed.
		fmt.Fprintln(os.Stderr, err)
		fmt.Fprintln(os.Stderr, "Or set ESS_POSTGRES_URL to a server in which the tests may create databases.")
		return 1
	}
	serverURL = server.URL()
	code := m.Run()
	return or1(code, server.Stop())
}

// or1 returns code, but 1 if the tests could not be cleared up after.
func or1(code int, err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// databases are those that the tests have made.
var databases struct {
	sync.Mutex
	names []string
}

// createDatabase makes an empty database and returns its name.
func createDatabase(ctx context.Context, server string) (string, error) {
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	databases.Lock()
	name := fmt.Sprintf("ess_test_%d_%d", os.Getpid(), len(databases.names))
	databases.names = append(databases.names, name)
	databases.Unlock()
	_, err = conn.Exec(ctx, `CREATE DATABASE `+name)
	return name, err
}

func dropDatabases(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, serverURL)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, name := range databases.names {
		if _, err := conn.Exec(ctx, `DROP DATABASE IF EXISTS `+name+` WITH (FORCE)`); err != nil {
			return err
		}
	}
	return nil
}

// newDatabase makes an empty database and returns its address.
func newDatabase(t testing.TB, server string) *pgxpool.Config {
	t.Helper()
	name, err := createDatabase(context.Background(), server)
	if err != nil {
		t.Fatal(err)
	}
	config, err := pgxpool.ParseConfig(server)
	if err != nil {
		t.Fatal(err)
	}
	config.ConnConfig.Database = name
	return config
}

func newPool(t testing.TB, config *pgxpool.Config) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// setup returns a pool of connections to a migrated database.
func setup(t testing.TB) *pgxpool.Pool {
	t.Helper()
	pool := newPool(t, newDatabase(t, serverURL))
	if err := postgres.Migrate(context.Background(), pool); err != nil {
		t.Fatal(err)
	}
	return pool
}

// columns returns the names of the columns of a table.
func columns(table postgres.Table) []string {
	or := func(name, standard string) string {
		if name == "" {
			return standard
		}
		return name
	}
	names := []string{
		or(table.ID, "id"), or(table.Parent, "parent"), or(table.Kind, "kind"),
		or(table.State, "state"), or(table.Outcome, "outcome"), or(table.CheckedIn, "checked_in"),
	}
	if table.Attempt != "" {
		names = append(names, table.Attempt)
	}
	return names
}

func tableName(table postgres.Table) pgx.Identifier {
	if table.Name == nil {
		return pgx.Identifier{"ess_requests"}
	}
	return table.Name
}

// insert stores requests as they are.
func insert(ctx context.Context, db interface {
	CopyFrom(context.Context, pgx.Identifier, []string, pgx.CopyFromSource) (int64, error)
}, table postgres.Table, requests []lifecycle.Request,
) error {
	_, err := db.CopyFrom(ctx, tableName(table), columns(table), pgx.CopyFromSlice(len(requests), func(i int) ([]any, error) {
		r := requests[i]
		row := []any{r.ID, nil, r.Kind.String(), r.State.String(), nil, nil, r.Attempt}[:len(columns(table))]
		if r.Parent != 0 {
			row[1] = r.Parent
		}
		if r.Outcome != 0 {
			row[4] = r.Outcome.String()
		}
		if !r.CheckedIn.IsZero() {
			row[5] = r.CheckedIn
		}
		return row, nil
	}))
	return err
}

// A shelf has tables for a harness. A check wants an empty one, and gives it back:
// to empty one is much faster than to create one.
type shelf struct {
	pool *pgxpool.Pool
	make func(ctx context.Context, n int) (postgres.Table, error)

	mu   sync.Mutex
	n    int
	uses int
	free []postgres.Table
	used map[cancel.Repository]postgres.Table
}

func (s *shelf) harness(plain bool) canceltest.Harness {
	return canceltest.Harness{
		New: func(ctx context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
			table, err := s.take(ctx)
			if err != nil {
				return nil, err
			}
			if err := s.fill(ctx, table, requests); err != nil {
				return nil, err
			}
			var repo cancel.Repository = postgres.New(s.pool, table)
			if plain {
				repo = &plainRepo{canceltest.Plain(repo)} // a pointer, so that each is one of its own
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.used[repo] = table
			return repo, nil
		},
		Insert: func(ctx context.Context, repo cancel.Repository, requests []lifecycle.Request) error {
			s.mu.Lock()
			table := s.used[repo]
			s.mu.Unlock()
			return insert(ctx, s.pool, table, requests)
		},
		Close: func(repo cancel.Repository) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.free = append(s.free, s.used[repo])
			delete(s.used, repo)
			return nil
		},
	}
}

type plainRepo struct{ cancel.Repository }

func (s *shelf) take(ctx context.Context) (postgres.Table, error) {
	s.mu.Lock()
	if n := len(s.free); n > 0 {
		table := s.free[n-1]
		s.free = s.free[:n-1]
		s.uses++
		vacuum := s.uses%20 == 0
		s.mu.Unlock()
		if vacuum {
			sql := `VACUUM ` + tableName(table).Sanitize()
			if table.Audit != nil {
				sql += `, ` + table.Audit.Sanitize()
			}
			_, err := s.pool.Exec(ctx, sql)
			return table, err
		}
		return table, nil
	}
	s.n++
	n := s.n
	s.mu.Unlock()
	return s.make(ctx, n)
}

// fill makes table hold exactly the requests, in one round trip: the proofs want many
// thousands of tables.
func (s *shelf) fill(ctx context.Context, table postgres.Table, requests []lifecycle.Request) error {
	var batch pgx.Batch
	if table.Audit != nil {
		batch.Queue(`DELETE FROM ` + table.Audit.Sanitize())
	}
	batch.Queue(`DELETE FROM ` + tableName(table).Sanitize())
	var names []string
	for _, name := range columns(table) {
		names = append(names, pgx.Identifier{name}.Sanitize())
	}
	var ids, parents, attempts []int64
	var kinds, states, outcomes []string
	var times []*time.Time
	for _, r := range requests {
		ids, parents, attempts = append(ids, int64(r.ID)), append(parents, int64(r.Parent)), append(attempts, int64(r.Attempt))
		kinds, states = append(kinds, r.Kind.String()), append(states, r.State.String())
		outcome := ""
		if r.Outcome != 0 {
			outcome = r.Outcome.String()
		}
		outcomes = append(outcomes, outcome)
		var at *time.Time
		if !r.CheckedIn.IsZero() {
			at = &r.CheckedIn
		}
		times = append(times, at)
	}
	batch.Queue(fmt.Sprintf(`INSERT INTO %s (%s)
SELECT id, nullif(parent, 0), kind, state, nullif(outcome, ''), at%s
FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::bigint[]) AS r (id, parent, kind, state, outcome, at, attempt)`,
		tableName(table).Sanitize(), strings.Join(names, ", "), map[bool]string{true: ", attempt"}[table.Attempt != ""]), ids, parents, kinds, states, outcomes, times, attempts)
	return s.pool.SendBatch(ctx, &batch).Close()
}

func newShelf(t testing.TB, make func(ctx context.Context, pool *pgxpool.Pool, n int) (postgres.Table, error)) *shelf {
	pool := newPool(t, newDatabase(t, serverURL))
	s := &shelf{pool: pool, used: map[cancel.Repository]postgres.Table{}}
	s.make = func(ctx context.Context, n int) (postgres.Table, error) { return make(ctx, pool, n) }
	return s
}

// standardTables returns tables as Migrate creates them, each in a schema of its own.
func standardTables(ctx context.Context, pool *pgxpool.Pool, n int) (postgres.Table, error) {
	schema := fmt.Sprintf("s%d", n)
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `CREATE SCHEMA `+schema+`; SET LOCAL search_path = `+schema); err != nil {
			return err
		}
		return postgres.Migrate(ctx, tx)
	})
	return postgres.Table{Name: pgx.Identifier{schema, "ess_requests"}, Attempt: "attempt", Audit: pgx.Identifier{schema, "ess_audit"}}, err
}

func mustExec(t testing.TB, db postgres.DB, sql string) {
	t.Helper()
	if _, err := db.Exec(context.Background(), sql); err != nil {
		t.Fatal(err)
	}
}

func queryOne[T any](t testing.TB, db postgres.DB, sql string, args ...any) (v T) {
	t.Helper()
	if err := db.QueryRow(context.Background(), sql, args...).Scan(&v); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		t.Fatal(err)
	}
	return v
}

var moment = time.Date(2026, 2, 3, 4, 5, 6, 789000, time.UTC)
