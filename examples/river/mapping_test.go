package essriver_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river/rivertype"

	essriver "example.com/ess/examples/river"
	"example.com/ess/lifecycle"
)

// Every request that can be is kept, and read as it was.
func TestPlaces(t *testing.T) {
	t.Parallel()
	pool := setup(t)
	store := essriver.NewStore(pool, "")
	var requests []lifecycle.Request
	for k := range lifecycle.Kinds() {
		for s := range lifecycle.States() {
			for o := range lifecycle.StateSet(1 | lifecycle.Outcomes).All() {
				r := lifecycle.Request{ID: lifecycle.ID(len(requests) + 1), Kind: k, State: s, Outcome: o}
				if r.Validate() == nil {
					requests = append(requests, r)
				}
			}
			requests = append(requests, lifecycle.Request{ID: lifecycle.ID(len(requests) + 1), Kind: k, State: s})
		}
	}
	if err := store.Fill(t.Context(), requests); err != nil {
		t.Fatal(err)
	}
	for _, want := range requests {
		if got, err := store.Get(t.Context(), want.ID); err != nil || got != want {
			t.Errorf("%v %v: read %+v, %v", want.Kind, want.State, got, err)
		}
		at, _ := essriver.Place(want)
		startable := at == "available" || at == "scheduled" || at == "retryable" || at == "running"
		if startable && (!want.Kind.RunsWork() || want.Outcome != 0) {
			t.Errorf("%v %v is %s in River, which would run it", want.Kind, want.State, at)
		}
	}
}

// What each of River's states is, whatever an earlier time has left in the metadata.
func TestStates(t *testing.T) {
	t.Parallel()
	pool := setup(t)
	store := essriver.NewStore(pool, "")
	plain := map[rivertype.JobState]lifecycle.State{
		rivertype.JobStateScheduled: lifecycle.StateWait,
		rivertype.JobStateAvailable: lifecycle.StateReady,
		rivertype.JobStateRunning:   lifecycle.StateRunning,
		rivertype.JobStateRetryable: lifecycle.StateErrorAutoRetry,
		rivertype.JobStatePending:   lifecycle.StateHold,
		rivertype.JobStateCompleted: lifecycle.StateSucceeded,
		rivertype.JobStateCancelled: lifecycle.StateCancelled,
		rivertype.JobStateDiscarded: lifecycle.StateError,
	}
	want := func(at rivertype.JobState, marked bool, note lifecycle.State) lifecycle.State {
		ended := lifecycle.Terminal.Has(plain[at])
		switch {
		case !ended && marked:
			return lifecycle.StateCancelling
		case at == rivertype.JobStatePending && lifecycle.Live.Has(note) && note != lifecycle.StateCancelling,
			at == rivertype.JobStateCompleted && (note == lifecycle.StateWarning || note == lifecycle.StateFinished),
			at == rivertype.JobStateDiscarded && (note == lifecycle.StateExpired || note == lifecycle.StateValidationFailed):
			return note
		}
		return plain[at]
	}
	notes := []string{""}
	for s := range lifecycle.States() {
		notes = append(notes, s.String())
	}
	checked := 0
	for _, at := range rivertype.JobStates() {
		if plain[at] == 0 {
			t.Fatalf("River has a new state, %s", at)
		}
		for _, marked := range []bool{false, true} {
			for _, text := range notes {
				var note lifecycle.State
				metadata := `{}`
				if text != "" {
					metadata = fmt.Sprintf(`{"ess": {"state": %q, "outcome": "WARNING"}}`, text)
					if err := note.UnmarshalText([]byte(text)); err != nil {
						t.Fatal(err)
					}
				}
				id := lifecycle.ID(checked + 1)
				if _, err := pool.Exec(t.Context(), `
INSERT INTO river_job (id, args, kind, max_attempts, state, finalized_at, metadata)
VALUES (@id, '{}', 'task', 25, @at, CASE WHEN @final THEN now() END, @metadata::jsonb || CASE WHEN @marked THEN jsonb_build_object(@mark::text, '2026-02-03T04:05:06.789Z') ELSE '{}' END)`,
					pgx.NamedArgs{"id": id, "at": at, "final": lifecycle.Terminal.Has(plain[at]), "metadata": metadata, "marked": marked, "mark": essriver.Mark}); err != nil {
					t.Fatal(err)
				}
				got, err := store.Get(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				if got.State != want(at, marked, note) {
					t.Errorf("%s, marked %v, note %q: %v, want %v", at, marked, text, got.State, want(at, marked, note))
				}
				if err := got.Validate(); err != nil {
					t.Error(err)
				}
				if got.Outcome != 0 && at != rivertype.JobStatePending {
					t.Errorf("%s, marked %v: outcome %v, which is out of date", at, marked, got.Outcome)
				}
				if since := got.CheckedIn; (got.State == lifecycle.StateCancelling) == since.IsZero() {
					t.Errorf("%s, marked %v, note %q: %v since %v", at, marked, text, got.State, since)
				}
				checked++
			}
		}
	}
	if want := 8 * 2 * 20; checked != want {
		t.Errorf("checked %d, want %d", checked, want)
	}
}

// An error says which database has no table of River's.
func TestMigrateSaysWhere(t *testing.T) {
	t.Parallel()
	pool := setup(t)
	err := essriver.Migrate(t.Context(), pool, "nowhere")
	if database := pool.Config().ConnConfig.Database; err == nil || !strings.Contains(err.Error(), database) {
		t.Errorf("Migrate in a schema that is not there = %v, want an error with the name of the database, %s", err, database)
	}
}
