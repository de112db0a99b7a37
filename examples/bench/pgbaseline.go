package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/ess/lifecycle"
)

// live is the condition that a request has not ended.
var live = func() string {
	var names []string
	for s := range lifecycle.Terminal.All() {
		names = append(names, "'"+s.String()+"'")
	}
	return "state NOT IN (" + strings.Join(names, ", ") + ")"
}()

// raw is one statement that does it all, as one would type it. It asks no rule, keeps no
// cause, and lets no other transaction have a row of the tree until it is through.
func (db pgDatabase) raw(ctx context.Context, m *meter) error {
	return db.onCopy(ctx, db.name, 1, m, func(pool *pgxpool.Pool) error {
		err := m.measure(func() (int, error) {
			tag, err := pool.Exec(ctx, `
WITH RECURSIVE tree AS (
    SELECT id FROM ess_requests WHERE id = $1
    UNION ALL
    SELECT r.id FROM ess_requests r JOIN tree t ON r.parent = t.id
)
UPDATE ess_requests r SET state = 'CANCELLED' FROM tree t WHERE r.id = t.id AND r.`+live, int64(db.tree.roots[0]))
			return int(tag.RowsAffected()), err
		})
		if err != nil {
			return err
		}
		m.seen.locked, err = checkTable(ctx, pool, db.tree)
		return err
	})
}

// rowByRow goes through the tree and writes each request by a statement of its own, for as
// long as it may.
func (db pgDatabase) rowByRow(ctx context.Context, m *meter) error {
	return db.onCopy(ctx, db.name, 1, m, func(pool *pgxpool.Pool) error {
		err := m.measure(func() (n int, err error) {
			deadline := m.deadline()
			for todo := slices.Clone(db.tree.roots); len(todo) > 0; todo = todo[1:] {
				if n++; time.Now().After(deadline) {
					return n - 1, nil
				}
				if err := writeRow(ctx, pool, todo[0]); err != nil {
					return n, err
				}
				rows, err := pool.Query(ctx, "SELECT id, kind FROM ess_requests WHERE parent = $1 AND "+live, int64(todo[0]))
				if err != nil {
					return n, err
				}
				var id int64
				var kind string
				var leaves []lifecycle.ID
				_, err = pgx.ForEachRow(rows, []any{&id, &kind}, func() error {
					if kind == lifecycle.KindChild.String() {
						leaves = append(leaves, lifecycle.ID(id))
					} else {
						todo = append(todo, lifecycle.ID(id))
					}
					return nil
				})
				if err != nil {
					return n, err
				}
				for _, id := range leaves {
					if n++; time.Now().After(deadline) {
						return n - 1, nil
					}
					if err := writeRow(ctx, pool, id); err != nil {
						return n, err
					}
				}
			}
			return n, nil
		})
		if err != nil {
			return err
		}
		var n int
		err = pool.QueryRow(ctx, "SELECT count(*) FROM ess_requests WHERE state = 'CANCELLED'").Scan(&n)
		if err == nil && n != m.work {
			err = fmt.Errorf("%d requests are CANCELLED, want %d", n, m.work)
		}
		m.seen.locked = 1
		return err
	})
}

func writeRow(ctx context.Context, pool *pgxpool.Pool, id lifecycle.ID) error {
	tag, err := pool.Exec(ctx, "UPDATE ess_requests SET state = 'CANCELLED' WHERE id = $1 AND "+live, int64(id))
	if err == nil && tag.RowsAffected() != 1 {
		err = fmt.Errorf("request %d was not written", id)
	}
	return err
}
