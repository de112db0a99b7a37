package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/examples/postgres"
	"example.com/ess/examples/postgres/pgserver"
	"example.com/ess/lifecycle"
)

// tables returns the table with and without an audit trail: each is cancelled in
// another way.
func tables() []postgres.Table { return []postgres.Table{postgres.DefaultTable(), {}} }

// The process that cancels is killed in the middle of it, at random points, and
// another goes on.
func TestProcessKilled(t *testing.T) {
	t.Parallel()
	const times = 20
	config := newDatabase(t, serverURL)
	pool := newPool(t, config)
	if err := postgres.Migrate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	var inTheMiddle, before, after, answers int
	for i := range times {
		f := newField(t, pool, tables()[i%2])
		planted := plant(t, pool, f.table)
		job := errand{URL: serverURL, Database: config.ConnConfig.Database, Table: f.table, Root: planted[0].ID}
		p := send(t, job)
		// How far it comes is not a matter of time, on a machine that has other
		// things to do: it is killed when so many requests have been changed.
		f.waitForChanges(planted, 1+rand.IntN(len(planted)*3/4), p.done)
		unfinished := p.kill()
		switch changed := f.changed(planted); {
		case changed == 0:
			before++
		case unfinished:
			inTheMiddle++
		default:
			after++
		}
		job.Resume = true
		next := send(t, job)
		next.wait(t)
		maps.Copy(p.acks, next.acks)
		f.harvest(planted, p.acks)
		answers += len(p.acks)
	}
	t.Logf("a process was killed %d times: %d in the middle of a cascade, %d before it, %d after it; %d answers, none lost", times, inTheMiddle, before, after, answers)
	if inTheMiddle < times/2 {
		t.Errorf("only %d of %d processes were killed in the middle of a cascade", inTheMiddle, times)
	}
}

// waitForChanges waits until so many requests have been changed, or done is closed.
func (f *field) waitForChanges(planted []lifecycle.Request, n int, done <-chan struct{}) {
	f.Helper()
	for f.changed(planted) < n {
		select {
		case <-done:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// changed returns how many requests are not in the state in which they were planted.
func (f *field) changed(planted []lifecycle.Request) int {
	f.Helper()
	var unchanged int
	for state, ids := range byState(planted) {
		unchanged += queryOne[int](f, f.pool, `SELECT count(*) FROM `+tableName(f.table).Sanitize()+` WHERE id = ANY ($1) AND state = $2`, ids, state.String())
	}
	return len(planted) - unchanged
}

func byState(requests []lifecycle.Request) map[lifecycle.State][]lifecycle.ID {
	m := map[lifecycle.State][]lifecycle.ID{}
	for _, r := range requests {
		m[r.State] = append(m[r.State], r.ID)
	}
	return m
}

// The server is killed in the middle of cascades, with all its processes, and
// started again.
func TestServerKilled(t *testing.T) {
	t.Parallel()
	const times = 6
	ctx := t.Context()
	server, err := pgserver.Start(ctx, pgserver.Options{}) // what it has acknowledged has to last
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	config := newDatabase(t, server.URL())
	pool := newPool(t, config)
	if err := postgres.Migrate(ctx, pool); err != nil {
		t.Fatal(err)
	}
	var inTheMiddle, answers int
	for i := range times {
		f := newField(t, pool, tables()[i%2])
		planted := plant(t, pool, f.table)
		w := newWorld(pool, f.table)
		done := make(chan struct{})
		var failed error
		go func() {
			defer close(done)
			_, failed = w.canceller.Cancel(ctx, cancel.Order{ID: planted[0].ID, Actor: "ann"})
		}()
		f.waitForChanges(planted, 1+rand.IntN(len(planted)*3/4), done)
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		<-done
		w.stopWorkers()
		if failed != nil {
			inTheMiddle++
		}
		if err := server.Restart(ctx); err != nil {
			t.Fatal(err)
		}
		pool.Reset()
		next := send(t, errand{URL: server.URL(), Database: config.ConnConfig.Database, Table: f.table, Resume: true})
		next.wait(t)
		maps.Copy(w.acks, next.acks)
		f.harvest(planted, w.acks)
		answers += len(w.acks)
	}
	t.Logf("the server was killed %d times, %d in the middle of a cascade; %d answers, none lost", times, inTheMiddle, answers)
	if inTheMiddle == 0 {
		t.Error("the server was never killed in the middle of a cascade")
	}
}

// Connections are cut, one after the other, while several cancel.
func TestConnectionsCut(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	config := newDatabase(t, serverURL)
	pool, knife := newPool(t, config), newPool(t, config.Copy())
	if err := postgres.Migrate(ctx, pool); err != nil {
		t.Fatal(err)
	}
	for _, table := range tables() {
		f := newField(t, knife, table)
		planted := plant(t, pool, table)
		var cut int
		stop := make(chan struct{})
		var cutter sync.WaitGroup
		cutter.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Duration(1+rand.IntN(10)) * time.Millisecond):
				}
				tag, err := knife.Exec(ctx, `
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND query LIKE '%ess_requests%' AND query NOT LIKE '%pg_stat_activity%' AND state = 'active' LIMIT 1`)
				if err != nil {
					t.Error(err)
					return
				}
				cut += int(tag.RowsAffected())
			}
		})
		var failed atomic.Int64
		var cancellers sync.WaitGroup
		var worlds []*world
		for range 4 {
			w := newWorld(pool, table)
			worlds = append(worlds, w)
			cancellers.Go(func() {
				defer w.stopWorkers()
				if _, err := w.canceller.Cancel(ctx, cancel.Order{ID: planted[0].ID, Actor: "ann"}); err != nil {
					failed.Add(1)
				}
			})
		}
		cancellers.Wait()
		close(stop)
		cutter.Wait()
		acks := map[lifecycle.ID]lifecycle.State{}
		for _, w := range worlds {
			maps.Copy(acks, w.acks)
		}
		f.harvest(planted, acks)
		t.Logf("%d connections were cut, and %d of 4 cancellers failed (audit trail: %v); %d answers, none lost", cut, failed.Load(), table.Audit != nil, len(acks))
		if cut == 0 {
			t.Error("no connection was cut")
		}
	}
}

