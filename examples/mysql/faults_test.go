package mysql_test

import (
	"context"
	"database/sql"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/examples/mysql"
	"example.com/ess/examples/mysql/mariadb"
	"example.com/ess/lifecycle"
)

// The process that cancels is killed in the middle of it, at random points, and another goes
// on.
func TestProcessKilled(t *testing.T) {
	t.Parallel()
	const times = 16
	dsn := newDatabase(t, server)
	f := &field{T: t, db: open(t, dsn)}
	mustExec(t, f.db, mysql.Schema)
	var inTheMiddle, kept int
	for range times {
		f.plant()
		p := send(t, errand{dsn, f.root})
		f.someChanges(p.read)
		if p.kill() {
			inTheMiddle++
		}
		next := send(t, errand{dsn, 0})
		next.wait(t)
		maps.Copy(p.acks, next.acks)
		f.harvest(p.acks)
		kept += len(p.acks)
	}
	t.Logf("a process was killed %d times, %d in the middle of a cascade; %d answers, none lost", times, inTheMiddle, kept)
	if inTheMiddle < times/2 {
		t.Error("it has mostly been too late")
	}
}

// The server is killed in the middle of cascades and started again.
func TestServerKilled(t *testing.T) {
	t.Parallel()
	const times = 5
	own := start(t, mariadb.Options{}) // what it has acknowledged has to last
	dsn := newDatabase(t, own)
	f := &field{T: t, db: open(t, dsn)}
	mustExec(t, f.db, mysql.Schema)
	var inTheMiddle, kept int
	for range times {
		f.plant()
		w := newWorld(f.db)
		done := make(chan struct{})
		var failed error
		go func() {
			defer close(done)
			_, failed = w.canceller.Cancel(context.Background(), cancel.Order{ID: f.root})
		}()
		f.someChanges(done)
		if err := own.Kill(); err != nil {
			t.Fatal(err)
		}
		<-done
		w.work.Wait()
		if failed != nil {
			inTheMiddle++
		}
		if err := own.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		next := send(t, errand{dsn, 0})
		next.wait(t)
		maps.Copy(w.acks, next.acks)
		f.harvest(w.acks)
		kept += len(w.acks)
	}
	t.Logf("the server was killed %d times, %d in the middle of a cascade; %d answers, none lost", times, inTheMiddle, kept)
	if inTheMiddle == 0 {
		t.Error("it has always been too late")
	}
}

// Connections are cut, one after the other, while several cancel.
func TestConnectionsCut(t *testing.T) {
	t.Parallel()
	dsn := newDatabase(t, server)
	f := &field{T: t, db: open(t, dsn)}
	mustExec(t, f.db, mysql.Schema)
	cut, failed, kept := 0, atomic.Int64{}, 0
	for range 4 {
		f.plant()
		stop := make(chan struct{})
		var cutter, cancellers sync.WaitGroup
		cutter.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(rand.N(8 * time.Millisecond)):
				}
				var id int64
				err := f.db.QueryRow("SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID() AND info LIKE '%jobs%' ORDER BY RAND() LIMIT 1").Scan(&id)
				if err == nil {
					if _, err = f.db.Exec("KILL ?", id); err == nil {
						cut++
					}
				}
			}
		})
		pool := open(t, dsn)
		acks := answers{}
		var mu sync.Mutex
		for range 4 {
			cancellers.Go(func() {
				w := newWorld(pool)
				if _, err := w.canceller.Cancel(context.Background(), cancel.Order{ID: f.root}); err != nil {
					failed.Add(1)
				}
				w.work.Wait()
				mu.Lock()
				defer mu.Unlock()
				maps.Copy(acks, w.acks)
			})
		}
		cancellers.Wait()
		close(stop)
		cutter.Wait()
		f.harvest(acks)
		kept += len(acks)
	}
	t.Logf("%d connections were cut, and %d of 16 cancellers failed; %d answers, none lost", cut, failed.Load(), kept)
	if cut == 0 {
		t.Error("none was cut")
	}
}

// Four cancel a tree while the scheduler itself updates many of its jobs at a time, in the
// opposite order. Of a deadlock the server undoes one side, and if that was a cancel, it is
// tried again.
func TestDeadlocks(t *testing.T) {
	t.Parallel()
	db := setup(t, start(t, mariadb.Options{Fast: true})) // whose deadlocks are counted
	f := &field{T: t, db: db}
	var updates, victims atomic.Int64
	lost := func() int {
		return queryOne[int](t, db, "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'Innodb_deadlocks'") - int(victims.Load())
	}
	rounds := 0
	for ; rounds < 4 || rounds < 60 && lost() == 0; rounds++ {
		f.plant()
		stop := make(chan struct{})
		var schedulers, cancellers sync.WaitGroup
		for range 2 {
			schedulers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					switch err := updateBackwards(db, f.root+lifecycle.ID(40+rand.IntN(f.size-40))); {
					case err == nil:
						updates.Add(1)
					case hasNumber(err, 1213):
						victims.Add(1)
					default:
						t.Error(err)
					}
				}
			})
		}
		for range 4 {
			cancellers.Go(func() {
				c := cancel.New(mysql.New(db, "jobs"), &cancel.Options{PageSize: 200})
				if _, err := c.Cancel(context.Background(), cancel.Order{ID: f.root}); err != nil {
					t.Error(err)
				}
			})
		}
		cancellers.Wait()
		close(stop)
		schedulers.Wait()
		f.harvest(nil)
	}
	t.Logf("4 cancellers succeeded %d times beside %d opposite updates; of the deadlocks they lost %d, and the updates %d", rounds, updates.Load(), lost(), victims.Load())
	if lost() == 0 {
		t.Error("the cancellers never lost a deadlock")
	}
}

// updateBackwards updates jobs in one transaction, the last first. It writes what is the
// scheduler's own.
func updateBackwards(db *sql.DB, last lifecycle.ID) error {
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	for id := last; id > last-40; id-- {
		if _, err := tx.Exec("UPDATE jobs SET children = children + 1 WHERE id = ?", id); err != nil {
			return err
		}
	}
	return tx.Commit()
}
