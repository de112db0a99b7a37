package essriver_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	essriver "example.com/ess/examples/river"
)

// However many jobs there are, each statement goes through an index, with and without
// statistics.
func TestPlans(t *testing.T) {
	t.Parallel()
	pool := setup(t)
	explain := func() {
		t.Helper()
		for sql, args := range essriver.NewStore(pool, "").Statements() {
			rows, err := pool.Query(t.Context(), `EXPLAIN `+sql, args)
			if err != nil {
				t.Fatal(err)
			}
			lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				t.Fatal(err)
			}
			if plan := strings.Join(lines, "\n"); strings.Contains(plan, "Seq Scan") || strings.Contains(plan, "Sort") && strings.Contains(sql, "@limit") {
				t.Errorf("%s\n%s", sql, plan)
			}
		}
	}
	if _, err := pool.Exec(t.Context(), `
INSERT INTO river_job (args, kind, max_attempts, state, metadata)
SELECT '{}', 'task', 25, 'available', CASE WHEN i > 10 AND i % 2 = 0 THEN jsonb_build_object('ess', jsonb_build_object('parent', i % 10 + 1)) ELSE '{}' END
FROM generate_series(1, 20000) AS i`); err != nil {
		t.Fatal(err)
	}
	explain()
	if _, err := pool.Exec(t.Context(), `ANALYZE river_job`); err != nil {
		t.Fatal(err)
	}
	explain()
}
