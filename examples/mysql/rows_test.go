package mysql_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/examples/mysql"
	"example.com/ess/lifecycle"
)

// Jobs are deleted as they end, at any moment, while trees are being cancelled.
func TestDeletedAsTheyEnd(t *testing.T) {
	t.Parallel()
	db := setup(t, server)
	store := mysql.New(db, "jobs")
	ctx, stop := context.WithCancel(t.Context())
	var janitor sync.WaitGroup
	deleted := 0
	janitor.Go(func() {
		for ctx.Err() == nil {
			// One after the other, by their keys: DELETE ... WHERE live = 0 would lock every
			// job on its way.
			rows, err := db.QueryContext(context.Background(), "SELECT id FROM jobs WHERE live = 0 LIMIT 100")
			if err != nil {
				t.Error(err)
				return
			}
			var ids []int64
			for rows.Next() {
				var id int64
				if err := rows.Scan(&id); err != nil {
					t.Error(err)
				}
				ids = append(ids, id)
			}
			for _, id := range ids {
				mustExec(t, db, "DELETE FROM jobs WHERE id = ? AND live = 0", id)
				deleted++
			}
		}
	})
	const trees = 20
	for i := range lifecycle.ID(trees) {
		requests := tree(1 + 1000*i)
		if err := insert(t.Context(), db, "jobs", requests); err != nil {
			t.Fatal(err)
		}
		var repo cancel.Repository = store
		if i%2 == 0 {
			repo = canceltest.Plain(store)
		}
		c := cancel.New(repo, &cancel.Options{PageSize: 10})
		if _, err := c.Cancel(t.Context(), cancel.Order{ID: requests[0].ID}); err != nil {
			t.Error(err)
		}
		for _, r := range requests {
			if lifecycle.Executes(r.Kind, r.State) {
				if _, err := c.Acknowledge(t.Context(), cancel.Order{ID: r.ID}, lifecycle.StateCancelled); err != nil {
					t.Error(err)
				}
			}
		}
	}
	stop()
	janitor.Wait()
	live := queryOne[int](t, db, "SELECT COUNT(*) FROM jobs WHERE live = 1")
	t.Logf("%d jobs were deleted as they ended, while %d trees were cancelled", deleted, trees)
	if live > 0 || deleted == 0 {
		t.Errorf("%d jobs are still live", live)
	}
}

// Who and why is kept, and no text keeps a job from being cancelled.
func TestText(t *testing.T) {
	t.Parallel()
	db := setup(t, server)
	store := mysql.New(db, "jobs")
	for i, text := range []string{"wrong ledger", "a\x00b", "B\xfcro", "日本語"[:4], "🙂", `\'; DROP TABLE jobs; --`, strings.Repeat("🙂", 100_000)} {
		id := lifecycle.ID(i + 1)
		if err := insert(t.Context(), db, "jobs", []lifecycle.Request{{ID: id, Kind: lifecycle.KindSingleton, State: lifecycle.StateRunning}}); err != nil {
			t.Fatal(err)
		}
		var told cancel.Cause
		c := cancel.New(store, &cancel.Options{Interrupter: cancel.InterrupterFunc(func(_ context.Context, _ []lifecycle.ID, cause cancel.Cause) error {
			told = cause
			return nil
		})})
		if _, err := c.Cancel(t.Context(), cancel.Order{ID: id, Actor: text, Reason: text}); err != nil {
			t.Errorf("%.20q: %v", text, err)
		}
		kept, err := store.Cause(t.Context(), id)
		if err != nil || kept.Actor == "" || kept.Actor != told.Actor || kept.Reason != told.Reason {
			t.Errorf("%.20q is kept as %.20q and %.20q, %v", text, kept.Actor, kept.Reason, err)
		}
	}
}

// An attempt that has been superseded does not answer for the next one.
func TestAttempts(t *testing.T) {
	t.Parallel()
	db := setup(t, server, parse(t, "1 SINGLETON READY")...)
	c := cancel.New(mysql.New(db, "jobs"), nil)
	for _, trigger := range []lifecycle.Trigger{
		lifecycle.TriggerStart, lifecycle.TriggerFailRetryable, lifecycle.TriggerRetry, lifecycle.TriggerDispatch, lifecycle.TriggerStart,
	} {
		if _, err := c.Transition(t.Context(), cancel.Order{ID: 1}, trigger); err != nil {
			t.Fatal(err)
		}
	}
	if n := queryOne[int](t, db, "SELECT attempt FROM jobs WHERE id = 1"); n != 2 {
		t.Errorf("the attempt is %d, want 2", n)
	}
	if _, err := c.Transition(t.Context(), cancel.Order{ID: 1, Attempt: 1}, lifecycle.TriggerComplete); !errors.Is(err, cancel.ErrSuperseded) {
		t.Errorf("attempt 1 ends the job: %v", err)
	}
	// Between the look and the write the job has been started again.
	store := mysql.New(db, "jobs")
	old := lifecycle.Request{ID: 1, Kind: lifecycle.KindSingleton, State: lifecycle.StateRunning, Attempt: 1}
	late := cancel.Change{Old: old, Trigger: lifecycle.TriggerComplete, State: lifecycle.StateCompleted, Attempt: 1}
	gone := late
	gone.Old.ID = 2
	for _, batch := range [][]cancel.Change{{late}, {late, gone}} {
		if made, err := store.Apply(t.Context(), batch); err != nil || made[0] {
			t.Errorf("Apply of %d changes with an attempt that has been superseded = %v, %v", len(batch), made, err)
		}
	}
}
