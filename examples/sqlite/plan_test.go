package sqlite

import (
	"path/filepath"
	"strings"
	"testing"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// A page costs its rows and no more: SQLite reads an index in the order of the page, from
// where the page begins, and sorts nothing. Live children come from the index that has
// no others.
func TestChildrenPlan(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "requests.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	q := cancel.ChildQuery{Parents: []lifecycle.ID{1, 2, 3}, After: cancel.Cursor{Parent: 2, ID: 7}, Limit: 10}
	for _, test := range []struct {
		states lifecycle.StateSet
		index  string
	}{
		{lifecycle.Live, "requests_live"},
		{lifecycle.SetOf(lifecycle.StateCancelling), "requests_live"},
		{lifecycle.Live | lifecycle.Terminal, "requests_children"},
	} {
		q.States = test.states
		args, err := childrenArgs(q)
		if err != nil {
			t.Fatal(err)
		}
		plan := planOf(t, s, childrenOf(columns, q.States), args...)
		for _, step := range []string{
			"MERGE (UNION ALL)",
			"SEARCH r USING INDEX " + test.index + " (parent=? AND id>?)\n",
			"SEARCH r USING INDEX " + test.index + " (parent=?)\n",
		} {
			if !strings.Contains(plan, step) {
				t.Errorf("states %v: the plan lacks %q:\n%s", test.states, step, plan)
			}
		}
		if strings.Contains(plan, "TEMP B-TREE") || strings.Contains(plan, "SCAN r") {
			t.Errorf("states %v: the plan sorts or scans:\n%s", test.states, plan)
		}
	}
}

// Nor does what Resume goes through.
func TestListCancellingPlan(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "requests.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const step = "SEARCH r USING INDEX requests_cancelling (id>?)\n"
	if plan := planOf(t, s, listCancelling, 0, 10); !strings.Contains(plan, step) || strings.Contains(plan, "TEMP B-TREE") {
		t.Errorf("the plan lacks %q, or sorts:\n%s", step, plan)
	}
}

func planOf(t *testing.T, s *Store, query string, args ...any) string {
	t.Helper()
	rows, err := s.readers.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var plan strings.Builder
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		plan.WriteString(step + "\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan.String()
}
