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

func TestContract(t *testing.T) {
	t.Parallel()
	canceltest.Run(t, newShelf(t, standardTables).harness(false))
}

func TestContractOfPlainStore(t *testing.T) {
	t.Parallel()
	canceltest.Run(t, newShelf(t, standardTables).harness(true))
}

// The same over a table that a scheduler has had for years, with names that nobody
// would choose, more columns than are needed, and no audit trail.
func TestContractOfExistingTable(t *testing.T) {
	t.Parallel()
	canceltest.Run(t, newShelf(t, existingTables).harness(false))
}

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
