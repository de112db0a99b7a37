package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/examples/postgres"
	"example.com/ess/examples/postgres/pgserver"
	"example.com/ess/lifecycle"
)

// Behind a PgBouncer that pools transactions, each statement may go over another connection. What
// pgx does by default needs the same one again; each of these settings does not.
func TestTransactionPooling(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server, err := pgserver.Start(ctx, pgserver.Options{Fast: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	bouncer, err := server.StartBouncer(ctx, 4)
	if err != nil {
		t.Fatal(err) // and not skipped
	}
	t.Cleanup(func() {
		if err := bouncer.Stop(); err != nil {
			t.Error(err)
		}
	})
	direct := newDatabase(t, server.URL())
	if err := postgres.Migrate(ctx, newPool(t, direct)); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{"", "cache_describe", "exec", "simple_protocol"} {
		for _, table := range tables() {
			url := bouncer.URL(direct.ConnConfig.Database)
			if mode != "" {
				url += "&default_query_exec_mode=" + mode
			}
			config, err := pgxpool.ParseConfig(url)
			if err != nil {
				t.Fatal(err)
			}
			config.MaxConns = 20
			failed := cancelPooled(t, newPool(t, config), table)
			t.Logf("%d of 60 cancels failed with default_query_exec_mode=%s, audit trail %v", len(failed), mode, table.Audit != nil)
			if len(failed) > 0 {
				if mode != "" { // a PgBouncer since 1.21 may keep prepared statements
					t.Errorf("with default_query_exec_mode=%s: %v", mode, failed[0])
				} else if !slices.ContainsFunc(failed, func(err error) bool { return strings.Contains(err.Error(), "set default_query_exec_mode") }) {
					t.Errorf("no error says what to set, such as %v", failed[0])
				}
			}
		}
	}
}

var pooled atomic.Int64

// cancelPooled cancels 60 trees, six at a time, with all that belongs to it, and returns what
// failed.
func cancelPooled(t *testing.T, pool *pgxpool.Pool, table postgres.Table) (failed []error) {
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			for range 10 {
				if err := cancelOnePooled(t.Context(), pool, postgres.New(pool, table)); err != nil {
					mu.Lock()
					failed = append(failed, err)
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	return failed
}

func cancelOnePooled(ctx context.Context, pool *pgxpool.Pool, store *postgres.Store) error {
	ctx, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	root := lifecycle.ID(pooled.Add(10))
	canceller := cancel.New(store, &cancel.Options{Interrupter: &postgres.Notifier{DB: pool}})
	for _, r := range []lifecycle.Request{
		{ID: root, Kind: lifecycle.KindParent, State: lifecycle.StateRunning},
		{ID: root + 1, Parent: root, Kind: lifecycle.KindParent, State: lifecycle.StateRunning},
		{ID: root + 2, Parent: root + 1, Kind: lifecycle.KindChild, State: lifecycle.StateReady},
		{ID: root + 3, Parent: root + 1, Kind: lifecycle.KindChild, State: lifecycle.StateWait},
		{ID: root + 4, Parent: root, Kind: lifecycle.KindParent, State: lifecycle.StateRunning},
	} {
		if err := store.Submit(ctx, r); err != nil {
			return err
		}
	}
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		return store.On(tx).Submit(ctx, lifecycle.Request{ID: root + 5, Parent: root, Kind: lifecycle.KindChild, State: lifecycle.StateWait})
	})
	if err != nil {
		return err
	}
	for id, trigger := range map[lifecycle.ID]lifecycle.Trigger{root + 2: lifecycle.TriggerStart, root + 4: lifecycle.TriggerFail} {
		if _, err := canceller.Transition(ctx, cancel.Order{ID: id}, trigger); err != nil {
			return err
		}
	}
	res, err := canceller.Cancel(ctx, cancel.Order{ID: root, Actor: "ann", Reason: "zu spät"})
	if err := errors.Join(err, res.InterruptErr); err != nil {
		return err
	}
	if err := store.Submit(ctx, lifecycle.Request{ID: root + 6, Parent: root, Kind: lifecycle.KindChild, State: lifecycle.StateWait}); !errors.Is(err, esserrors.CodeUnsupportedState) {
		return fmt.Errorf("a child of a cancelled parent: %w", err)
	}
	if _, err := store.ListCancelling(ctx, 0, 10); err != nil {
		return err
	}
	if _, err := canceller.CheckIn(ctx, cancel.Order{ID: root + 2}); err != nil {
		return err
	}
	if _, err := canceller.Acknowledge(ctx, cancel.Order{ID: root + 2}, lifecycle.StateWarning); err != nil {
		return err
	}
	want := map[lifecycle.ID]lifecycle.State{
		root: lifecycle.StateCancelled, root + 1: lifecycle.StateCancelled, root + 2: lifecycle.StateWarning,
		root + 3: lifecycle.StateCancelled, root + 4: lifecycle.StateError, root + 5: lifecycle.StateCancelled,
	}
	for id, state := range want {
		if r, err := store.Get(ctx, id); err != nil || r.State != state {
			return fmt.Errorf("request %d is %v, %w, want %v", id-root, r.State, err, state)
		}
	}
	return nil
}
