package sqlite_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/examples/sqlite"
	"example.com/ess/lifecycle"
)

func TestSubmit(t *testing.T) {
	t.Parallel()
	s := open(t)
	id := lifecycle.ID(100)
	for k := range lifecycle.Kinds() {
		for state := range lifecycle.States() {
			parent, child := id, id+1
			id += 2
			if err := s.Insert(t.Context(), request(parent, 0, k, state)); err != nil {
				t.Fatal(err)
			}
			err := s.Submit(t.Context(), request(child, parent, lifecycle.KindChild, lifecycle.StateWait))
			_, getErr := s.Get(t.Context(), child)
			if lifecycle.AdmitsChildren(k, state) {
				if err != nil || getErr != nil {
					t.Errorf("%v in %v: Submit of a child = %v, Get = %v, want no errors", k, state, err, getErr)
				}
			} else if !errors.Is(err, esserrors.CodeUnsupportedState) || !errors.Is(getErr, cancel.ErrNotFound) {
				t.Errorf("%v in %v: Submit of a child = %v, Get = %v, want both to fail", k, state, err, getErr)
			}
		}
	}
	if err := s.Submit(t.Context(), request(2, 1, lifecycle.KindChild, lifecycle.StateWait)); !errors.Is(err, esserrors.CodeNotFound) {
		t.Errorf("Submit without the parent = %v, want not found", err)
	}
	if err := s.Submit(t.Context(), request(1, 0, lifecycle.KindParent, lifecycle.StateWait)); err != nil {
		t.Errorf("Submit without a parent = %v", err)
	}
	if err := s.Submit(t.Context(), request(1, 0, lifecycle.KindParent, lifecycle.StateWait)); err == nil {
		t.Error("Submit of an id that is taken returned no error")
	}
}

// Transition, over this store, counts attempts and does not end a parent over a live child.
func TestTransition(t *testing.T) {
	t.Parallel()
	c := cancel.New(open(t,
		request(1, 0, lifecycle.KindSubrequestParent, lifecycle.StateReady),
		request(2, 1, lifecycle.KindChild, lifecycle.StateReady),
		request(3, 0, lifecycle.KindSingleton, lifecycle.StateCancelling)), nil)
	for _, step := range []struct {
		id      lifecycle.ID
		trigger lifecycle.Trigger
		want    lifecycle.State
		attempt int
		err     error
	}{
		{1, lifecycle.TriggerStart, lifecycle.StateRunning, 1, nil},
		{1, lifecycle.TriggerPause, lifecycle.StatePaused, 1, nil},
		{1, lifecycle.TriggerResume, lifecycle.StateRunning, 2, nil},
		{1, lifecycle.TriggerFail, lifecycle.StateRunning, 2, cancel.ErrLiveChild},
		{2, lifecycle.TriggerExpire, lifecycle.StateExpired, 0, nil},
		{1, lifecycle.TriggerFail, lifecycle.StateError, 2, nil},
		{3, lifecycle.TriggerSucceed, lifecycle.StateCancelling, 0, esserrors.CodeUnsupportedState}, // Acknowledge does that
		{4, lifecycle.TriggerStart, 0, 0, esserrors.CodeNotFound},
	} {
		r, err := c.Transition(t.Context(), cancel.Order{ID: step.id}, step.trigger)
		if !errors.Is(err, step.err) || r.State != step.want || r.Attempt != step.attempt {
			t.Errorf("Transition(%d, %v) = %v, attempt %d, %v, want %v, %d, %v", step.id, step.trigger, r.State, r.Attempt, err, step.want, step.attempt, step.err)
		}
	}
}

// fail is the change that ends a request which runs.
func fail(r lifecycle.Request) cancel.Change {
	return cancel.Change{Old: r, Trigger: lifecycle.TriggerFail, State: lifecycle.StateError, Cause: cancel.Cause{Root: r.ID, Actor: "scheduler"}}
}

