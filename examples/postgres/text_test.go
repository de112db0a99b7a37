package postgres_test

import (
	"fmt"
	"strings"
	"testing"

	"example.com/ess/cancel"
	"example.com/ess/examples/postgres"
	"example.com/ess/lifecycle"
)

// No text refuses a cancel: package cancel cleans what no database takes, and what this one
// lacks the characters or the room for is kept in plainer words.
func TestTextsDoNotRefuseCancel(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for _, db := range []struct {
		name, encoding, alter string
		kept                  map[string]string // by what was given
	}{
		{"UTF8", "UTF8", "", map[string]string{
			"zu spät 🙂": "zu spät 🙂", "wrong\x00ledger": "wrong ledger", "B\xfcro": "B\ufffdro", "\xed\xa0\x80": "\ufffd\ufffd\ufffd", strings.Repeat("é", 800): strings.Repeat("é", 498) + "…",
		}},
		{"LATIN1", "LATIN1", "", map[string]string{
			"zu spät": "zu spät", "zu spät 🙂": `zu sp\u00e4t \U0001f642`, "B\xfcro": `B\ufffdro`, strings.Repeat("🙂", 250): strings.Repeat(`\U0001f642`, 250),
		}},
		{"narrow columns", "UTF8", `ALTER TABLE ess_audit ALTER reason TYPE varchar(5)`, map[string]string{"short": "short", "too long": ""}},
	} {
		t.Run(db.name, func(t *testing.T) {
			t.Parallel()
			config := newDatabase(t, serverURL)
			admin := newPool(t, config.Copy())
			name := config.ConnConfig.Database + "_encoded"
			mustExec(t, admin, `CREATE DATABASE `+name+` TEMPLATE template0 ENCODING '`+db.encoding+`' LOCALE 'C'`)
			t.Cleanup(func() { mustExec(t, admin, `DROP DATABASE `+name+` WITH (FORCE)`) })
			config.ConnConfig.Database = name
			config.ConnConfig.RuntimeParams["client_encoding"] = "UTF8" // or PostgreSQL takes it for its own
			pool := newPool(t, config)
			if err := postgres.Migrate(ctx, pool); err != nil {
				t.Fatal(err)
			}
			if db.alter != "" {
				mustExec(t, pool, db.alter)
			}
			store := postgres.New(pool, postgres.DefaultTable())
			id := lifecycle.ID(0)
			for given, want := range db.kept {
				for _, plain := range []bool{false, true} {
					id += 3
					for _, r := range []lifecycle.Request{
						{ID: id, Kind: lifecycle.KindParent, State: lifecycle.StateRunning},
						{ID: id + 1, Parent: id, Kind: lifecycle.KindChild, State: lifecycle.StateWait},
						{ID: id + 2, Parent: id, Kind: lifecycle.KindChild, State: lifecycle.StateRunning},
					} {
						if err := store.Submit(ctx, r); err != nil {
							t.Fatal(err)
						}
					}
					var repo cancel.Repository = store
					if plain {
						repo = struct{ cancel.Repository }{store}
					}
					if res, err := cancel.New(repo, nil).Cancel(ctx, cancel.Order{ID: id, Actor: given, Reason: given}); err != nil {
						t.Fatalf("%q: %v, %v", given, res.Counts, err)
					}
					for i := range lifecycle.ID(3) {
						cause, err := store.Cause(ctx, id+i)
						if err != nil || cause.Reason != want {
							t.Errorf("%q: request %d has the reason %q, %v, want %q", given, id+i, cause.Reason, err, want)
						}
					}
				}
			}
		})
	}
}

// So it is told what to set, behind a pooler that does not keep prepared statements.
func TestErrorSaysWhatToSet(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	config := newDatabase(t, serverURL)
	config.MaxConns = 1
	pool := newPool(t, config)
	if err := postgres.Migrate(ctx, pool); err != nil {
		t.Fatal(err)
	}
	store := postgres.New(pool, postgres.DefaultTable())
	if _, err := store.Get(ctx, 1); err == nil {
		t.Fatal("there is a request")
	}
	mustExec(t, pool, `DEALLOCATE ALL`)
	if _, err := store.Get(ctx, 1); err == nil || !strings.Contains(err.Error(), "default_query_exec_mode") {
		t.Error(fmt.Errorf("Get without its prepared statement: %w", err))
	}
}
