package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/ess/examples/postgres"
	"example.com/ess/examples/postgres/pgserver"
	"example.com/ess/lifecycle"
)

// A pgServer is a private server, on which every run works in a database of its own:
// a copy of one that has been filled, vacuumed and analysed once.
type pgServer struct {
	server  *pgserver.Server
	admin   *pgx.Conn
	durable bool // wait for the disk, while the clock runs
}

// memoryDir is in memory, where there is such a folder.
const memoryDir = "/dev/shm"

// startPostgres starts a server whose commits wait for the disk, or one that has its
// data in memory.
func startPostgres(ctx context.Context, durable bool) (_ *pgServer, err error) {
	if info, err := os.Stat(memoryDir); err == nil && info.IsDir() && !durable {
		was, had := os.LookupEnv("TMPDIR")
		os.Setenv("TMPDIR", memoryDir)
		defer func() {
			if os.Unsetenv("TMPDIR"); had {
				os.Setenv("TMPDIR", was)
			}
		}()
	}
	server, err := pgserver.Start(ctx, pgserver.Options{Fast: !durable, Settings: map[string]string{
		// The data fits into memory, and nothing else happens while the clock runs.
		"shared_buffers":     "1GB",
		"max_wal_size":       "4GB",
		"checkpoint_timeout": "1h",
		"autovacuum":         "off",
		// The recursive statement keeps all ids of the tree, and is not to do that on the disk.
		"work_mem":        "256MB",
		"max_connections": "200",
	}})
	if err != nil {
		return nil, err
	}
	s := &pgServer{server: server, durable: durable}
	if s.admin, err = pgx.Connect(ctx, server.URL()); err != nil {
		return nil, errors.Join(err, server.Stop())
	}
	if err := s.sync(ctx, false); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

func (s *pgServer) stop() error {
	return errors.Join(s.admin.Close(context.Background()), s.server.Stop())
}

// sync has a durable server wait for the disk, or not while data is copied.
func (s *pgServer) sync(ctx context.Context, on bool) error {
	if !s.durable {
		return nil
	}
	if on {
		syscall.Sync() // what was copied is not to be written while the clock runs
	}
	for _, sql := range []string{fmt.Sprintf("ALTER SYSTEM SET fsync = %t", on), "SELECT pg_reload_conf()"} {
		if err := s.exec(ctx, sql); err != nil {
			return err
		}
	}
	for {
		var is bool
		if err := s.admin.QueryRow(ctx, "SELECT current_setting('fsync')::boolean").Scan(&is); err != nil || is == on {
			return err
		}
	}
}

func (s *pgServer) exec(ctx context.Context, sql string) error {
	_, err := s.admin.Exec(ctx, sql)
	return err
}

// connect returns connections to a database, and counts their round trips.
func (s *pgServer) connect(ctx context.Context, database string, conns int, trips *atomic.Int64) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(s.server.URL())
	if err != nil {
		return nil, err
	}
	config.ConnConfig.Database = database
	config.MaxConns, config.MinConns = int32(conns), int32(conns)
	if trips != nil {
		dial := config.ConnConfig.DialFunc
		config.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			return &countedConn{Conn: conn, trips: trips}, err
		}
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	// Connect now, and not when the clock runs.
	all := make([]*pgxpool.Conn, 0, conns)
	defer func() {
		for _, conn := range all {
			conn.Release()
		}
	}()
	for range conns {
		conn, err := pool.Acquire(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, conn)
	}
	return pool, nil
}

// A countedConn counts a round trip for whatever is sent after something was received:
// also for what pgx sends of its own accord, to prepare a statement.
type countedConn struct {
	net.Conn
	trips *atomic.Int64
	sent  atomic.Bool
}

func (c *countedConn) Write(b []byte) (int, error) {
	if !c.sent.Swap(true) {
		c.trips.Add(1)
	}
	return c.Conn.Write(b)
}

func (c *countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.sent.Store(false)
	}
	return n, err
}

