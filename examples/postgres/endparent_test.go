package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/examples/postgres"
	"example.com/ess/lifecycle"
)

// A parent that admits children fails in one step only if none of them is live, whether they
// were there before or are being submitted; and after it has ended none comes.
func TestParentEndsAfterChildren(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	const rounds, submitters = 12, 6
	for _, level := range []string{"read committed", "repeatable read", "serializable"} {
		pool, _ := rival(t, map[string]string{"default_transaction_isolation": level})
		var ended, refused, admitted int64
		for round := range rounds {
			store := postgres.New(pool, tables()[round%2])
			root := lifecycle.ID(1 + round*1_000_000)
			if err := store.Submit(ctx, lifecycle.Request{ID: root, Kind: lifecycle.KindParent, State: lifecycle.StateRunning}); err != nil {
				t.Fatal(err)
			}
			canceller := cancel.New(store, nil)
			var next atomic.Int64
			next.Store(int64(root))
			var all sync.WaitGroup
			for i := range submitters {
				all.Go(func() {
					for n := 0; !t.Failed(); n++ {
						// A child that ends at once, so that now and then none is live.
						child := lifecycle.Request{ID: lifecycle.ID(next.Add(1)), Parent: root, Kind: lifecycle.KindChild, State: lifecycle.StateRunning}
						err := submitFor(ctx, pool, store, child, time.Duration(i%3)*time.Millisecond)
						switch {
						case errors.Is(err, esserrors.CodeUnsupportedState):
							return
						case sqlState(err) == "40001" || sqlState(err) == "40P01": // his own transaction has to begin again
							continue
						case err != nil:
							t.Error(err)
							return
						}
						atomic.AddInt64(&admitted, 1)
						if _, err := canceller.Transition(ctx, cancel.Order{ID: child.ID}, lifecycle.TriggerFail); err != nil {
							t.Error(err)
						}
						time.Sleep(time.Duration(n) * time.Millisecond)
					}
				})
			}
			for {
				_, err := canceller.Transition(ctx, cancel.Order{ID: root}, lifecycle.TriggerFail)
				if err == nil {
					break
				}
				if refused++; !errors.Is(err, esserrors.CodeConflict) {
					t.Error(err)
					break
				}
			}
			ended++
			live := queryOne[int](t, pool, `SELECT count(*) FROM ess_requests WHERE parent = $1 AND state <> 'ERROR'`, root)
			all.Wait()
			if live += queryOne[int](t, pool, `SELECT count(*) FROM ess_requests WHERE parent = $1 AND state <> 'ERROR'`, root); live != 0 {
				t.Errorf("%s: a parent has ended above %d live children", level, live)
			}
		}
		t.Logf("%s: %d parents failed, after %d refusals, beside %d children", level, ended, refused, admitted)
	}
}

// submitFor submits a child in a transaction that lasts for a while.
func submitFor(ctx context.Context, pool interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}, store *postgres.Store, child lifecycle.Request, hold time.Duration,
) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if err := store.On(tx).Submit(ctx, child); err != nil {
			return err
		}
		time.Sleep(hold)
		return nil
	})
}

// EndParent waits for a child that is being submitted, and then sees it: whatever the isolation
// of the server, and in a transaction of the caller's.
func TestEndParentSeesTheChildItWaitedFor(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for i, level := range []string{"read committed", "repeatable read", "serializable"} {
		pool, _ := rival(t, map[string]string{"default_transaction_isolation": level})
		for _, inTx := range []bool{false, true} {
			for _, table := range tables() {
				mustExec(t, pool, `TRUNCATE ess_requests`)
				store := postgres.New(pool, table)
				root := lifecycle.Request{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateRunning}
				if err := store.Submit(ctx, root); err != nil {
					t.Fatal(err)
				}
				fails := cancel.Change{Old: root, Trigger: lifecycle.TriggerFail, State: lifecycle.StateError, Cause: cancel.Cause{Root: 1, Time: moment}}
				end := func() (made bool, err error) {
					if !inTx {
						return store.EndParent(ctx, fails)
					}
					err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
						made, err = store.On(tx).EndParent(ctx, fails)
						return err
					})
					return made, err
				}
				refuses := inTx && i > 0 // it could not see it
				said := make(chan string, 1)
				err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
					child := lifecycle.Request{ID: 2, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateWait}
					if err := store.On(tx).Submit(ctx, child); err != nil {
						return err
					}
					go func() {
						made, err := end()
						said <- fmt.Sprint(made, " ", err != nil)
					}()
					if !refuses {
						eventually(t, "it waits", func() bool {
							return queryOne[int](t, pool, `SELECT count(*) FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`) > 0
						})
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if got, want := <-said, fmt.Sprint(false, " ", refuses); got != want {
					t.Errorf("%s, in a transaction %v: EndParent made it, failed: %s, want %s", level, inTx, got, want)
				}
				mustExec(t, pool, `UPDATE ess_requests SET state = 'SUCCEEDED' WHERE id = 2`)
				if made, err := end(); made == refuses || (err != nil) != refuses {
					t.Errorf("%s, in a transaction %v: EndParent after the last child = %v, %v", level, inTx, made, err)
				}
			}
		}
	}
}

// In a stricter transaction of the caller's, a child that somebody has inserted since it began
// cannot be seen. A cancel refuses to work on that.
func TestStrictTransactionDoesNotLeaveChildBehind(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := setup(t)
	store := postgres.New(pool, postgres.DefaultTable())
	for _, level := range []pgx.TxIsoLevel{pgx.RepeatableRead, pgx.Serializable} {
		mustExec(t, pool, `TRUNCATE ess_requests`)
		for _, r := range []lifecycle.Request{
			{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateRunning},
			{ID: 2, Parent: 1, Kind: lifecycle.KindParent, State: lifecycle.StateRunning},
		} {
			if err := store.Submit(ctx, r); err != nil {
				t.Fatal(err)
			}
		}
		for _, id := range []lifecycle.ID{2, 1} {
			err := pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: level}, func(tx pgx.Tx) error {
				inTx := store.On(tx)
				if _, err := inTx.Get(ctx, 1); err != nil { // takes the snapshot
					return err
				}
				child := lifecycle.Request{ID: 10 + id, Parent: id, Kind: lifecycle.KindChild, State: lifecycle.StateWait}
				if err := store.Submit(ctx, child); err != nil {
					return err
				}
				_, err := cancel.New(inTx, nil).Cancel(ctx, cancel.Order{ID: 1})
				return err
			})
			if !errors.Is(err, esserrors.CodeSystem) {
				t.Errorf("%s: Cancel = %v, want an error", level, err)
			}
			for id := range []lifecycle.ID{1, 2} {
				if r, err := store.Get(ctx, lifecycle.ID(id+1)); err != nil || r.State != lifecycle.StateRunning {
					t.Errorf("%s: request %d is %v, %v, want RUNNING", level, id+1, r.State, err)
				}
			}
		}
	}
}
