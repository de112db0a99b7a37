package postgres_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"example.com/ess/cancel"
	"example.com/ess/examples/postgres"
	"example.com/ess/lifecycle"
)

// A statement that PostgreSQL rolls back because of a deadlock is tried again.
func TestDeadlockIsTriedAgain(t *testing.T) {
	t.Parallel()
	// Of the two, the one that is less patient is rolled back.
	pool, c := rival(t, map[string]string{"deadlock_timeout": "2s", "application_name": "victim"})
	config := pool.Config()
	config.ConnConfig.RuntimeParams = map[string]string{"deadlock_timeout": "1min"}
	other := newPool(t, config)

	requests := []lifecycle.Request{
		{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateCancelling, CheckedIn: moment},
		{ID: 2, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateWait},
		{ID: 3, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateWait},
	}
	cause := cancel.Cause{Root: 1, Time: moment}
	for name, call := range map[string]func(context.Context, *postgres.Store) error{
		"Apply": func(ctx context.Context, store *postgres.Store) error {
			var changes []cancel.Change
			for _, r := range requests[1:] {
				changes = append(changes, cancel.Change{Old: r, Trigger: lifecycle.TriggerCancel, State: lifecycle.StateCancelled, Cause: cause})
			}
			_, err := store.Apply(ctx, changes)
			return err
		},
		"CancelChildren": func(ctx context.Context, store *postgres.Store) error {
			q := cancel.ChildQuery{Parents: []lifecycle.ID{1}, States: lifecycle.Live, Limit: 10}
			_, err := store.CancelChildren(ctx, cancel.ChildCancel{Query: q, Cause: cause})
			return err
		},
	} {
		mustExec(t, other, `TRUNCATE ess_requests`)
		if err := insert(t.Context(), other, postgres.Table{}, requests); err != nil {
			t.Fatal(err)
		}
		before := c.of("40P01")
		done := make(chan error, 1)
		err := pgx.BeginFunc(t.Context(), other, func(tx pgx.Tx) error {
			mustExec(t, tx, `UPDATE ess_requests SET kind = kind WHERE id = 3`)
			go func() { done <- call(t.Context(), postgres.New(pool, postgres.Table{})) }()
			eventually(t, "it waits", func() bool {
				return queryOne[int](t, other, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'victim' AND wait_event_type = 'Lock'`) == 1
			})
			mustExec(t, tx, `UPDATE ess_requests SET kind = kind WHERE id = 2`)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil || c.of("40P01") == before {
			t.Errorf("%s = %v, over %d deadlocks, want no error and a deadlock", name, err, c.of("40P01")-before)
		}
		states := queryOne[string](t, other, `SELECT string_agg(state, ' ' ORDER BY id) FROM ess_requests`)
		if !strings.HasSuffix(states, "CANCELLED CANCELLED") {
			t.Errorf("%s left the children %s", name, states)
		}
	}
}
