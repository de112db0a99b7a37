package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/simulate"
	"example.com/ess/examples/mysql"
	"example.com/ess/examples/mysql/mariadb"
	"example.com/ess/lifecycle"
)

// syncWait makes reads and writes on a node wait for all that has been committed on any node.
const syncWait = "?wsrep_sync_wait=7"

// Three nodes of one cluster. The subtests run one after the other; the last two take nodes
// away.
func TestGalera(t *testing.T) {
	t.Parallel()
	nodes, err := mariadb.StartCluster(t.Context(), 3, mariadb.Options{Fast: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, n := range nodes {
			if err := n.Stop(); err != nil {
				t.Error(err)
			}
		}
	})
	g := &galera{nodes: nodes}
	t.Run("Admission", g.admission)
	t.Run("Contract", g.contract)
	t.Run("StaleReads", g.staleReads)
	t.Run("Races", g.races)
	t.Run("CancelledThroughAll", g.cancelledThroughAll)
	t.Run("Minority", g.minority)
	t.Run("NodesKilled", g.nodesKilled)
}

type galera struct{ nodes []*mariadb.Server }

// open makes a database and returns connections to it on each of the nodes.
func (g *galera) open(t *testing.T, parameters string) (dbs []*sql.DB) {
	t.Helper()
	name := strings.TrimPrefix(newDatabase(t, g.nodes[0]), g.nodes[0].DSN(""))
	for _, n := range g.nodes {
		mustExec(t, open(t, n.DSN("")+syncWait), "SELECT 1") // to connect to a database does not wait for it
		dbs = append(dbs, open(t, n.DSN(name)+parameters))
	}
	return dbs
}

// database is open with the table jobs.
func (g *galera) database(t *testing.T) []*sql.DB {
	t.Helper()
	dbs := g.open(t, syncWait)
	mustExec(t, dbs[0], mysql.Schema)
	return dbs
}

// A rotation calls another node each time.
type rotation struct {
	stores []*mysql.Store
	calls  atomic.Int64
}

func (r *rotation) next() *mysql.Store { return r.stores[int(r.calls.Add(1))%len(r.stores)] }

func (r *rotation) Get(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
	return r.next().Get(ctx, id)
}

func (r *rotation) Children(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
	return r.next().Children(ctx, q)
}

func (r *rotation) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	return r.next().Apply(ctx, changes)
}

func (r *rotation) CancelChildren(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
	return r.next().CancelChildren(ctx, c)
}

func (r *rotation) ListCancelling(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
	return r.next().ListCancelling(ctx, after, limit)
}

func (r *rotation) Cause(ctx context.Context, id lifecycle.ID) (cancel.Cause, error) {
	return r.next().Cause(ctx, id)
}

func (r *rotation) EndParent(ctx context.Context, ch cancel.Change) (bool, error) {
	return r.next().EndParent(ctx, ch)
}

func (r *rotation) Submit(ctx context.Context, request lifecycle.Request) (lifecycle.ID, error) {
	return r.next().Submit(ctx, request)
}

// harness has each call go to another node.
func (g *galera) harness(t *testing.T, parameters string) canceltest.Harness {
	t.Helper()
	dbs := g.open(t, parameters)
	return (&shelf{db: dbs[0], schema: mysql.Schema, store: func(table string) cancel.Repository {
		r := &rotation{}
		for _, db := range dbs {
			r.stores = append(r.stores, mysql.New(db, table))
		}
		return r
	}}).harness()
}

// With every call on another node the store does what package cancel asks for.
func (g *galera) contract(t *testing.T) {
	canceltest.Run(t, g.harness(t, syncWait))
	simulate.RunStorm(t, g.harness(t, syncWait), &simulate.StormOptions{Storms: 2})
}

// Without wsrep_sync_wait a node answers as of what it has applied. Here one is kept from
// applying anything, as a long statement does.
func (g *galera) staleReads(t *testing.T) {
	dbs := g.database(t)
	name := queryOne[string](t, dbs[1], "SELECT DATABASE()")
	unsynced := open(t, g.nodes[1].DSN(name))
	if err := insert(t.Context(), dbs[0], "jobs", parse(t, "1 SINGLETON RUNNING")); err != nil {
		t.Fatal(err)
	}
	r, err := mysql.New(dbs[1], "jobs").Get(t.Context(), 1)
	if err != nil || r.State != lifecycle.StateRunning {
		t.Fatal(r, err)
	}
	lock, err := unsynced.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	mustExec(t, lock, "FLUSH TABLES WITH READ LOCK")
	if _, err := cancel.New(mysql.New(dbs[0], "jobs"), nil).Cancel(t.Context(), cancel.Order{ID: 1}); err != nil {
		t.Fatal(err)
	}
	if r, err := mysql.New(unsynced, "jobs").Get(t.Context(), 1); err != nil || r.State != lifecycle.StateRunning {
		t.Errorf("without wsrep_sync_wait the other node says %v, %v, want the old RUNNING", r.State, err)
	}
	answer := make(chan lifecycle.State)
	go func() {
		r, err := mysql.New(dbs[1], "jobs").Get(context.Background(), 1)
		if err != nil {
			t.Error(err)
		}
		answer <- r.State
	}()
	select {
	case s := <-answer:
		t.Errorf("with wsrep_sync_wait the other node says %v without waiting", s)
	case <-time.After(300 * time.Millisecond):
		mustExec(t, lock, "UNLOCK TABLES")
		if s := <-answer; s != lifecycle.StateCancelling {
			t.Errorf("with wsrep_sync_wait the other node says %v, want CANCELLING", s)
		}
	}

	err = canceltest.Check(t.Context(), g.harness(t, ""))
	if err == nil || !strings.Contains(err.Error(), "Apply/ReadsSeeIt failed") {
		t.Errorf("Check without wsrep_sync_wait = %.1000v, want Apply/ReadsSeeIt to fail", err)
	}
}

