package postgres_test

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	esserrors "example.com/ess/errors"
	"example.com/ess/examples/postgres"
	"example.com/ess/lifecycle"
)

var errRollback = errors.New("changed my mind")

// A cancel in a transaction of the caller's happens with it or not at all.
func TestCancelInTransaction(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := setup(t)
	for _, table := range tables() {
		f := newField(t, pool, table)
		planted := plant(t, pool, table)
		root := planted[0].ID
		before := f.snapshot(root)

		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			store := postgres.New(tx, table)
			if _, err := cancel.New(store, nil).Cancel(ctx, cancel.Order{ID: root}); err != nil {
				return err
			}
			if r, err := store.Get(ctx, root); err != nil || r.State != lifecycle.StateCancelling {
				t.Errorf("in the transaction the root is %v, %v, want CANCELLING", r.State, err)
			}
			return errRollback
		})
		if !errors.Is(err, errRollback) {
			t.Fatal(err)
		}
		for id, r := range f.snapshot(root) {
			if r != before[id] {
				t.Errorf("after the rollback, request %d is %+v, want %+v", id, r, before[id])
			}
		}
		if n := queryOne[int](t, pool, `SELECT count(*) FROM ess_audit`); n != 0 {
			t.Errorf("after the rollback, the audit trail has %d rows", n)
		}

		err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			_, err := cancel.New(postgres.New(tx, table), nil).Cancel(ctx, cancel.Order{ID: root})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		snap := f.snapshot(root)
		if err := errors.Join(canceltest.CheckCancelled(snap, root), canceltest.CheckQuiet(snap)); err != nil {
			t.Error(err)
		}
		mustExec(t, pool, `TRUNCATE ess_requests, ess_audit`)
	}
}

// Two answers that are the last of a tree, each in a transaction of its own, do not
// see one another. This is what the README says about it: Resume ends the parent.
func TestLastAnswersInTwoTransactions(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := setup(t)
	store := postgres.New(pool, postgres.DefaultTable())
	for _, r := range []lifecycle.Request{
		{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateRunning},
		{ID: 2, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateRunning},
		{ID: 3, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateRunning},
	} {
		if err := store.Submit(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	canceller := cancel.New(store, nil)
	if _, err := canceller.Cancel(ctx, cancel.Order{ID: 1}); err != nil {
		t.Fatal(err)
	}
	var txs []pgx.Tx
	for id := lifecycle.ID(2); id <= 3; id++ {
		tx, err := pool.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		txs = append(txs, tx)
		c := cancel.New(store.On(tx), nil)
		if _, err := c.Acknowledge(ctx, cancel.Order{ID: id}, lifecycle.StateSucceeded); err != nil {
			t.Fatal(err)
		}
	}
	for _, tx := range txs {
		if err := tx.Commit(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := store.Get(ctx, 1); err != nil || r.State != lifecycle.StateCancelling {
		t.Errorf("after both commits the parent is %v, %v, want CANCELLING", r.State, err)
	}
	if _, err := canceller.Resume(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if r, err := store.Get(ctx, 1); err != nil || r.State != lifecycle.StateCancelled {
		t.Errorf("after Resume the parent is %v, %v, want CANCELLED", r.State, err)
	}
}

// A transaction that PostgreSQL has rolled back is not tried again behind the back of
// the caller.
func TestNoRetryInTransaction(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := setup(t)
	store := postgres.New(pool, postgres.DefaultTable())
	if err := store.Submit(ctx, lifecycle.Request{ID: 1, Kind: lifecycle.KindSingleton, State: lifecycle.StateWait}); err != nil {
		t.Fatal(err)
	}
	err := pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
		inTx := store.On(tx)
		if _, err := inTx.Get(ctx, 1); err != nil { // takes the snapshot
			return err
		}
		if _, err := cancel.New(store, nil).Cancel(ctx, cancel.Order{ID: 1}); err != nil {
			return err
		}
		_, err := cancel.New(inTx, nil).Cancel(ctx, cancel.Order{ID: 1})
		return err
	})
	if !errors.Is(err, esserrors.CodeSystem) || sqlState(err) != "40001" {
		t.Errorf("Cancel in a transaction that was overtaken = %v, want a serialization failure", err)
	}
}
