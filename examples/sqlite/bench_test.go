package sqlite_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/examples/sqlite"
	"example.com/ess/lifecycle"
)

// below are the live requests of a tree, the root first.
const below = `
WITH RECURSIVE below (id) AS (
  SELECT 1
  UNION ALL
  SELECT r.id FROM below CROSS JOIN requests AS r ON r.parent = below.id WHERE r.live
)`

const rawUpdate = below + `UPDATE requests SET state = 'CANCELLED', cause = 1 WHERE id IN below;`

const rawAudit = `
INSERT INTO causes VALUES (1, 1, 'ann', 'wrong ledger', 0);` + below + `
INSERT INTO changes (cause, request, trigger, old_state, state)
SELECT 1, id, 'cancel', state, 'CANCELLED' FROM requests WHERE id IN below;`

// BenchmarkCascade measures what it costs to cancel a tree, beside raw SQL that makes the
// same changes to requests without a look at the rules: one recursive statement, and that
// with the audit trail which the store always keeps. In each round all run in turn, each on
// a file of its own; the ratios are medians.
func BenchmarkCascade(b *testing.B) {
	const parents, children = 20, 1000
	requests := []lifecycle.Request{request(1, 0, lifecycle.KindParent, lifecycle.StateRunning)}
	for p := range lifecycle.ID(parents) {
		requests = append(requests, request(2+p, 1, lifecycle.KindParent, lifecycle.StateRunning))
	}
	for p := range lifecycle.ID(parents) {
		for range children {
			requests = append(requests, request(lifecycle.ID(len(requests)+1), 2+p, lifecycle.KindChild, lifecycle.StateWait))
		}
	}
	by := func(repository func(*sqlite.Store) cancel.Repository) func(context.Context, *sqlite.Store, *sql.DB) error {
		return func(ctx context.Context, s *sqlite.Store, _ *sql.DB) error {
			_, err := cancel.New(repository(s), nil).Cancel(ctx, cancel.Order{ID: 1, Actor: "ann", Reason: "wrong ledger"})
			return err
		}
	}
	raw := func(script string) func(context.Context, *sqlite.Store, *sql.DB) error {
		return func(ctx context.Context, _ *sqlite.Store, db *sql.DB) error {
			_, err := db.ExecContext(ctx, "BEGIN IMMEDIATE;"+script+"COMMIT")
			return err
		}
	}
	ways := []struct {
		name string
		do   func(ctx context.Context, s *sqlite.Store, db *sql.DB) error
		took []time.Duration
	}{
		{name: "raw", do: raw(rawUpdate)},
		{name: "audited", do: raw(rawAudit + rawUpdate)},
		{name: "cancel", do: by(func(s *sqlite.Store) cancel.Repository { return s })},
		{name: "plain", do: by(func(s *sqlite.Store) cancel.Repository { return canceltest.Plain(s) })},
	}
	for round := 0; b.Loop(); round++ {
		for i := range ways {
			way := &ways[(i+round)%len(ways)]
			path := filepath.Join(b.TempDir(), "requests.db")
			s := openFile(b, path, requests...)
			db := database(b, path+"?_pragma=synchronous(FULL)")
			db.SetMaxOpenConns(1)
			if _, err := db.ExecContext(b.Context(), "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
				b.Fatal(err)
			}
			begin := time.Now()
			err := way.do(b.Context(), s, db)
			way.took = append(way.took, time.Since(begin))
			if err != nil {
				b.Fatalf("%s: %v", way.name, err)
			}
			var left int
			if err := db.QueryRowContext(b.Context(), "SELECT count(*) FROM requests WHERE state <> 'CANCELLED'").Scan(&left); err != nil || left > 0 {
				b.Fatalf("%s: %d requests are not CANCELLED, %v", way.name, left, err)
			}
		}
	}
	ratio := func(a, b int) float64 {
		var ratios []float64
		for i := range ways[a].took {
			ratios = append(ratios, ways[a].took[i].Seconds()/ways[b].took[i].Seconds())
		}
		slices.Sort(ratios)
		return ratios[len(ratios)/2]
	}
	b.ReportMetric(0, "ns/op") // says nothing: most of it is preparation
	b.ReportMetric(ratio(2, 0), "cancel/raw")
	b.ReportMetric(ratio(2, 1), "cancel/audited")
	b.ReportMetric(ratio(3, 1), "plain/audited")
	for _, way := range ways {
		slices.Sort(way.took)
		b.ReportMetric(float64(way.took[len(way.took)/2].Nanoseconds())/float64(len(requests)), way.name+"-ns/request")
	}
}
