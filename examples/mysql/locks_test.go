package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/examples/mysql"
	"example.com/ess/lifecycle"
)

// hasNumber reports whether err is the server's error of that number.
func hasNumber(err error, number uint16) bool {
	e, ok := errors.AsType[*driver.MySQLError](err)
	return ok && e.Number == number
}

// A look at the parent does not admit a child. In a transaction at REPEATABLE READ it sees
// the parent as it was at the first look; what is written goes by what is there, or fails.
func TestALookIsNoAdmission(t *testing.T) {
	t.Parallel()
	for _, checked := range []string{"OFF", "ON"} { // ON is the default from MariaDB 11.6 on
		db := setup(t, server, parse(t, "1 PARENT RUNNING")...)
		store := mysql.New(db, "jobs")
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		mustExec(t, conn, "SET innodb_snapshot_isolation = "+checked)
		tx, err := conn.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback() }()
		look := func() string { return queryOne[string](t, tx, "SELECT status FROM jobs WHERE id = 1") }
		before := look()
		if _, err := cancel.New(store, nil).Cancel(t.Context(), cancel.Order{ID: 1}); err != nil {
			t.Fatal(err)
		}
		if after := look(); before != "running" || after != "running" {
			t.Errorf("the transaction saw the parent %s, and after the cancel %s", before, after)
		}
		err = store.Admit(t.Context(), tx, 1)
		if checked == "ON" && !hasNumber(err, 1020) || checked == "OFF" && !errors.Is(err, esserrors.CodeUnsupportedState) {
			t.Errorf("innodb_snapshot_isolation %s: Admit = %v, want it refused", checked, err)
		}
	}
}

// hold locks a job until the function that it returns is called.
func hold(t *testing.T, db *sql.DB, id lifecycle.ID) (release func()) {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	mustExec(t, tx, "SELECT id FROM jobs WHERE id = ? FOR UPDATE", id)
	return func() { _ = tx.Rollback() }
}

func changes(requests []lifecycle.Request) (all []cancel.Change) {
	for _, r := range requests {
		all = append(all, cancel.Change{Old: r, Trigger: lifecycle.TriggerCancel, State: lifecycle.StateCancelled, Cause: cancel.Cause{Root: 1, Time: moment}})
	}
	return all
}

// A statement that has waited too long for a lock is undone, and what came before it in the
// transaction is not. The store undoes that.
func TestLockWaitTimeout(t *testing.T) {
	t.Parallel()
	requests := parse(t, "1 SINGLETON WAIT\n2 SINGLETON HOLD")
	db := setup(t, server, requests...)
	mustExec(t, db, "INSERT INTO jobs (id, type, status) VALUES (3, 'task', 'planned')")
	impatient := open(t, server.DSN(queryOne[string](t, db, "SELECT DATABASE()"))+"?innodb_lock_wait_timeout=1")
	release := hold(t, db, 3)
	tx, err := impatient.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	mustExec(t, tx, "UPDATE jobs SET status = 'stopped' WHERE id = 1")
	if _, err := tx.ExecContext(t.Context(), "UPDATE jobs SET status = 'stopped' WHERE id = 3"); !hasNumber(err, 1205) {
		t.Errorf("a statement that waits for a lock: %v", err)
	}
	if status := queryOne[string](t, tx, "SELECT status FROM jobs WHERE id = 1"); status != "stopped" {
		t.Errorf("what came before it is undone: %s", status)
	}
	_ = tx.Rollback()

	third := parse(t, "3 SINGLETON WAIT")
	if made, err := mysql.New(impatient, "jobs").Apply(t.Context(), changes(append(requests, third...))); !hasNumber(err, 1205) {
		t.Errorf("Apply = %v, %v", made, err)
	}
	release()
	if n := queryOne[int](t, db, "SELECT COUNT(*) FROM jobs WHERE status = 'stopped'"); n > 0 {
		t.Errorf("%d changes have been made", n)
	}
}

// Where the context of a statement ends, the driver closes the connection; the server carries
// the statement out all the same. That nothing is known then is what a Repository may say.
func TestStatementOutlivesItsContext(t *testing.T) {
	t.Parallel()
	requests := parse(t, "1 SINGLETON WAIT")
	db := setup(t, server, requests...)
	release := hold(t, db, 1)
	ctx, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer stop()
	if made, err := mysql.New(db, "jobs").Apply(ctx, changes(requests)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Apply = %v, %v", made, err)
	}
	release()
	for range 500 {
		if queryOne[string](t, db, "SELECT status FROM jobs WHERE id = 1") == "stopped" {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the statement has not been carried out: the README says that it may be")
}

// A DELETE waits for each locked job on its way, not only for those that it deletes.
func TestDeleteWaits(t *testing.T) {
	t.Parallel()
	db := setup(t, server, parse(t, "1 SINGLETON RUNNING\n2 SINGLETON SUCCEEDED")...)
	impatient := open(t, server.DSN(queryOne[string](t, db, "SELECT DATABASE()"))+"?innodb_lock_wait_timeout=1")
	defer hold(t, db, 1)()
	if _, err := impatient.ExecContext(t.Context(), "DELETE FROM jobs WHERE live = 0"); !hasNumber(err, 1205) {
		t.Errorf("DELETE of all that have ended: %v", err)
	}
	if _, err := impatient.ExecContext(t.Context(), "DELETE FROM jobs WHERE id = 2 AND live = 0"); err != nil {
		t.Errorf("DELETE by the id: %v", err)
	}
}

// Calls whose context ends in the middle say so, whatever the driver makes of it.
func TestContextsEndInTheMiddle(t *testing.T) {
	t.Parallel()
	db := setup(t, server, tree(1)...)
	store := mysql.New(db, "jobs")
	q := cancel.ChildQuery{Parents: []lifecycle.ID{1, 2, 42, 52}, States: lifecycle.Live, Limit: 1000}
	page, err := store.Children(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	var unchanged []cancel.Change
	for _, r := range page {
		unchanged = append(unchanged, cancel.Change{Old: r, State: r.State, Attempt: r.Attempt})
	}
	calls := []func(ctx context.Context) error{
		func(ctx context.Context) error { _, err := store.Children(ctx, q); return err },
		func(ctx context.Context) error { _, err := store.Apply(ctx, unchanged); return err },
		func(ctx context.Context) error { _, err := store.Apply(ctx, unchanged[:1]); return err },
		func(ctx context.Context) error {
			_, err := store.Submit(ctx, lifecycle.Request{Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateWait})
			return err
		},
	}
	var ended atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 400 {
				ctx, stop := context.WithTimeout(t.Context(), rand.N(6*time.Millisecond))
				if err := calls[i%len(calls)](ctx); errors.Is(err, context.DeadlineExceeded) {
					ended.Add(1)
				} else if err != nil {
					t.Error(err)
				}
				stop()
			}
		})
	}
	all.Wait()
	if t.Logf("%d of 3200 calls were ended by their contexts", ended.Load()); ended.Load() == 0 {
		t.Error("none was")
	}
}
