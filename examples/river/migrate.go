package essriver

import (
	"context"
	_ "embed" // for the migration

	"github.com/jackc/pgx/v5"
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
		if schema != "" {
			if _, err := tx.Exec(ctx, `SELECT set_config('search_path', $1, true)`, pgx.Identifier{schema}.Sanitize()); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, Migration)
		return err
	})
}
