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

// Apply implements [cancel.Repository]. One change is one statement. Of several it has to be
// known which were made, and there is no UPDATE ... RETURNING: in a transaction, the jobs are
// locked, compared and written.
func (s *Store) Apply(ctx context.Context, changes []cancel.Change) (made []bool, err error) {
	if len(changes) == 1 {
		one, err := s.applyOne(ctx, changes[0], false)
		return []bool{one}, err
	}
	index := make(map[lifecycle.ID]int, len(changes))
	jobs := make([]lifecycle.ID, len(changes))
	for i, ch := range changes {
		index[ch.Old.ID], jobs[i] = i, ch.Old.ID
	}
	err = s.transact(ctx, func(tx *sql.Tx) error {
		made = make([]bool, len(changes))
		found, _, err := s.find(ctx, tx, "id IN ("+ids(jobs...)+") FOR UPDATE")
		var todo []cancel.Change
		for _, r := range found {
			i := index[r.ID]
			o := changes[i].Old
			if made[i] = r.State == o.State && r.Outcome == o.Outcome && r.CheckedIn.Equal(o.CheckedIn) && r.Attempt == o.Attempt; made[i] {
				todo = append(todo, changes[i])
			}
		}
		return errors.Join(err, s.write(ctx, tx, todo))
	})
	return made, err
}

// EndParent implements [cancel.ParentEnder]. Who has been let in by [Store.Admit] has the job
// locked: the statement waits for him, and finds his child.
func (s *Store) EndParent(ctx context.Context, ch cancel.Change) (made bool, err error) {
	return s.applyOne(ctx, ch, true)
}

func (s *Store) applyOne(ctx context.Context, ch cancel.Change, childless bool) (made bool, err error) {
	err = again(ctx, func() error {
		n, err := s.update(ctx, s.db, ch, childless, ch.Old.ID)
		made = n == 1
		return err
	})
	return made, err
}

// CancelChildren implements [cancel.ChildCanceller]: a page is locked, decided on and written.
func (s *Store) CancelChildren(ctx context.Context, c cancel.ChildCancel) (done cancel.ChildPage, err error) {
	err = s.transact(ctx, func(tx *sql.Tx) error {
		done = cancel.ChildPage{}
		found, _, err := s.find(ctx, tx, page(c.Query)+" FOR UPDATE")
		var todo []cancel.Change
		for _, r := range found {
			ch := cancel.Change{Old: r, State: r.State, Outcome: r.Outcome, CheckedIn: r.CheckedIn, Attempt: r.Attempt}
			if d, ok := decisions[kindState{r.Kind, r.State}]; ok {
				ch.Trigger, ch.State, ch.Outcome, ch.Cause = lifecycle.TriggerCancel, d.State, d.Outcome, c.Cause
				if d.State == lifecycle.StateCancelling {
					ch.CheckedIn = c.Cause.Time
				}
				todo = append(todo, ch)
			}
			if done.Last = (cancel.Cursor{Parent: r.Parent, ID: r.ID}); ch.State == lifecycle.StateCancelled && !c.All {
				done.Cancelled++
			} else {
				done.Changes = append(done.Changes, ch)
			}
		}
		done.More = len(found) == c.Query.Limit
		return errors.Join(err, s.write(ctx, tx, todo))
	})
	return done, err
}

// write makes changes to jobs that are locked and as they should be. One statement makes all
// changes that differ only in the job, and mostly there is one.
func (s *Store) write(ctx context.Context, tx *sql.Tx, changes []cancel.Change) error {
	alike := map[cancel.Change][]lifecycle.ID{}
	for _, ch := range changes {
		id := ch.Old.ID
		ch.Old.ID, ch.Old.Parent, ch.Old.Kind = 0, 0, 0
		alike[ch] = append(alike[ch], id)
	}
	for ch, all := range alike {
		n, err := s.update(ctx, tx, ch, false, all...)
		if err == nil && n != int64(len(all)) {
			err = errors.New("mysql: jobs that were locked have changed")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// update makes ch of those of the jobs that are as ch.Old says, and returns how many are. (In
// SQL, <=> is an = to which NULL equals NULL.) A job that has to be childless has no live child.
func (s *Store) update(ctx context.Context, c conn, ch cancel.Change, childless bool, jobs ...lifecycle.ID) (int64, error) {
	query := "UPDATE " + s.table + " AS job"
	if childless {
		query += " LEFT JOIN " + s.table + " AS child ON child.parent_id = job.id AND child.live = 1"
	}
	query += " SET job.status = ?, job.ends_as = ?, job.heard_at = ?, job.attempt = ?"
	args := []any{statusOf[ch.State], outcome(ch.Outcome), when(ch.CheckedIn), ch.Attempt}
	if ch.Trigger == lifecycle.TriggerCancel {
		query += ", job.stop_root = ?, job.stop_actor = ?, job.stop_reason = ?, job.stop_at = ?"
		args = append(args, ch.Cause.Root, ch.Cause.Actor, ch.Cause.Reason, when(ch.Cause.Time))
	}
	query += " WHERE job.id IN (" + ids(jobs...) + ") AND job.status = ? AND job.ends_as <=> ? AND job.heard_at <=> ? AND job.attempt = ?"
	if childless {
		query += " AND child.id IS NULL"
	}
	result, err := c.ExecContext(ctx, query, append(args, statusOf[ch.Old.State], outcome(ch.Old.Outcome), when(ch.Old.CheckedIn), ch.Old.Attempt)...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func outcome(s lifecycle.State) sql.NullString {
	return sql.NullString{String: statusOf[s], Valid: s != 0}
}

func when(t time.Time) sql.NullTime { return sql.NullTime{Time: t, Valid: !t.IsZero()} }

// transact calls f in a transaction.
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

// again calls f, and calls it again if the server has undone it for the sake of others: then
// nothing of it has been done. After another error, as where a connection breaks, nobody
// knows what has been done, and who called has to look.
func again(ctx context.Context, f func() error) error {
	const attempts = 16
	for attempt := 1; ; attempt++ {
		err := f()
		if err == nil || attempt == attempts || ctx.Err() != nil || !undone(err) {
			return orDone(ctx, err)
		}
		// The others are probably still at work. The pause is random, lest two meet again
		// and again.
		select {
		case <-time.After(rand.N(time.Millisecond << min(attempt, 8))):
		case <-ctx.Done():
		}
	}
}

// undone reports whether the server has undone a statement and the transaction around it.
func undone(err error) bool {
	e, ok := errors.AsType[*driver.MySQLError](err)
	return ok && (e.Number == 1213 || // a deadlock; on a Galera cluster, a write to the same job on another node
		e.Number == 1020) // a job has changed since it was read: see innodb_snapshot_isolation
}
