package mysql_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/examples/mysql"
	"example.com/ess/lifecycle"
)

// rawCancel makes the changes of a cancel in one statement, for a tree of flows and steps, and
// without the rules.
const rawCancel = `
UPDATE jobs SET
	ends_as = IF(type = 'flow', 'stopped', NULL),
	heard_at = IF(type = 'flow' OR status = 'running', UTC_TIMESTAMP(6), heard_at),
	stop_root = 1, stop_actor = 'ann', stop_reason = 'wrong ledger', stop_at = UTC_TIMESTAMP(6),
	status = IF(type = 'flow' OR status = 'running', 'stopping', 'stopped')
WHERE id IN (
	WITH RECURSIVE below (id) AS (
		SELECT 1 UNION ALL SELECT jobs.id FROM below JOIN jobs ON jobs.parent_id = below.id AND jobs.live = 1
	) SELECT id FROM below)`

// BenchmarkCascade measures what it costs to cancel a tree beside one recursive statement
// that makes the same changes. In each round all ways run in turn; the ratios are medians.
func BenchmarkCascade(b *testing.B) {
	const parents, children = 20, 1000
	requests := []lifecycle.Request{{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateRunning}}
	for p := range lifecycle.ID(parents) {
		requests = append(requests, lifecycle.Request{ID: 2 + p, Parent: 1, Kind: lifecycle.KindParent, State: lifecycle.StateRunning})
	}
	for i := range lifecycle.ID(parents * children) {
		r := lifecycle.Request{ID: 1000 + i, Parent: 2 + i/children, Kind: lifecycle.KindChild, State: lifecycle.StateReady}
		if i%100 == 0 {
			r.State = lifecycle.StateRunning
		}
		requests = append(requests, r)
	}
	db := setup(b, server, requests...)
	mustExec(b, db, "RENAME TABLE jobs TO trees")
	store := mysql.New(db, "jobs")
	by := func(repo cancel.Repository) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := cancel.New(repo, nil).Cancel(ctx, cancel.Order{ID: 1, Actor: "ann", Reason: "wrong ledger"})
			return err
		}
	}
	ways := []struct {
		name string
		do   func(context.Context) error
		took []time.Duration
	}{
		{name: "raw", do: func(ctx context.Context) error {
			_, err := db.ExecContext(ctx, rawCancel)
			return err
		}},
		{name: "cancel", do: by(store)},
		{name: "plain", do: by(canceltest.Plain(store))},
	}
	for round := 0; b.Loop(); round++ {
		for i := range ways {
			way := &ways[(i+round)%len(ways)]
			mustExec(b, db, "DROP TABLE IF EXISTS jobs")
			mustExec(b, db, mysql.Schema)
			mustExec(b, db, "INSERT INTO jobs (id, parent_id, type, status) SELECT id, parent_id, type, status FROM trees ORDER BY id")
			begin := time.Now()
			err := way.do(b.Context())
			way.took = append(way.took, time.Since(begin))
			if err != nil {
				b.Fatalf("%s: %v", way.name, err)
			}
			stopping := queryOne[int](b, db, "SELECT COUNT(*) FROM jobs WHERE status = 'stopping'")
			if left := queryOne[int](b, db, "SELECT COUNT(*) FROM jobs WHERE status NOT IN ('stopping', 'stopped')"); left > 0 || stopping != 1+parents+parents*children/100 {
				b.Fatalf("%s: %d jobs stop, and %d do not", way.name, stopping, left)
			}
		}
	}
	ratio := func(way int) float64 {
		var ratios []float64
		for i, took := range ways[way].took {
			ratios = append(ratios, took.Seconds()/ways[0].took[i].Seconds())
		}
		slices.Sort(ratios)
		return ratios[len(ratios)/2]
	}
	b.ReportMetric(0, "ns/op") // says nothing: most of it is preparation
	b.ReportMetric(ratio(1), "cancel/raw")
	b.ReportMetric(ratio(2), "plain/raw")
	for _, way := range ways {
		slices.Sort(way.took)
		b.ReportMetric(float64(way.took[len(way.took)/2].Nanoseconds())/float64(len(requests)), way.name+"-ns/request")
	}
}
