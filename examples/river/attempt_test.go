package essriver_test

import (
	"errors"
	"testing"
	"time"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// An attempt that has been superseded changes nothing: River counts them.
func TestSupersededAttempt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	id := w.insert(0, "end", nil)
	start := func() lifecycle.Request {
		t.Helper()
		if _, err := w.pool.Exec(t.Context(), `UPDATE river_job SET state = 'running', attempt = attempt + 1 WHERE id = $1`, id); err != nil {
			t.Fatal(err)
		}
		r, err := w.jobs.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	first := start()
	second := start() // River's rescuer has been at it
	if first.Attempt != 1 || second.Attempt != 2 {
		t.Fatalf("attempts %d and %d", first.Attempt, second.Attempt)
	}
	late := cancel.Change{Old: first, Trigger: lifecycle.TriggerFail, State: lifecycle.StateError, Attempt: first.Attempt}
	if made, err := w.jobs.Apply(t.Context(), []cancel.Change{late}); err != nil || made[0] {
		t.Errorf("a change by the first attempt was made: %v, %v", made, err)
	}
	w.cancel(id)
	if _, err := w.jobs.Acknowledge(t.Context(), cancel.Order{ID: id, Attempt: 1}, lifecycle.StateCancelled); !errors.Is(err, cancel.ErrSuperseded) {
		t.Errorf("the first attempt has answered: %v", err)
	}
	if _, err := w.jobs.Acknowledge(t.Context(), cancel.Order{ID: id, Attempt: 2}, lifecycle.StateSucceeded); err != nil {
		t.Error(err)
	}
	if got := w.row(id); got.Attempt != 2 || w.state(id) != lifecycle.StateSucceeded {
		t.Errorf("the job is %v, attempt %d", w.state(id), got.Attempt)
	}
}

// River itself does not compare attempts: what it writes at the end of one that has been
// superseded ends the next.
func TestRiverDoesNotCompareAttempts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	id := w.insert(0, "end", nil)
	if _, err := w.pool.Exec(t.Context(), `UPDATE river_job SET state = 'running', attempt = 2 WHERE id = $1`, id); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	first := riverdriver.JobSetStateErrorRetryable(int64(id), now, []byte(`{"attempt": 1}`), nil)
	if _, err := riverpgxv5.New(w.pool).GetExecutor().JobSetStateIfRunningMany(t.Context(), &riverdriver.JobSetStateIfRunningManyParams{
		ID: []int64{first.ID}, Attempt: []*int{first.Attempt}, ErrData: [][]byte{first.ErrData}, FinalizedAt: []*time.Time{first.FinalizedAt},
		MetadataDoMerge: []bool{false}, MetadataUpdates: [][]byte{nil}, ScheduledAt: []*time.Time{first.ScheduledAt}, State: []rivertype.JobState{first.State},
	}); err != nil {
		t.Fatal(err)
	}
	if got := w.row(id); got.State != rivertype.JobStateRetryable {
		t.Errorf("River has the job as %v: it has learned to compare attempts, and the README can say so", got.State)
	}
}
