package mysql_test

import (
	"database/sql"
	"testing"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/examples/mysql"
	"example.com/ess/lifecycle"
)

const rawCancel = `
UPDATE jobs SET
	ends_as = IF(type = 'flow' OR type = 'dynamic_flow' AND status NOT IN ('running', 'finishing'), 'stopped', NULL),
	heard_at = IF(status IN ('running', 'finishing') OR type IN ('flow', 'dynamic_flow'), UTC_TIMESTAMP(6), heard_at),
	stop_root = 1, stop_actor = 'ann', stop_reason = 'wrong ledger', stop_at = UTC_TIMESTAMP(6),
	status = IF(status IN ('running', 'finishing') OR type IN ('flow', 'dynamic_flow'), 'stopping', 'stopped')
WHERE live = 1 AND id IN (
	WITH RECURSIVE tree (id) AS (
		SELECT 1 UNION ALL SELECT jobs.id FROM tree JOIN jobs ON jobs.parent_id = tree.id AND jobs.live = 1
	) SELECT id FROM tree)`

func BenchmarkCascade(b *testing.B) {
	db := open(b, newDatabase(b, server))
	exec(b, db, mysql.Schema)
	exec(b, db, "CREATE TABLE template LIKE jobs")
	tree := []lifecycle.Request{{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateRunning}}
	for p := lifecycle.ID(2); p <= 21; p++ {
		tree = append(tree, lifecycle.Request{ID: p, Parent: 1, Kind: lifecycle.KindParent, State: lifecycle.StateRunning})
	}
	for i := range lifecycle.ID(20_000) {
		state := lifecycle.StateReady
		if i%100 == 0 {
			state = lifecycle.StateRunning
		}
		tree = append(tree, lifecycle.Request{ID: 100 + i, Parent: 2 + i%20, Kind: lifecycle.KindChild, State: state})
	}
	if err := insert(b.Context(), db, "template", tree); err != nil {
		b.Fatal(err)
	}
	store := mysql.New(db, "jobs")
	for _, way := range []struct {
		name string
		run  func() error
	}{
		{"raw", func() error { _, err := db.Exec(rawCancel); return err }},
		{"capabilities", func() error { _, err := cancel.New(store, nil).Cancel(b.Context(), cancel.Order{ID: 1}); return err }},
		{"methods", func() error {
			_, err := cancel.New(canceltest.Plain(store), nil).Cancel(b.Context(), cancel.Order{ID: 1})
			return err
		}},
	} {
		b.Run(way.name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				restore(b, db)
				b.StartTimer()
				if err := way.run(); err != nil {
					b.Fatal(err)
				}
			}
			b.Logf("%v", counts(b, db))
		})
	}
}

func restore(b *testing.B, db *sql.DB) {
	exec(b, db, "TRUNCATE jobs")
	exec(b, db, "INSERT INTO jobs (id, parent_id, type, status) SELECT id, parent_id, type, status FROM template")
}

func counts(b *testing.B, db *sql.DB) map[string]int {
	rows, err := db.Query("SELECT status, count(*) FROM jobs GROUP BY status")
	if err != nil {
		b.Fatal(err)
	}
	defer rows.Close()
	m := map[string]int{}
	for rows.Next() {
		var s string
		var n int
		if err := rows.Scan(&s, &n); err != nil {
			b.Fatal(err)
		}
		m[s] = n
	}
	return m
}
