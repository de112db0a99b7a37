package sqlite_test

import (
	"path/filepath"
	"strings"
	"testing"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/examples/sqlite"
	"example.com/ess/lifecycle"
)

// The check of the schema knows what package lifecycle does, and nothing else gets in.
func TestSchemaChecks(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "requests.db")
	s := openFile(t, path)
	id := lifecycle.ID(0)
	for k := range lifecycle.Kinds() {
		for state := range lifecycle.States() {
			id++
			if err := s.Insert(t.Context(), request(id, 0, k, state)); err != nil {
				t.Errorf("%v in %v: %v", k, state, err)
			}
		}
	}
	for outcome := range lifecycle.Outcomes.All() {
		id++
		r := request(id, 0, lifecycle.KindParent, lifecycle.StateCancelling)
		r.Outcome = outcome
		if err := s.Insert(t.Context(), r); err != nil {
			t.Errorf("outcome %v: %v", outcome, err)
		}
	}
	db := database(t, path)
	for _, set := range []string{
		"id = 0", "id = -5", "parent = -1", "parent = id", "attempt = -1",
		"kind = 'ROBOT'", "kind = ''", "kind = 'child'", "kind = NULL",
		"state = 'FROZEN'", "state = 'State(0)'", "state = NULL", "outcome = 'CANCELLED'",
		"state = 'CANCELLING', outcome = 'RUNNING'", "state = 'CANCELLING', outcome = 'PARTIAL'", "state = 'CANCELLING', outcome = ''",
	} {
		if _, err := db.ExecContext(t.Context(), "UPDATE requests SET "+set+" WHERE id = 1"); err == nil {
			t.Errorf("a request can be set to %s", set)
		}
	}
}

// lax opens a file as somebody else's scheduler might have made it, without the checks
// of the schema.
func lax(t *testing.T, path string, requests ...lifecycle.Request) *sqlite.Store {
	t.Helper()
	schema := strings.NewReplacer("NOT NULL", "", "CHECK (readable)", "CHECK (true)").Replace(sqlite.Schema)
	if _, err := database(t, path).ExecContext(t.Context(), schema); err != nil {
		t.Fatal(err)
	}
	return openFile(t, path, requests...)
}

// A row that nobody can read is reported by its id wherever it is met. Nothing above it
// ends, and nothing else has to wait for it.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	for _, set := range []string{
		"kind = 'ROBOT'", "kind = ''", "kind = NULL", "kind = 'ROBOT', state = 'CANCELLING'",
		"state = 'FROZEN'", "state = ''", "state = NULL", "kind = NULL, state = NULL",
		"state = 'CANCELLING', outcome = 'PARTIAL'", "state = 'CANCELLING', outcome = 'RUNNING'",
		"state = 'CANCELLING', outcome = ''", "outcome = 'ERROR'",
	} {
		t.Run(set, func(t *testing.T) {
			t.Parallel()
			for name, wrap := range map[string]func(*sqlite.Store) cancel.Repository{
				"capabilities":  func(s *sqlite.Store) cancel.Repository { return s },
				"three methods": func(s *sqlite.Store) cancel.Repository { return canceltest.Plain(s) },
			} {
				t.Run(name, func(t *testing.T) {
					path := filepath.Join(t.TempDir(), "requests.db")
					s := lax(t, path,
						request(1, 0, lifecycle.KindParent, lifecycle.StateRunning),
						request(2, 1, lifecycle.KindChild, lifecycle.StateWait),
						request(3, 1, lifecycle.KindChild, lifecycle.StateRunning),
						request(4, 1, lifecycle.KindChild, lifecycle.StateWait),
						request(5, 1, lifecycle.KindChild, lifecycle.StateRunning),
						request(10, 0, lifecycle.KindParent, lifecycle.StateRunning),
						request(11, 10, lifecycle.KindChild, lifecycle.StateWait))
					db := database(t, path)
					if _, err := db.ExecContext(t.Context(), "UPDATE requests SET "+set+" WHERE id = 3"); err != nil {
						t.Fatal(err)
					}
					unreadable(t, s, wrap(s), strings.Contains(set, "CANCELLING"))

					// Somebody mends the row.
					if _, err := db.ExecContext(t.Context(), "UPDATE requests SET kind = 'CHILD', state = 'SUCCEEDED', outcome = NULL WHERE id = 3"); err != nil {
						t.Fatal(err)
					}
					if _, err := cancel.New(wrap(s), nil).Resume(t.Context(), nil); err != nil {
						t.Error(err)
					}
					checkStates(t, s, map[lifecycle.ID]lifecycle.State{1: lifecycle.StateCancelled, 3: lifecycle.StateSucceeded})
				})
			}
		})
	}
}

