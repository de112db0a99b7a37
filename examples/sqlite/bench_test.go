package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/examples/sqlite"
	"example.com/ess/lifecycle"
)

// BenchmarkCascade cancels trees of 100 containers with 100 children each, and beside it has SQLite
// make the same changes by one recursive statement.
func BenchmarkCascade(b *testing.B) {
	const parents, children = 100, 1000
	for _, way := range []struct {
		name string
		do   func(ctx context.Context, s *sqlite.Store, db *sql.DB) error
	}{
		{"cancel", func(ctx context.Context, s *sqlite.Store, _ *sql.DB) error {
			_, err := cancel.New(s, nil).Cancel(ctx, cancel.Order{ID: 1})
			return err
		}},
		{"plain", func(ctx context.Context, s *sqlite.Store, _ *sql.DB) error {
			_, err := cancel.New(canceltest.Plain(s), nil).Cancel(ctx, cancel.Order{ID: 1})
			return err
		}},
		{"raw", func(ctx context.Context, _ *sqlite.Store, db *sql.DB) error {
			_, err := db.ExecContext(ctx, below+`UPDATE requests SET state='CANCELLED', cause=0 WHERE id IN below`)
			return err
		}},
		{"rawaudit", func(ctx context.Context, _ *sqlite.Store, db *sql.DB) error {
			_, err := db.ExecContext(ctx, `BEGIN IMMEDIATE; INSERT INTO causes VALUES(1,1,'','',0);`+below+`
			INSERT INTO changes (cause, request, trigger, old_state, state)
			SELECT 1, id, 'cancel', state, 'CANCELLED' FROM requests WHERE id IN below;`+
				below+` UPDATE requests SET state='CANCELLED', cause=1 WHERE id IN below; COMMIT`)
			return err
		}},
	} {
		b.Run("way="+way.name, func(b *testing.B) {
			var took time.Duration
			for b.Loop() {
				b.StopTimer()
				path := filepath.Join(b.TempDir(), "x.db")
				s, err := sqlite.Open(b.Context(), path)
				if err != nil {
					b.Fatal(err)
				}
				all := []lifecycle.Request{request(1, 0, lifecycle.KindParent, lifecycle.StateRunning)}
				for p := range parents {
					all = append(all, request(lifecycle.ID(2+p), 1, lifecycle.KindParent, lifecycle.StateRunning))
				}
				for p := range parents {
					for range children {
						all = append(all, request(lifecycle.ID(len(all)+1), lifecycle.ID(2+p), lifecycle.KindChild, lifecycle.StateWait))
					}
				}
				if err := s.Insert(b.Context(), all...); err != nil {
					b.Fatal(err)
				}
				db := database(b, path+"?_pragma=synchronous(FULL)")
				db.Exec("PRAGMA wal_checkpoint(TRUNCATE)")
				b.StartTimer()
				begin := time.Now()
				if err := way.do(b.Context(), s, db); err != nil {
					b.Fatal(err)
				}
				took += time.Since(begin)
				b.StopTimer()
				var n int
				db.QueryRow("SELECT count(*) FROM requests WHERE state='CANCELLED'").Scan(&n)
				if n != len(all) {
					b.Fatal(n)
				}
				s.Close()
				db.Close()
				b.StartTimer()
			}
			b.ReportMetric(float64(took.Nanoseconds())/float64(b.N)/float64(parents*children), "ns/request")
		})
	}
	_ = fmt.Sprint
}

const below = `WITH RECURSIVE below(id) AS (SELECT 1 UNION ALL SELECT r.id FROM below CROSS JOIN requests AS r ON r.parent = below.id WHERE r.live)
`
