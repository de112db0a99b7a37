package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/examples/mysql"
	"example.com/ess/examples/mysql/mariadb"
	"example.com/ess/lifecycle"
)

// What goes wrong without each setting of Open. (That nothing goes wrong with all of them is
// for the other tests.)
var settings = []struct {
	name    string
	without func(cfg *driver.Config)
	goes    func(t *testing.T, db *sql.DB, dsn string) error
	wrong   string
}{
	{
		"ParseTime", func(cfg *driver.Config) { cfg.ParseTime = false },
		check, "Get/ReturnsTheRequest failed",
	},
	{
		"Loc", func(cfg *driver.Config) { cfg.Loc = location("Europe/Berlin") },
		theHourThatIsThereTwice, "00:30 is kept as 01:30",
	},
	{
		"ClientFoundRows", func(cfg *driver.Config) { cfg.ClientFoundRows = false },
		aChangeThatChangesNothing, "made is false",
	},
	{
		"InterpolateParams", func(cfg *driver.Config) { cfg.InterpolateParams = false },
		statementsOfACancel, "2 were prepared",
	},
	{
		"MaxAllowedPacket", func(cfg *driver.Config) { cfg.MaxAllowedPacket = 64 << 20 },
		aLongStatement, "the connection is lost",
	},
	{
		"autocommit", func(cfg *driver.Config) { delete(cfg.Params, "autocommit") },
		aWriteThatHasFinished, "it is still RUNNING",
	},
	{
		"tx_isolation", func(cfg *driver.Config) { delete(cfg.Params, "tx_isolation") },
		aPageBesideASubmission, "Lock wait timeout",
	},
	{
		"sql_mode", func(cfg *driver.Config) { delete(cfg.Params, "sql_mode") },
		anENUMThatCannotStop, `the status is ""`,
	},
	{
		"Charset", func(cfg *driver.Config) { _ = cfg.Apply(driver.Charset("utf8mb3", "")) },
		check, "Cause/KeepsTheWords failed",
	},
}

func TestSettings(t *testing.T) {
	t.Parallel()
	bad := start(t, mariadb.Options{Fast: true, Settings: adverse})
	for _, s := range settings {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			dsn := newDatabase(t, bad)
			err := s.goes(t, openWithout(t, dsn, s.without), dsn)
			if err == nil || !strings.Contains(err.Error(), s.wrong) {
				t.Errorf("without it: %v, want %q", err, s.wrong)
			}
			dsn = newDatabase(t, bad)
			if err := s.goes(t, open(t, dsn), dsn); err != nil {
				t.Errorf("with it: %v", err)
			}
		})
	}
}

func location(name string) *time.Location {
	loc, err := time.LoadLocation(name)
	if err != nil {
		panic(err)
	}
	return loc
}

func check(t *testing.T, db *sql.DB, _ string) error {
	return canceltest.Check(t.Context(), newHarness(db, mysql.Schema))
}

func create(t *testing.T, db *sql.DB, tree string) (*mysql.Store, error) {
	mustExec(t, db, mysql.Schema)
	return mysql.New(db, "jobs"), insert(t.Context(), db, "jobs", parse(t, tree))
}

func theHourThatIsThereTwice(t *testing.T, db *sql.DB, _ string) error {
	store, err := create(t, db, "1 SINGLETON RUNNING")
	if err != nil {
		return err
	}
	at := time.Date(2026, time.October, 25, 0, 30, 0, 0, time.UTC)
	c := cancel.New(store, &cancel.Options{Now: func() time.Time { return at }})
	if _, err := c.Cancel(t.Context(), cancel.Order{ID: 1}); err != nil {
		return err
	}
	r, err := store.Get(t.Context(), 1)
	if err == nil && !r.CheckedIn.Equal(at) {
		err = fmt.Errorf("%s is kept as %s", at.Format("15:04"), r.CheckedIn.UTC().Format("15:04"))
	}
	return err
}

