// Command bench measures what cancelling costs: the rules, cascades in memory, on
// PostgreSQL, etcd and SQLite, each beside what somebody would do without this module.
//
// It prints one table and draws a chart:
//
//	go run . [-quick] [-only regexp] [-svg file]
//
// It needs PostgreSQL's binaries; see the README.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"syscall"
)

func main() {
	if isMember() {
		exitOn(runMember())
		return
	}
	quick := flag.Bool("quick", false, "measure small trees once, in a few seconds, to see that all works")
	only := flag.String("only", "", "measure only what matches this `regexp`, such as '^postgres/wide$'")
	svg := flag.String("svg", "bench.svg", "the `file` to draw the chart to")
	flag.Parse()
	pattern, err := regexp.Compile(*only)
	exitOn(err)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b := &bench{size: full, only: pattern, log: os.Stderr}
	if *quick {
		b.size = small
	}
	err = b.run(ctx)
	if err == nil && len(b.results) == 0 {
		err = fmt.Errorf("nothing matches %q", *only)
	}
	if err == nil || ctx.Err() != nil { // if interrupted, show what there is
		err = errors.Join(err, b.writeTable(os.Stdout), os.WriteFile(*svg, b.chart(), 0o644))
	}
	exitOn(err)
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// A bench is one run of the program.
type bench struct {
	size    size
	only    *regexp.Regexp
	log     io.Writer // what is going on
	results []*result
	notes   []string // versions of what was measured
}

// A size says how much is measured.
type size struct {
	quick     bool
	rounds    int   // timed runs of each way
	few       int   // the same where a run takes long
	blocks    int   // timed runs of what takes microseconds
	side      int   // the large tree has side x side leaves
	chain     int   // requests in the deep chain
	growth    []int // leaves of the trees that show how cost grows, without the large tree
	fan       int   // children of each parent in trees that are not the large one
	seconds   float64
	callers   int   // how many cancel one tree at once
	crowds    []int // how many cancel a tree each at once
	each      int   // leaves of such a tree
	etcd      int   // leaves of the tree in etcd
	sqlite    int   // leaves of the tree in SQLite
	riverJobs int
}

var full = size{
	rounds: 5, few: 3, blocks: 301,
	side: 1000, chain: 10_000, growth: []int{1000, 10_000, 100_000}, fan: 1000,
	seconds: 10, callers: 64, crowds: []int{1, 2, 4, 8, 16}, each: 10_000,
	etcd: 20_000, sqlite: 100_000, riverJobs: 60_000,
}

var small = size{
	quick: true, rounds: 1, few: 1, blocks: 3,
	side: 20, chain: 50, growth: []int{50, 100}, fan: 20,
	seconds: 0.1, callers: 8, crowds: []int{1, 4}, each: 100,
	etcd: 200, sqlite: 400, riverJobs: 1000,
}

func (b *bench) run(ctx context.Context) error {
	for _, part := range []func(context.Context) error{b.rules, b.memory, b.postgres, b.postgresDurable, b.sqlite, b.etcd} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}
