package cancel_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// TestCancelTable compares what a cancel does to every kind in every state with a table
// that is written out by hand.
func TestCancelTable(t *testing.T) {
	t.Parallel()
	const refused = ""
	table := []struct{ state, leaf, container, worker string }{
		{"WAIT", "CANCELLED", "CANCELLED", "CANCELLED"},
		{"READY", "CANCELLED", "CANCELLED", "CANCELLED"},
		{"BLOCKED", "CANCELLED", "CANCELLED", "CANCELLED"},
		{"HOLD", "CANCELLED", "CANCELLED", "CANCELLED"},
		{"RUNNING", "CANCELLING", "CANCELLED", "CANCELLING"},
		{"COMPLETED", "CANCELLING", "CANCELLED", "CANCELLING"},
		{"PAUSED", "CANCELLED", "CANCELLED", "CANCELLED"},
		{"PENDING_VALIDATION", "CANCELLED", "CANCELLED", "CANCELLED"},
		{"ERROR_AUTO_RETRY", "CANCELLED", "CANCELLED", "CANCELLED"},
		{"ERROR_MANUAL_RECOVERY", "CANCELLED", "CANCELLED", "CANCELLED"},
		{"SCHEDULE_ENDED", "CANCELLED", "CANCELLED", "CANCELLED"},
		{"CANCELLING", "CANCELLING", "CANCELLED", "CANCELLING"},
		{"EXPIRED", refused, refused, refused},
		{"CANCELLED", refused, refused, refused},
		{"ERROR", refused, refused, refused},
		{"WARNING", refused, refused, refused},
		{"SUCCEEDED", refused, refused, refused},
		{"VALIDATION_FAILED", refused, refused, refused},
		{"FINISHED", refused, refused, refused},
	}
	if got, want := len(table), lifecycle.Live.Len()+lifecycle.Terminal.Len(); got != want {
		t.Fatalf("the table has %d states, there are %d", got, want)
	}
	for _, row := range table {
		for kind, want := range map[string]string{
			"SINGLETON": row.leaf, "CHILD": row.leaf, "PARENT": row.container, "SUBREQUEST_PARENT": row.worker,
		} {
			each(t, fmt.Sprintf("1 %s %s", kind, row.state), func(t *testing.T, repo *memrepo.Repo, seen cancel.Repository) {
				_, err := cancel.New(seen, nil).Cancel(t.Context(), cancel.Order{ID: 1})
				if refuses := errors.Is(err, esserrors.CodeUnsupportedState); refuses != (want == refused) {
					t.Errorf("cancel of %s in %s: error %v", kind, row.state, err)
				}
				if got := states(repo); got != "1 "+cmp.Or(want, row.state) {
					t.Errorf("cancel of %s in %s: %s, want %s", kind, row.state, got, want)
				}
			})
		}
	}
}