func TestEndParent(t *testing.T) {
	t.Parallel()
	for state := range lifecycle.States() {
		s := open(t, request(1, 0, lifecycle.KindParent, lifecycle.StateRunning), request(2, 1, lifecycle.KindChild, state))
		parent, err := s.Get(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		stale := parent
		stale.State = lifecycle.StatePaused
		if made, err := s.EndParent(t.Context(), fail(stale)); made || err != nil {
			t.Errorf("EndParent of what is not as it was = %v, %v", made, err)
		}
		made, err := s.EndParent(t.Context(), fail(parent))
		if made == lifecycle.Live.Has(state) || err != nil {
			t.Errorf("EndParent with a child in %v = %v, %v", state, made, err)
		}
		want := lifecycle.StateRunning
		if made {
			want = lifecycle.StateError
		}
		checkStates(t, s, map[lifecycle.ID]lifecycle.State{1: want})
	}
}

// Of a child that is submitted and a parent that is ended at the same time one loses.
func TestEndParentBesideSubmit(t *testing.T) {
	t.Parallel()
	s := open(t)
	ended := 0
	for id := lifecycle.ID(1); id < 100; id += 2 {
		parent := request(id, 0, lifecycle.KindParent, lifecycle.StateRunning)
		if err := s.Insert(t.Context(), parent); err != nil {
			t.Fatal(err)
		}
		var made bool
		var err, submitErr error
		both := []func(){
			func() { made, err = s.EndParent(t.Context(), fail(parent)) },
			func() { submitErr = s.Submit(t.Context(), request(id+1, id, lifecycle.KindChild, lifecycle.StateWait)) },
		}
		var group sync.WaitGroup
		group.Go(both[id/2%2])
		group.Go(both[1-id/2%2])
		group.Wait()
		if err != nil || made == (submitErr == nil) {
			t.Errorf("EndParent = %v, %v, and Submit = %v", made, err, submitErr)
		}
		if made {
			ended++
		}
	}
	if ended == 0 || ended == 50 {
		t.Errorf("%d of 50 parents ended before the child came: nobody met", ended)
	}
}

// The attempt is kept, and compared as the state is.
func TestAttempt(t *testing.T) {
	t.Parallel()
	r := request(1, 0, lifecycle.KindSingleton, lifecycle.StateRunning)
	r.Attempt = 3
	s := open(t, r)
	old := r
	old.Attempt = 2
	for _, change := range []struct {
		old  lifecycle.Request
		made bool
	}{{old, false}, {r, true}} {
		ch := cancel.Change{Old: change.old, Trigger: lifecycle.TriggerCancel, State: lifecycle.StateCancelling, Attempt: 4}
		if made, err := s.Apply(t.Context(), []cancel.Change{ch}); err != nil || made[0] != change.made {
			t.Errorf("Apply to attempt %d = %v, %v, want %v", change.old.Attempt, made, err, change.made)
		}
	}
	if r, err := s.Get(t.Context(), 1); err != nil || r.Attempt != 4 {
		t.Errorf("attempt %d, %v, want 4", r.Attempt, err)
	}
}

// The cause is that of the cancel, whoever has changed the request before and after.
func TestCauseOfTheCancel(t *testing.T) {
	t.Parallel()
	s := open(t, request(1, 0, lifecycle.KindSingleton, lifecycle.StateWait))
	for _, step := range []struct {
		trigger lifecycle.Trigger
		to      lifecycle.State
		actor   string // of the cause afterwards
	}{
		{lifecycle.TriggerDispatch, lifecycle.StateReady, ""},
		{lifecycle.TriggerStart, lifecycle.StateRunning, ""},
		{lifecycle.TriggerCancel, lifecycle.StateCancelling, "cancel"},
		{0, lifecycle.StateCancelling, "cancel"},
		{lifecycle.TriggerSucceed, lifecycle.StateSucceeded, "cancel"},
	} {
		r, err := s.Get(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		ch := cancel.Change{Old: r, Trigger: step.trigger, State: step.to, Cause: cancel.Cause{Root: 1, Actor: step.trigger.String()}}
		if made, err := s.Apply(t.Context(), []cancel.Change{ch}); err != nil || !made[0] {
			t.Fatalf("%v: %v, %v", step.trigger, made, err)
		}
		if cause, err := s.Cause(t.Context(), 1); err != nil || cause.Actor != step.actor {
			t.Errorf("after %v the cause is %+v, %v, want actor %q", step.trigger, cause, err, step.actor)
		}
	}
}

// No text keeps a request from being cancelled.
func TestTexts(t *testing.T) {
	t.Parallel()
	texts := []string{
		"wrong\x00ledger", "falsches B\xfcro", "日本語"[:4], "\xed\xa0\x80", "Grund: zu spät 🙂 \u202egnp.exe",
		"'; DROP TABLE requests; --", strings.Repeat("because ", 200_000),
	}
	s := open(t)
	for i, text := range texts {
		id := lifecycle.ID(2*i + 1)
		if err := s.Insert(t.Context(), request(id, 0, lifecycle.KindParent, lifecycle.StateRunning), request(id+1, id, lifecycle.KindChild, lifecycle.StateWait)); err != nil {
			t.Fatal(err)
		}
		if _, err := cancel.New(s, nil).Cancel(t.Context(), cancel.Order{ID: id, Actor: text, Reason: text}); err != nil {
			t.Errorf("%.30q: %v", text, err)
		}
		checkStates(t, s, map[lifecycle.ID]lifecycle.State{id: lifecycle.StateCancelled, id + 1: lifecycle.StateCancelled})
		if _, err := s.Cause(t.Context(), id+1); err != nil {
			t.Errorf("%.30q: Cause = %v", text, err)
		}
	}
}

// Whoever has several files wants to know which.
func TestOpenNamesTheFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	junk, old := filepath.Join(dir, "junk"), filepath.Join(dir, "old.db")
	if err := os.WriteFile(junk, []byte(strings.Repeat("not a database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := database(t, old).ExecContext(t.Context(), "CREATE TABLE requests (id INTEGER PRIMARY KEY, parent INTEGER, state TEXT, live INTEGER, readable INTEGER) STRICT"); err != nil {
		t.Fatal(err)
	}
	for path, trouble := range map[string]string{filepath.Join(dir, "no", "requests.db"): "open", dir: "open", junk: "not a database", old: "attempt"} {
		s, err := sqlite.Open(t.Context(), path)
		if err == nil {
			_ = s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), trouble) {
			t.Errorf("Open(%q) = %v, want an error that names the file and has %q", path, err, trouble)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := sqlite.Open(ctx, old); !errors.Is(err, context.Canceled) {
		t.Errorf("Open with a context that is done = %v", err)
	}
}