func aChangeThatChangesNothing(t *testing.T, db *sql.DB, _ string) error {
	store, err := create(t, db, "1 SINGLETON RUNNING")
	if err != nil {
		return err
	}
	r := lifecycle.Request{ID: 1, Kind: lifecycle.KindSingleton, State: lifecycle.StateRunning}
	made, err := store.Apply(t.Context(), []cancel.Change{{Old: r, State: r.State}})
	if err == nil && !made[0] {
		err = errors.New("made is false for a job that is as it was")
	}
	return err
}

// A statement that is prepared takes two round trips.
func statementsOfACancel(t *testing.T, db *sql.DB, _ string) error {
	store, err := create(t, db, "1 SINGLETON WAIT")
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	prepared := func() int {
		return queryOne[int](t, db, "SELECT variable_value FROM information_schema.session_status WHERE variable_name = 'Com_stmt_prepare'")
	}
	before := prepared()
	if _, err := cancel.New(store, nil).Cancel(t.Context(), cancel.Order{ID: 1}); err != nil {
		return err
	}
	if n := prepared() - before; n > 0 {
		return fmt.Errorf("%d were prepared", n)
	}
	return nil
}

// Somebody cancels a job, and somebody else reads it then.
func aWriteThatHasFinished(t *testing.T, db *sql.DB, dsn string) error {
	other := open(t, dsn)
	store, err := create(t, other, "1 SINGLETON RUNNING")
	if err != nil {
		return err
	}
	if _, err := cancel.New(mysql.New(db, "jobs"), nil).Cancel(t.Context(), cancel.Order{ID: 1}); err != nil {
		return err
	}
	r, err := store.Get(t.Context(), 1)
	if err == nil && r.State != lifecycle.StateCancelling {
		err = fmt.Errorf("it is still %v", r.State)
	}
	return err
}

func aLongStatement(t *testing.T, db *sql.DB, _ string) error {
	store, err := create(t, db, "1 PARENT RUNNING")
	if err != nil {
		return err
	}
	parents := make([]lifecycle.ID, 100_000)
	for i := range parents {
		parents[i] = lifecycle.ID(i + 1)
	}
	_, err = store.Children(t.Context(), cancel.ChildQuery{Parents: parents, States: lifecycle.Live, Limit: 1})
	if errors.Is(err, driver.ErrPktTooLarge) {
		return nil
	}
	if _, answered := errors.AsType[*driver.MySQLError](err); err == nil || answered {
		return fmt.Errorf("the server has answered %w", err)
	}
	return fmt.Errorf("the connection is lost: %w", err)
}

// While the children of one flow are being cancelled, somebody submits the first of another.
func aPageBesideASubmission(t *testing.T, db *sql.DB, _ string) error {
	if _, err := create(t, db, "1 PARENT CANCELLING\n  2 CHILD WAIT\n3 PARENT RUNNING"); err != nil {
		return err
	}
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	// What CancelChildren begins with.
	mustExec(t, tx, "SELECT id FROM jobs WHERE live = 1 AND parent_id IN (1) ORDER BY parent_id, id LIMIT 1000 FOR UPDATE")
	conn, err := db.Conn(t.Context())
	if err != nil {
		return err
	}
	defer conn.Close()
	mustExec(t, conn, "SET innodb_lock_wait_timeout = 1")
	_, err = conn.ExecContext(t.Context(), "INSERT INTO jobs (id, parent_id, type, status) VALUES (4, 3, 'step', 'planned')")
	return err
}

func anENUMThatCannotStop(t *testing.T, db *sql.DB, _ string) error {
	mustExec(t, db, "CREATE TABLE old (id BIGINT PRIMARY KEY, status ENUM ('planned', 'running', 'done') NOT NULL)")
	mustExec(t, db, "INSERT INTO old VALUES (1, 'running')")
	_, err := db.ExecContext(context.Background(), "UPDATE old SET status = 'stopping' WHERE id = 1")
	if e, ok := errors.AsType[*driver.MySQLError](err); ok && e.Number == 1265 {
		return nil // it is refused
	}
	return errors.Join(err, fmt.Errorf("the status is %q", queryOne[string](t, db, "SELECT status FROM old WHERE id = 1")))
}
