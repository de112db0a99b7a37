package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/examples/postgres"
	"example.com/ess/lifecycle"
)

// looseTable makes a table that takes any name, as those of a newer version, or NULL.
func looseTable(t *testing.T, db postgres.DB, audit bool) postgres.Table {
	t.Helper()
	mustExec(t, db, `DROP TABLE IF EXISTS loose; CREATE TABLE loose (id bigint PRIMARY KEY, parent bigint, kind text, state text, outcome text, checked_in timestamptz)`)
	table := postgres.Table{Name: pgx.Identifier{"loose"}}
	if audit {
		table.Audit = pgx.Identifier{"ess_audit"}
	}
	return table
}

// A row that cannot be read is returned in State 0, whatever was asked for, and is left as
// it is. It keeps neither its page from being read nor its siblings from being cancelled,
// and its parent does not end.
func TestUnreadableRows(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := setup(t)
	for _, row := range []string{
		`'JOB', 'READY', NULL, NULL`,
		`'CHILD', 'FROZEN', NULL, NULL`,
		`'CHILD', '', NULL, NULL`,
		`'CHILD', 'running', NULL, NULL`,
		`NULL, 'RUNNING', NULL, NULL`,
		`'CHILD', NULL, NULL, NULL`,
		`NULL, NULL, NULL, NULL`,
		`'JOB', 'CANCELLING', NULL, NULL`,
		`'CHILD', 'CANCELLING', 'PARTIAL', NULL`,
		`'CHILD', 'CANCELLING', 'RUNNING', NULL`,
		`'CHILD', 'CANCELLING', '', NULL`,
	} {
		for _, audit := range []bool{false, true} {
			for _, all := range []bool{false, true} {
				table := looseTable(t, pool, audit)
				mustExec(t, pool, `INSERT INTO loose VALUES (1, NULL, 'PARENT', 'RUNNING', NULL, NULL), (2, 1, 'CHILD', 'READY', NULL, NULL),
(3, 1, `+row+`), (4, 1, 'CHILD', 'WAIT', NULL, NULL), (5, 1, 'CHILD', 'RUNNING', NULL, NULL), (6, 1, 'CHILD', 'SUCCEEDED', NULL, NULL)`)
				c := &unreadable{T: t, row: row, pool: pool, store: postgres.New(pool, table)}
				c.read()
				c.cancel(ctx, all)
			}
		}
	}
}

// unreadable checks what becomes of request 3, which cannot be read.
type unreadable struct {
	*testing.T
	row   string
	pool  postgres.DB
	store *postgres.Store
}

func (c *unreadable) is(r lifecycle.Request) bool {
	return r.ID == 3 && r.Parent == 1 && r.State == 0 && r.Outcome == 0
}

func (c *unreadable) read() {
	c.Helper()
	ctx := c.Context()
	if r, err := c.store.Get(ctx, 3); err != nil || !c.is(r) {
		c.Errorf("%s: Get = %+v, %v", c.row, r, err)
	}
	const everything = lifecycle.Live | lifecycle.Terminal
	sets := []lifecycle.StateSet{lifecycle.Live, lifecycle.Terminal, everything, lifecycle.Admitting}
	for s := range everything.All() {
		sets = append(sets, lifecycle.SetOf(s))
	}
	for _, states := range sets {
		q := cancel.ChildQuery{Parents: []lifecycle.ID{1}, States: states, Limit: 10}
		page, err := c.store.Children(ctx, q)
		found := 0
		for _, r := range page {
			if c.is(r) {
				found++
			} else if !states.Has(r.State) {
				c.Errorf("%s: Children in %v = %+v", c.row, states, page)
			}
		}
		if err != nil || found != 1 {
			c.Errorf("%s: Children in %v = %+v, %v", c.row, states, page, err)
		}
	}
	list, err := c.store.ListCancelling(ctx, 0, 10)
	if err != nil || strings.Contains(c.row, "CANCELLING") && (len(list) != 1 || !c.is(list[0].Request)) {
		c.Errorf("%s: ListCancelling = %+v, %v", c.row, list, err)
	}
}

