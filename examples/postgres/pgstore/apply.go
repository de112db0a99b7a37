package pgstore

import (
	"context"

	"github.com/jackc/pgx/v5"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// A Statement returns SQL that makes a change to all requests in @ids that are still as
// change.Old says, and returns the ids of those in one array. Old has no ID and no Parent.
type Statement func(change cancel.Change) (sql string, args pgx.NamedArgs)

// Apply is Apply of a [cancel.Repository]. It sends one statement for each sort of change
// in the batch, mostly one or two, in one round trip and one transaction, and before them
// one for the turnstiles of parents that admit children, if there are any.
func Apply(ctx context.Context, db DB, turn Turnstile, changes []cancel.Change, statement Statement) ([]bool, error) {
	return apply(ctx, db, turn, changes, false, statement)
}

// EndParent is EndParent of a [cancel.ParentEnder], in one round trip and one
// transaction. The statement has one more condition, that no child is live.
func EndParent(ctx context.Context, db DB, turn Turnstile, change cancel.Change, statement Statement) (bool, error) {
	made, err := apply(ctx, db, turn, []cancel.Change{change}, true, statement)
	return err == nil && made[0], err
}

// apply makes changes. If they depend on children, the requests are locked before the
// statements are sent, each of which then sees the children that had to be waited for.
func apply(ctx context.Context, db DB, turn Turnstile, changes []cancel.Change, children bool, statement Statement) ([]bool, error) {
	admitting := admitting(changes)
	if children || len(admitting) > 0 {
		if err := SeesNewChildren(ctx, db); err != nil {
			return nil, err
		}
	}
	index := make(map[int64]int, len(changes))
	for i, ch := range changes {
		index[int64(ch.Old.ID)] = i
	}
	sorts := sortOut(changes)
	var made []bool
	err := WithTexts(ctx, db, func(text func(cancel.Cause) cancel.Cause) error {
		made = make([]bool, len(changes))
		var batch pgx.Batch
		if children && !InTransaction(db) {
			batch.Queue(`SET transaction_isolation TO 'read committed'`)
		}
		if len(admitting) > 0 {
			batch.Queue(turn.Close, pgx.NamedArgs{"ids": admitting})
		}
		for _, sort := range sorts {
			if children {
				batch.Queue(turn.Lock, pgx.NamedArgs{"ids": sort.ids})
			}
			ch := sort.Change
			ch.Cause = text(ch.Cause)
			sql, args := statement(ch)
			args["ids"] = sort.ids
			batch.Queue(sql, args).QueryRow(func(row pgx.Row) error {
				var ids []int64
				err := row.Scan(&ids)
				for _, id := range ids {
					made[index[id]] = true
				}
				return err
			})
		}
		return db.SendBatch(ctx, &batch).Close()
	})
	return made, err
}

// A sort of change is what many changes have in common. To find rows by a list of ids is
// faster than to join them with a list of changes.
type sort struct {
	cancel.Change // without what identifies the request
	ids           []int64
}

func sortOut(changes []cancel.Change) []*sort {
	var sorts []*sort
	known := map[cancel.Change]*sort{}
	var last *sort // mostly of the next one, too
	for _, ch := range changes {
		id := int64(ch.Old.ID)
		ch.Old.ID, ch.Old.Parent, ch.Old.Version = 0, 0, ""
		if last == nil || last.Change != ch {
			if last = known[ch]; last == nil {
				last = &sort{Change: ch}
				known[ch] = last
				sorts = append(sorts, last)
			}
		}
		last.ids = append(last.ids, id)
	}
	return sorts
}

// admitting returns the ids of the requests that admit children before they are changed.
func admitting(changes []cancel.Change) (ids []int64) {
	for _, ch := range changes {
		if lifecycle.AdmitsChildren(ch.Old.Kind, ch.Old.State) {
			ids = append(ids, int64(ch.Old.ID))
		}
	}
	return ids
}
