package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/jackc/pgx/v5"

	"example.com/ess/cancel"
	"example.com/ess/examples/postgres/pgstore"
	"example.com/ess/lifecycle"
)

// endSQL makes those children of a page CANCELLED that become so at once. It finds
// out where the page ends, and then writes to that part of the index, in halves as
// childrenSQL reads it: no faster way to change so many was found. If somebody changes a
// row meanwhile, PostgreSQL looks again whether it is one of those. What state a row
// was in cannot be said afterwards, and so this is only for children that need not
// be reported.
//
// It returns how many children the page has, how many were cancelled, and where it
// ends.
const endSQL = `
WITH here AS MATERIALIZED (
    SELECT count(*) AS children, max(place) AS last
    FROM (
        SELECT ARRAY[r.{parent}, r.{id}]::bigint[] AS place
        FROM {requests} r
        WHERE r.{parent} = ANY ((SELECT @here::bigint[])::bigint[]) AND r.{id} > @after::bigint
          AND {r.live}
        ORDER BY r.{parent}, r.{id}
        LIMIT (SELECT @limit::bigint)
    ) AS child
), behind AS MATERIALIZED (
    SELECT count(*) AS children, max(place) AS last
    FROM (
        SELECT ARRAY[r.{parent}, r.{id}]::bigint[] AS place
        FROM {requests} r
        WHERE r.{parent} = ANY ((SELECT @behind::bigint[])::bigint[])
          AND {r.live}
        ORDER BY r.{parent}, r.{id}
        LIMIT (SELECT @limit::bigint - children FROM here)
    ) AS child
), page AS MATERIALIZED (
    SELECT h.children + b.children AS children, h.last[2] AS last_here, coalesce(b.last, h.last) AS last
    FROM here h, behind b
), ended_here AS (
    UPDATE {requests} r
    SET {state} = {CANCELLED}, {outcome} = NULL
    WHERE r.{parent} = ANY ((SELECT @here::bigint[])::bigint[])
      AND r.{id} > @after::bigint AND r.{id} <= (SELECT last_here FROM page)
      AND {r.ends}
    RETURNING 1
), ended_behind AS (
    UPDATE {requests} r
    SET {state} = {CANCELLED}, {outcome} = NULL
    WHERE r.{parent} = ANY (ARRAY(SELECT p FROM unnest(@behind::bigint[]) AS p WHERE p <= (SELECT last[1] FROM page)))
      AND (r.{parent}, r.{id}) <= ((SELECT last[1] FROM page), (SELECT last[2] FROM page))
      AND {r.ends}
    RETURNING 1
)
SELECT children, (SELECT count(*) FROM ended_here) + (SELECT count(*) FROM ended_behind), coalesce(last[1], 0), coalesce(last[2], 0)
FROM page`

// Children that become CANCELLING have to be reported with the state that they were
// in, and where there is an audit trail all have to. This takes a statement in
// several parts: childrenSQL, which reads the page and does not lock it, because to lock
// rows and then write them takes much longer than to write them; then cancelSQL,
// auditSQL if there is an audit trail, and cancelEndSQL.

// theseSQL is the beginning for those children, mostly none, which others have changed
// between the reading and the writing of their page.
const theseSQL = `
WITH page AS MATERIALIZED (
    SELECT ` + columnsAs + `
    FROM {requests} r
    WHERE r.{id} = ANY ((SELECT @ids::bigint[])::bigint[]) AND {r.live}
)`

// cancelSQL says what the rules make of each child of the page up to a last one, and
// writes that to the children that are still in the state that was read, in the order
// of their ids. Before that it closes the turnstiles of those that admit children. It
// leaves alone what is CANCELLING, or cannot be read.
//
// How many children the planner expects is a guess, and often a bad one. So there are
// no joins, for which it would choose a way that suits the guess: IN, in a place where it
// cannot become a join, is a look-up in a hash table, and IS TRUE makes a condition such
// a place.
const cancelSQL = `, judged AS MATERIALIZED (
    SELECT p.*, {p.to_state} AS to_state, {p.to_outcome} AS to_outcome
    FROM page p
    WHERE (p.parent, p.id) <= (@last_parent::bigint, @last::bigint)
), fencing AS MATERIALIZED (
    SELECT id FROM judged WHERE kind IN ({parents}) AND state IN ({admitting})
), {closing}, made AS (
    UPDATE {requests} r
    SET {state} = {r.to_state},
        {outcome} = {r.to_outcome},
        {checked_in} = CASE WHEN {r.to_state} = {CANCELLING} THEN @at::timestamptz ELSE r.{checked_in} END
    WHERE r.{id} = ANY (ARRAY(SELECT id FROM judged WHERE to_state IS NOT NULL))
      AND ((r.{id}, r.{state}) IN (SELECT id, state FROM judged WHERE to_state IS NOT NULL)) IS TRUE
      AND (SELECT count(*) FROM closed) >= 0
    RETURNING r.{id} AS id
)`

const auditSQL = `, audited AS (
    INSERT INTO {audit} (request, root, actor, reason, trigger, from_state, to_state, outcome, at)
    SELECT j.id, @root::bigint, @actor::text, @reason::text, {cancel}, j.state, j.to_state, j.to_outcome, @at::timestamptz
    FROM judged j
    WHERE (j.id IN (SELECT id FROM made)) IS TRUE
)`

