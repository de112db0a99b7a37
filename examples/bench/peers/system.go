package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A system is one of those that are compared. Each has a process of its own, in which
// everything that belongs to it runs: clients, workers, and a server if it embeds one.
// PostgreSQL and Redis are processes of their own.
type system interface {
	// look opens the system's own store for the methods that read it, over a
	// connection that the system itself does not use.
	look(ctx context.Context, env env) error
	// start starts everything that the system needs to work.
	start(ctx context.Context, env env) error
	// build makes a tree of the shape. It returns when all of it is there: the parents
	// are being worked on, if the system does that, and the leaves wait or run.
	build(ctx context.Context, s shape) (*tree, error)
	// cancel is the system's own documented call, or the loop of calls that is left
	// to its users.
	cancel(ctx context.Context, t *tree) error
	// live reports whether anything of the tree has not ended, as the store says.
	live(ctx context.Context, t *tree) (bool, error)
	// census counts what is in the tree, by the words of the store.
	census(ctx context.Context, t *tree) (census, error)

	// family makes a parent with three children of which one has finished, one waits,
	// and one does stubborn work: that has begun when family returns.
	family(ctx context.Context) (family, error)
	// state returns what the store says of a member of a family.
	state(ctx context.Context, id string) (string, error)

	// crowd makes a parent with 100 children that wait or, where there is no waiting,
	// run, and with which submit can begin.
	crowd(ctx context.Context) (*tree, error)
	// submit makes more and more children of a crowd until it is told to stop. Where a
	// parent alone can have children, the crowd makes them by itself.
	submit(ctx context.Context, t *tree, stop <-chan struct{}) error

	// again is what is to be done for a tree, by a new process, after the one that
	// cancelled it was killed.
	again(ctx context.Context, t *tree) error
}

// An env says where the stores are.
type env struct {
	PG    string // the URL of an empty database
	Redis string // the address of a server
	Dir   string // an empty folder
}

// A shape says what a tree is like.
type shape struct {
	Leaves  int
	Groups  int  // so many parents between the root and the leaves; 0: none
	Running bool // the leaves run; otherwise they wait
}

func (s shape) String() string {
	switch {
	case s.Running:
		return fmt.Sprintf("%d running", s.Leaves)
	case s.Groups > 0:
		return fmt.Sprintf("%d x %d", s.Groups, s.Leaves/s.Groups)
	default:
		return fmt.Sprint(s.Leaves)
	}
}

// A tree is a parent with what is below it.
type tree struct {
	Shape shape
	ID    string   // of the parent
	All   []string // what the caller has to remember, in systems that know of no parents
}

// A census is what a store has of a tree.
type census struct {
	Root  string // the state of the parent; "" in systems that know of no parents
	Below map[string]int
}

func (c census) String() string {
	var parts []string
	if c.Root != "" {
		parts = append(parts, "parent "+c.Root)
	}
	for _, state := range slices.Sorted(maps.Keys(c.Below)) {
		parts = append(parts, fmt.Sprintf("%d %s", c.Below[state], state))
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// in returns how many of those below the root are in one of the states.
func (c census) in(states ...string) (n int) {
	for _, s := range states {
		n += c.Below[s]
	}
	return n
}

// A family has the ids of its members.
type family struct {
	Tree                       *tree
	Working, Waiting, Finished string
}

var errNoLevels = errors.New("the system knows of no parents, and so of no levels")

// An entrant is a system in a setting.
type entrant struct {
	name    string // for the command line
	title   string // for tables
	needs   string // "postgres", "redis" or nothing: a folder
	new     func() system
	shapes  []shape // what is measured
	rounds  int     // at most so many; 0: as many as there are
	variant bool    // a second setting of a system, of which only the times are taken
	later   bool    // the call asks for a cancel only; workers carry it out
	victims int     // leaves of the tree that is being cancelled by a process that is killed
}

var (
	levels  = []shape{{Leaves: 100, Groups: 10}, {Leaves: 1000, Groups: 10}}
	flat    = []shape{{Leaves: 10}, {Leaves: 100}, {Leaves: 1000}}
	running = []shape{{Leaves: 100, Running: true}}

	// columns are all shapes that are measured, in the order of the table.
	columns = slices.Concat(flat, levels, running)
)

// modules are those of the other systems.
var modules = []string{
	"github.com/dbos-inc/dbos-transact-golang",
	"github.com/riverqueue/river",
	"github.com/cschleiden/go-workflows",
	"go.temporal.io/server",
	"github.com/hibiken/asynq",
}

var entrants = []entrant{
	{name: "ess-postgres", title: "ess, PostgreSQL, all capabilities", needs: "postgres", new: newPostgres(false), shapes: columns, victims: 1000},
	{name: "ess-postgres-three", variant: true, title: "ess, PostgreSQL, three methods", needs: "postgres", new: newPostgres(true), shapes: columns, victims: 1000},
	{name: "dbos-postgres", title: "DBOS, PostgreSQL", needs: "postgres", new: newDBOS(false), shapes: columns, victims: 1000},
	{name: "river", title: "River, `JobCancel` in a loop", needs: "postgres", new: newRiver, shapes: slices.Concat(flat, running), victims: 1000},
	{name: "ess-sqlite", title: "ess, SQLite, all capabilities", new: newSQLite(false), shapes: columns, victims: 1000},
	{name: "ess-sqlite-three", variant: true, title: "ess, SQLite, three methods", new: newSQLite(true), shapes: columns, victims: 1000},
	{name: "dbos-sqlite", title: "DBOS, SQLite", new: newDBOS(true), shapes: columns, victims: 1000},
	{name: "go-workflows", title: "go-workflows, SQLite", later: true, new: newGoWorkflows, shapes: slices.Concat(flat, levels), rounds: 3, victims: 100},
	{name: "temporal", title: "Temporal, cancel, SQLite", later: true, new: newTemporal(false), shapes: []shape{flat[0], flat[1], levels[0], running[0]}, rounds: 2, victims: 30},
	{name: "temporal-terminate", title: "Temporal, terminate, SQLite", later: true, new: newTemporal(true), shapes: []shape{flat[0], flat[1], levels[0]}, rounds: 2, victims: 30},
	{name: "asynq", title: "asynq, a loop, Redis", needs: "redis", new: newAsynq, shapes: slices.Concat(flat, running), victims: 1000},
}

func entrantOf(name string) (entrant, error) {
	for _, e := range entrants {
		if e.name == name {
			return e, nil
		}
	}
	return entrant{}, fmt.Errorf("no system %q", name)
}
