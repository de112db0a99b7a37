package essriver

import (
	"context"
	_ "embed" // for the migration
	"fmt"

	"github.com/jackc/pgx/v5"

	"example.com/ess/examples/postgres/pgstore"
)

// Migration is the SQL that [Migrate] runs, for a tool that runs migrations.
//
//go:embed migrations/001_indexes.sql
var Migration string

// Migrate creates two indexes on River's table, which River's own migrations have created
// before, unless they are there. It may be called at every start.
func Migrate(ctx context.Context, db interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}, schema string,
) error {
	return pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		sql := Migration
		if schema != "" {
			sql = `SET LOCAL search_path = ` + pgx.Identifier{schema}.Sanitize() + `; ` + sql
		}
		if _, err := tx.Exec(ctx, sql); err != nil {
			return fmt.Errorf("essriver: migrating %s: %w", pgstore.Place(tx.Conn()), err)
		}
		return nil
	})
}