// 32 cancel the same tree over one connection, and then over two.
func TestFullPool(t *testing.T) {
	t.Parallel()
	const cancellers = 32
	for size := int32(1); size <= 2; size++ {
		config := newDatabase(t, serverURL)
		config.MaxConns = size
		pool := newPool(t, config)
		if err := postgres.Migrate(t.Context(), pool); err != nil {
			t.Fatal(err)
		}
		for _, table := range tables() {
			f := newField(t, pool, table)
			planted := plant(t, pool, table)
			f.cancelTogether(planted, cancellers, smallPage)
			f.harvest(planted, nil)
		}
		t.Logf("%d cancellers on %d connections: all succeeded, twice", cancellers, size)
	}
}

// cancelTogether has several cancel a tree at once. All have to succeed, and to leave
// nothing to Resume.
func (f *field) cancelTogether(planted []lifecycle.Request, cancellers, pageSize int) {
	f.Helper()
	var all sync.WaitGroup
	for i := range cancellers {
		all.Go(func() {
			c := cancel.New(f.store, &cancel.Options{PageSize: pageSize})
			if _, err := c.Cancel(f.Context(), cancel.Order{ID: planted[0].ID, Actor: fmt.Sprint("canceller ", i)}); err != nil {
				f.Error(err)
			}
		})
	}
	all.Wait()
	snap := f.snapshot(planted[0].ID)
	if err := errors.Join(canceltest.CheckQuiet(snap), canceltest.CheckCancelled(snap, planted[0].ID)); err != nil {
		f.Errorf("after all have succeeded: %v", err)
	}
}

// A counter counts errors of statements by their SQLSTATE.
type counter struct {
	mu    sync.Mutex
	codes map[string]int
}

func (c *counter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

func (c *counter) TraceQueryEnd(_ context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	c.count(data.Err)
}

func (c *counter) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

func (c *counter) TraceBatchQuery(_ context.Context, _ *pgx.Conn, data pgx.TraceBatchQueryData) {
	c.count(data.Err)
}

func (c *counter) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

func (c *counter) count(err error) {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.codes[e.Code]++
	}
}

func (c *counter) of(code string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.codes[code]
}

// rival is a pool whose transactions conflict easily, and counts how often they do.
func rival(t *testing.T, parameters map[string]string) (*pgxpool.Pool, *counter) {
	t.Helper()
	config := newDatabase(t, serverURL)
	maps.Copy(config.ConnConfig.RuntimeParams, parameters)
	c := &counter{codes: map[string]int{}}
	config.ConnConfig.Tracer = c
	config.MaxConns = 16
	pool := newPool(t, config)
	if err := postgres.Migrate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	return pool, c
}

// Several cancel the same tree in the strictest isolation, where PostgreSQL lets one
// of two that touch the same rows fail.
func TestSerializationFailures(t *testing.T) {
	t.Parallel()
	for _, level := range []string{"serializable", "repeatable read"} {
		pool, c := rival(t, map[string]string{"default_transaction_isolation": level})
		for _, table := range tables() {
			f := newField(t, pool, table)
			planted := plant(t, pool, table)
			f.cancelTogether(planted, 8, smallPage)
			f.harvest(planted, nil)
		}
		t.Logf("%s: 8 cancellers at once succeeded, twice, over %d serialization failures", level, c.of("40001"))
		if c.of("40001") == 0 {
			t.Errorf("%s: there was no serialization failure", level)
		}
	}
}

// Two cancel the same tree while the scheduler itself updates many of its requests
// at a time, in the opposite order.
func TestDeadlocks(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool, c := rival(t, map[string]string{"deadlock_timeout": "10ms"})
	var updates, victims atomic.Int64
	lost := func() int { return c.of("40P01") - int(victims.Load()) }
	rounds := 0
	for ; rounds < 6 || rounds < 60 && lost() == 0; rounds++ {
		f := newField(t, pool, tables()[rounds%2])
		planted := plant(t, pool, f.table)
		stop := make(chan struct{})
		var scheduler sync.WaitGroup
		for range 2 {
			scheduler.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					switch err := updateBackwards(ctx, pool, planted); {
					case err == nil:
						updates.Add(1)
					case isDeadlock(err):
						victims.Add(1)
					default:
						t.Error(err)
					}
				}
			})
		}
		f.cancelTogether(planted, 2, 200)
		close(stop)
		scheduler.Wait()
		f.harvest(planted, nil)
	}
	t.Logf("2 cancellers succeeded %d times beside %d opposite updates; of the deadlocks they lost %d, and the updates %d", rounds, updates.Load(), lost(), victims.Load())
	if lost() == 0 {
		t.Error("the cancellers never lost a deadlock")
	}
}

// updateBackwards updates some of the requests in one transaction, the last first.
// It writes what is the scheduler's own: the states stay as they are.
func updateBackwards(ctx context.Context, pool *pgxpool.Pool, planted []lifecycle.Request) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		last := planted[40+rand.IntN(len(planted)-40)].ID
		for id := last; id > last-40; id-- {
			if _, err := tx.Exec(ctx, `UPDATE ess_requests SET kind = kind WHERE id = $1`, id); err != nil {
				return err
			}
		}
		return nil
	})
}

func isDeadlock(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == "40P01"
}
