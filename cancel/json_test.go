package cancel_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// TestPlanInAFile makes a plan, keeps it in a file, and has another process execute it.
func TestPlanInAFile(t *testing.T) {
	t.Parallel()
	repo := newRepo(t, "1 PARENT RUNNING; 2<1 CHILD RUNNING; 3<1 SUBREQUEST_PARENT WAIT; 4<3 CHILD HOLD; 9 PARENT RUNNING")
	c := cancel.New(repo, &cancel.Options{Now: clock})
	order := cancel.Order{ID: 1, Actor: "ann", Reason: "wrong ledger"}
	plan, err := c.Plan(t.Context(), order)
	must(t, err)
	file := filepath.Join(t.TempDir(), "plan.json")
	text, err := json.MarshalIndent(plan, "", "  ")
	must(t, err)
	must(t, os.WriteFile(file, text, 0o600))

	text, err = os.ReadFile(file)
	must(t, err)
	var read cancel.Plan
	must(t, json.Unmarshal(text, &read))
	if !reflect.DeepEqual(read, plan) {
		t.Errorf("read  %+v\nwrote %+v\n%s", read, plan, text)
	}
	res, err := cancel.New(repo, &cancel.Options{Now: clock}).ExecutePlan(t.Context(), read)
	if err != nil || res.Counts != plan.Result.Counts || states(repo) != "1 CANCELLING; 2 CANCELLING; 3 CANCELLED; 4 CANCELLED; 9 RUNNING" {
		t.Errorf("%v, %v; %s", res.Counts, err, states(repo))
	}
	if cause, err := repo.Cause(t.Context(), 4); err != nil || cause != (cancel.Cause{Root: 1, Actor: "ann", Reason: "wrong ledger", Time: start}) {
		t.Errorf("%+v, %v", cause, err)
	}
	// It is as good as the plan itself: it is refused if the tree has changed meanwhile.
	if _, err := cancel.New(repo, nil).ExecutePlan(t.Context(), read); !errors.Is(err, esserrors.CodeConflict) {
		t.Errorf("the second time: %v", err)
	}
	// A file that somebody has changed does no more than a plan could.
	read.Order.ID = 9
	if _, err := cancel.New(repo, nil).ExecutePlan(t.Context(), read); !errors.Is(err, esserrors.CodeConflict) || states(repo) != "1 CANCELLING; 2 CANCELLING; 3 CANCELLED; 4 CANCELLED; 9 RUNNING" {
		t.Errorf("another request: %v; %s", err, states(repo))
	}
}

// TestJSON encodes what a caller may want to keep or send, zero values included, and reads
// it back.
func TestJSON(t *testing.T) {
	t.Parallel()
	receipt := cancel.Receipt{ID: 7, Parent: 1, Kind: lifecycle.KindChild, Disposition: cancel.DispositionAlreadyCancelling, From: lifecycle.StateRunning, To: lifecycle.StateCancelling}
	failed := receipt
	failed.Disposition, failed.To, failed.Err = cancel.DispositionFailed, 0, &esserrors.Error{Code: esserrors.CodeSystem, Op: "cancel", ID: 7, Detail: "It failed."}
	foreign := failed
	foreign.Err = errors.Join(errDisk, esserrors.CodeConflict)
	same := func(t *testing.T, v, back any) {
		t.Helper()
		text, err := json.Marshal(v)
		if err != nil {
			t.Errorf("%+v: %v", v, err)
			return
		}
		into := reflect.New(reflect.TypeOf(v))
		if err := json.Unmarshal(text, into.Interface()); err != nil {
			t.Errorf("%s: %v", text, err)
			return
		}
		if got := into.Elem().Interface(); !reflect.DeepEqual(got, back) {
			t.Errorf("%s is read as %+v, want %+v", text, got, back)
		}
	}
	for _, v := range []any{
		cancel.Receipt{},
		receipt, failed,
		cancel.Counts{},
		cancel.Counts{cancel.DispositionCancelled: 2, cancel.DispositionFailed: 1},
		cancel.Result{},
		cancel.Result{Root: failed, Counts: cancel.Counts{cancel.DispositionFailed: 1}, Interrupted: 3},
		cancel.Plan{},
		cancel.Order{},
		cancel.Step{},
		cancel.Cause{},
		cancel.Disposition(0), cancel.DispositionRecorded,
		cancel.OpTransition, lifecycle.SourceSpec, lifecycle.Source(0),
		lifecycle.Rule{},
	} {
		same(t, v, v)
	}
	// A foreign error comes back as its text, and without a code.
	text, err := json.Marshal(foreign)
	must(t, err)
	var got cancel.Receipt
	must(t, json.Unmarshal(text, &got))
	if got.Err == nil || got.Err.Error() != foreign.Err.Error() || errors.Is(got.Err, esserrors.CodeConflict) {
		t.Errorf("%v came back as %v (%s)", foreign.Err, got.Err, text)
	}
	for _, bad := range []string{`{"disposition":"gone"}`, `[]`, `{"from":"NOWHERE"}`} {
		before := receipt
		if err := json.Unmarshal([]byte(bad), &before); err == nil || !reflect.DeepEqual(before, receipt) {
			t.Errorf("%s: %v, %+v", bad, err, before)
		}
	}
	var counts cancel.Counts
	if err := json.Unmarshal([]byte(`{"mislaid":1}`), &counts); err == nil {
		t.Errorf("unknown dispositions count as %v", counts)
	}
	if _, err := cancel.Disposition(200).MarshalText(); err == nil {
		t.Error("an unknown disposition has a text")
	}
	if err := json.Unmarshal([]byte(`{"root":7}`), new(cancel.Result)); err == nil {
		t.Error("a number is read as a receipt")
	}
}