func (c *unreadable) cancel(ctx context.Context, all bool) {
	c.Helper()
	before := c.raw()
	opts := &cancel.Options{}
	if all {
		opts.Hooks.Transition = func(context.Context, cancel.TransitionInfo) {}
	}
	canceller := cancel.New(c.store, opts)
	res, err := canceller.Cancel(ctx, cancel.Order{ID: 1, Actor: "ann"})
	if !errors.Is(err, esserrors.CodeSystem) || !strings.Contains(err.Error(), "request 3") {
		c.Errorf("%s: Cancel = %v, %v, want an error that names request 3", c.row, res.Counts, err)
	}
	for id, want := range map[lifecycle.ID]lifecycle.State{
		1: lifecycle.StateCancelling, 2: lifecycle.StateCancelled, 4: lifecycle.StateCancelled, 5: lifecycle.StateCancelling, 6: lifecycle.StateSucceeded,
	} {
		if r, err := c.store.Get(ctx, id); err != nil || r.State != want {
			c.Errorf("%s: request %d is %v, %v, want %v", c.row, id, r.State, err, want)
		}
	}
	if _, err := canceller.Acknowledge(ctx, cancel.Order{ID: 5}, lifecycle.StateCancelled); err != nil {
		c.Logf("%s: Acknowledge: %v", c.row, err)
	}
	if r, err := c.store.Get(ctx, 1); err != nil || r.State != lifecycle.StateCancelling {
		c.Errorf("%s: the parent is %v, %v, above a child that may be live", c.row, r.State, err)
	}
	ends := cancel.Change{
		Old:     lifecycle.Request{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateCancelling},
		Trigger: lifecycle.TriggerSettle, State: lifecycle.StateCancelled,
	}
	if r, err := c.store.Get(ctx, 1); err == nil {
		ends.Old = r
	}
	if made, err := c.store.EndParent(ctx, ends); err != nil || made {
		c.Errorf("%s: EndParent = %v, %v, above a child that may be live", c.row, made, err)
	}
	if after := c.raw(); after != before {
		c.Errorf("%s: the row has become %s", c.row, after)
	}
}

func (c *unreadable) raw() string {
	return queryOne[string](c, c.pool, `SELECT loose::text FROM loose WHERE id = 3`)
}

// The README's statement finds them.
func TestFindUnreadableRows(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := setup(t)
	for _, file := range []string{"testdata/jobs.sql", "testdata/adopt.sql"} {
		runFile(ctx, pool, file)
	}
	mustExec(t, pool, `ALTER TABLE jobs ALTER status DROP NOT NULL, ALTER job_type DROP NOT NULL;
INSERT INTO jobs VALUES (1, NULL, 'CHILD', 'READY', '', 'SUCCEEDED'), (2, NULL, 'CHILD', 'CANCELLING', '', 'SUCCEEDED'), (3, NULL, 'CHILD', 'READY', '', 'PARTIAL'),
(11, NULL, 'CHILD', 'CANCELLING', '', 'PARTIAL'), (12, NULL, 'JOB', 'READY', '', NULL), (13, NULL, NULL, 'READY', '', NULL), (14, NULL, 'CHILD', 'FROZEN', '', NULL), (15, NULL, 'CHILD', NULL, '', NULL)`)
	sql, err := os.ReadFile("testdata/unreadable.sql")
	if err != nil {
		t.Fatal(err)
	}
	found := queryOne[string](t, pool, `SELECT string_agg(job_id::text, ' ' ORDER BY job_id) FROM (`+strings.TrimSuffix(string(sql), ";\n")+`) AS found`)
	store := postgres.New(pool, postgres.Table{
		Name: pgx.Identifier{"jobs"}, ID: "job_id", Parent: "parent_id", Kind: "job_type", State: "status", Outcome: "cancel_outcome", CheckedIn: "cancel_checked_in",
	})
	var want []string
	for _, id := range []lifecycle.ID{1, 2, 3, 11, 12, 13, 14, 15} {
		if r, err := store.Get(ctx, id); err != nil || r.State == 0 {
			want = append(want, fmt.Sprint(id))
		}
	}
	if want := strings.Join(want, " "); found != want || want != "11 12 13 14 15" {
		t.Errorf("found %s, want %s", found, want)
	}
}

