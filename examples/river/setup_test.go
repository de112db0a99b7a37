package essriver_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/examples/postgres/pgserver"
	essriver "example.com/ess/examples/river"
	"example.com/ess/lifecycle"
)

// serverURL is where the tests find a server.
var serverURL string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	server, err := pgserver.Start(context.Background(), pgserver.Options{Fast: true, Settings: map[string]string{"max_connections": "200"}})
	if err != nil {
		// Tests that did not run must not look like tests that passed.
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer server.Stop()
	serverURL = server.URL()
	return m.Run()
}

// newDatabase makes a database with River's tables and our indexes in it.
func newDatabase(ctx context.Context) (*pgxpool.Pool, error) {
	conn, err := pgx.Connect(ctx, serverURL)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	databases.Lock()
	databases.n++
	name := fmt.Sprintf("river_%d", databases.n)
	databases.Unlock()
	if _, err := conn.Exec(ctx, `CREATE DATABASE `+name); err != nil {
		return nil, err
	}
	config, err := pgxpool.ParseConfig(serverURL)
	if err != nil {
		return nil, err
	}
	config.ConnConfig.Database = name
	config.MaxConns = 20
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	return pool, migrate(ctx, pool, "")
}

var databases struct {
	sync.Mutex
	n int
}

var quiet = slog.New(slog.DiscardHandler)

func migrate(ctx context.Context, pool *pgxpool.Pool, schema string) error {
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Schema: schema, Logger: quiet})
	if err != nil {
		return err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	return essriver.Migrate(ctx, pool, schema)
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

func setup(t testing.TB) *pgxpool.Pool {
	t.Helper()
	pool, err := newDatabase(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// A shelf has stores for a harness, each in a schema of its own. A check wants an empty one,
// and gives it back: to empty one is much faster than to create one.
type shelf struct {
	pool *pgxpool.Pool

	mu   sync.Mutex
	n    int
	uses int
	free []*essriver.Store
	used map[cancel.Repository]*essriver.Store
}

func newShelf(t testing.TB) *shelf {
	return &shelf{pool: setup(t), used: map[cancel.Repository]*essriver.Store{}}
}

type plainRepo struct{ cancel.Repository }

func (s *shelf) harness(plain bool) canceltest.Harness {
	return canceltest.Harness{
		New: func(ctx context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
			store, err := s.take(ctx)
			if err != nil {
				return nil, err
			}
			var repo cancel.Repository = store
			if plain {
				repo = &plainRepo{canceltest.Plain(repo)} // a pointer, so that each is one of its own
			}
			s.mu.Lock()
			s.used[repo] = store
			s.mu.Unlock()
			return repo, store.Fill(ctx, requests)
		},
		Insert: func(ctx context.Context, repo cancel.Repository, requests []lifecycle.Request) error {
			s.mu.Lock()
			store := s.used[repo]
			s.mu.Unlock()
			return store.Insert(ctx, requests)
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

func (s *shelf) take(ctx context.Context) (*essriver.Store, error) {
	s.mu.Lock()
	if n := len(s.free); n > 0 {
		store := s.free[n-1]
		s.free = s.free[:n-1]
		s.uses++
		vacuum := s.uses%20 == 0
		s.mu.Unlock()
		if vacuum {
			_, err := s.pool.Exec(ctx, `VACUUM `+store.Table())
			return store, err
		}
		return store, nil
	}
	s.n++
	schema := fmt.Sprintf("s%d", s.n)
	s.mu.Unlock()
	if _, err := s.pool.Exec(ctx, `CREATE SCHEMA `+schema); err != nil {
		return nil, err
	}
	return essriver.NewStore(s.pool, schema), migrate(ctx, s.pool, schema)
}

// until waits for f to hold.
func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func stateOf(t testing.TB, repo cancel.Repository, id lifecycle.ID) lifecycle.State {
	t.Helper()
	r, err := repo.Get(context.Background(), id)
	if err != nil && !errors.Is(err, cancel.ErrNotFound) {
		t.Fatal(err)
	}
	return r.State
}
