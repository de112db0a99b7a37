package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"sync"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// ofPage joins the requests of the page with what is decided for them, which is NULL
// where a request is CANCELLING already or cannot be read. In SQLite a CROSS JOIN also
// says which table to begin with: here the small one.
const ofPage = `
	FROM page
	CROSS JOIN requests AS r ON r.id = page.id
	LEFT JOIN decisions AS d ON d.kind = r.kind AND d.old_state = r.state AND r.outcome IS NULL`

// updatePage changes the requests of the page that are still in the state from which
// something is decided for them.
const updatePage = `
	UPDATE requests SET
		state = d.state,
		outcome = d.outcome,
		checked_in = iif(d.state = ?, ?, checked_in),
		cause = coalesce(cause, ?)
	FROM page CROSS JOIN decisions AS d
	WHERE requests.id = page.id AND d.kind = requests.kind AND d.old_state = requests.state AND requests.outcome IS NULL`

// CancelChildren implements [cancel.ChildCanceller]: a page is one transaction of a
// handful of statements, and only the children that the caller has to know of leave
// the database. After any error but one of the commit itself nothing of the page has been
// changed; of the commit nobody knows.
func (s *Store) CancelChildren(ctx context.Context, c cancel.ChildCancel) (page cancel.ChildPage, err error) {
	err = s.write(ctx, func(tx *sql.Tx) (err error) {
		page, err = cancelPage(ctx, tx, c, once(ctx, tx, c.Cause))
		return err
	})
	return page, err
}

// CancelTree implements [cancel.TreeCanceller]: one transaction, in which there is a page
// for each level, or more where these are large.
func (s *Store) CancelTree(ctx context.Context, c cancel.TreeCancel) (tree cancel.TreePage, err error) {
	err = s.write(ctx, func(tx *sql.Tx) error {
		cause := once(ctx, tx, c.Cause)
		tree.Rest = slices.Clone(c.From)
		for left := c.Limit; left > 0 && len(tree.Rest) > 0; {
			// A page is of several parents, and begins behind a child of the first.
			slices.SortFunc(tree.Rest, cancel.Cursor.Compare)
			n := 1
			for n < len(tree.Rest) && tree.Rest[n].ID == 0 {
				n++
			}
			q := cancel.ChildQuery{States: lifecycle.Live, After: tree.Rest[0], Limit: left}
			for _, from := range tree.Rest[:n] {
				q.Parents = append(q.Parents, from.Parent)
			}
			page, err := cancelPage(ctx, tx, cancel.ChildCancel{Query: q, Cause: c.Cause, All: c.All}, cause)
			if err != nil {
				return err
			}
			done := n
			if page.More {
				done, _ = slices.BinarySearch(q.Parents, page.Last.Parent)
				tree.Rest[done] = page.Last
			}
			tree.Rest = tree.Rest[done:]
			for _, ch := range page.Changes {
				if ch.State == lifecycle.StateCancelling && ch.Old.Kind.HasChildren() {
					tree.Rest = append(tree.Rest, cancel.Cursor{Parent: ch.Old.ID})
				}
			}
			tree.Changes = append(tree.Changes, page.Changes...)
			tree.Cancelled += page.Cancelled
			left -= len(page.Changes) + page.Cancelled
		}
		return nil
	})
	if err != nil {
		return cancel.TreePage{}, err
	}
	return tree, nil
}

// once returns a function that keeps a cause when it is called for the first time, and
// returns its id.
func once(ctx context.Context, tx *sql.Tx, c cancel.Cause) func() (int64, error) {
	return sync.OnceValues(func() (int64, error) { return insertCause(ctx, tx, c) })
}

// cancelPage cancels a page of children.
func cancelPage(ctx context.Context, tx *sql.Tx, c cancel.ChildCancel, keepCause func() (int64, error)) (page cancel.ChildPage, err error) {
	args, err := childrenArgs(c.Query)
	if err != nil {
		return page, err
	}
	// The page. Nobody else writes before the commit, and so it stays what it is.
	if _, err := tx.ExecContext(ctx, "DELETE FROM page"); err != nil {
		return page, err
	}
	n, err := count(tx.ExecContext(ctx, "INSERT INTO page (parent, id) "+childrenOf("parent, id", c.Query.States), args...))
	if err != nil || n == 0 {
		return page, err
	}
	page.More = n == c.Query.Limit
	err = tx.QueryRowContext(ctx, "SELECT parent, id FROM page ORDER BY parent DESC, id DESC LIMIT 1").
		Scan(&page.Last.Parent, &page.Last.ID)
	if err != nil {
		return page, err
	}
	if page.Changes, err = decided(ctx, tx, c); err != nil {
		return page, err
	}

	// The audit trail, which knows the states before ...
	cause, err := keepCause()
	if err != nil {
		return page, err
	}
	changed, err := count(tx.ExecContext(ctx, `
		INSERT INTO changes (cause, request, trigger, old_state, state, outcome)
		SELECT ?, r.id, ?, r.state, d.state, d.outcome `+ofPage+` WHERE d.state IS NOT NULL`, cause, lifecycle.TriggerCancel))
	if err != nil {
		return page, err
	}
	// ... and then the requests.
	_, err = tx.ExecContext(ctx, updatePage, lifecycle.StateCancelling, micros(c.Cause.Time), cause)
	for _, ch := range page.Changes {
		if ch.State != ch.Old.State {
			changed--
		}
	}
	page.Cancelled = changed
	return page, err
}

// decided returns the changes that make the page what has been decided, as far as the
// caller wants to know them.
func decided(ctx context.Context, tx *sql.Tx, c cancel.ChildCancel) ([]cancel.Change, error) {
	rows, err := tx.QueryContext(ctx, "SELECT "+columns+", d.state, d.outcome "+ofPage+`
		WHERE ? OR d.state IS NULL OR d.state = ? ORDER BY page.parent, page.id`, c.All, lifecycle.StateCancelling)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var changes []cancel.Change
	for rows.Next() {
		var state, outcome sql.Null[lifecycle.State]
		r, err := scan(rows, &state, &outcome)
		if err != nil {
			return nil, err
		}
		ch := cancel.Change{Old: r, State: r.State, Outcome: r.Outcome, CheckedIn: r.CheckedIn, Attempt: r.Attempt}
		if state.Valid {
			ch.Trigger, ch.State, ch.Outcome, ch.Cause = lifecycle.TriggerCancel, state.V, outcome.V, c.Cause
			if ch.State == lifecycle.StateCancelling {
				ch.CheckedIn = c.Cause.Time
			}
		}
		changes = append(changes, ch)
	}
	return changes, rows.Err()
}

// Settle implements [cancel.Settler], in one transaction. It climbs: whatever has ended may
// be what the one above it has waited for.
func (s *Store) Settle(ctx context.Context, q cancel.Settlement) (made []cancel.Change, err error) {
	asked := make(map[lifecycle.ID]bool, len(q.IDs))
	for _, id := range q.IDs {
		asked[id] = true
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		cause := once(ctx, tx, q.Cause)
		for _, id := range q.IDs {
			for asked[id] {
				r, err := get(ctx, tx, id)
				if err != nil && !errors.Is(err, cancel.ErrNotFound) {
					return err
				}
				ch, due := cancel.SettleChange(r, q.Cause)
				if !due {
					break
				}
				if live, err := hasLiveChild(ctx, tx, id); err != nil {
					return err
				} else if live {
					break
				}
				c, err := cause()
				if err == nil {
					_, err = change(ctx, tx, ch, c)
				}
				if err != nil {
					return err
				}
				made = append(made, ch)
				id = r.Parent
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return made, nil
}
