package essriver_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// What River itself does to a job is, in our words, one transition or several that the rules
// permit, but for one.
func TestTransitionsOfRiver(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		what     string
		from, to lifecycle.State
		refused  bool
	}{
		{what: "JobSchedule", from: lifecycle.StateWait, to: lifecycle.StateReady},
		{what: "JobSchedule, retry", from: lifecycle.StateErrorAutoRetry, to: lifecycle.StateReady},
		{what: "JobGetAvailable", from: lifecycle.StateReady, to: lifecycle.StateRunning},
		{what: "completed", from: lifecycle.StateRunning, to: lifecycle.StateSucceeded},
		{what: "discarded", from: lifecycle.StateRunning, to: lifecycle.StateError},
		{what: "error, retried", from: lifecycle.StateRunning, to: lifecycle.StateErrorAutoRetry},
		{what: "error, retried at once", from: lifecycle.StateRunning, to: lifecycle.StateReady},
		{what: "snoozed, or rescued", from: lifecycle.StateRunning, to: lifecycle.StateWait},
		{what: "cancelled from within", from: lifecycle.StateRunning, to: lifecycle.StateCancelled},
		{what: "marked", from: lifecycle.StateRunning, to: lifecycle.StateCancelling},
		{what: "marked, then completed", from: lifecycle.StateCancelling, to: lifecycle.StateSucceeded},
		{what: "marked, then discarded", from: lifecycle.StateCancelling, to: lifecycle.StateError},
		{what: "marked, then cancelled", from: lifecycle.StateCancelling, to: lifecycle.StateCancelled},
		{what: "JobCancel", from: lifecycle.StateReady, to: lifecycle.StateCancelled},
		{what: "JobRetry of a job that has ended", from: lifecycle.StateCancelled, to: lifecycle.StateReady, refused: true},
	} {
		reached, next := lifecycle.SetOf(tt.from), []lifecycle.State{tt.from}
		for len(next) > 0 {
			s := next[0]
			next = next[1:]
			for tr := range lifecycle.Permitted(lifecycle.KindChild, s) {
				if to, _ := lifecycle.Next(lifecycle.KindChild, s, tr); !reached.Has(to) {
					reached |= lifecycle.SetOf(to)
					next = append(next, to)
				}
			}
		}
		if reached.Has(tt.to) == tt.refused {
			t.Errorf("%s: %v to %v: the rules permit it: %v", tt.what, tt.from, tt.to, !tt.refused)
		}
	}
}

