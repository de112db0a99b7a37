package postgres_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/ess/cancel"
	"example.com/ess/examples/postgres"
	"example.com/ess/lifecycle"
)

// A recorder keeps the statements that are sent.
type recorder struct {
	statements []statement
}

func (r *recorder) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	r.statements = append(r.statements, statement{data.SQL, data.Args})
	return ctx
}

func (r *recorder) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (r *recorder) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

func (r *recorder) TraceBatchQuery(_ context.Context, _ *pgx.Conn, data pgx.TraceBatchQueryData) {
	r.statements = append(r.statements, statement{data.SQL, data.Args})
}

func (r *recorder) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

type statement struct {
	sql  string
	args []any
}

// The statements go through the indexes that the migrations create, whatever the
// planner believes of the table: nothing reads all of it, and pages are not sorted.
func TestPlans(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	config := newDatabase(t, serverURL)
	rec := &recorder{}
	config.ConnConfig.Tracer = rec
	config.MaxConns = 1
	pool := newPool(t, config)
	if err := postgres.Migrate(ctx, pool); err != nil {
		t.Fatal(err)
	}
	for _, known := range []bool{false, true} {
		t.Run(map[bool]string{false: "before ANALYZE", true: "after ANALYZE"}[known], func(t *testing.T) {
			mustExec(t, pool, `TRUNCATE ess_requests, ess_audit`)
			mustExec(t, pool, `INSERT INTO ess_requests (id, parent, kind, state)
SELECT 1, NULL, 'PARENT', 'CANCELLING' UNION ALL
SELECT i, 1, 'PARENT', 'CANCELLING' FROM generate_series(2, 301) i UNION ALL
SELECT 1000 + i, 2 + i % 300, 'CHILD', CASE i % 10 WHEN 0 THEN 'RUNNING' WHEN 1 THEN 'SUCCEEDED' ELSE 'READY' END FROM generate_series(0, 59999) i`)
			if known {
				mustExec(t, pool, `ANALYZE ess_requests`)
			}
			checkPlans(t, pool, rec)
		})
	}
}

func checkPlans(t *testing.T, pool *pgxpool.Pool, rec *recorder) {
	ctx := t.Context()
	var parents, ids []lifecycle.ID
	for id := lifecycle.ID(2); id <= 301; id++ {
		parents = append(parents, id)
		ids = append(ids, 1002+10*id) // in READY
	}
	q := cancel.ChildQuery{Parents: parents, States: lifecycle.Live, After: cancel.Cursor{Parent: 10, ID: 5000}, Limit: 1000}
	cause := cancel.Cause{Root: 1, Time: moment}
	plain, audited := postgres.New(pool, postgres.Table{}), postgres.New(pool, postgres.DefaultTable())
	for _, step := range []struct {
		name  string
		call  func() error
		sorts bool // sorting some of what was found is all right
		index string
	}{
		{"Get", func() error { _, err := plain.Get(ctx, 5); return err }, false, "ess_requests_pkey"},
		{"Children", func() error { _, err := plain.Children(ctx, q); return err }, false, "ess_requests_live"},
		{"Children/CANCELLING", func() error {
			q := q
			q.States = lifecycle.SetOf(lifecycle.StateCancelling)
			_, err := plain.Children(ctx, q)
			return err
		}, true, ""},
		{"CancelChildren", func() error {
			c := cancel.ChildCancel{Query: q, Cause: cause}
			c.Query.Parents = parents[:100]
			c.Query.Limit = 50
			_, err := plain.CancelChildren(ctx, c)
			return err
		}, true, "ess_requests_live"},
		{"CancelChildren/audited", func() error {
			_, err := audited.CancelChildren(ctx, cancel.ChildCancel{Query: q, Cause: cause})
			return err
		}, true, "ess_requests_live"},
		{"Apply", func() error {
			var changes []cancel.Change
			for _, id := range ids {
				changes = append(changes, cancel.Change{
					Old:     lifecycle.Request{ID: id, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateReady},
					Trigger: lifecycle.TriggerCancel, State: lifecycle.StateCancelled, Cause: cause,
				})
			}
			_, err := plain.Apply(ctx, changes)
			return err
		}, false, "ess_requests_pkey"},
		{"ListCancelling", func() error { _, err := audited.ListCancelling(ctx, 0, 100); return err }, true, "ess_requests_cancelling"},
	} {
		rec.statements = nil
		if err := step.call(); err != nil {
			t.Errorf("%s: %v", step.name, err)
			continue
		}
		for _, sent := range slices.Clone(rec.statements) {
			rows, err := pool.Query(ctx, "EXPLAIN "+sent.sql, sent.args...)
			if err != nil {
				t.Fatal(err)
			}
			lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				t.Fatal(err)
			}
			plan := strings.Join(lines, "\n")
			switch {
			case strings.Contains(plan, "Seq Scan on ess_requests"):
				t.Errorf("%s reads the whole table:\n%s", step.name, plan)
			case !step.sorts && strings.Contains(plan, "Sort"):
				t.Errorf("%s sorts:\n%s", step.name, plan)
			case !strings.Contains(plan, step.index):
				t.Errorf("%s does not use %s:\n%s", step.name, step.index, plan)
			}
		}
	}
}

// What a page costs does not depend on how many children of the same parent come before it,
// or behind it.
func TestPagesCostTheirRows(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	config := newDatabase(t, serverURL)
	rec := &recorder{}
	config.ConnConfig.Tracer = rec
	config.MaxConns = 1
	pool := newPool(t, config)
	if err := postgres.Migrate(ctx, pool); err != nil {
		t.Fatal(err)
	}
	mustExec(t, pool, `INSERT INTO ess_requests (id, parent, kind, state)
SELECT 1, NULL::bigint, 'PARENT', 'CANCELLING' UNION ALL SELECT 2, NULL, 'PARENT', 'CANCELLING' UNION ALL
SELECT i, 1, 'CHILD', 'READY' FROM generate_series(3, 30000) i UNION ALL SELECT 30001, 2, 'CHILD', 'READY'`)
	mustExec(t, pool, `VACUUM ANALYZE ess_requests`)
	for _, table := range []postgres.Table{{}, postgres.DefaultTable()} {
		store := postgres.New(pool, table)
		q := cancel.ChildQuery{Parents: []lifecycle.ID{1, 2}, States: lifecycle.Live, After: cancel.Cursor{Parent: 1, ID: 15_000}, Limit: 20}
		rec.statements = nil
		if _, err := store.Children(ctx, q); err != nil {
			t.Fatal(err)
		}
		if _, err := store.CancelChildren(ctx, cancel.ChildCancel{Query: q, Cause: cancel.Cause{Root: 1, Time: moment}}); err != nil {
			t.Fatal(err)
		}
		for _, sent := range slices.Clone(rec.statements) {
			var plans []struct {
				Plan struct {
					Hit  int `json:"Shared Hit Blocks"`
					Read int `json:"Shared Read Blocks"`
				}
			}
			if err := pool.QueryRow(ctx, "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "+sent.sql, sent.args...).Scan(&plans); err != nil {
				t.Fatal(err)
			}
			most := q.Limit
			if strings.Contains(sent.sql, "UPDATE") {
				most = 10 * q.Limit // a row takes some in the table, in each index and in the audit trail
			}
			if blocks := plans[0].Plan.Hit + plans[0].Plan.Read; blocks == 0 || blocks > most {
				t.Errorf("a page of %d takes %d blocks:\n%s", q.Limit, blocks, sent.sql)
			}
		}
	}
}
