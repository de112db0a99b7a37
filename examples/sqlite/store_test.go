package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	esserrors "example.com/ess/errors"
	"example.com/ess/examples/sqlite"
	"example.com/ess/lifecycle"
)

// database opens the file of a store as anybody else would.
func database(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func request(id, parent lifecycle.ID, k lifecycle.Kind, s lifecycle.State) lifecycle.Request {
	return lifecycle.Request{ID: id, Parent: parent, Kind: k, State: s}
}

// The schema names the terminal states, because an index can ask only for what stands in
// it. Package lifecycle has the last word on which they are.
func TestSchemaKnowsWhatIsLive(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "requests.db")
	s := openFile(t, path)
	db := database(t, path)
	for state := range lifecycle.States() {
		if err := s.Insert(t.Context(), request(lifecycle.ID(state), 0, lifecycle.KindSingleton, state)); err != nil {
			t.Fatal(err)
		}
		var live bool
		if err := db.QueryRowContext(t.Context(), "SELECT live FROM requests WHERE state = ?", state).Scan(&live); err != nil {
			t.Fatal(err)
		}
		if want := lifecycle.Live.Has(state); live != want {
			t.Errorf("%v: live = %v, want %v", state, live, want)
		}
	}
}

func TestReopen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "odd name? 100% #1.db")
	first := openFile(t, path, request(1, 0, lifecycle.KindParent, lifecycle.StateRunning), request(2, 1, lifecycle.KindChild, lifecycle.StateRunning))
	if _, err := cancel.New(first, nil).Cancel(t.Context(), cancel.Order{ID: 1, Actor: "ann", Reason: "wrong ledger"}); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	second := openFile(t, path)
	r, err := second.Get(t.Context(), 2)
	if err != nil || r.State != lifecycle.StateCancelling {
		t.Errorf("Get(2) = %v, %v, want CANCELLING", r.State, err)
	}
	cause, err := second.Cause(t.Context(), 2)
	if err != nil || cause.Root != 1 || cause.Actor != "ann" || cause.Reason != "wrong ledger" {
		t.Errorf("Cause(2) = %+v, %v", cause, err)
	}
}

