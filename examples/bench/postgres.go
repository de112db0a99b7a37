package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/ess/cancel"
	"example.com/ess/examples/postgres"
)

// A pgContest is a contest on one tree in PostgreSQL.
type pgContest struct {
	name   string
	title  string
	tree   tree
	schema pgSchema
	rounds int
	ways   func(pgDatabase) []way
}

// A pgDatabase is the template of a contest.
type pgDatabase struct {
	*pgServer
	name  string
	tree  tree
	table postgres.Table
}

// postgres measures cascades in PostgreSQL, without waiting for the disk.
func (b *bench) postgres(ctx context.Context) error {
	large := wide(b.size.side, b.size.side)
	contests := []pgContest{
		{"postgres/wide", "PostgreSQL, " + large.name, large, plainSchema, b.size.rounds, b.wideWays},
		{"postgres/flat", "", flat(b.size.side * b.size.side), plainSchema, b.size.few, basicWays},
		{"postgres/deep", "", chain(b.size.chain), plainSchema, b.size.few, basicWays},
		{"postgres/binary", "", binary(b.size.side * b.size.side), plainSchema, b.size.few, basicWays},
		{
			"postgres/migrated", "PostgreSQL, " + large.name + ", the partial indexes that Migrate makes", large,
			migratedSchema(postgres.Table{}), b.size.few, basicWays,
		},
	}
	for _, n := range b.size.growth {
		contests = append(contests, pgContest{fmt.Sprintf("postgres/%d", n), "", wide(n/b.size.fan, b.size.fan), plainSchema, b.size.rounds, basicWays})
	}
	one := wide(b.size.growth[len(b.size.growth)-1]/b.size.fan, b.size.fan)
	trees := forest(slices.Max(b.size.crowds), wide(b.size.each/b.size.fan, b.size.fan))
	for _, caps := range []bool{true, false} {
		contests = append(contests,
			pgContest{
				"postgres/callers/" + short(caps), "PostgreSQL, all cancel one tree of " + one.name + " (" + means(caps) + ")",
				one, plainSchema, b.size.few, b.callerWays(caps),
			},
			pgContest{
				"postgres/cancellers/" + short(caps), "PostgreSQL, " + trees.name + ", each cancelled by one of some (" + means(caps) + ")",
				trees, plainSchema, b.size.few, b.cancellerWays(caps),
			},
		)
	}
	return b.onServer(ctx, false, contests)
}

// postgresDurable measures the same where each commit waits for the disk.
func (b *bench) postgresDurable(ctx context.Context) error {
	large := wide(b.size.side, b.size.side)
	return b.onServer(ctx, true, []pgContest{
		{"postgres/durable", "PostgreSQL with durable commits, " + large.name, large, plainSchema, b.size.few, pageWays},
	})
}

// onServer runs contests on a server that is started for them.
func (b *bench) onServer(ctx context.Context, durable bool, contests []pgContest) (err error) {
	contests = slices.DeleteFunc(contests, func(c pgContest) bool { return !b.only.MatchString(c.name) })
	if len(contests) == 0 {
		return nil
	}
	server, err := startPostgres(ctx, durable)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	var version string
	if err := server.admin.QueryRow(ctx, "SHOW server_version").Scan(&version); err != nil {
		return err
	}
	version, _, _ = strings.Cut(version, " ")
	b.note("PostgreSQL " + version)
	for i, c := range contests {
		db := pgDatabase{server, fmt.Sprintf("template_%d", i), c.tree, c.schema.table}
		begin := time.Now()
		if err := server.template(ctx, db.name, c.schema.fill(c.tree)); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		fmt.Fprintf(b.log, "%s: filled in %v\n", c.name, time.Since(begin))
		if c.title == "" {
			c.title = "PostgreSQL, " + c.tree.name
		}
		if err := b.compete(ctx, contest{name: c.name, title: c.title, rounds: c.rounds, ways: c.ways(db)}); err != nil {
			return err
		}
		if err := server.exec(ctx, "DROP DATABASE "+db.name); err != nil {
			return err
		}
	}
	return nil
}

// note remembers what was measured.
func (b *bench) note(what string) {
	if !slices.Contains(b.notes, what) {
		b.notes = append(b.notes, what)
	}
}

const (
	rawWay       = "raw recursive UPDATE"
	threeMethods = "three methods"
	oneStatement = "CancelChildren"
	largePage    = 5000
)

func paged(way string, page int) string { return way + ", pages of " + thousands(int64(page)) }

// basicWays are the raw statement, and ours with the default pages.
func basicWays(db pgDatabase) []way {
	return []way{
		{name: rawWay, run: db.raw},
		{name: threeMethods, goals: []goal{tripsFor(db.tree, defaultPage)}, run: db.cascade(false, defaultPage, 1)},
		{name: oneStatement, goals: []goal{tripsFor(db.tree, defaultPage)}, run: db.cascade(true, defaultPage, 1)},
	}
}

// pageWays are the raw statement, and ours with pages of two sizes.
func pageWays(db pgDatabase) []way {
	ways := []way{{name: rawWay, run: db.raw}}
	for _, page := range []int{defaultPage, largePage} {
		ways = append(ways,
			way{name: paged(threeMethods, page), run: db.cascade(false, page, 1)},
			way{name: paged(oneStatement, page), run: db.cascade(true, page, 1)},
		)
	}
	return ways
}

// wideWays are all ways, those with a target among them.
func (b *bench) wideWays(db pgDatabase) []way {
	b.note("River " + versionOf("github.com/riverqueue/river"))
	ways := pageWays(db)
	for i := range ways[1:] {
		w := &ways[1+i]
		if strings.HasPrefix(w.name, threeMethods) {
			w.goals = append(w.goals, atMost(1.1))
		} else {
			w.goals = append(w.goals, atMost(0.7))
		}
		if strings.HasSuffix(w.name, thousands(defaultPage)) {
			w.goals = append(w.goals, tripsFor(db.tree, defaultPage))
		}
	}
	return append(ways,
		way{name: "row by row", once: true, bounded: true, run: db.rowByRow},
		way{name: "River, JobCancel in a loop", once: true, bounded: true, run: db.river(b.size.riverJobs)},
	)
}

func (b *bench) callerWays(caps bool) func(pgDatabase) []way {
	return func(db pgDatabase) []way {
		return []way{
			{name: "1 caller", run: db.cascade(caps, defaultPage, 1)},
			{name: fmt.Sprintf("%d callers", b.size.callers), goals: []goal{atMost(4)}, run: db.cascade(caps, defaultPage, b.size.callers)},
		}
	}
}

func (b *bench) cancellerWays(caps bool) func(pgDatabase) []way {
	return func(db pgDatabase) (ways []way) {
		for _, n := range b.size.crowds {
			ways = append(ways, way{name: cancellers(n), run: db.cascade(caps, defaultPage, n)})
		}
		return ways
	}
}

// cascade cancels the trees by the module.
func (db pgDatabase) cascade(caps bool, page, callers int) func(context.Context, *meter) error {
	return func(ctx context.Context, m *meter) error {
		return db.onCopy(ctx, db.name, callers, m, func(pool *pgxpool.Pool) error {
			var store cancel.Repository = postgres.New(pool, db.table)
			if !caps {
				store = struct{ cancel.Repository }{store}
			}
			err := m.measure(func() (int, error) { return db.tree.n, cancelTrees(ctx, store, db.tree, page, callers) })
			if err != nil {
				return err
			}
			m.seen.locked, err = checkTable(ctx, pool, db.tree)
			return err
		})
	}
}
