package postgres_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/ess/cancel/canceltest"
	"example.com/ess/examples/postgres"
)

// stores are what the checks of package canceltest are run on: with an audit trail and
// without, with the capabilities and by the three methods alone.
var stores = []struct {
	name  string
	make  func(ctx context.Context, pool *pgxpool.Pool, n int) (postgres.Table, error)
	plain bool
}{
	{"standard", standardTables, false},
	{"existing", existingTables, false},
	{"standard, plain", standardTables, true},
	{"existing, plain", existingTables, true},
}

// onStores calls f with each of the stores, as a subtest.
func onStores(t *testing.T, f func(t *testing.T, i int, h canceltest.Harness)) {
	for i, store := range stores {
		t.Run(store.name, func(t *testing.T) {
			t.Parallel()
			f(t, i, newShelf(t, store.make).harness(store.plain))
		})
	}
}

func TestContract(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, _ int, h canceltest.Harness) { canceltest.Run(t, h) })
}

// existingTables returns tables that a scheduler has had for years, with names that
// nobody would choose, more columns than are needed, and no audit trail.
func existingTables(ctx context.Context, pool *pgxpool.Pool, n int) (postgres.Table, error) {
	table := postgres.Table{
		Name:      pgx.Identifier{"public", fmt.Sprintf(`job "queue" %d`, n)},
		ID:        "job_id",
		Parent:    "Parent Job",
		Kind:      "type",
		State:     "@status",
		Outcome:   "will_be",
		CheckedIn: "last seen; DROP TABLE {requests} --",
	}
	_, err := pool.Exec(ctx, fmt.Sprintf(`
CREATE TABLE %s (
    payload   jsonb NOT NULL DEFAULT '{}',
    "job_id"  bigint NOT NULL UNIQUE,
    "@status" varchar(30) NOT NULL,
    priority  smallint NOT NULL DEFAULT 3,
    "Parent Job" bigint,
    "type"    varchar(30) NOT NULL,
    "will_be" varchar(30),
    "last seen; DROP TABLE {requests} --" timestamptz
);
CREATE INDEX ON %[1]s ("Parent Job", "job_id")`, table.Name.Sanitize()))
	return table, err
}