// What River's completer, scheduler and rescuer would write to jobs that have ended, or that
// only wait for their children, does nothing to them.
func TestRiverLeavesAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	var requests []lifecycle.Request
	for k := range lifecycle.Kinds() {
		for s := range (lifecycle.Terminal | lifecycle.SetOf(lifecycle.StateCancelling)).All() {
			r := lifecycle.Request{ID: lifecycle.ID(len(requests) + 1), Kind: k, State: s}
			if s == lifecycle.StateCancelling {
				r.Outcome = lifecycle.StateWarning
			}
			requests = append(requests, r)
		}
	}
	if err := w.jobs.Fill(t.Context(), requests); err != nil {
		t.Fatal(err)
	}
	if _, err := w.pool.Exec(t.Context(), `UPDATE river_job SET attempted_at = now() - interval '1 day', scheduled_at = now() - interval '1 day'`); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	exec := riverpgxv5.New(w.pool).GetExecutor()
	for _, r := range requests {
		id := int64(r.ID)
		many := &riverdriver.JobSetStateIfRunningManyParams{}
		for _, p := range []*riverdriver.JobSetStateIfRunningParams{
			riverdriver.JobSetStateCompleted(id, now, []byte(`{"a": 1}`)),
			riverdriver.JobSetStateCancelled(id, now, []byte(`{}`), nil),
			riverdriver.JobSetStateDiscarded(id, now, []byte(`{}`), nil),
			riverdriver.JobSetStateErrorRetryable(id, now, []byte(`{}`), []byte(`{"a": 1}`)),
			riverdriver.JobSetStateErrorAvailable(id, now, []byte(`{}`), nil),
			riverdriver.JobSetStateSnoozed(id, now, 0, []byte(`{"snoozes": 1}`)),
			riverdriver.JobSetStateInterrupted(id, now, 0, nil),
		} {
			many.ID, many.Attempt, many.ErrData = append(many.ID, p.ID), append(many.Attempt, p.Attempt), append(many.ErrData, p.ErrData)
			many.FinalizedAt, many.ScheduledAt = append(many.FinalizedAt, p.FinalizedAt), append(many.ScheduledAt, p.ScheduledAt)
			many.MetadataDoMerge, many.MetadataUpdates = append(many.MetadataDoMerge, p.MetadataDoMerge), append(many.MetadataUpdates, p.MetadataUpdates)
			many.State = append(many.State, p.State)
			if _, err := exec.JobSetStateIfRunningMany(t.Context(), many); err != nil {
				t.Fatal(err)
			}
			*many = riverdriver.JobSetStateIfRunningManyParams{}
		}
		if _, err := exec.JobRescueMany(t.Context(), rescue(r.ID, rivertype.JobStateRetryable)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := exec.JobSchedule(t.Context(), &riverdriver.JobScheduleParams{Max: 1000}); err != nil {
		t.Fatal(err)
	}
	if started, err := exec.JobGetAvailable(t.Context(), &riverdriver.JobGetAvailableParams{ClientID: "x", MaxToLock: 1000, MaxAttemptedBy: 10, Queue: "filled"}); err != nil || len(started.Jobs) > 0 {
		t.Errorf("River has started %+v, %v", started, err)
	}
	for _, want := range requests {
		if got, err := w.jobs.Get(t.Context(), want.ID); err != nil || got != want {
			t.Errorf("%v %v has become %+v, %v", want.Kind, want.State, got, err)
		}
	}
}

func workersOf(w *world) *river.Workers {
	workers := river.NewWorkers()
	river.AddWorker(workers, w.worker)
	return workers
}

func rescue(id lifecycle.ID, state rivertype.JobState) *riverdriver.JobRescueManyParams {
	return &riverdriver.JobRescueManyParams{
		ID: []int64{int64(id)}, Error: [][]byte{[]byte(`{}`)}, FinalizedAt: []*time.Time{nil}, ScheduledAt: []time.Time{time.Now()},
		State: []string{string(state)}, StuckHorizon: time.Now().Add(-time.Hour),
	}
}

// River's rescuer reads which jobs are stuck, decides, and writes: by id, and without looking at
// the mark again. A cancel that comes in between does not keep it from retrying the job. To
// us the job stays CANCELLING, and its work does not run again.
func TestRescueDespiteCancel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.worker.do["never"] = func(context.Context, *river.Job[task]) error {
		t.Error("the worker has been called")
		return nil
	}
	root := w.parent(0)
	id := w.insert(root, "never", nil)
	if _, err := w.pool.Exec(t.Context(), `UPDATE river_job SET state = 'running', attempt = 1, attempted_at = now() - interval '2 hours' WHERE id = $1`, id); err != nil {
		t.Fatal(err)
	}
	w.cancel(root)
	if _, err := riverpgxv5.New(w.pool).GetExecutor().JobRescueMany(t.Context(), rescue(id, rivertype.JobStateRetryable)); err != nil {
		t.Fatal(err)
	}
	if got := w.row(id); got.State != rivertype.JobStateRetryable {
		t.Errorf("River has the job as %v: it has learned to look at the mark, and the README can say so", got.State)
	}
	if got := w.state(id); got != lifecycle.StateCancelling {
		t.Errorf("the job is %v, want CANCELLING", got)
	}
	w.start() // River schedules and fetches it, and finds it cancelled
	w.waitFor(root, lifecycle.StateCancelled)
	if got := w.row(id); got.State != rivertype.JobStateCancelled || got.Attempt != 2 {
		t.Errorf("the job is %v, attempt %d", got.State, got.Attempt)
	}
}