func (g *galera) races(t *testing.T) {
	s := &scheduler{TB: t, dbs: g.database(t)}
	s.races(20)
}

// Everybody cancels the same trees, through all nodes at once, and the work answers through
// others.
func (g *galera) cancelledThroughAll(t *testing.T) {
	dbs := g.database(t)
	f := &field{T: t, db: dbs[0]}
	const rounds = 3
	kept := 0
	for range rounds {
		f.plant()
		acks := answers{}
		var mu sync.Mutex
		var all sync.WaitGroup
		for i := range 6 {
			all.Go(func() {
				w := newWorld(dbs[i%3])
				if _, err := w.canceller.Cancel(t.Context(), cancel.Order{ID: f.root, Actor: fmt.Sprint("canceller ", i)}); err != nil {
					t.Error(err)
				}
				w.work.Wait()
				mu.Lock()
				defer mu.Unlock()
				maps.Copy(acks, w.acks)
			})
		}
		all.Wait()
		snap := f.snapshot()
		if err := errors.Join(canceltest.CheckQuiet(snap), canceltest.CheckCancelled(snap, f.root)); err != nil {
			t.Errorf("after all have succeeded: %v", err)
		}
		f.harvest(acks)
		kept += len(acks)
	}
	t.Logf("6 cancellers through 3 nodes succeeded %d times; %d answers, none lost", rounds, kept)
}

// A node that is cut off from the others neither cancels nor answers; the majority does. When
// the node is back, it knows.
func (g *galera) minority(t *testing.T) {
	dbs := g.database(t)
	f := &field{T: t, db: dbs[0]}
	f.plant()
	if err := g.nodes[2].Isolate(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	cutOff := mysql.New(dbs[2], "jobs")
	_, err := cancel.New(cutOff, nil).Cancel(ctx, cancel.Order{ID: f.root})
	if n := f.changed(); err == nil || n > 0 {
		t.Errorf("Cancel in the minority = %v, and %d jobs have changed", err, n)
	}
	w := newWorld(dbs[1])
	if _, err := w.canceller.Cancel(ctx, cancel.Order{ID: f.root}); err != nil {
		t.Errorf("Cancel in the majority = %v", err)
	}
	w.work.Wait()
	r, refused := cutOff.Get(ctx, f.root)
	if refused == nil {
		t.Errorf("Get in the minority = %v, want an error rather than what was so before", r.State)
	}
	if err := g.nodes[2].Isolate(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	for again := refused; again != nil && ctx.Err() == nil; _, again = cutOff.Get(ctx, f.root) {
		time.Sleep(50 * time.Millisecond)
	}
	f.db = dbs[2]
	f.harvest(w.acks)
	t.Logf("in the minority, Cancel failed (%v), and Get (%v); %d answers through the majority, none lost", err, refused, len(w.acks))
}

// Nodes are killed in the middle of cascades that run through them. Others go on.
func (g *galera) nodesKilled(t *testing.T) {
	dbs := g.database(t)
	f := &field{T: t}
	inTheMiddle, kept := 0, 0
	for _, victim := range []int{2, 1} {
		f.db = dbs[0]
		f.plant()
		w := newWorld(dbs[victim])
		done := make(chan struct{})
		var failed error
		go func() {
			defer close(done)
			_, failed = w.canceller.Cancel(context.Background(), cancel.Order{ID: f.root})
		}()
		f.someChanges(done)
		if err := g.nodes[victim].Kill(); err != nil {
			t.Fatal(err)
		}
		<-done
		w.work.Wait()
		if failed != nil {
			inTheMiddle++
		}
		f.harvest(w.acks)
		kept += len(w.acks)
		if victim == 2 {
			if err := g.nodes[victim].Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			f.db = dbs[victim]
			f.harvest(w.acks)
		}
	}
	t.Logf("2 nodes were killed, %d in the middle of a cascade; %d answers, none lost", inTheMiddle, kept)
}