// cancelEndSQL returns a list of children: those that became CANCELLING or were so
// before, those that have not been changed or cannot be read, and, if so wished, those that became
// CANCELLED. Each row also has the number of children in the page, the number of
// those not in the list, and the last child of the page. If the list is empty there
// is one row, without a child in it.
const cancelEndSQL = `, told AS MATERIALIZED (
    SELECT j.*, j.id IN (SELECT id FROM made) AS made FROM judged j
), reported AS MATERIALIZED (
    SELECT t.*, NOT t.made OR t.to_state = {CANCELLING} OR @all::boolean AS listed FROM told t
)
SELECT coalesce(l.id, 0), coalesce(l.parent, 0), l.kind, l.state, l.outcome, l.checked_in, coalesce(l.attempt, 0), coalesce(l.made, false),
       total.children, total.unlisted, coalesce(last.parent, 0), coalesce(last.id, 0)
FROM (SELECT count(*) AS children, count(*) FILTER (WHERE NOT listed) AS unlisted FROM reported) total
LEFT JOIN (SELECT parent, id FROM reported ORDER BY parent DESC, id DESC LIMIT 1) last ON true
LEFT JOIN reported l ON l.listed
ORDER BY l.parent, l.id`

// CancelChildren implements [cancel.ChildCanceller].
func (s *Store) CancelChildren(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
	if c.Query.Parents[0] == 0 { // no cascade begins at what has no parent
		return cancel.ChildPage{}, fmt.Errorf("postgres: requests without a parent: %w", errors.ErrUnsupported)
	}
	if err := pgstore.SeesNewChildren(ctx, s.db); err != nil {
		return cancel.ChildPage{}, err
	}
	if s.audited || c.All {
		return s.cancelUpTo(ctx, c, cancel.Cursor{Parent: math.MaxInt64, ID: math.MaxInt64})
	}
	page, left, err := s.end(ctx, c)
	if err != nil || left == 0 {
		return page, err
	}
	rest, err := s.cancelUpTo(ctx, c, page.Last)
	page.Cancelled += rest.Cancelled
	page.Changes = rest.Changes
	return page, err
}

// end makes those children CANCELLED that become so at once. It returns how many of
// the page are left to do.
func (s *Store) end(ctx context.Context, c cancel.ChildCancel) (page cancel.ChildPage, left int, err error) {
	var children int
	err = pgstore.Retry(ctx, s.db, func() error {
		return s.db.QueryRow(ctx, s.endPage, pageArgs(c.Query)).Scan(&children, &page.Cancelled, &page.Last.Parent, &page.Last.ID)
	})
	page.More = children == c.Query.Limit
	return page, children - page.Cancelled, err
}

// cancelUpTo cancels all children of the page, but none behind last. With an error it
// returns what has been done.
func (s *Store) cancelUpTo(ctx context.Context, c cancel.ChildCancel, last cancel.Cursor) (page cancel.ChildPage, err error) {
	args := pageArgs(c.Query)
	sql := s.cancelPage
	for attempt := 1; ; attempt++ {
		args["last_parent"], args["last"] = last.Parent, last.ID
		part, lost, err := s.cancel(ctx, sql, c, args)
		if attempt == 1 {
			page.Last, page.More = part.Last, part.More
		}
		page.Cancelled += part.Cancelled
		page.Changes = append(page.Changes, part.Changes...)
		slices.SortFunc(page.Changes, func(a, b cancel.Change) int { return position(a.Old).Compare(position(b.Old)) })
		switch {
		case err != nil || len(lost) == 0:
			return page, err
		case attempt == pgstore.MaxAttempts:
			return page, fmt.Errorf("postgres: others kept changing the requests %d", lost)
		}
		sql, args = s.cancelThese, pgx.NamedArgs{"ids": lost}
	}
}

// cancel sends a statement that cancels a page of children. It returns the ids of
// those that it has left alone because others had changed them meanwhile.
func (s *Store) cancel(ctx context.Context, sql string, c cancel.ChildCancel, args pgx.NamedArgs) (page cancel.ChildPage, lost []lifecycle.ID, err error) {
	args["all"] = c.All
	err = pgstore.WithTexts(ctx, s.db, func(text func(cancel.Cause) cancel.Cause) error {
		page, lost = cancel.ChildPage{}, nil
		cause := text(c.Cause)
		args["root"], args["actor"], args["reason"], args["at"] = cause.Root, cause.Actor, cause.Reason, cause.Time
		rows, err := s.db.Query(ctx, sql, args)
		if err != nil {
			return err
		}
		defer rows.Close()
		var made bool
		var children int
		reader := pgstore.NewReader(&made, &children, &page.Cancelled, &page.Last.Parent, &page.Last.ID)
		for rows.Next() {
			r, err := reader.Read(rows)
			if err != nil {
				return err
			}
			page.More = children == c.Query.Limit
			ch := cancel.Change{Old: r, State: r.State, Outcome: r.Outcome, CheckedIn: r.CheckedIn, Attempt: r.Attempt}
			switch d, decided := decisions[kindAndState{r.Kind, r.State}]; {
			case r.ID == 0: // the list is empty
			case made:
				ch.Trigger, ch.State, ch.Outcome, ch.Cause = lifecycle.TriggerCancel, d.State, d.Outcome, c.Cause
				if d.State == lifecycle.StateCancelling {
					ch.CheckedIn = c.Cause.Time
				}
				page.Changes = append(page.Changes, ch)
			case decided:
				lost = append(lost, r.ID)
			default: // it was CANCELLING before, or cannot be read
				page.Changes = append(page.Changes, ch)
			}
		}
		return rows.Err()
	})
	if err != nil {
		return cancel.ChildPage{}, nil, err
	}
	return page, lost, nil
}

type kindAndState struct {
	kind  lifecycle.Kind
	state lifecycle.State
}

// decisions are the rules by which cancelSQL decides.
var decisions = func() map[kindAndState]cancel.Decision {
	m := map[kindAndState]cancel.Decision{}
	for d := range cancel.Decisions() {
		m[kindAndState{d.Kind, d.From}] = d
	}
	return m
}()
