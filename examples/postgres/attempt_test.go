package postgres_test

import (
	"errors"
	"testing"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/examples/postgres"
	"example.com/ess/lifecycle"
)

// answerTo says in a word what an error of a cancel means.
func answerTo(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, esserrors.CodeUnsupportedState):
		return "ended"
	case errors.Is(err, esserrors.CodeNotFound):
		return "gone"
	default:
		return err.Error()
	}
}

// An attempt that has been superseded changes nothing, though the request is in the same state
// again. Where attempts are not kept, they are 0 and nothing is said of them.
func TestAttempt(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := setup(t)
	for _, table := range tables() {
		mustExec(t, pool, `TRUNCATE ess_requests`)
		store := postgres.New(pool, table)
		canceller := cancel.New(store, nil)
		if err := store.Submit(ctx, lifecycle.Request{ID: 1, Kind: lifecycle.KindSingleton, State: lifecycle.StateReady}); err != nil {
			t.Fatal(err)
		}
		step := func(attempt int, trigger lifecycle.Trigger) lifecycle.Request {
			t.Helper()
			r, err := canceller.Transition(ctx, cancel.Order{ID: 1, Attempt: attempt}, trigger)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		first := step(0, lifecycle.TriggerStart)
		for _, trigger := range []lifecycle.Trigger{lifecycle.TriggerFailRetryable, lifecycle.TriggerRetry, lifecycle.TriggerDispatch} {
			step(first.Attempt, trigger)
		}
		second := step(first.Attempt, lifecycle.TriggerStart)
		stored, err := store.Get(ctx, 1)
		if err != nil {
			t.Fatal(err)
		}
		if table.Attempt == "" {
			if stored.Attempt != 0 {
				t.Errorf("without a column for it, the attempt is %d", stored.Attempt)
			}
			continue
		}
		if stored != second || first.Attempt != 1 || second.Attempt != 2 {
			t.Errorf("attempts %d and %d, stored %+v, want 1 and 2", first.Attempt, second.Attempt, stored)
		}
		late := cancel.Change{Old: first, Trigger: lifecycle.TriggerFail, State: lifecycle.StateError, Attempt: first.Attempt}
		if made, err := store.Apply(ctx, []cancel.Change{late}); err != nil || made[0] {
			t.Errorf("a change by the first attempt was made: %v, %v", made, err)
		}
		if _, err := canceller.Transition(ctx, cancel.Order{ID: 1, Attempt: first.Attempt}, lifecycle.TriggerFail); !errors.Is(err, cancel.ErrSuperseded) {
			t.Errorf("the first attempt has failed: %v", err)
		}
	}
}
