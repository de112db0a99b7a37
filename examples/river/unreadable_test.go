package essriver_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	essriver "example.com/ess/examples/river"
	"example.com/ess/lifecycle"
)

// insertJobs inserts jobs with these states and metadata, from the id 1 on.
func insertJobs(t *testing.T, pool *pgxpool.Pool, jobs ...[2]string) {
	t.Helper()
	for i, job := range jobs {
		if _, err := pool.Exec(t.Context(), `
INSERT INTO river_job (id, args, kind, max_attempts, state, finalized_at, metadata)
VALUES ($1, '{}', 'task', 25, $2::text::river_job_state, CASE WHEN $2::text IN ('cancelled', 'completed', 'discarded') THEN now() END, $3)`, i+1, job[0], job[1]); err != nil {
			t.Fatal(job, err)
		}
	}
}

// A job that cannot be read is returned in State 0, whatever was asked for, and is left as it is. It
// keeps nobody else from being read or cancelled, and its parent does not end.
func TestUnreadableJobs(t *testing.T) {
	t.Parallel()
	for _, job := range [][2]string{
		{"available", `{"ess": {"parent": 1, "kind": "SHOE"}}`},
		{"running", `{"ess": {"parent": 1, "kind": "SHOE"}}`},
		{"pending", `{"ess": {"parent": 1, "state": "RAIN"}}`},
		{"scheduled", `{"ess": {"parent": 1, "state": ""}}`},
		{"pending", `{"ess": {"parent": 1, "outcome": "BOOTS"}, "cancel_attempted_at": "2026-02-03T04:05:06Z"}`},
		{"pending", `{"ess": {"parent": 1, "outcome": "RUNNING"}, "cancel_attempted_at": "2026-02-03T04:05:06Z"}`},
	} {
		pool := setup(t)
		store := essriver.NewStore(pool, "")
		insertJobs(t, pool,
			[2]string{"pending", `{"ess": {"kind": "PARENT", "state": "RUNNING"}}`}, [2]string{"available", `{"ess": {"parent": 1}}`}, job,
			[2]string{"retryable", `{"ess": {"parent": 1}}`}, [2]string{"running", `{"ess": {"parent": 1}}`}, [2]string{"completed", `{"ess": {"parent": 1}}`})
		is := func(r lifecycle.Request) bool { return r.ID == 3 && r.Parent == 1 && r.State == 0 && r.Outcome == 0 }
		if r, err := store.Get(t.Context(), 3); err != nil || !is(r) {
			t.Errorf("%s: Get = %+v, %v", job, r, err)
		}
		const everything = lifecycle.Live | lifecycle.Terminal
		sets := []lifecycle.StateSet{lifecycle.Live, lifecycle.Terminal, everything}
		for s := range everything.All() {
			sets = append(sets, lifecycle.SetOf(s))
		}
		for _, states := range sets {
			page, err := store.Children(t.Context(), cancel.ChildQuery{Parents: []lifecycle.ID{1}, States: states, Limit: 10})
			found := 0
			for _, r := range page {
				if is(r) {
					found++
				} else if !states.Has(r.State) {
					t.Errorf("%s: Children in %v = %+v", job, states, page)
				}
			}
			if err != nil || found != 1 {
				t.Errorf("%s: Children in %v = %+v, %v", job, states, page, err)
			}
		}
		if list, err := store.ListCancelling(t.Context(), 0, 10); err != nil || strings.Contains(job[1], essriver.Mark) && (len(list) != 1 || !is(list[0].Request)) {
			t.Errorf("%s: ListCancelling = %+v, %v", job, list, err)
		}
		checkCancelAround(t, pool, job)
	}
}