func TestAudit(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "requests.db")
	s := openFile(t, path,
		request(1, 0, lifecycle.KindParent, lifecycle.StateRunning),
		request(2, 1, lifecycle.KindChild, lifecycle.StateWait),
		request(3, 1, lifecycle.KindChild, lifecycle.StateRunning))
	c := cancel.New(s, nil)
	if _, err := c.Cancel(t.Context(), cancel.Order{ID: 1, Actor: "ann", Reason: "wrong ledger"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CheckIn(t.Context(), cancel.Order{ID: 3}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Acknowledge(t.Context(), cancel.Order{ID: 3, Actor: "worker 7"}, lifecycle.StateSucceeded); err != nil {
		t.Fatal(err)
	}
	rows, err := database(t, path).QueryContext(t.Context(), `
		SELECT request, ifnull(trigger, 'check-in'), old_state, changes.state, actor
		FROM changes JOIN causes ON causes.id = cause ORDER BY cause, request`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got []string
	for rows.Next() {
		var id int64
		var trigger, old, state, actor string
		if err := rows.Scan(&id, &trigger, &old, &state, &actor); err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%d %s: %s -> %s %q", id, trigger, old, state, actor))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`1 cancel: RUNNING -> CANCELLING "ann"`,
		`2 cancel: WAIT -> CANCELLED "ann"`,
		`3 cancel: RUNNING -> CANCELLING "ann"`,
		`3 check-in: CANCELLING -> CANCELLING ""`,
		`3 succeed: CANCELLING -> SUCCEEDED "worker 7"`,
		`1 settle: CANCELLING -> CANCELLED "worker 7"`,
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("audit trail:\n%s\nwant:\n%s", g, w)
	}
}

// A call that waits for a lock which another process has goes back when its context ends.
func TestLockedByAnother(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "requests.db")
	s := openFile(t, path, request(1, 0, lifecycle.KindSingleton, lifecycle.StateWait))
	other, err := database(t, path).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	begin := time.Now()
	_, err = cancel.New(s, nil).Cancel(ctx, cancel.Order{ID: 1})
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > 5*time.Second {
		t.Errorf("Cancel = %v after %v, want the error of the context, soon", err, time.Since(begin))
	}
	// Readers do not wait.
	if r, err := s.Get(t.Context(), 1); err != nil || r.State != lifecycle.StateWait {
		t.Errorf("Get = %v, %v", r.State, err)
	}
	if _, err := other.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if _, err := cancel.New(s, nil).Cancel(t.Context(), cancel.Order{ID: 1}); err != nil {
		t.Errorf("Cancel after the lock was free = %v", err)
	}
}

// tree returns a root with parents below it, and children below them of which every
// third is at work.
func tree(parents, children int) []lifecycle.Request {
	all := []lifecycle.Request{request(1, 0, lifecycle.KindParent, lifecycle.StateRunning)}
	for p := range parents {
		k := lifecycle.KindParent
		if p%5 == 4 {
			k = lifecycle.KindSubrequestParent // with work of its own
		}
		all = append(all, request(lifecycle.ID(2+p), 1, k, lifecycle.StateRunning))
	}
	for p := range parents {
		for c := range children {
			state := lifecycle.StateWait
			switch c % 3 {
			case 1:
				state = lifecycle.StateReady
			case 2:
				state = lifecycle.StateRunning
			}
			all = append(all, request(lifecycle.ID(len(all)+1), lifecycle.ID(2+p), lifecycle.KindChild, state))
		}
	}
	return all
}

// A scheduler submits children and starts them while their parent is cancelled: none
// slips in, and none escapes.
func TestSchedulerBesideCancel(t *testing.T) {
	t.Parallel()
	s := open(t)
	c := cancel.New(s, nil)
	submitted, started := 0, 0
	for round := range lifecycle.ID(20) {
		root := 100 * (round + 1)
		if err := s.Insert(t.Context(), request(root, 0, lifecycle.KindParent, lifecycle.StateRunning)); err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		ready := make(chan struct{})
		group.Go(func() {
			for child := root + 1; child < root+20; child++ {
				err := s.Submit(t.Context(), request(child, root, lifecycle.KindChild, lifecycle.StateReady))
				if child == root+1+round/2 {
					close(ready)
				}
				if err == nil {
					submitted++
					_, err = c.Transition(t.Context(), cancel.Order{ID: child}, lifecycle.TriggerStart)
				}
				if err == nil {
					started++
				} else if !errors.Is(err, esserrors.CodeUnsupportedState) {
					t.Error(err)
				}
			}
		})
		<-ready
		if _, err := c.Cancel(t.Context(), cancel.Order{ID: root}); err != nil {
			t.Error(err)
		}
		group.Wait()
		snap, err := canceltest.TakeSnapshot(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(canceltest.CheckCancelled(snap, root), canceltest.CheckQuiet(snap)); err != nil {
			t.Fatal(err)
		}
	}
	if submitted == 0 || submitted == 20*19 || started == 0 {
		t.Errorf("%d children submitted, %d started: nobody met", submitted, started)
	}
}

func TestManyCancellers(t *testing.T) {
	t.Parallel()
	const callers = 32
	s := open(t, tree(10, 30)...)
	var group sync.WaitGroup
	for i := range callers {
		group.Go(func() {
			var repo cancel.Repository = s
			if i%2 == 1 {
				repo = canceltest.Plain(s)
			}
			result, err := cancel.New(repo, &cancel.Options{PageSize: 20}).Cancel(t.Context(), cancel.Order{ID: 1})
			if err != nil || result.Root.To != lifecycle.StateCancelling {
				t.Errorf("canceller %d: %v, %v", i, result.Root, err)
			}
		})
	}
	group.Wait()
	checkEnd(t, s)
}

// checkEnd checks that the tree below 1 is as far as cancelling can bring it, answers for
// all that is still at work, and checks that then everything has ended.
func checkEnd(t *testing.T, s *sqlite.Store) {
	t.Helper()
	snap, err := canceltest.TakeSnapshot(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(canceltest.CheckCancelled(snap, 1), canceltest.CheckQuiet(snap)); err != nil {
		t.Fatal(err)
	}
	c := cancel.New(s, nil)
	for id, r := range snap {
		if r.State == lifecycle.StateCancelling && r.Kind.RunsWork() && r.Outcome == 0 {
			if _, err := c.Acknowledge(t.Context(), cancel.Order{ID: id}, lifecycle.StateCancelled); err != nil {
				t.Fatal(err)
			}
		}
	}
	end, err := canceltest.TakeSnapshot(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	for id, r := range end {
		if !lifecycle.Terminal.Has(r.State) {
			t.Errorf("request %d is %v in the end", id, r.State)
		}
		if was := snap[id]; lifecycle.Terminal.Has(was.State) && was.State != r.State {
			t.Errorf("request %d was %v and is %v", id, was.State, r.State)
		}
	}
}
