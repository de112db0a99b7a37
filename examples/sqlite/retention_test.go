package sqlite_test

import (
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/examples/sqlite"
	"example.com/ess/lifecycle"
)

// Whatever a clean-up of the audit trail leaves, a later cancel touches nothing but its own
// tree, and no request is said to have been cancelled by somebody else.
func TestCleanUp(t *testing.T) {
	t.Parallel()
	for _, purge := range []string{
		"DELETE FROM causes", "UPDATE requests SET cause = NULL; DELETE FROM causes", "DELETE FROM changes; DELETE FROM causes",
		// Somebody who restores a table loses the mark of SQLite, too.
		"DELETE FROM causes; DELETE FROM sqlite_sequence WHERE name = 'causes'; DELETE FROM changes WHERE request <> 2 OR trigger <> 'cancel'; UPDATE changes SET cause = 2",
	} {
		t.Run(purge, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "requests.db")
			s := openFile(t, path,
				request(1, 0, lifecycle.KindParent, lifecycle.StateRunning),
				request(2, 1, lifecycle.KindChild, lifecycle.StateRunning),
				request(10, 0, lifecycle.KindParent, lifecycle.StateRunning),
				request(11, 10, lifecycle.KindChild, lifecycle.StateRunning))
			c := cancel.New(s, nil)
			if _, err := c.Cancel(t.Context(), cancel.Order{ID: 1, Actor: "ann"}); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Acknowledge(t.Context(), cancel.Order{ID: 2}, lifecycle.StateSucceeded); err != nil {
				t.Fatal(err)
			}
			if _, err := database(t, path).ExecContext(t.Context(), purge); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Cancel(t.Context(), cancel.Order{ID: 10, Actor: "bob"}); err != nil {
				t.Error(err)
			}
			checkStates(t, s, map[lifecycle.ID]lifecycle.State{
				1: lifecycle.StateCancelled, 2: lifecycle.StateSucceeded,
				10: lifecycle.StateCancelling, 11: lifecycle.StateCancelling,
			})
			if strings.Contains(purge, "sqlite_sequence") {
				return
			}
			for id, actor := range map[lifecycle.ID]string{1: "", 2: "", 10: "bob", 11: "bob"} {
				if cause, err := s.Cause(t.Context(), id); err != nil || cause.Actor != actor {
					t.Errorf("Cause(%d) = %+v, %v, want actor %q", id, cause, err, actor)
				}
			}
		})
	}
}

func TestNewIDs(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "requests.db")
	s, other := openFile(t, path), openFile(t, path)
	check := func(s *sqlite.Store, n int, want lifecycle.ID) {
		t.Helper()
		if first, err := s.NewIDs(t.Context(), n); err != nil || first != want {
			t.Errorf("NewIDs(%d) = %d, %v, want %d", n, first, err, want)
		}
	}
	check(s, 1, 1)
	check(other, 10, 2)
	check(s, 1, 12)
	// They come after those that a scheduler brings along ...
	if err := s.Insert(t.Context(), request(100, 0, lifecycle.KindSingleton, lifecycle.StateSucceeded), request(50, 0, lifecycle.KindSingleton, lifecycle.StateSucceeded)); err != nil {
		t.Fatal(err)
	}
	check(s, 1, 101)
	if err := s.Submit(t.Context(), request(200, 0, lifecycle.KindSingleton, lifecycle.StateWait)); err != nil {
		t.Fatal(err)
	}
	// ... even if these have been deleted, or the file has been closed.
	if _, err := database(t, path).ExecContext(t.Context(), "DELETE FROM requests"); err != nil {
		t.Fatal(err)
	}
	check(openFile(t, path), 1, 201)

	var mu sync.Mutex
	var all []lifecycle.ID
	var group sync.WaitGroup
	for _, s := range []*sqlite.Store{s, s, other, other} {
		group.Go(func() {
			for range 20 {
				first, err := s.NewIDs(t.Context(), 2)
				mu.Lock()
				all = append(all, first, first+1)
				mu.Unlock()
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	slices.Sort(all)
	if len(slices.Compact(slices.Clone(all))) != len(all) || all[0] != 202 || all[len(all)-1] != 361 {
		t.Errorf("new ids %v, want 202 to 361, each once", all)
	}

	if first, err := s.NewIDs(t.Context(), 0); err == nil {
		t.Errorf("NewIDs(0) = %d", first)
	}
	if err := s.Insert(t.Context(), request(math.MaxInt64-1, 0, lifecycle.KindSingleton, lifecycle.StateWait)); err != nil {
		t.Fatal(err)
	}
	if first, err := s.NewIDs(t.Context(), 2); err == nil {
		t.Errorf("NewIDs behind the largest id = %d", first)
	}
	check(s, 1, math.MaxInt64)
}

// Who comes to a request that has been deleted finds nothing, and does no harm.
func TestDeleted(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "requests.db")
	s := openFile(t, path,
		request(1, 0, lifecycle.KindParent, lifecycle.StateRunning),
		request(2, 1, lifecycle.KindChild, lifecycle.StateWait),
		request(3, 1, lifecycle.KindChild, lifecycle.StateWait))
	ctx := t.Context()
	gone, err := s.Get(ctx, 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := database(t, path).ExecContext(ctx, "DELETE FROM requests WHERE id = 2"); err != nil {
		t.Fatal(err)
	}
	ch := cancel.Change{Old: gone, Trigger: lifecycle.TriggerCancel, State: lifecycle.StateCancelled, Cause: cancel.Cause{Root: 1}}
	other := ch
	other.Old.ID = 3
	if made, err := s.Apply(ctx, []cancel.Change{ch, other}); err != nil || !slices.Equal(made, []bool{false, true}) {
		t.Errorf("Apply = %v, %v, want only the second made", made, err)
	}
	if made, err := s.EndParent(ctx, ch); err != nil || made {
		t.Errorf("EndParent = %v, %v, want it not made", made, err)
	}
	if _, err := s.Cause(ctx, 2); !errors.Is(err, cancel.ErrNotFound) {
		t.Errorf("Cause = %v, want not found", err)
	}
	if err := s.Submit(ctx, request(4, 2, lifecycle.KindChild, lifecycle.StateWait)); !errors.Is(err, esserrors.CodeNotFound) {
		t.Errorf("Submit below it = %v, want not found", err)
	}
	if _, err := cancel.New(s, nil).Cancel(ctx, cancel.Order{ID: 1}); err != nil {
		t.Error(err)
	}
	checkStates(t, s, map[lifecycle.ID]lifecycle.State{1: lifecycle.StateCancelled, 3: lifecycle.StateCancelled})
}
