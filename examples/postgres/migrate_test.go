package postgres_test

import (
	"fmt"
	"io/fs"
	"iter"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"example.com/ess/examples/postgres"
	"example.com/ess/lifecycle"
)

// Any number of processes may migrate at the same time, and again.
func TestMigrateTogether(t *testing.T) {
	t.Parallel()
	pool := newPool(t, newDatabase(t, serverURL))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := postgres.Migrate(t.Context(), pool); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := queryOne[int](t, pool, `SELECT count(*) FROM ess_migrations`); n != 2 {
		t.Errorf("%d migrations were run, want 2", n)
	}
}

// The names in the migrations are those of package lifecycle.
func TestMigrationsKnowTheNames(t *testing.T) {
	t.Parallel()
	text, err := fs.ReadFile(postgres.Migrations(), "001_requests.sql")
	if err != nil {
		t.Fatal(err)
	}
	for before, want := range map[string]string{
		"kind IN (":      names(lifecycle.Kinds()),
		"state IN (":     names(lifecycle.States()),
		"outcome IN (":   names(lifecycle.Outcomes.All()),
		"state NOT IN (": names(lifecycle.Terminal.All()),
	} {
		_, list, _ := strings.Cut(string(text), before)
		list, _, _ = strings.Cut(list, ")")
		got := regexp.MustCompile(`[A-Z_]+`).FindAllString(list, -1)
		slices.Sort(got)
		if got := strings.Join(got, " "); got != want {
			t.Errorf("%s%s), want %s", before, got, want)
		}
	}
}

// names returns names in their order as texts.
func names[N fmt.Stringer](all iter.Seq[N]) string {
	var names []string
	for name := range all {
		names = append(names, name.String())
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// An error says which database could not be migrated, and keeps the password to itself.
func TestMigrateSaysWhere(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	config := newDatabase(t, serverURL)
	admin := newPool(t, config.Copy())
	role := config.ConnConfig.Database + "_guest"
	mustExec(t, admin, `CREATE ROLE `+role+` LOGIN PASSWORD 'hunter2'; REVOKE CREATE ON SCHEMA public FROM PUBLIC`)
	t.Cleanup(func() { mustExec(t, admin, `DROP ROLE `+role) })
	config.ConnConfig.User, config.ConnConfig.Password = role, "hunter2"
	guest, err := pgx.ConnectConfig(ctx, config.ConnConfig)
	if err != nil {
		t.Fatal(err)
	}
	defer guest.Close(ctx)
	err = postgres.Migrate(ctx, guest)
	if sqlState(err) != "42501" || !strings.Contains(err.Error(), config.ConnConfig.Database) || !strings.Contains(err.Error(), role) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("Migrate without permission = %v, want an error with the names of the database and the role, and without the password", err)
	}
}
