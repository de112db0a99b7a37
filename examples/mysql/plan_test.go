package mysql_test

import (
	"database/sql"
	"fmt"
	"testing"

	driver "github.com/go-sql-driver/mysql"

	"example.com/ess/cancel"
	"example.com/ess/examples/mysql"
	"example.com/ess/lifecycle"
)

// A page costs its rows: neither what comes before it, nor what comes behind it, nor what has
// ended is read, and nothing is sorted.
func TestPagesCostTheirRows(t *testing.T) {
	t.Parallel()
	db := setup(t, server)
	db.SetMaxOpenConns(1)
	mustExec(t, db, `INSERT INTO jobs (id, parent_id, type, status)
SELECT seq, 0, 'flow', 'stopping' FROM seq_1_to_300 UNION ALL
SELECT 1000 + seq, IF(seq < 20000, 1, 2 + seq % 299), 'step', IF(seq % 10 = 0, 'queued', 'done') FROM seq_0_to_39999`)
	mustExec(t, db, "ANALYZE TABLE jobs")
	store := mysql.New(db, "jobs")
	var parents []lifecycle.ID
	for id := lifecycle.ID(1); id <= 300; id++ {
		parents = append(parents, id)
	}
	const limit = 50
	for _, tt := range []struct {
		name string
		most int // rows read
		call func() (n int, err error)
	}{
		{"Get", 1, func() (int, error) {
			_, err := store.Get(t.Context(), 5)
			return 1, err
		}},
		{"Children", limit + 1, func() (int, error) {
			q := cancel.ChildQuery{Parents: parents, States: lifecycle.Live, After: cancel.Cursor{Parent: 1, ID: 11_000}, Limit: limit}
			found, err := store.Children(t.Context(), q)
			return len(found), err
		}},
		{"Children of many", limit + limit, func() (int, error) {
			q := cancel.ChildQuery{Parents: parents, States: lifecycle.Live, After: cancel.Cursor{Parent: 150}, Limit: limit}
			found, err := store.Children(t.Context(), q)
			return len(found), err
		}},
		{"a look for a live child", 1, func() (int, error) {
			found, err := store.Children(t.Context(), cancel.ChildQuery{Parents: parents[:1], States: lifecycle.Live, Limit: 1})
			return len(found) * limit, err
		}},
		{"ListCancelling", limit, func() (int, error) {
			found, err := store.ListCancelling(t.Context(), 100, limit)
			return len(found), err
		}},
		// Each row is found three times: to lock it, to change it, and to change its keys.
		{"CancelChildren", 3*limit + 1, func() (int, error) {
			q := cancel.ChildQuery{Parents: parents, States: lifecycle.Live, After: cancel.Cursor{Parent: 1, ID: 11_000}, Limit: limit}
			page, err := store.CancelChildren(t.Context(), cancel.ChildCancel{Query: q, Cause: cancel.Cause{Root: 1, Time: moment}})
			return page.Cancelled, err
		}},
		{"EndParent", 2, func() (int, error) {
			r := lifecycle.Request{ID: 300, Kind: lifecycle.KindParent, State: lifecycle.StateRunning}
			_, err := store.EndParent(t.Context(), cancel.Change{Old: r, Trigger: lifecycle.TriggerFail, State: lifecycle.StateError})
			return limit, err
		}},
	} {
		read, sorted := reads(t, db)
		n, err := tt.call()
		if err != nil {
			t.Fatal(err)
		}
		read2, sorted2 := reads(t, db)
		if read, sorted = read2-read, sorted2-sorted; read > tt.most || sorted > 0 || n == 0 {
			t.Errorf("%s reads %d rows, and sorts %d, for %d", tt.name, read, sorted, n)
		}
	}
	// To the optimizer "live" is no "live = 1".
	sorts := func(live string) bool {
		_, before := reads(t, db)
		mustExec(t, db, fmt.Sprintf("SELECT id FROM jobs WHERE %s AND parent_id IN (1, 2) ORDER BY parent_id, id LIMIT 5", live))
		_, after := reads(t, db)
		return after > before
	}
	if sorts("live = 1") || !sorts("live") {
		t.Errorf(`"live = 1" sorts: %v; "live" sorts: %v`, sorts("live = 1"), sorts("live"))
	}
}