// River's rescuer makes a marked job cancelled when RescueStuckJobsAfter has passed since it was
// started, though its work, which is allowed to take longer, still runs.
func TestRescuerDoesNotWaitForWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, func(c *river.Config) { c.JobTimeout, c.LeaderElectionDisabled = -1, true })
	release, told := make(chan struct{}), make(chan struct{})
	w.worker.do["slow"] = func(ctx context.Context, _ *river.Job[task]) error {
		<-ctx.Done()
		close(told)
		<-release // there is something to put in order
		return nil
	}
	root := w.parent(0)
	id := w.insert(root, "slow", nil)
	w.start()
	w.waitForWork(id)
	if _, err := w.pool.Exec(t.Context(), `UPDATE river_job SET attempted_at = now() - interval '2 hours' WHERE id = $1`, id); err != nil {
		t.Fatal(err)
	}
	w.cancel(root)
	<-told

	// Another process, whose client does the maintenance.
	other, err := river.NewClient(riverpgxv5.New(w.pool), &river.Config{
		Logger: quiet, TestOnly: true, Workers: workersOf(w), Queues: map[string]river.QueueConfig{"other": {MaxWorkers: 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.waitFor(id, lifecycle.StateCancelled) // and nobody has acknowledged, nor forced
	if err := other.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if got := w.state(root); got != lifecycle.StateCancelling {
		t.Errorf("the parent is %v", got)
	}
	close(release)
	w.waitFor(root, lifecycle.StateCancelled)
	if got := w.state(id); got != lifecycle.StateCancelled {
		t.Errorf("the job is %v, want what River has made of it", got)
	}
}

// What River's own calls do to a tree, and what package cancel makes of that.
func TestCallsOfRiver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ctx := t.Context()

	// JobRetry: terminal is not final. The job is a new one, to both.
	root := w.parent(0)
	id := w.insert(root, "end", nil)
	w.cancel(root)
	if _, err := w.client.JobRetry(ctx, int64(id)); err != nil {
		t.Fatal(err)
	}
	want := lifecycle.Request{ID: id, Parent: root, Kind: lifecycle.KindChild, State: lifecycle.StateReady}
	if got, err := w.jobs.Get(ctx, id); err != nil || got != want {
		t.Errorf("retried: %+v, %v, want %+v", got, err, want)
	}
	if _, err := w.jobs.Cancel(ctx, cancel.Order{ID: id, Actor: "bob"}); err != nil {
		t.Error(err)
	}
	if cause, err := w.jobs.Cause(ctx, id); err != nil || cause.Actor != "bob" {
		t.Errorf("cancelled again, because of %+v, %v", cause, err)
	}

	// JobCancel of a container: it ends before its children, and there is no way back to
	// them but one by one.
	root = w.parent(0)
	id = w.insert(root, "end", nil)
	if _, err := w.client.JobCancel(ctx, int64(root)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.jobs.Cancel(ctx, cancel.Order{ID: root}); !errors.Is(err, esserrors.CodeUnsupportedState) {
		t.Errorf("a container that River has cancelled: %v", err)
	}
	if got := w.state(id); got != lifecycle.StateReady {
		t.Errorf("its child is %v", got)
	}

	// JobDelete of a container: the children stay.
	root = w.parent(0)
	id = w.insert(root, "end", nil)
	if _, err := w.client.JobDelete(ctx, int64(root)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.jobs.Cancel(ctx, cancel.Order{ID: root}); !errors.Is(err, esserrors.CodeNotFound) {
		t.Errorf("a container that River has deleted: %v", err)
	}
	if got := w.state(id); got != lifecycle.StateReady {
		t.Errorf("its child is %v", got)
	}

	// JobUpdate of the metadata leaves ours alone.
	if _, err := w.client.JobUpdate(ctx, int64(id), &river.JobUpdateParams{Output: "well"}); err != nil {
		t.Fatal(err)
	}
	if got, err := w.jobs.Get(ctx, id); err != nil || got.Parent != root {
		t.Errorf("updated: %+v, %v", got, err)
	}

	// River's cleaner deletes what ended long ago. A live parent does not miss it.
	root = w.parent(0)
	id = w.insert(root, "end", nil)
	w.cancel(id)
	if _, err := w.client.JobDelete(ctx, int64(id)); err != nil {
		t.Fatal(err)
	}
	if res := w.cancel(root); res.Root.To != lifecycle.StateCancelled {
		t.Errorf("a parent without its child: %v", res.Root)
	}
}

// River writes jobs in no certain order. Where that ends in a deadlock, Apply tries again.
func TestDeadlock(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	root := w.parent(0)
	first, last := w.insert(root, "end", nil), w.insert(root, "end", nil)
	var changes []cancel.Change
	for _, id := range []lifecycle.ID{first, last} {
		r, err := w.jobs.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		changes = append(changes, cancel.Change{Old: r, Trigger: lifecycle.TriggerCancel, State: lifecycle.StateCancelled, Cause: cancel.Cause{Root: root}})
	}
	applied := make(chan error, 1)
	err := pgx.BeginFunc(t.Context(), w.pool, func(tx pgx.Tx) error {
		write := func(id lifecycle.ID) error {
			_, err := tx.Exec(t.Context(), `UPDATE river_job SET priority = 2 WHERE id = $1`, id)
			return err
		}
		if _, err := tx.Exec(t.Context(), `SET LOCAL deadlock_timeout = '1min'`); err != nil { // the other is the victim
			return err
		}
		if err := write(last); err != nil {
			return err
		}
		go func() {
			made, err := w.jobs.Apply(context.Background(), changes)
			if err == nil && !(made[0] && made[1]) {
				err = fmt.Errorf("made %v", made)
			}
			applied <- err
		}()
		until(t, "Apply waits", func() (waits bool) {
			err := w.pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`).Scan(&waits)
			return err == nil && waits
		})
		return write(first)
	})
	if err := errors.Join(err, <-applied); err != nil {
		t.Fatal(err)
	}
	var deadlocks int
	until(t, "the server has counted a deadlock", func() bool {
		err := w.pool.QueryRow(t.Context(), `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`).Scan(&deadlocks)
		return err == nil && deadlocks > 0
	})
}

// A thousand children, by one call. River's own JobCancel takes one job at a time.
func TestThousand(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	root, _ := w.thousand()

	res := w.cancel(root)

	if got, want := res.Counts.String(), "1001 cancelled"; got != want {
		t.Errorf("cancel: %s, want %s", got, want)
	}
	root, ids := w.thousand()
	if _, err := w.client.JobCancel(t.Context(), int64(root)); err != nil { // does not reach the children
		t.Fatal(err)
	}
	live := func() int {
		page, err := w.jobs.Children(t.Context(), cancel.ChildQuery{Parents: []lifecycle.ID{root}, States: lifecycle.Live, Limit: 2000})
		if err != nil {
			t.Fatal(err)
		}
		return len(page)
	}
	if got := live(); got != len(ids) {
		t.Errorf("River's cancel of the parent leaves %d children, want all %d", got, len(ids))
	}
	for _, id := range ids {
		if _, err := w.client.JobCancel(t.Context(), int64(id)); err != nil {
			t.Fatal(err)
		}
	}
	if got := live(); got != 0 {
		t.Errorf("one by one leaves %d", got)
	}
}

// thousand inserts a container with a thousand children.
func (w *world) thousand() (root lifecycle.ID, ids []lifecycle.ID) {
	w.Helper()
	root = w.parent(0)
	ctx := context.Background()
	err := pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		opts, err := w.jobs.Admit(ctx, tx, root, nil)
		if err != nil {
			return err
		}
		inserted, err := w.client.InsertManyTx(ctx, tx, slices.Repeat([]river.InsertManyParams{{Args: task{"end"}, InsertOpts: opts}}, 1000))
		for _, one := range inserted {
			ids = append(ids, lifecycle.ID(one.Job.ID))
		}
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
	return root, ids
}