// TestCauses checks that every change carries who, why, for which root, and when.
func TestCauses(t *testing.T) {
	t.Parallel()
	each(t, "1 PARENT RUNNING; 2<1 SUBREQUEST_PARENT RUNNING; 3<2 CHILD WAIT; 4<1 CHILD RUNNING; 5<1 CHILD SUCCEEDED",
		func(t *testing.T, repo *memrepo.Repo, seen cancel.Repository) {
			now := start.Add(1234567 * time.Nanosecond).In(time.FixedZone("elsewhere", 3600))
			in := &interrupts{}
			c := cancel.New(seen, &cancel.Options{Interrupter: in, Now: func() time.Time { return now }})
			if _, err := c.Cancel(t.Context(), cancel.Order{ID: 1, Actor: "ann", Reason: "ledger"}); err != nil {
				t.Fatal(err)
			}
			// Whole microseconds in UTC, so that any store can keep it.
			want := cancel.Cause{Root: 1, Actor: "ann", Reason: "ledger", Time: start.Add(1234 * time.Microsecond)}
			for _, id := range []lifecycle.ID{1, 2, 3, 4} {
				if got, err := repo.Cause(t.Context(), id); err != nil || got != want {
					t.Errorf("cause of %d = %+v, %v, want %+v", id, got, err, want)
				}
			}
			if got, _ := repo.Cause(t.Context(), 5); got != (cancel.Cause{}) {
				t.Errorf("request 5 had ended and has a cause: %+v", got)
			}
			if got := sorted(in.ids); !slices.Equal(got, []lifecycle.ID{2, 4}) {
				t.Errorf("interrupted %v, want 2 and 4", got)
			}
			for _, cause := range in.causes {
				if cause != want {
					t.Errorf("interrupted with %+v, want %+v", cause, want)
				}
			}
			// A later cancel does not change the cause.
			now = now.Add(time.Hour)
			for _, order := range []cancel.Order{{ID: 1, Actor: "bob"}, {ID: 4, Actor: "cem"}} {
				if _, err := c.Cancel(t.Context(), order); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := c.Acknowledge(t.Context(), cancel.Order{ID: 4, Actor: "worker"}, lifecycle.StateSucceeded); err != nil {
				t.Fatal(err)
			}
			if got, _ := repo.Cause(t.Context(), 4); got != want {
				t.Errorf("cause of 4 became %+v", got)
			}
		})
}

// TestChanges checks what a store gets to write.
func TestChanges(t *testing.T) {
	t.Parallel()
	repo := newRepo(t, "1 SUBREQUEST_PARENT RUNNING; 2<1 CHILD WAIT; 3<1 CHILD RUNNING")
	var log []string
	f := &fake{Repository: repo}
	f.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
		for _, ch := range changes {
			trigger := "-"
			if ch.Trigger != 0 {
				trigger = ch.Trigger.String()
			}
			log = append(log, fmt.Sprintf("%d %v %s %v/%d by %s", ch.Old.ID, ch.Old.State, trigger, ch.State, ch.Outcome, ch.Cause.Actor))
		}
		return repo.Apply(ctx, changes)
	}
	now := start
	c := cancel.New(f, &cancel.Options{Now: func() time.Time { return now }})
	do := func(_ any, err error) {
		t.Helper()
		must(t, err)
	}
	do(c.Cancel(t.Context(), cancel.Order{ID: 1, Actor: "ann"}))
	now = now.Add(time.Minute)
	do(c.CheckIn(t.Context(), cancel.Order{ID: 3}))
	do(c.Acknowledge(t.Context(), cancel.Order{ID: 1, Actor: "w1"}, lifecycle.StateWarning))
	do(c.Acknowledge(t.Context(), cancel.Order{ID: 3, Actor: "w3"}, lifecycle.StateCancelled))
	want := []string{
		"1 RUNNING cancel CANCELLING/0 by ann",
		"2 WAIT cancel CANCELLED/0 by ann",
		"3 RUNNING cancel CANCELLING/0 by ann",
		"3 CANCELLING - CANCELLING/0 by ",
		"1 CANCELLING warn CANCELLING/11 by w1",
		"3 CANCELLING acknowledge CANCELLED/0 by w3",
		"1 CANCELLING warn WARNING/0 by w3",
	}
	if diff := gocmp.Diff(want, log); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

// TestSecretStaysInLogs has the store fail with a secret in its error, and looks for the
// secret in the problem document.
func TestSecretStaysInLogs(t *testing.T) {
	t.Parallel()
	for n := int64(1); n <= 6; n++ {
		f := &fake{Repository: newRepo(t, "1 PARENT RUNNING; 2<1 CHILD WAIT; 3<1 CHILD RUNNING")}
		f.before = func(call int64) error {
			if call >= n {
				return errDisk
			}
			return nil
		}
		_, err := cancel.New(f, nil).Cancel(t.Context(), cancel.Order{ID: 1})
		if !errors.Is(err, esserrors.CodeSystem) || !errors.Is(err, errDisk) {
			t.Errorf("store fails from call %d: %v, want a system error with its cause", n, err)
		}
		doc, _ := json.Marshal(esserrors.ProblemOf(err, nil))
		if strings.Contains(string(doc), "secret") {
			t.Errorf("store fails from call %d: the document tells %s", n, doc)
		}
	}
}
