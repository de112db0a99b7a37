package postgres_test

import (
	"errors"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/examples/postgres"
	"example.com/ess/lifecycle"
)

// Any number of processes may migrate at the same time, and again.
func TestMigrateTogether(t *testing.T) {
	t.Parallel()
	pool := newPool(t, newDatabase(t, serverURL))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := postgres.Migrate(t.Context(), pool); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := queryOne[int](t, pool, `SELECT count(*) FROM ess_migrations`); n != 2 {
		t.Errorf("%d migrations were run, want 2", n)
	}
}

// The names in the migrations are those of package lifecycle.
func TestMigrationsKnowTheStates(t *testing.T) {
	t.Parallel()
	text, err := fs.ReadFile(postgres.Migrations(), "001_requests.sql")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(text), "NOT IN (")
	list, _, _ = strings.Cut(list, ")")
	got := regexp.MustCompile(`[A-Z_]+`).FindAllString(list, -1)
	var want []string
	for s := range lifecycle.Terminal.All() {
		want = append(want, s.String())
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the index of live requests is of those not in %v, want %v", got, want)
	}
}

// A request of a kind or in a state that is unknown is found out, and keeps neither
// its page from being read nor its siblings from being cancelled.
func TestUnknownNames(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := setup(t)
	for _, table := range tables() {
		mustExec(t, pool, `TRUNCATE ess_requests`)
		mustExec(t, pool, `INSERT INTO ess_requests (id, parent, kind, state, outcome) VALUES
(1, NULL, 'PARENT', 'RUNNING', NULL), (2, 1, 'CHILD', 'READY', NULL), (3, 1, 'JOB', 'READY', NULL), (4, 1, 'CHILD', 'WAIT', NULL), (5, 1, 'CHILD', 'lost', NULL),
(6, NULL, 'SINGLETON', 'CANCELLING', 'MAYBE')`)
		store := postgres.New(pool, table)
		for _, id := range []lifecycle.ID{3, 5, 6} {
			r, err := store.Get(ctx, id)
			if err != nil || r.Validate() == nil {
				t.Errorf("Get(%d) = %+v, %v, want a request that Validate rejects", id, r, err)
			}
		}
		checkSiblingsOfBroken(t, store)
	}
}

func checkSiblingsOfBroken(t *testing.T, store *postgres.Store) {
	t.Helper()
	ctx := t.Context()
	res, err := cancel.New(store, nil).Cancel(ctx, cancel.Order{ID: 1})
	if !errors.Is(err, esserrors.CodeSystem) || res.Counts[cancel.DispositionFailed] != 1 || res.Counts[cancel.DispositionCancelled] != 2 {
		t.Errorf("Cancel = %v, %v, want 2 cancelled, 1 failed and the system error", res.Counts, err)
	}
	for _, id := range []lifecycle.ID{2, 4} {
		if r, err := store.Get(ctx, id); err != nil || r.State != lifecycle.StateCancelled {
			t.Errorf("request %d is %v, %v, want CANCELLED", id, r.State, err)
		}
	}
}
