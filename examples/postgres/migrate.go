package postgres

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"

	"example.com/ess/examples/postgres/pgstore"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations returns the migrations as files, for a tool that runs migrations.
func Migrations() fs.FS {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the folder is embedded
	}
	return files
}

// Migrate creates the tables of [DefaultTable], or brings them up to date. It runs
// what has not been run yet, in one transaction, and may be called at every start
// by any number of processes.
func Migrate(ctx context.Context, db interface {
	Begin(ctx context.Context) (pgx.Tx, error)
},
) error {
	names, err := fs.Glob(Migrations(), "*.sql") // ordered
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		if err := migrate(ctx, tx, names); err != nil {
			return fmt.Errorf("postgres: migrating %s: %w", pgstore.Place(tx.Conn()), err)
		}
		return nil
	})
}

func migrate(ctx context.Context, tx pgx.Tx, names []string) error {
	// The first process in migrates, the others wait and find it done. The number
	// is the name of the lock, and means nothing.
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(7310395)`); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `CREATE TABLE IF NOT EXISTS ess_migrations (name text PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())`); err != nil {
		return err
	}
	for _, name := range names {
		text, err := fs.ReadFile(Migrations(), name)
		if err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `INSERT INTO ess_migrations (name) VALUES ($1) ON CONFLICT DO NOTHING`, name)
		switch {
		case err != nil:
			return err
		case tag.RowsAffected() == 0:
			continue // it has been run
		}
		if _, err := tx.Exec(ctx, string(text)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
