package postgres_test

import (
	"testing"

	"example.com/ess/cancel"
	"example.com/ess/examples/postgres"
	"example.com/ess/lifecycle"
)

// What the scheduler itself has written to the audit trail is no cause of a cancel.
func TestCauseIsNotTheSchedulers(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := setup(t)
	store := postgres.New(pool, postgres.DefaultTable())
	if err := store.Submit(ctx, lifecycle.Request{ID: 1, Kind: lifecycle.KindSingleton, State: lifecycle.StateRunning}); err != nil {
		t.Fatal(err)
	}
	mustExec(t, pool, `INSERT INTO ess_audit (request, actor, reason, trigger, from_state, to_state, at) VALUES (1, 'scheduler', 'its turn', 'start', 'READY', 'RUNNING', now())`)
	if cause, err := store.Cause(ctx, 1); err != nil || cause != (cancel.Cause{}) {
		t.Errorf("Cause before the cancel = %+v, %v, want none", cause, err)
	}
	if _, err := cancel.New(store, nil).Cancel(ctx, cancel.Order{ID: 1, Actor: "ann"}); err != nil {
		t.Fatal(err)
	}
	if cause, err := store.Cause(ctx, 1); err != nil || cause.Actor != "ann" {
		t.Errorf("Cause = %+v, %v, want that of ann", cause, err)
	}
	page, err := store.ListCancelling(ctx, 0, 10)
	if err != nil || len(page) != 1 || page[0].Request.State != lifecycle.StateCancelling || page[0].Cause.Actor != "ann" {
		t.Errorf("ListCancelling = %+v, %v, want request 1 and the cause of ann", page, err)
	}
}
