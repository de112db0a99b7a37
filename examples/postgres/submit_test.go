package postgres_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	esserrors "example.com/ess/errors"
	"example.com/ess/examples/postgres"
	"example.com/ess/lifecycle"
)

func sqlState(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// Submit and Admit say the same as the rule, for parents of every kind in every state.
func TestSubmitAsTheRuleSays(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := setup(t)
	store := postgres.New(pool, postgres.DefaultTable())
	id := lifecycle.ID(1)
	for kind := range lifecycle.Kinds() {
		for state := range lifecycle.States() {
			parent := lifecycle.Request{ID: id, Kind: kind, State: state}
			child := lifecycle.Request{ID: id + 1, Parent: id, Kind: lifecycle.KindChild, State: lifecycle.StateWait}
			id += 2
			if err := store.Submit(ctx, parent); err != nil {
				t.Fatal(err)
			}
			admitErr := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
				return store.On(tx).Admit(ctx, parent.ID)
			})
			submitErr := store.Submit(ctx, child)
			_, getErr := store.Get(ctx, child.ID)
			if lifecycle.AdmitsChildren(kind, state) {
				if err := errors.Join(admitErr, submitErr, getErr); err != nil {
					t.Errorf("a child of a %v in %v: %v", kind, state, err)
				}
			} else if !errors.Is(admitErr, esserrors.CodeUnsupportedState) || !errors.Is(submitErr, esserrors.CodeUnsupportedState) || !errors.Is(getErr, cancel.ErrNotFound) {
				t.Errorf("a child of a %v in %v: Admit: %v, Submit: %v, Get: %v", kind, state, admitErr, submitErr, getErr)
			}
		}
	}
	orphan := lifecycle.Request{ID: id, Parent: id + 1, Kind: lifecycle.KindChild, State: lifecycle.StateWait}
	if err := store.Submit(ctx, orphan); !errors.Is(err, esserrors.CodeNotFound) {
		t.Errorf("Submit under a parent that does not exist = %v, want not found", err)
	}
	parent := lifecycle.Request{ID: id, Kind: lifecycle.KindParent, State: lifecycle.StateRunning}
	if err := store.Submit(ctx, parent); err != nil {
		t.Fatal(err)
	}
	if err := store.Admit(ctx, parent.ID); err == nil {
		t.Error("Admit outside of a transaction succeeded")
	}
}

// A cancel that comes while a child is being inserted waits, and then cancels it.
func TestCancelWaitsForChild(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := setup(t)
	store := postgres.New(pool, postgres.DefaultTable())
	if err := store.Submit(ctx, lifecycle.Request{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateRunning}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		child := lifecycle.Request{ID: 2, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateWait}
		if err := store.On(tx).Submit(ctx, child); err != nil {
			return err
		}
		go func() {
			_, err := cancel.New(store, nil).Cancel(ctx, cancel.Order{ID: 1})
			done <- err
		}()
		select {
		case err := <-done:
			t.Errorf("Cancel did not wait for the child: %v", err)
			done <- err
		case <-time.After(200 * time.Millisecond):
		}
		return nil
	})
	if err := errors.Join(err, <-done); err != nil {
		t.Fatal(err)
	}
	for id := lifecycle.ID(1); id <= 2; id++ {
		if r, err := store.Get(ctx, id); err != nil || r.State != lifecycle.StateCancelled {
			t.Errorf("request %d is %v, %v, want CANCELLED", id, r.State, err)
		}
	}
}

// However many insert children while their parent is cancelled, none slips in: after
// Cancel has returned, no child below it is live, and none comes. And however many
// insert, the cancel gets its turn.
func TestNoChildSlipsIn(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := setup(t)
	const rounds, submitters = 20, 12
	var admitted, refused atomic.Int64
	var longest time.Duration
	for round := range rounds {
		table := tables()[round%2]
		store := postgres.New(pool, table)
		root := lifecycle.ID(1 + round*1_000_000)
		sub := root + 1
		for _, r := range []lifecycle.Request{
			{ID: root, Kind: lifecycle.KindParent, State: lifecycle.StateRunning},
			{ID: sub, Parent: root, Kind: lifecycle.KindParent, State: lifecycle.StateRunning},
		} {
			if err := store.Submit(ctx, r); err != nil {
				t.Fatal(err)
			}
		}
		var next atomic.Int64
		next.Store(int64(sub))
		var all sync.WaitGroup
		for i := range submitters {
			all.Go(func() {
				for began := time.Now(); !t.Failed(); {
					if time.Since(began) > time.Minute {
						t.Error("children are admitted for ever")
					}
					child := lifecycle.Request{ID: lifecycle.ID(next.Add(1)), Parent: []lifecycle.ID{root, sub}[i%2], Kind: lifecycle.KindChild, State: lifecycle.StateWait}
					switch err := submit(ctx, pool, table, child, i%4 < 2); {
					case err == nil:
						admitted.Add(1)
					case errors.Is(err, esserrors.CodeUnsupportedState):
						refused.Add(1)
						return
					default:
						t.Error(err)
						return
					}
				}
			})
		}
		time.Sleep(time.Duration(round) * time.Millisecond)
		began := time.Now()
		if _, err := cancel.New(store, &cancel.Options{PageSize: smallPage}).Cancel(ctx, cancel.Order{ID: root}); err != nil {
			t.Error(err)
		}
		longest = max(longest, time.Since(began))
		atOnce := queryOne[int](t, pool, `SELECT count(*) FROM ess_requests WHERE state <> 'CANCELLED' AND id >= $1`, root)
		all.Wait()
		f := newField(t, pool, table)
		snap := f.snapshot(root)
		if err := errors.Join(canceltest.CheckCancelled(snap, root), canceltest.CheckQuiet(snap)); err != nil || atOnce != 0 {
			t.Errorf("%d requests were not CANCELLED when Cancel returned; later: %v", atOnce, err)
		}
	}
	t.Logf("%d children were admitted and %d refused while %d parents were cancelled; none slipped in; a cancel took %v at most", admitted.Load(), refused.Load(), rounds, longest)
}

// submit inserts a child in one of the two ways.
func submit(ctx context.Context, db interface {
	postgres.DB
	Begin(ctx context.Context) (pgx.Tx, error)
}, table postgres.Table, child lifecycle.Request, alone bool,
) error {
	if alone {
		return postgres.New(db, table).Submit(ctx, child)
	}
	return pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		if err := postgres.New(tx, table).Admit(ctx, child.Parent); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO ess_requests (id, parent, kind, state) VALUES ($1, $2, $3, $4)`,
			child.ID, child.Parent, child.Kind.String(), child.State.String())
		return err
	})
}