func checkCancelAround(t *testing.T, pool *pgxpool.Pool, job [2]string) {
	t.Helper()
	ctx := t.Context()
	raw := func() (text string) {
		if err := pool.QueryRow(ctx, `SELECT concat(state, metadata) FROM river_job WHERE id = 3`).Scan(&text); err != nil {
			t.Fatal(err)
		}
		return text
	}
	before := raw()
	store := essriver.NewStore(pool, "")
	canceller := cancel.New(store, nil)
	if res, err := canceller.Cancel(ctx, cancel.Order{ID: 1}); !errors.Is(err, esserrors.CodeSystem) || !strings.Contains(err.Error(), "request 3") {
		t.Errorf("%s: Cancel = %v, %v, want an error that names request 3", job, res.Counts, err)
	}
	if _, err := canceller.Acknowledge(ctx, cancel.Order{ID: 5}, lifecycle.StateCancelled); err != nil {
		t.Logf("%s: Acknowledge: %v", job, err)
	}
	for id, want := range map[lifecycle.ID]lifecycle.State{
		1: lifecycle.StateCancelling, 2: lifecycle.StateCancelled, 4: lifecycle.StateCancelled, 5: lifecycle.StateCancelled, 6: lifecycle.StateSucceeded,
	} {
		if got := stateOf(t, store, id); got != want {
			t.Errorf("%s: request %d is %v, want %v", job, id, got, want)
		}
	}
	if after := raw(); after != before {
		t.Errorf("%s: it has become %s", job, after)
	}
}

// What the metadata say besides is out of date, or somebody else's, and does no harm.
func TestNonsense(t *testing.T) {
	t.Parallel()
	pool := setup(t)
	store := essriver.NewStore(pool, "")
	jobs := [][2]string{
		{"available", `{"ess": "boots"}`},
		{"available", `[]`},
		{"available", `{"ess": {"checked_in": "yesterday"}}`},
		{"completed", `{"ess": {"state": "RAIN"}}`},
		{"running", `{"cancel_attempted_at": "2026-02-30T04:05:06Z"}`},
		{"running", `{"cancel_attempted_at": {"a": 1}, "ess": {"cause": "boots", "checked_in": "12:00"}}`},
	}
	insertJobs(t, pool, jobs...)
	for i, want := range []lifecycle.State{
		lifecycle.StateReady, lifecycle.StateReady, lifecycle.StateReady, lifecycle.StateSucceeded, lifecycle.StateCancelling, lifecycle.StateCancelling,
	} {
		got, err := store.Get(t.Context(), lifecycle.ID(i+1))
		if err != nil || got.Validate() != nil || got.State != want || !got.CheckedIn.IsZero() {
			t.Errorf("%s is read as %+v, %v, want %v", jobs[i], got, err, want)
		}
		if cause, err := store.Cause(t.Context(), lifecycle.ID(i+1)); err != nil || cause != (cancel.Cause{}) {
			t.Errorf("%s: Cause = %+v, %v", jobs[i], cause, err)
		}
	}
	if list, err := store.ListCancelling(t.Context(), 0, 10); err != nil || len(list) != 2 {
		t.Errorf("ListCancelling = %+v, %v", list, err)
	}
	canceller := cancel.New(store, nil)
	for i, job := range jobs {
		id := lifecycle.ID(i + 1)
		if stateOf(t, store, id) == lifecycle.StateSucceeded {
			continue
		}
		if _, err := canceller.Cancel(t.Context(), cancel.Order{ID: id, Actor: "ann"}); err != nil {
			t.Errorf("%s: Cancel: %v", job, err)
		}
		if stateOf(t, store, id) == lifecycle.StateCancelling {
			if _, err := canceller.Acknowledge(t.Context(), cancel.Order{ID: id}, lifecycle.StateWarning); err != nil {
				t.Errorf("%s: Acknowledge: %v", job, err)
			}
		}
	}
	// The index sees to it that a parent is a number.
	for _, metadata := range []string{`{"ess": {"parent": "boots"}}`, `{"ess": {"parent": 1.5}}`} {
		if _, err := pool.Exec(t.Context(), `INSERT INTO river_job (args, kind, max_attempts, metadata) VALUES ('{}', 'task', 25, $1)`, metadata); err == nil {
			t.Errorf("a job has been inserted with the metadata %s", metadata)
		}
	}
}
