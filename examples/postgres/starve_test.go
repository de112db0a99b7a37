package postgres_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/examples/postgres"
	"example.com/ess/lifecycle"
)

// hold is how long each transaction that submits a child has something else to do.
const hold = 20 * time.Millisecond

// A crowd submits children without a pause, until it is refused.
type crowd struct {
	*testing.T
	pool  *pgxpool.Pool
	next  atomic.Int64
	alone bool // by Submit, and not in transactions of their own
	work  sync.WaitGroup
	mu    sync.Mutex
	took  []time.Duration // what each transaction took
	first chan struct{}   // closed with the first child
	once  sync.Once
}

func (c *crowd) submit(store *postgres.Store, parent lifecycle.ID, n int) {
	for range n {
		c.work.Go(func() {
			for {
				began := time.Now()
				if err := c.child(context.Background(), store, parent); err != nil {
					if !errors.Is(err, esserrors.CodeUnsupportedState) {
						c.Error(err)
					}
					return
				}
				c.once.Do(func() { close(c.first) })
				c.mu.Lock()
				c.took = append(c.took, time.Since(began))
				c.mu.Unlock()
			}
		})
	}
}

func (c *crowd) child(ctx context.Context, store *postgres.Store, parent lifecycle.ID) error {
	child := lifecycle.Request{ID: lifecycle.ID(c.next.Add(1)), Parent: parent, Kind: lifecycle.KindChild, State: lifecycle.StateWait}
	if c.alone {
		return store.Submit(ctx, child)
	}
	return pgx.BeginFunc(ctx, c.pool, func(tx pgx.Tx) error {
		if err := store.On(tx).Submit(ctx, child); err != nil {
			return err
		}
		time.Sleep(hold)
		return nil
	})
}

// median returns the middle of some times.
func median(times []time.Duration) time.Duration {
	times = slices.Sorted(slices.Values(times))
	return times[len(times)/2]
}

// However many submit children to one parent, and however long each holds his transaction, a
// cancel waits for those who have got in, and not for who comes later. So it is, too, where
// the busy parent is somewhere below the one that is cancelled.
func TestSubmittersDoNotStarveCancel(t *testing.T) {
	const tries = 7
	config := newDatabase(t, serverURL)
	config.MaxConns = 60
	pool := newPool(t, config)
	if err := postgres.Migrate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	c := &crowd{T: t, pool: pool}
	for _, below := range []bool{false, true} {
		for _, submitters := range []int{1, 4, 16, 48} {
			var waits, takes []time.Duration
			for try := range tries {
				store := postgres.New(pool, tables()[try%2])
				wait, take := c.race(store, below, submitters)
				waits, takes = append(waits, wait), append(takes, take)
			}
			ratio := float64(median(waits)) / float64(median(takes))
			t.Logf("%2d submitters, parent below the cancelled one: %5v: a transaction takes %v, the cancel %v, %.1f times as long (at most %v)",
				submitters, below, median(takes), median(waits), ratio, slices.Max(waits))
			most := 100.0
			if submitters > 16 {
				most = 200 // here it is the machine that all wait for
			}
			if ratio > most {
				t.Errorf("with %d submitters a cancel takes %.1f times as long as one of their transactions, want at most %.0f", submitters, ratio, most)
			}
		}
	}
}

// race returns how long a cancel takes beside some submitters, and a transaction of theirs.
func (c *crowd) race(store *postgres.Store, below bool, submitters int) (wait, take time.Duration) {
	c.Helper()
	ctx := c.Context()
	root := lifecycle.ID(c.next.Add(1))
	parent := root
	requests := []lifecycle.Request{{ID: root, Kind: lifecycle.KindParent, State: lifecycle.StateRunning}}
	if below {
		parent = lifecycle.ID(c.next.Add(1))
		requests = append(requests, lifecycle.Request{ID: parent, Parent: root, Kind: lifecycle.KindParent, State: lifecycle.StateRunning})
	}
	for _, r := range requests {
		if err := store.Submit(ctx, r); err != nil {
			c.Fatal(err)
		}
	}
	c.took, c.first, c.once = nil, make(chan struct{}), sync.Once{}
	c.submit(store, parent, submitters)
	<-c.first
	time.Sleep(3 * hold / 2) // all are at it
	ctx, stop := context.WithTimeout(ctx, 20*time.Second)
	defer stop()
	began := time.Now()
	var err error
	if below {
		_, err = store.CancelChildren(ctx, cancel.ChildCancel{
			Query: cancel.ChildQuery{Parents: []lifecycle.ID{root}, States: lifecycle.Live, Limit: 10},
			Cause: cancel.Cause{Root: root, Time: moment},
		})
	} else {
		_, err = cancel.New(store, nil).Fence(ctx, cancel.Order{ID: root})
	}
	wait = time.Since(began)
	if err != nil {
		c.Errorf("beside %d submitters: %v", submitters, err)
		mustExec(c, c.pool, `UPDATE ess_requests SET state = 'CANCELLING' WHERE kind = 'PARENT'`)
	}
	c.work.Wait()
	return wait, median(c.took)
}

// Other changes of a busy parent get their turn as well, and so does the cancel beside those who
// submit by single statements.
func TestSubmittersDoNotStarveOthers(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	config := newDatabase(t, serverURL)
	config.MaxConns = 40
	pool := newPool(t, config)
	if err := postgres.Migrate(ctx, pool); err != nil {
		t.Fatal(err)
	}
	for _, alone := range []bool{false, true} {
		for name, change := range map[string]func(*postgres.Store, cancel.Change) (bool, error){
			"Apply": func(store *postgres.Store, ch cancel.Change) (bool, error) {
				made, err := store.Apply(ctx, []cancel.Change{ch})
				return len(made) == 1 && made[0], err
			},
			"EndParent": func(store *postgres.Store, ch cancel.Change) (bool, error) { return store.EndParent(ctx, ch) },
		} {
			mustExec(t, pool, `TRUNCATE ess_requests`)
			store := postgres.New(pool, postgres.DefaultTable())
			parent := lifecycle.Request{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateRunning}
			if err := store.Submit(ctx, parent); err != nil {
				t.Fatal(err)
			}
			c := &crowd{T: t, pool: pool, alone: alone, first: make(chan struct{})}
			c.next.Store(1)
			c.submit(store, 1, 16)
			<-c.first
			time.Sleep(hold)
			began := time.Now()
			made, err := change(store, cancel.Change{Old: parent, Trigger: lifecycle.TriggerComplete, State: lifecycle.StateCompleted})
			if took := time.Since(began); err != nil || made != (name == "Apply") || took > 5*time.Second {
				t.Errorf("%s beside 16 submitters (single statements: %v) = %v, %v, after %v", name, alone, made, err, took)
			}
			mustExec(t, pool, `UPDATE ess_requests SET state = 'COMPLETED' WHERE id = 1`)
			c.work.Wait()
		}
	}
}
