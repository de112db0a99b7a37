package mysql_test

import (
	"context"
	"strings"
	"testing"

	driver "github.com/go-sql-driver/mysql"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/examples/mysql"
	"example.com/ess/lifecycle"
)

// The schema has the names of the Go code, and takes for live what package lifecycle does.
func TestSchemaIsAsTheRules(t *testing.T) {
	t.Parallel()
	db := setup(t, server)
	for column, names := range map[string][]string{"type": mysql.Types, "status": mysql.Statuses} {
		enum := queryOne[string](t, db, "SELECT column_type FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'jobs' AND column_name = ?", column)
		for _, name := range names {
			if !strings.Contains(enum, "'"+name+"'") {
				t.Errorf("%s has no %q: %s", column, name, enum)
			}
		}
		if n := strings.Count(enum, ","); n != len(names)-1 {
			t.Errorf("%s has %d names, want %d", column, n+1, len(names))
		}
	}
	id := lifecycle.ID(0)
	for k := range lifecycle.Kinds() {
		for s := range lifecycle.States() {
			id++
			r := lifecycle.Request{ID: id, Kind: k, State: s}
			if err := insert(t.Context(), db, "jobs", []lifecycle.Request{r}); err != nil {
				t.Fatal(err)
			}
			if live := queryOne[bool](t, db, "SELECT live FROM jobs WHERE id = ?", id); live != lifecycle.Live.Has(s) {
				t.Errorf("live is %v for %v %v", live, k, s)
			}
			tx, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			err = mysql.New(db, "jobs").Admit(t.Context(), tx, id)
			if (err == nil) != lifecycle.AdmitsChildren(k, s) {
				t.Errorf("Admit = %v for %v %v", err, k, s)
			}
			_ = tx.Rollback()
		}
	}
}

// Where a table is made in another way, as people do, this is what the checks say.
func TestOtherSchemas(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, old, new, wrong string }{
		{"times in whole seconds", "heard_at  DATETIME(6)", "heard_at DATETIME", "Apply/OldAsWritten failed"},
		{"text of at most three bytes a character", "CHARSET = utf8mb4", "CHARSET = utf8mb3", "Cause/KeepsTheWords failed"},
		{"no name for a job that stops", " 'stopping',", "", "Data truncated for column 'status'"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if n := strings.Count(mysql.Schema, tt.old); n != 1 {
				t.Fatalf("the schema has %q %d times", tt.old, n)
			}
			err := canceltest.Check(t.Context(), newHarness(open(t, newDatabase(t, server)), strings.Replace(mysql.Schema, tt.old, tt.new, 1)))
			if err == nil || !strings.Contains(err.Error(), tt.wrong) {
				t.Errorf("Check = %v, want %q", err, tt.wrong)
			}
		})
	}
}

// The constraints refuse what nobody could read, whatever mode a client is in.
func TestConstraints(t *testing.T) {
	t.Parallel()
	db := openWithout(t, newDatabase(t, server), func(cfg *driver.Config) { cfg.Params["sql_mode"] = "''" })
	mustExec(t, db, mysql.Schema)
	mustExec(t, db, "INSERT INTO jobs (id, type, status) VALUES (1, 'task', 'running')")
	mustExec(t, open(t, server.DSN(queryOne[string](t, db, "SELECT DATABASE()"))), "INSERT INTO jobs (id, type) VALUES (2, 'task')")
	if status := queryOne[string](t, db, "SELECT status FROM jobs WHERE id = 2"); status != "unchecked" {
		t.Errorf("a job without a status gets %q", status)
	}
	for _, set := range []string{"status = 'throttled'", "type = 'worker'", "ends_as = 'done'", "status = 'stopping', ends_as = 'partial'"} {
		if _, err := db.ExecContext(t.Context(), "UPDATE jobs SET "+set+" WHERE id = 1"); !hasNumber(err, 4025) {
			t.Errorf("%s: %v, want it refused", set, err)
		}
	}
}

// A newer version of the scheduler has names that this program does not know. Such a job is
// reported by its id, its parent does not end above it, and nothing else is held up.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	for _, spoil := range []string{"status = 'throttled'", "type = 'worker'", "status = 'stopping', ends_as = 'partial'"} {
		for _, plain := range []bool{false, true} {
			db := open(t, newDatabase(t, server))
			mustExec(t, db, newer.Replace(mysql.Schema))
			tree := parse(t, "1 PARENT RUNNING\n  2 CHILD WAIT\n  3 CHILD WAIT\n  4 CHILD RUNNING\n5 PARENT CANCELLING\n  6 CHILD WAIT")
			if err := insert(t.Context(), db, "jobs", tree); err != nil {
				t.Fatal(err)
			}
			mustExec(t, db, "UPDATE jobs SET "+spoil+" WHERE id = 3")
			var repo cancel.Repository = mysql.New(db, "jobs")
			if r, err := repo.Get(t.Context(), 3); err != nil || r != (lifecycle.Request{ID: 3, Parent: 1}) {
				t.Errorf("%s: Get = %+v, %v, want the id and the parent", spoil, r, err)
			}
			if plain {
				repo = canceltest.Plain(repo)
			}
			c := cancel.New(repo, nil)
			result, err := c.Cancel(t.Context(), cancel.Order{ID: 1})
			if err == nil || !strings.Contains(err.Error(), "request 3") || result.Counts[cancel.DispositionFailed] != 1 {
				t.Errorf("%s: Cancel = %v, %v, want request 3 reported", spoil, result.Counts, err)
			}
			if _, err := c.Acknowledge(t.Context(), cancel.Order{ID: 4}, lifecycle.StateCancelled); err != nil {
				t.Error(err)
			}
			if _, err := c.Resume(context.Background(), nil); err == nil || !strings.Contains(err.Error(), "request 3") {
				t.Errorf("%s: Resume = %v, want request 3 reported", spoil, err)
			}
			if got := queryOne[string](t, db, "SELECT GROUP_CONCAT(IF(id = 3, '?', status) ORDER BY id) FROM jobs"); got != "stopping,stopped,?,stopped,stopped,stopped" {
				t.Errorf("%s: the jobs are %s", spoil, got)
			}
		}
	}
}