// template makes the database that is copied for each run, and fills it.
func (s *pgServer) template(ctx context.Context, name string, fill func(context.Context, *pgxpool.Pool) error) error {
	if err := s.exec(ctx, "CREATE DATABASE "+name); err != nil {
		return err
	}
	pool, err := s.connect(ctx, name, 1, nil)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := fill(ctx, pool); err != nil {
		return err
	}
	_, err = pool.Exec(ctx, "VACUUM (FREEZE, ANALYZE)")
	return err
}

// onCopy runs do on a fresh copy of a template.
func (s *pgServer) onCopy(ctx context.Context, template string, conns int, m *meter, do func(*pgxpool.Pool) error) error {
	if err := s.exec(ctx, "CREATE DATABASE run TEMPLATE "+template); err != nil {
		return err
	}
	pool, err := s.connect(ctx, "run", conns, &m.trips)
	if err != nil {
		return err
	}
	if err = errors.Join(s.exec(ctx, "CHECKPOINT"), s.sync(ctx, true)); err == nil {
		err = errors.Join(do(pool), s.sync(ctx, false))
	}
	pool.Close()
	return errors.Join(err, s.exec(ctx, "DROP DATABASE run"))
}

// A pgSchema makes the table of requests, and says where it is.
type pgSchema struct {
	table  postgres.Table
	before func(context.Context, *pgxpool.Pool) error
	after  string // what is left to do when the table has been filled
}

// plainSchema is what examples/postgres is fastest with: one plain index for the pages, and
// room in the table beside each request.
var plainSchema = pgSchema{
	before: func(ctx context.Context, pool *pgxpool.Pool) error {
		_, err := pool.Exec(ctx, `
CREATE TABLE ess_requests (
    id         bigint NOT NULL,
    parent     bigint,
    kind       text NOT NULL,
    state      text NOT NULL,
    outcome    text,
    checked_in timestamptz
) WITH (fillfactor = 50)`)
		return err
	},
	after: `
ALTER TABLE ess_requests ADD PRIMARY KEY (id);
CREATE INDEX ess_requests_parent ON ess_requests (parent, id)`,
}

// migratedSchema is what postgres.Migrate makes, with or without the audit trail: its
// partial indexes find live children among many that have ended.
func migratedSchema(table postgres.Table) pgSchema {
	return pgSchema{table: table, before: func(ctx context.Context, pool *pgxpool.Pool) error { return postgres.Migrate(ctx, pool) }}
}

// fill returns a function that fills a database with the requests of t.
func (s pgSchema) fill(t tree) func(context.Context, *pgxpool.Pool) error {
	return func(ctx context.Context, pool *pgxpool.Pool) error {
		if err := s.before(ctx, pool); err != nil {
			return err
		}
		_, err := pool.CopyFrom(ctx, pgx.Identifier{"ess_requests"}, []string{"id", "parent", "kind", "state"},
			pgx.CopyFromSlice(t.n, func(i int) ([]any, error) {
				r := t.at(i + 1)
				row := []any{int64(r.ID), nil, r.Kind.String(), r.State.String()}
				if r.Parent != 0 {
					row[1] = int64(r.Parent)
				}
				return row, nil
			}))
		if err == nil && s.after != "" {
			_, err = pool.Exec(ctx, s.after)
		}
		return err
	}
}

// checkTable returns an error unless all requests of t have ended as they should, and
// how many rows the transaction wrote last that wrote most: each row says, in xmin,
// which it was.
func checkTable(ctx context.Context, pool *pgxpool.Pool, t tree) (locked int, err error) {
	var n, cancelled int
	err = pool.QueryRow(ctx, `
SELECT sum(n), sum(n) FILTER (WHERE state = $1), max(n) FILTER (WHERE state = $1)
FROM (SELECT state, count(*) AS n FROM ess_requests GROUP BY state, xmin::text) AS x`, lifecycle.StateCancelled.String()).Scan(&n, &cancelled, &locked)
	if err == nil && (n != t.n || cancelled != t.n) {
		err = fmt.Errorf("%d of %d requests are CANCELLED, want all of %d", cancelled, n, t.n)
	}
	return locked, err
}
