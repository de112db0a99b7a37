package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/examples/postgres"
	"example.com/ess/lifecycle"
)

// tree returns a tree of about three hundred requests with ids from root on.
func tree(root lifecycle.ID) []lifecycle.Request {
	all := []lifecycle.Request{{ID: root, Kind: lifecycle.KindParent, State: lifecycle.StateRunning}}
	add := func(parent lifecycle.ID, kind lifecycle.Kind, state lifecycle.State) lifecycle.ID {
		id := root + lifecycle.ID(len(all))
		all = append(all, lifecycle.Request{ID: id, Parent: parent, Kind: kind, State: state})
		return id
	}
	states := []lifecycle.State{
		lifecycle.StateWait, lifecycle.StateReady, lifecycle.StateRunning, lifecycle.StateReady, lifecycle.StateBlocked,
		lifecycle.StateSucceeded, lifecycle.StateHold, lifecycle.StateCompleted, lifecycle.StateErrorAutoRetry, lifecycle.StateReady,
	}
	for i := range 6 {
		parent := add(root, lifecycle.KindParent, lifecycle.StateRunning)
		for j := range 40 {
			add(parent, lifecycle.KindChild, states[(i+j)%len(states)])
		}
		sub := add(parent, lifecycle.KindSubrequestParent, []lifecycle.State{lifecycle.StateRunning, lifecycle.StatePaused}[i%2])
		for j := range 9 {
			add(sub, lifecycle.KindChild, states[(i+j)%len(states)])
		}
	}
	return all
}

// plant stores a tree. Several of them must not be planted at the same time.
func plant(t testing.TB, pool *pgxpool.Pool, table postgres.Table) []lifecycle.Request {
	t.Helper()
	ctx := context.Background()
	last := queryOne[lifecycle.ID](t, pool, fmt.Sprintf(`SELECT coalesce(max(%s), 0) FROM %s`, pgx.Identifier{columns(table)[0]}.Sanitize(), tableName(table).Sanitize()))
	requests := tree(last + 1)
	if err := insert(ctx, pool, table, requests); err != nil {
		t.Fatal(err)
	}
	return requests
}

// A field has trees that are cancelled under adverse conditions.
type field struct {
	*testing.T
	pool  *pgxpool.Pool
	table postgres.Table
	store *postgres.Store
}

func newField(t *testing.T, pool *pgxpool.Pool, table postgres.Table) *field {
	return &field{T: t, pool: pool, table: table, store: postgres.New(pool, table)}
}

// harvest resumes what was cut off and checks that nothing has been lost: neither a
// request below the root nor an answer. Then all other work answers, and everything
// has to end.
func (f *field) harvest(planted []lifecycle.Request, acks map[lifecycle.ID]lifecycle.State) {
	f.Helper()
	ctx := f.Context()
	root := planted[0].ID
	canceller := cancel.New(f.store, nil)
	if _, err := canceller.Resume(ctx, nil); err != nil {
		f.Fatalf("Resume: %v", err)
	}
	snap := f.snapshot(root)
	if err := errors.Join(canceltest.CheckQuiet(snap), canceltest.CheckCancelled(snap, root)); err != nil {
		f.Error(err)
	}
	f.checkAnswers(snap, acks)

	for _, r := range snap {
		if r.State == lifecycle.StateCancelling && r.Kind.RunsWork() && r.Outcome == 0 {
			if _, err := canceller.Acknowledge(ctx, cancel.Order{ID: r.ID, Actor: "worker"}, answerOf(r.ID)); err != nil {
				f.Error(err)
			}
		}
	}
	snap = f.snapshot(root)
	for _, r := range snap {
		if lifecycle.Live.Has(r.State) {
			f.Errorf("request %d is %v in the end", r.ID, r.State)
		}
	}
	f.checkAnswers(snap, acks)
	if f.table.Audit != nil {
		f.checkAudit(planted, snap)
	}
}

// snapshot returns the tree as it is.
func (f *field) snapshot(root lifecycle.ID) canceltest.Snapshot {
	f.Helper()
	snap := canceltest.Snapshot{}
	r, err := f.store.Get(f.Context(), root)
	if err != nil {
		f.Fatal(err)
	}
	snap[root] = r
	for level := []lifecycle.ID{root}; len(level) > 0; {
		q := cancel.ChildQuery{Parents: level, States: lifecycle.Live | lifecycle.Terminal, Limit: 10_000}
		page, err := f.store.Children(f.Context(), q)
		if err != nil {
			f.Fatal(err)
		}
		level = nil
		for _, r := range page {
			snap[r.ID] = r
			if r.Kind.HasChildren() {
				level = append(level, r.ID)
			}
		}
	}
	return snap
}

// checkAnswers checks that what work has been told to be acknowledged is so.
func (f *field) checkAnswers(snap canceltest.Snapshot, acks map[lifecycle.ID]lifecycle.State) {
	f.Helper()
	for id, outcome := range acks {
		if r := snap[id]; r.State != outcome && (r.State != lifecycle.StateCancelling || r.Outcome != outcome) {
			f.Errorf("request %d acknowledged %v, and is %v (outcome %v)", id, outcome, r.State, r.Outcome)
		}
	}
}

// checkAudit replays the audit trail of a tree.
func (f *field) checkAudit(planted []lifecycle.Request, snap canceltest.Snapshot) {
	f.Helper()
	state := map[lifecycle.ID]lifecycle.Request{}
	for _, r := range planted {
		state[r.ID] = r
	}
	rows, err := f.pool.Query(f.Context(), `
SELECT request, coalesce(trigger, ''), from_state, to_state, coalesce(outcome, ''), at
FROM `+f.table.Audit.Sanitize()+` WHERE request BETWEEN $1 AND $2 ORDER BY request, seq`, planted[0].ID, planted[len(planted)-1].ID)
	if err != nil {
		f.Fatal(err)
	}
	n := 0
	var id lifecycle.ID
	var trigger, from, to, outcome string
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&id, &trigger, &from, &to, &outcome, &at}, func() error {
		n++
		was := state[id]
		is := was
		if err := is.State.UnmarshalText([]byte(to)); err != nil {
			return err
		}
		if is.Outcome = 0; outcome != "" {
			if err := is.Outcome.UnmarshalText([]byte(outcome)); err != nil {
				return err
			}
		}
		if was.State.String() != from {
			f.Errorf("audit: request %d went from %s to %s, but was %v", id, from, to, was.State)
		}
		if trigger != "" && !ruled(was, is, trigger) {
			f.Errorf("audit: no rule takes %v request %d from %s to %s (outcome %q) by %s", was.Kind, id, from, to, outcome, trigger)
		}
		state[id] = is
		return nil
	})
	if err != nil {
		f.Error(err)
	}
	if n == 0 {
		f.Error("audit: the trail is empty")
	}
	for id, r := range snap {
		if s := state[id]; s.State != r.State || s.Outcome != r.Outcome {
			f.Errorf("audit: request %d should be %v (outcome %v) and is %v (outcome %v)", id, s.State, s.Outcome, r.State, r.Outcome)
		}
	}
}

// ruled reports whether a rule permits the step. The answer of work that still has
// children is kept as the outcome first.
func ruled(was, is lifecycle.Request, trigger string) bool {
	var t lifecycle.Trigger
	if err := t.UnmarshalText([]byte(trigger)); err != nil {
		return false
	}
	to, ok := lifecycle.Next(was.Kind, was.State, t)
	return ok && (to == is.State || is.State == lifecycle.StateCancelling && is.Outcome == to && was.Outcome == 0)
}