// How many statements a call sends, each of them a round trip.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	db := setup(t, server, parse(t, "1 PARENT RUNNING\n  2 CHILD WAIT\n  3 CHILD WAIT\n  4 CHILD WAIT\n5 PARENT RUNNING")...)
	db.SetMaxOpenConns(1)
	store := mysql.New(db, "jobs")
	sent := func() int {
		return queryOne[int](t, db, "SELECT variable_value FROM information_schema.session_status WHERE variable_name = 'Questions'")
	}
	q := cancel.ChildQuery{Parents: []lifecycle.ID{1}, States: lifecycle.Live, Limit: 10}
	change := func(id lifecycle.ID) cancel.Change {
		return cancel.Change{Old: lifecycle.Request{ID: id, Kind: lifecycle.KindChild, State: lifecycle.StateWait}, Trigger: lifecycle.TriggerCancel, State: lifecycle.StateCancelled}
	}
	for _, tt := range []struct {
		name string
		want int
		call func() error
	}{
		{"Get", 1, func() error { _, err := store.Get(t.Context(), 1); return err }},
		{"Children", 1, func() error { _, err := store.Children(t.Context(), q); return err }},
		{"Apply of one change", 1, func() error { _, err := store.Apply(t.Context(), []cancel.Change{change(2)}); return err }},
		// Those of a transaction begin with BEGIN and end with COMMIT.
		{"Apply of two", 4, func() error { _, err := store.Apply(t.Context(), []cancel.Change{change(2), change(3)}); return err }},
		{"CancelChildren", 4, func() error {
			_, err := store.CancelChildren(t.Context(), cancel.ChildCancel{Query: q, Cause: cancel.Cause{Root: 1, Time: moment}})
			return err
		}},
		{"Submit", 4, func() error {
			_, err := store.Submit(t.Context(), lifecycle.Request{Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateWait})
			return err
		}},
		{"EndParent", 1, func() error {
			_, err := store.EndParent(t.Context(), cancel.Change{Old: lifecycle.Request{ID: 5, State: lifecycle.StateRunning}, State: lifecycle.StateError})
			return err
		}},
	} {
		before := sent()
		if err := tt.call(); err != nil {
			t.Fatal(err)
		}
		if n := sent() - before - 1; n != tt.want { // one asks for the number
			t.Errorf("%s takes %d round trips, want %d", tt.name, n, tt.want)
		}
	}
}

// With pages of 1,000 no statement is longer than 32 KiB, however large the ids are. Where even
// that is too long for a server, smaller pages fit.
func TestStatementsFit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ bytes, page int }{{32 << 10, 1000}, {8 << 10, 250}} {
		db := openWithout(t, newDatabase(t, server), func(cfg *driver.Config) { cfg.MaxAllowedPacket = tt.bytes })
		mustExec(t, db, mysql.Schema)
		mustExec(t, db, "INSERT INTO jobs (id, type, status) VALUES (1, 'flow', 'running')")
		mustExec(t, db, "INSERT INTO jobs (id, parent_id, type, status) SELECT 9000000000000000000 + seq, 1, 'flow', 'running' FROM seq_1_to_1500")
		mustExec(t, db, "INSERT INTO jobs (id, parent_id, type, status) SELECT 9100000000000000000 + seq, 9000000000000000000 + seq, 'step', 'queued' FROM seq_1_to_1500")
		c := cancel.New(mysql.New(db, "jobs"), &cancel.Options{PageSize: tt.page})
		if _, err := c.Cancel(t.Context(), cancel.Order{ID: 1}); err != nil {
			t.Errorf("pages of %d in %d bytes: %v", tt.page, tt.bytes, err)
		}
		if n := queryOne[int](t, db, "SELECT COUNT(*) FROM jobs WHERE status <> 'stopped'"); n > 0 {
			t.Errorf("pages of %d in %d bytes: %d jobs are not stopped", tt.page, tt.bytes, n)
		}
	}
}

// reads returns how many rows the connection has read, and sorted.
func reads(t *testing.T, db *sql.DB) (read, sorted int) {
	t.Helper()
	count := func(names string) int {
		return queryOne[int](t, db, "SELECT SUM(variable_value) FROM information_schema.session_status WHERE variable_name LIKE ?", names)
	}
	// What information_schema itself reads is in temporary tables.
	return count("Handler_read%") - count("Handler_read_rnd%"), count("Sort_rows")
}
