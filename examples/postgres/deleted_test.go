package postgres_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"example.com/ess/cancel"
	"example.com/ess/examples/postgres"
	"example.com/ess/lifecycle"
)

// What has ended may be deleted at once, also in the middle of a cancel: two cancel a tree at the
// same time while a retention job deletes whatever has ended, and both succeed, or find that it
// has ended.
func TestRetentionBesideCancel(t *testing.T) {
	t.Parallel()
	const parents, children, rounds = 12, 5, 30
	for name, repoOf := range map[string]func(*postgres.Store) cancel.Repository{
		"capabilities": func(s *postgres.Store) cancel.Repository { return s },
		"plain":        func(s *postgres.Store) cancel.Repository { return struct{ cancel.Repository }{s} },
	} {
		for _, table := range tables() {
			t.Run(fmt.Sprint(name, ", audit trail ", table.Audit != nil), func(t *testing.T) {
				t.Parallel()
				pool := setup(t)
				ctx, stop := context.WithCancel(t.Context())
				var deleted atomic.Int64
				var retention sync.WaitGroup
				defer retention.Wait()
				defer stop()
				retention.Go(func() {
					for ctx.Err() == nil {
						// The foreign key keeps a parent as long as a child of it is there.
						tag, err := pool.Exec(ctx, `
DELETE FROM ess_requests r WHERE state IN ('CANCELLED', 'SUCCEEDED') AND NOT EXISTS (SELECT FROM ess_requests c WHERE c.parent = r.id)`)
						if err == nil {
							deleted.Add(tag.RowsAffected())
						}
					}
				})
				canceller := cancel.New(repoOf(postgres.New(pool, table)), &cancel.Options{PageSize: 10})
				for round := range rounds {
					root := lifecycle.ID(1 + 1000*round)
					requests := []lifecycle.Request{{ID: root, Kind: lifecycle.KindParent, State: lifecycle.StateRunning}}
					for i := range lifecycle.ID(parents) {
						parent := root + 1 + i*(children+1)
						requests = append(requests, lifecycle.Request{ID: parent, Parent: root, Kind: lifecycle.KindParent, State: lifecycle.StateRunning})
						for j := range lifecycle.ID(children) {
							requests = append(requests, lifecycle.Request{ID: parent + 1 + j, Parent: parent, Kind: lifecycle.KindChild, State: lifecycle.StateWait})
						}
					}
					if err := insert(ctx, pool, table, requests); err != nil {
						t.Fatal(err)
					}
					var two sync.WaitGroup
					results := make([]string, 2)
					for i := range results {
						two.Go(func() {
							_, err := canceller.Cancel(ctx, cancel.Order{ID: root})
							results[i] = answerTo(err)
						})
					}
					two.Wait()
					if results[0] != "" && results[1] != "" {
						t.Errorf("the cancels were told %q", results)
					}
					for _, text := range results {
						if text != "" && text != "ended" && text != "gone" {
							t.Errorf("a cancel was told %q", text)
						}
					}
				}
				if left := queryOne[int](t, pool, `SELECT count(*) FROM ess_requests WHERE state NOT IN ('CANCELLED')`); left != 0 {
					t.Errorf("%d requests are live", left)
				}
				if t.Logf("%d requests were deleted in %d cancels", deleted.Load(), 2*rounds); deleted.Load() == 0 {
					t.Error("nothing was deleted")
				}
			})
		}
	}
}
