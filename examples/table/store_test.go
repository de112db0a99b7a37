package table_test

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	_ "modernc.org/sqlite" // the driver

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	esserrors "example.com/ess/errors"
	"example.com/ess/examples/table"
	"example.com/ess/lifecycle"
)

//go:embed job.sql
var job string

//go:embed adopt.sql
var adopt string

// open returns a database in a file of its own that has the table.
func open(ctx context.Context, dir string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "job.db")+"?_txlock=immediate")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // SQLite has one writer at a time: let them queue here
	for _, statements := range []string{"PRAGMA synchronous = OFF", job, adopt} {
		if _, err := db.ExecContext(ctx, statements); err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	return db, nil
}

func openTemp(t *testing.T) *sql.DB {
	t.Helper()
	db, err := open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func newStore(t *testing.T) *table.Store { return table.New(openTemp(t)) }

func TestStore(t *testing.T) {
	canceltest.Run(t, canceltest.Harness{
		New: func(ctx context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
			store := newStore(t)
			return store, store.Insert(ctx, requests)
		},
	})
}

// TestSubmitBesideCancel has children submitted and their parent cancelled truly at the
// same time: none of them may be left.
func TestSubmitBesideCancel(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	canceller := cancel.New(store, nil)
	var last atomic.Int64
	submit := func(parent lifecycle.ID, k lifecycle.Kind) (lifecycle.ID, error) {
		id := lifecycle.ID(last.Add(1))
		return id, store.Submit(t.Context(), lifecycle.Request{ID: id, Parent: parent, Kind: k, State: lifecycle.StateReady})
	}
	for range 20 {
		parent, err := submit(0, lifecycle.KindParent)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				err := error(nil)
				for err == nil {
					_, err = submit(parent, lifecycle.KindChild)
				}
				if !errors.Is(err, esserrors.CodeUnsupportedState) {
					t.Error(err)
				}
			})
		}
		for children := 0; children < 10; { // until they are at it
			page, err := store.Children(t.Context(), cancel.ChildQuery{Parents: []lifecycle.ID{parent}, States: lifecycle.Live, Limit: 10})
			if err != nil {
				t.Fatal(err)
			}
			children = len(page)
		}
		_, err = canceller.Cancel(t.Context(), cancel.Order{ID: parent})
		wg.Wait()
		if err != nil {
			t.Fatal(err)
		}
		left, err := store.Children(t.Context(), cancel.ChildQuery{Parents: []lifecycle.ID{parent}, States: lifecycle.Live, Limit: 1})
		if err != nil || len(left) > 0 {
			t.Fatalf("left below a parent that was cancelled: %v, %v", left, err)
		}
	}
}

// TestAttempt checks that what belongs to an earlier attempt is not written.
func TestAttempt(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	old := lifecycle.Request{ID: 1, Kind: lifecycle.KindChild, State: lifecycle.StateRunning, Attempt: 2}
	if err := store.Insert(t.Context(), []lifecycle.Request{old}); err != nil {
		t.Fatal(err)
	}
	ch := cancel.Change{Old: old, State: lifecycle.StateCompleted, Attempt: 2}
	for attempt, want := range map[int]bool{1: false, 2: true} {
		ch.Old.Attempt = attempt
		if made, err := store.Apply(t.Context(), []cancel.Change{ch}); err != nil || made[0] != want {
			t.Errorf("a change of attempt %d where 2 is stored: made %v, %v", attempt, made, err)
		}
	}
}

func TestSubmit(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	child := lifecycle.Request{ID: 9, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateReady}
	if err := store.Submit(t.Context(), child); !errors.Is(err, cancel.ErrNotFound) {
		t.Errorf("without its parent: %v", err)
	}
	for k := range lifecycle.Kinds() {
		for s := range lifecycle.States() {
			child.ID++
			child.Parent = child.ID * 1000
			if err := store.Insert(t.Context(), []lifecycle.Request{{ID: child.Parent, Kind: k, State: s}}); err != nil {
				t.Fatal(err)
			}
			err := store.Submit(t.Context(), child)
			if lifecycle.AdmitsChildren(k, s) != (err == nil) || err != nil && !errors.Is(err, esserrors.CodeUnsupportedState) {
				t.Errorf("a child of a %v in %v: %v", k, s, err)
			}
		}
	}
}

// TestUnreadable checks that rows which another version wrote are neither passed over
// nor in the way.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	db := openTemp(t)
	store := table.New(db)
	if _, err := db.ExecContext(t.Context(), `
		INSERT INTO job (id, parent_id, type, status) VALUES
		(1, NULL, 'flow', 'running'), (2, 1, 'task', 'queued'), (3, 1, 'task', 'sleeping'),
		(4, 1, 'robot', 'done'), (5, 1, 'task', 'stopping>sleeping')`); err != nil {
		t.Fatal(err)
	}
	q := cancel.ChildQuery{Parents: []lifecycle.ID{1}, States: lifecycle.SetOf(lifecycle.StateHold), Limit: 10}
	page, err := store.Children(t.Context(), q)
	want := []lifecycle.Request{{ID: 3, Parent: 1}, {ID: 4, Parent: 1}, {ID: 5, Parent: 1}}
	if err != nil || !slices.Equal(page, want) {
		t.Errorf("Children = %v, %v, want %v", page, err, want)
	}
	result, err := cancel.New(store, nil).Cancel(t.Context(), cancel.Order{ID: 1})
	if err == nil {
		t.Error("a cancel that could not read everything succeeded")
	}
	if result.Counts[cancel.DispositionCancelled] != 1 || result.Counts[cancel.DispositionFailed] != 3 {
		t.Errorf("the cancel did %v", result.Counts)
	}
	if r, err := store.Get(t.Context(), 1); err != nil || r.State != lifecycle.StateCancelling {
		t.Errorf("the parent is %v, %v: it may not end above what cannot be read", r.State, err)
	}
}
