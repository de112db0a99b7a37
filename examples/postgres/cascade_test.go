package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/ess/cancel"
	"example.com/ess/examples/postgres"
	"example.com/ess/lifecycle"
)

// A meddler traces a connection, and moves request 2 on, to one state after the other,
// while a statement that cancels children waits for it.
type meddler struct {
	*testing.T
	pool   *pgxpool.Pool // another
	states []lifecycle.State
}

func (m *meddler) TraceQueryStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if len(m.states) == 0 || !strings.Contains(data.SQL, "UPDATE") {
		return ctx
	}
	to := m.states[0]
	m.states = m.states[1:]
	tx, err := m.pool.Begin(m.Context())
	if err == nil {
		_, err = tx.Exec(m.Context(), `UPDATE ess_requests SET state = $1 WHERE id = 2`, to.String())
	}
	if err != nil {
		m.Error(err)
		return ctx
	}
	go func() {
		waits := false
		for end := time.Now().Add(10 * time.Second); !waits && time.Now().Before(end); time.Sleep(time.Millisecond) {
			waits = queryOne[bool](m, m.pool, `SELECT coalesce(wait_event_type, '') = 'Lock' FROM pg_stat_activity WHERE pid = $1`, conn.PgConn().PID())
		}
		if err := tx.Commit(m.Context()); err != nil || !waits {
			m.Errorf("it was not waited for request 2 (%v)", err)
		}
	}()
	return ctx
}

func (m *meddler) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// A child that changes while its page is being cancelled, time and again, gets what the
// rules say of the state that it is in at last.
func TestChildChangesMeanwhile(t *testing.T) {
	t.Parallel()
	config := newDatabase(t, serverURL)
	pool := newPool(t, config)
	if err := postgres.Migrate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		states []lifecycle.State
		want   string // what is reported of all three children, without an audit trail and with
	}{
		{nil, "2 READY CANCELLED, 3 READY CANCELLED, 4 RUNNING CANCELLING"},
		{[]lifecycle.State{lifecycle.StateSucceeded}, "3 READY CANCELLED, 4 RUNNING CANCELLING"},
		{[]lifecycle.State{lifecycle.StateRunning}, "2 RUNNING CANCELLING, 3 READY CANCELLED, 4 RUNNING CANCELLING"},
		{
			[]lifecycle.State{lifecycle.StateRunning, lifecycle.StateErrorAutoRetry, lifecycle.StateWait},
			"2 WAIT CANCELLED, 3 READY CANCELLED, 4 RUNNING CANCELLING",
		},
	} {
		for _, table := range tables() {
			for _, all := range []bool{false, true} {
				mustExec(t, pool, `TRUNCATE ess_requests, ess_audit`)
				if err := insert(t.Context(), pool, table, []lifecycle.Request{
					{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateCancelling, CheckedIn: moment},
					{ID: 2, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateReady},
					{ID: 3, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateReady},
					{ID: 4, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateRunning},
				}); err != nil {
					t.Fatal(err)
				}
				config := config.Copy()
				config.MaxConns = 1
				config.ConnConfig.Tracer = &meddler{T: t, pool: pool, states: slices.Clone(test.states)}
				page, err := postgres.New(newPool(t, config), table).CancelChildren(t.Context(), cancel.ChildCancel{
					Query: cancel.ChildQuery{Parents: []lifecycle.ID{1}, States: lifecycle.Live, Limit: 10},
					Cause: cancel.Cause{Root: 1, Actor: "ann", Time: moment},
					All:   all,
				})
				var got, listed []string
				for _, ch := range page.Changes {
					got = append(got, fmt.Sprint(ch.Old.ID, " ", ch.Old.State, " ", ch.State))
				}
				cancelled := 0
				for change := range strings.SplitSeq(test.want, ", ") {
					if !all && strings.HasSuffix(change, "CANCELLED") {
						cancelled++
					} else {
						listed = append(listed, change)
					}
				}
				if err != nil || !slices.Equal(got, listed) || page.Cancelled != cancelled || page.More {
					t.Errorf("states %v, audit %v, all %v: CancelChildren = %q, %d cancelled, more %v, %v, want %q and %d cancelled",
						test.states, table.Audit != nil, all, got, page.Cancelled, page.More, err, listed, cancelled)
				}
				trail := queryOne[string](t, pool, `SELECT coalesce(string_agg(concat_ws(' ', request, from_state, to_state), ', ' ORDER BY request), '') FROM ess_audit`)
				if want := map[bool]string{true: test.want}[table.Audit != nil]; trail != want {
					t.Errorf("states %v: the audit trail is %q, want %q", test.states, trail, want)
				}
			}
		}
	}
}

