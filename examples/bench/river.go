package main

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// job is work of a river.
type job struct {
	N int `json:"n"`
}

func (job) Kind() string { return "bench" }

// river cancels jobs of River one by one, which is how River cancels many. It has no
// trees, so that this is as though the tree were flat.
func (db pgDatabase) river(jobs int) func(context.Context, *meter) error {
	template := db.name + "_river"
	filled := false
	return func(ctx context.Context, m *meter) error {
		if !filled {
			if err := db.template(ctx, template, fillRiver(jobs)); err != nil {
				return err
			}
			filled = true
		}
		return db.onCopy(ctx, template, 1, m, func(pool *pgxpool.Pool) error {
			ids, err := queryInts(ctx, pool, "SELECT id FROM river_job WHERE state = 'available' ORDER BY id")
			if err != nil {
				return err
			}
			client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				return err
			}
			err = m.measure(func() (n int, err error) {
				deadline := m.deadline()
				for n < len(ids) && time.Now().Before(deadline) {
					if _, err := client.JobCancel(ctx, ids[n]); err != nil {
						return n, err
					}
					n++
				}
				return n, nil
			})
			if err != nil {
				return err
			}
			cancelled, err := queryInts(ctx, pool, "SELECT count(*) FROM river_job WHERE state = 'cancelled'")
			if err == nil && cancelled[0] != int64(m.work) {
				err = fmt.Errorf("%d jobs are cancelled, want %d", cancelled[0], m.work)
			}
			m.seen.locked = 1
			return err
		})
	}
}

func queryInts(ctx context.Context, pool *pgxpool.Pool, sql string) ([]int64, error) {
	rows, err := pool.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}

// fillRiver returns a function that makes River's tables, by its own migrations, and
// inserts jobs.
func fillRiver(jobs int) func(context.Context, *pgxpool.Pool) error {
	return func(ctx context.Context, pool *pgxpool.Pool) error {
		migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			return err
		}
		if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
			return err
		}
		client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			return err
		}
		params := make([]river.InsertManyParams, jobs)
		for i := range params {
			params[i].Args = job{i}
		}
		_, err = client.InsertManyFast(ctx, params)
		return err
	}
}

// versionOf returns the version of a module that this program is built with.
func versionOf(module string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == module {
				return m.Version
			}
		}
	}
	return "of unknown version"
}
