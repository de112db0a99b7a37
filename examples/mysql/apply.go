package mysql

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// Apply implements [cancel.Repository]. One change is one statement. Of several it has to
// be known which were made, and there is no UPDATE ... RETURNING: they are locked, compared
// and written in a transaction.
func (s *Store) Apply(ctx context.Context, changes []cancel.Change) (made []bool, err error) {
	made = make([]bool, len(changes))
	if len(changes) == 0 {
		return made, nil
	}
	if len(changes) == 1 {
		made[0], err = s.applyOne(ctx, changes[0], "")
		return made, err
	}
	return made, s.transact(ctx, func(tx *sql.Tx) error {
		index := make(map[lifecycle.ID]int, len(changes))
		all := make([]lifecycle.ID, len(changes))
		for i, ch := range changes {
			index[ch.Old.ID], all[i] = i, ch.Old.ID
		}
		clear(made)
		found, err := s.requests(ctx, tx, "id IN ("+ids(all...)+") FOR UPDATE")
		if err != nil {
			return err
		}
		var todo []cancel.Change
		for _, r := range found {
			i := index[r.ID]
			if o := changes[i].Old; r.State == o.State && r.Outcome == o.Outcome && r.CheckedIn.Equal(o.CheckedIn) && r.Attempt == o.Attempt {
				made[i], todo = true, append(todo, changes[i])
			}
		}
		return s.write(ctx, tx, todo)
	})
}

// EndParent makes ch, which ends a job that can have children, if the job is as ch.Old says
// and has no live child. Who has got past [Admit] has the job locked: the statement waits
// for him, and then finds his child.
func (s *Store) EndParent(ctx context.Context, ch cancel.Change) (made bool, err error) {
	return s.applyOne(ctx, ch, "LEFT JOIN "+s.table+" AS child ON child.parent_id = job.id AND child.live")
}

func (s *Store) applyOne(ctx context.Context, ch cancel.Change, join string) (made bool, err error) {
	err = again(ctx, func() error {
		n, err := s.update(ctx, s.db, ch, join, ch.Old.ID)
		made = n == 1
		return err
	})
	return made, err
}

// CancelChildren implements [cancel.ChildCanceller]: a page is locked, decided on and
// written in one transaction.
func (s *Store) CancelChildren(ctx context.Context, c cancel.ChildCancel) (page cancel.ChildPage, err error) {
	err = s.transact(ctx, func(tx *sql.Tx) error {
		page = cancel.ChildPage{}
		found, err := s.requests(ctx, tx, pageOf(c.Query)+" FOR UPDATE")
		if err != nil {
			return err
		}
		var todo []cancel.Change
		for _, r := range found {
			ch := cancel.Change{Old: r, State: r.State, Outcome: r.Outcome, CheckedIn: r.CheckedIn}
			if d, ok := decisions[r.Kind][r.State]; ok {
				ch.Trigger, ch.State, ch.Outcome, ch.Cause = lifecycle.TriggerCancel, d.State, d.Outcome, c.Cause
				if d.State == lifecycle.StateCancelling {
					ch.CheckedIn = c.Cause.Time
				}
				todo = append(todo, ch)
			}
			if ch.State != lifecycle.StateCancelled || c.All {
				page.Changes = append(page.Changes, ch)
			} else {
				page.Cancelled++
			}
			page.Last = cancel.Cursor{Parent: r.Parent, ID: r.ID}
		}
		page.More = len(found) == c.Query.Limit
		return s.write(ctx, tx, todo)
	})
	return page, err
}

// write makes changes to jobs that are locked and as they should be. One statement makes all
// that differ only in the job; mostly there is one.
func (s *Store) write(ctx context.Context, tx *sql.Tx, changes []cancel.Change) error {
	alike := map[cancel.Change][]lifecycle.ID{}
	for _, ch := range changes {
		id := ch.Old.ID
		ch.Old.ID, ch.Old.Parent, ch.Old.Kind = 0, 0, 0
		alike[ch] = append(alike[ch], id)
	}
	for ch, all := range alike {
		n, err := s.update(ctx, tx, ch, "", all...)
		if err == nil && n != int64(len(all)) {
			err = errors.New("mysql: jobs that were locked have changed")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// update makes ch of those of the jobs that are as ch.Old says, and returns how many are. In
// SQL, <=> is an = to which NULL equals NULL.
func (s *Store) update(ctx context.Context, c conn, ch cancel.Change, unless string, all ...lifecycle.ID) (int64, error) {
	set, args := "", []any{statusOf[ch.State], outcome(ch.Outcome), when(ch.CheckedIn)}
	if ch.Trigger == lifecycle.TriggerCancel {
		set = ", job.stop_root = ?, job.stop_actor = ?, job.stop_reason = ?, job.stop_at = ?"
		args = append(args, ch.Cause.Root, ch.Cause.Actor, ch.Cause.Reason, when(ch.Cause.Time))
	}
	result, err := c.ExecContext(ctx, "UPDATE "+s.table+" AS job "+unless+
		" SET job.status = ?, job.ends_as = ?, job.heard_at = ?"+set+
		" WHERE job.id IN ("+ids(all...)+") AND job.status = ? AND job.ends_as <=> ? AND job.heard_at <=> ? AND job.attempt = ?",
		append(args, statusOf[ch.Old.State], outcome(ch.Old.Outcome), when(ch.Old.CheckedIn), ch.Old.Attempt)...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func outcome(s lifecycle.State) sql.NullString {
	return sql.NullString{String: statusOf[s], Valid: s != 0}
}

func when(t time.Time) sql.NullTime { return sql.NullTime{Time: t, Valid: !t.IsZero()} }

// maxAttempts is how often something is tried that the database undoes.
const maxAttempts = 16

// again calls f until the database does not undo what f did for the sake of others. It is
// safe to call f again then, and only then: after any other error, such as that of a
// connection that broke, nobody knows what has been done.
func again(ctx context.Context, f func() error) error {
	for attempt := 1; ; attempt++ {
		err := f()
		if err == nil || attempt == maxAttempts || !undone(err) {
			return failed(ctx, err)
		}
		// The others are probably still at work. The pause is random, lest two meet
		// again and again.
		select {
		case <-time.After(rand.N(time.Millisecond << min(attempt, 8))):
		case <-ctx.Done():
			return failed(ctx, err)
		}
	}
}

// undone reports whether a statement, and the transaction that it was in, was undone.
func undone(err error) bool {
	e, ok := errors.AsType[*driver.MySQLError](err)
	return ok && (e.Number == 1213 || // a deadlock, or in a cluster a write on another node
		e.Number == 1020) // a row has changed since the transaction read it (innodb_snapshot_isolation)
}

func (s *Store) transact(ctx context.Context, f func(tx *sql.Tx) error) error {
	return again(ctx, func() error {
		tx, err := s.db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // does nothing after the commit
		if err := f(tx); err != nil {
			return err
		}
		return tx.Commit()
	})
}