// What has ended counts as ended, though its kind be unknown: a parent does not wait for it.
func TestUnreadableThatHasEnded(t *testing.T) {
	t.Parallel()
	pool := setup(t)
	for _, audit := range []bool{false, true} {
		table := looseTable(t, pool, audit)
		mustExec(t, pool, `INSERT INTO loose VALUES (1, NULL, 'PARENT', 'RUNNING', NULL, NULL), (2, 1, 'JOB', 'SUCCEEDED', NULL, NULL)`)
		store := postgres.New(pool, table)
		if r, err := store.Get(t.Context(), 2); err != nil || r.State != 0 {
			t.Errorf("Get = %+v, %v, want State 0", r, err)
		}
		if res, err := cancel.New(store, nil).Cancel(t.Context(), cancel.Order{ID: 1}); err != nil || res.Root.To != lifecycle.StateCancelled {
			t.Errorf("Cancel = %v, %v, want CANCELLED", res.Root, err)
		}
	}
}

// An outcome that a scheduler has left behind in another state than CANCELLING does not count.
func TestOutcomeLeftBehind(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := setup(t)
	for _, outcome := range []string{"SUCCEEDED", "PARTIAL"} {
		table := looseTable(t, pool, false)
		mustExec(t, pool, fmt.Sprintf(`INSERT INTO loose VALUES (1, NULL, 'PARENT', 'RUNNING', '%s', NULL), (2, 1, 'CHILD', 'READY', '%[1]s', NULL), (3, 1, 'CHILD', 'RUNNING', '%[1]s', NULL)`, outcome))
		store := postgres.New(pool, table)
		canceller := cancel.New(store, nil)
		if _, err := canceller.Cancel(ctx, cancel.Order{ID: 1}); err != nil {
			t.Fatal(err)
		}
		if _, err := canceller.Acknowledge(ctx, cancel.Order{ID: 3}, lifecycle.StateWarning); err != nil {
			t.Fatal(err)
		}
		if states := queryOne[string](t, pool, `SELECT string_agg(state, ' ' ORDER BY id) FROM loose`); states != "CANCELLED CANCELLED WARNING" {
			t.Errorf("%s: %s", outcome, states)
		}
	}
}

// A time that never comes does not count.
func TestInfiniteTime(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := setup(t)
	table := looseTable(t, pool, false)
	mustExec(t, pool, `INSERT INTO loose VALUES (1, NULL, 'SINGLETON', 'CANCELLING', NULL, 'infinity')`)
	store := postgres.New(pool, table)
	if _, err := cancel.New(store, nil).Force(ctx, cancel.Order{ID: 1}); err != nil {
		t.Error(err)
	}
	if r, err := store.Get(ctx, 1); err != nil || r.State != lifecycle.StateCancelled {
		t.Errorf("the request is %v, %v, want CANCELLED", r.State, err)
	}
}

// The table that Migrate creates takes no such row.
func TestMigratedTableTakesNoUnreadableRow(t *testing.T) {
	t.Parallel()
	pool := setup(t)
	for _, row := range []string{
		`0, NULL, 'CHILD', 'READY', NULL, NULL`,
		`1, 1, 'CHILD', 'READY', NULL, NULL`,
		`1, NULL, 'JOB', 'READY', NULL, NULL`,
		`1, NULL, 'CHILD', 'FROZEN', NULL, NULL`,
		`1, NULL, NULL, 'READY', NULL, NULL`,
		`1, NULL, 'CHILD', NULL, NULL, NULL`,
		`1, NULL, 'CHILD', 'CANCELLING', 'RUNNING', NULL`,
		`1, NULL, 'CHILD', 'CANCELLING', NULL, 'infinity'`,
	} {
		_, err := pool.Exec(t.Context(), `INSERT INTO ess_requests (id, parent, kind, state, outcome, checked_in) VALUES (`+row+`)`)
		if code := sqlState(err); code != "23514" && code != "23502" { // a check, or NOT NULL
			t.Errorf("%s: %v", row, err)
		}
	}
}
