package mysql_test

import (
	"database/sql"
	"testing"

	"example.com/ess/cancel"
	"example.com/ess/examples/mysql"
)

// Nodes exclude each other by what transactions have changed, and by nothing else. One node
// has let a child in when another fences the parent; it commits before it has applied the
// fence, as it is busy with something else.
func (g *galera) admission(t *testing.T) {
	by := func(statement string) func(*mysql.Store, *sql.Tx) error {
		return func(_ *mysql.Store, tx *sql.Tx) error {
			_, err := tx.ExecContext(t.Context(), statement)
			return err
		}
	}
	for _, tt := range []struct {
		name    string
		admit   func(store *mysql.Store, tx *sql.Tx) error
		escapes bool
	}{
		{"a lock", by("SELECT id FROM jobs WHERE id = 1 AND status = 'running' FOR UPDATE"), true},
		{"a write that changes nothing", by("UPDATE jobs SET children = children WHERE id = 1 AND status = 'running'"), true},
		{"Admit", func(store *mysql.Store, tx *sql.Tx) error { return store.Admit(t.Context(), tx, 1) }, false},
	} {
		const tries = 5 // should the node not be busy for long enough
		for try := 1; ; try++ {
			refused, escaped := g.admit(t, tt.admit)
			if refused == escaped {
				t.Errorf("%s: refused: %v, escaped: %v", tt.name, refused, escaped)
			}
			if escaped == tt.escapes {
				break
			}
			if !tt.escapes || try == tries {
				t.Errorf("%s: escaped: %v, want %v", tt.name, escaped, tt.escapes)
				break
			}
		}
	}
}

func (g *galera) admit(t *testing.T, admit func(*mysql.Store, *sql.Tx) error) (refused, escaped bool) {
	t.Helper()
	dbs := g.database(t)
	mustExec(t, dbs[0], "CREATE TABLE others (id INT PRIMARY KEY, n INT NOT NULL)")
	mustExec(t, dbs[0], "INSERT INTO others SELECT seq, 0 FROM seq_1_to_50000")
	if err := insert(t.Context(), dbs[0], "jobs", parse(t, "1 PARENT RUNNING")); err != nil {
		t.Fatal(err)
	}
	tx, err := dbs[1].BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := admit(mysql.New(dbs[1], "jobs"), tx); err != nil {
		t.Fatal(err)
	}
	mustExec(t, tx, "INSERT INTO jobs (id, parent_id, type, status) VALUES (2, 1, 'step', 'planned')")
	mustExec(t, dbs[0], "UPDATE others SET n = n + 1")
	if _, err := cancel.New(mysql.New(dbs[0], "jobs"), nil).Cancel(t.Context(), cancel.Order{ID: 1}); err != nil {
		t.Fatal(err)
	}
	if err = tx.Commit(); err != nil && !hasNumber(err, 1213) {
		t.Fatal(err)
	}
	return err != nil, queryOne[int](t, dbs[0], "SELECT COUNT(*) FROM jobs WHERE parent_id = 1 AND live = 1") > 0
}