// A page may be cut anywhere, between parents and within one, and what is behind it is
// left alone.
func TestNothingBehindPage(t *testing.T) {
	t.Parallel()
	pool := setup(t)
	requests := tree(1)[:60] // a parent with many children, and another
	for n, table := range tables() {
		for limit := 1; limit <= len(requests); limit += 7 {
			var after cancel.Cursor // every second page begins inside the parent
			if (n+limit)%2 == 0 {
				after = position(requests[15])
			}
			mustExec(t, pool, `TRUNCATE ess_requests, ess_audit`)
			if err := insert(t.Context(), pool, table, requests); err != nil {
				t.Fatal(err)
			}
			store := postgres.New(pool, table)
			q := cancel.ChildQuery{Parents: []lifecycle.ID{1, 2, 43}, States: lifecycle.Live, After: after, Limit: limit}
			page, err := store.Children(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := store.CancelChildren(t.Context(), cancel.ChildCancel{Query: q, Cause: cancel.Cause{Root: 1, Time: moment}}); err != nil {
				t.Fatal(err)
			}
			for _, r := range requests {
				in := slices.ContainsFunc(page, func(p lifecycle.Request) bool { return p.ID == r.ID })
				got, err := store.Get(t.Context(), r.ID)
				if changed := got.State != r.State; err != nil || changed != in {
					t.Errorf("pages of %d: request %d was %v and is %v, %v; in the page: %v", limit, r.ID, r.State, got.State, err, in)
				}
			}
		}
	}
}

func position(r lifecycle.Request) cancel.Cursor {
	return cancel.Cursor{Parent: r.Parent, ID: r.ID}
}

// Columns of the type integer do, and an id that they cannot have is not found.
func TestIntegers(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := setup(t)
	runFile(ctx, pool, "testdata/jobs.sql")
	runFile(ctx, pool, "testdata/adopt.sql")
	mustExec(t, pool, `INSERT INTO jobs VALUES (1, NULL, 'PARENT', 'RUNNING', ''), (2, 1, 'CHILD', 'READY', ''), (3, 1, 'CHILD', 'RUNNING', '')`)
	table := postgres.Table{Name: pgx.Identifier{"jobs"}, ID: "job_id", Parent: "parent_id", Kind: "job_type", State: "status", Outcome: "cancel_outcome", CheckedIn: "cancel_checked_in"}
	for range 2 {
		store := postgres.New(pool, table)
		canceller := cancel.New(store, &cancel.Options{PageSize: 1})
		if _, err := canceller.Cancel(ctx, cancel.Order{ID: 1}); err != nil {
			t.Fatal(err)
		}
		if _, err := canceller.Acknowledge(ctx, cancel.Order{ID: 3}, lifecycle.StateSucceeded); err != nil {
			t.Fatal(err)
		}
		if r, err := store.Get(ctx, 1); err != nil || r.State != lifecycle.StateCancelled {
			t.Errorf("the parent is %v, %v, want CANCELLED", r.State, err)
		}
		if _, err := store.Get(ctx, 1<<40); !errors.Is(err, cancel.ErrNotFound) {
			t.Errorf("Get(1<<40) = %v, want not found", err)
		}
		if table.Audit != nil {
			if _, err := store.Cause(ctx, 1<<40); !errors.Is(err, cancel.ErrNotFound) {
				t.Errorf("Cause(1<<40) = %v, want not found", err)
			}
		}
		mustExec(t, pool, `UPDATE jobs SET status = CASE job_id WHEN 2 THEN 'READY' ELSE 'RUNNING' END, cancel_checked_in = NULL`)
		table.Audit = pgx.Identifier{"ess_audit"}
	}
}
