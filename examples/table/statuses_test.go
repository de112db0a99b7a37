package table_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"example.com/ess/cancel"
	"example.com/ess/examples/table"
	"example.com/ess/lifecycle"
)

// TestStatuses has requests end in every way, and checks that no status was ever stored
// for which the scheduler has no name.
func TestStatuses(t *testing.T) {
	t.Parallel()
	ctx, db := t.Context(), openTemp(t)
	if _, err := db.ExecContext(ctx, `
		CREATE TABLE seen (status TEXT PRIMARY KEY);
		CREATE TRIGGER submitted AFTER INSERT ON job BEGIN INSERT OR IGNORE INTO seen VALUES (new.status); END;
		CREATE TRIGGER changed AFTER UPDATE ON job BEGIN INSERT OR IGNORE INTO seen VALUES (new.status); END`); err != nil {
		t.Fatal(err)
	}
	store := table.New(db)
	var workers cancel.Workers
	canceller := cancel.New(store, &cancel.Options{Interrupter: &workers, Grace: -1})
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	id := lifecycle.ID(0)
	submit := func(parent lifecycle.ID, k lifecycle.Kind) lifecycle.ID {
		t.Helper()
		id++
		check(store.Submit(ctx, lifecycle.Request{ID: id, Parent: parent, Kind: k, State: lifecycle.StateReady}))
		return id
	}
	flow := func() lifecycle.ID {
		t.Helper()
		parent := submit(0, lifecycle.KindParent)
		_, err := canceller.Transition(ctx, cancel.Order{ID: parent}, lifecycle.TriggerStart)
		check(err)
		return parent
	}
	order := func(id lifecycle.ID) error {
		_, err := canceller.Cancel(ctx, cancel.Order{ID: id})
		return err
	}
	broken := errors.New("broken")
	for _, cancelled := range []bool{false, true} {
		for _, answer := range []error{nil, broken, context.Canceled} {
			parent := flow()
			submit(parent, lifecycle.KindChild)
			task, err := canceller.Transition(ctx, cancel.Order{ID: submit(parent, lifecycle.KindChild)}, lifecycle.TriggerStart)
			check(err)
			err = workers.Run(ctx, canceller, task, func(context.Context) error {
				if cancelled {
					check(order(parent))
				}
				return answer
			}, nil)
			if !errors.Is(err, answer) {
				t.Fatal(err)
			}
			if !cancelled {
				check(order(parent))
			}
		}
	}
	forced := flow()
	task, err := canceller.Transition(ctx, cancel.Order{ID: submit(forced, lifecycle.KindChild)}, lifecycle.TriggerStart)
	check(err)
	check(order(forced))
	_, err = canceller.Force(ctx, cancel.Order{ID: task.ID})
	check(err)
	finished := flow()
	for _, trigger := range []lifecycle.Trigger{lifecycle.TriggerComplete, lifecycle.TriggerSucceed} {
		_, err := canceller.Transition(ctx, cancel.Order{ID: finished}, trigger)
		check(err)
	}

	rows, err := db.QueryContext(ctx, "SELECT status FROM seen ORDER BY status")
	check(err)
	defer rows.Close()
	var seen []string
	for rows.Next() {
		var status string
		check(rows.Scan(&status))
		seen = append(seen, status)
	}
	check(rows.Err())
	if want := []string{"done", "failed", "finishing", "queued", "running", "stopped", "stopping", "stopping>stopped"}; !slices.Equal(seen, want) {
		t.Errorf("these statuses were stored: %q, want %q", seen, want)
	}
}