// unreadable checks what becomes of a tree whose request 3 cannot be read.
func unreadable(t *testing.T, s *sqlite.Store, repo cancel.Repository, cancelling bool) {
	t.Helper()
	ctx := t.Context()
	if r, err := repo.Get(ctx, 3); err != nil || r.ID != 3 || r.Parent != 1 || r.State != 0 {
		t.Errorf("Get(3) = %+v, %v, want its id, its parent and no state", r, err)
	}
	for _, states := range []lifecycle.StateSet{lifecycle.Live, lifecycle.SetOf(lifecycle.StateWait), lifecycle.Terminal} {
		page, err := repo.Children(ctx, cancel.ChildQuery{Parents: []lifecycle.ID{1}, States: states, Limit: 10})
		found := 0
		for _, r := range page {
			if r.ID == 3 && r.Parent == 1 && r.State == 0 {
				found++
			}
		}
		if err != nil || found != 1 {
			t.Errorf("Children in %v = %v, %v, want request 3 without a state among them", states, page, err)
		}
	}
	listed, err := s.ListCancelling(ctx, 0, 10)
	if err != nil || len(listed) > 0 != cancelling || cancelling && (listed[0].Request.ID != 3 || listed[0].Request.Parent != 1 || listed[0].Request.State != 0) {
		t.Errorf("ListCancelling = %v, %v, want request 3 without a state only if it is CANCELLING, which is %v", listed, err, cancelling)
	}

	c := cancel.New(repo, nil)
	if _, err := c.Cancel(ctx, cancel.Order{ID: 1}); err == nil || !strings.Contains(err.Error(), "request 3") {
		t.Errorf("Cancel of its parent = %v, want an error that names request 3", err)
	}
	if _, err := c.Fence(ctx, cancel.Order{ID: 10}); err != nil {
		t.Error(err)
	}
	if _, err := c.Resume(ctx, nil); err == nil || !strings.Contains(err.Error(), "request 3") {
		t.Errorf("Resume = %v, want an error that names request 3", err)
	}
	if _, err := c.Acknowledge(ctx, cancel.Order{ID: 5}, lifecycle.StateCancelled); err != nil {
		t.Error(err)
	}
	checkStates(t, s, map[lifecycle.ID]lifecycle.State{
		1: lifecycle.StateCancelling, 2: lifecycle.StateCancelled, 4: lifecycle.StateCancelled, 5: lifecycle.StateCancelled,
		10: lifecycle.StateCancelled, 11: lifecycle.StateCancelled,
	})
	if parent, err := s.Get(ctx, 1); err == nil {
		made, err := s.EndParent(ctx, cancel.Change{Old: parent, Trigger: lifecycle.TriggerSettle, State: lifecycle.StateCancelled, CheckedIn: parent.CheckedIn})
		if made || err != nil {
			t.Errorf("EndParent above it = %v, %v, want it not made", made, err)
		}
	}
}

// An id that no request can have gets in past the checks only. It is cancelled or reported.
func TestNegativeID(t *testing.T) {
	t.Parallel()
	for _, plain := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "requests.db")
		s := openFile(t, path, request(1, 0, lifecycle.KindParent, lifecycle.StateRunning), request(5, 1, lifecycle.KindChild, lifecycle.StateWait))
		db := database(t, path)
		if _, err := db.ExecContext(t.Context(), "PRAGMA ignore_check_constraints = ON; UPDATE requests SET id = -5 WHERE id = 5"); err != nil {
			t.Fatal(err)
		}
		var repo cancel.Repository = s
		if plain {
			repo = canceltest.Plain(s)
		}
		_, err := cancel.New(repo, nil).Cancel(t.Context(), cancel.Order{ID: 1})
		var live bool
		if err := db.QueryRowContext(t.Context(), "SELECT live FROM requests WHERE id = -5").Scan(&live); err != nil {
			t.Fatal(err)
		}
		want := lifecycle.StateCancelled
		if live {
			want = lifecycle.StateCancelling
			if err == nil || !strings.Contains(err.Error(), "request -5") {
				t.Errorf("Cancel, plain %v = %v, and request -5 is live, want an error that names it", plain, err)
			}
		}
		checkStates(t, s, map[lifecycle.ID]lifecycle.State{1: want})
	}
}

// What has ended keeps nobody waiting, even if its kind is unknown.
func TestUnreadableThatHasEnded(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "requests.db")
	s := lax(t, path, request(1, 0, lifecycle.KindParent, lifecycle.StateRunning), request(2, 1, lifecycle.KindChild, lifecycle.StateSucceeded))
	if _, err := database(t, path).ExecContext(t.Context(), "UPDATE requests SET kind = 'ROBOT' WHERE id = 2"); err != nil {
		t.Fatal(err)
	}
	c := cancel.New(s, nil)
	if _, err := c.Cancel(t.Context(), cancel.Order{ID: 1}); err != nil {
		t.Error(err)
	}
	if _, err := c.Resume(t.Context(), nil); err != nil {
		t.Error(err)
	}
	checkStates(t, s, map[lifecycle.ID]lifecycle.State{1: lifecycle.StateCancelled, 2: 0})
}

func checkStates(t *testing.T, s *sqlite.Store, want map[lifecycle.ID]lifecycle.State) {
	t.Helper()
	for id, state := range want {
		if r, err := s.Get(t.Context(), id); err != nil || r.State != state {
			t.Errorf("request %d is %v, %v, want %v", id, r.State, err, state)
		}
	}
}
