// Command peers cancels a parent with children in several systems, each by its own
// documented call, and shows side by side what it takes and what comes of it:
//
//	go run . [-only regexp] [-rounds n] [-short] [times] [shown] [escape] [kill]
//
// Without a word it does all four. It needs the binaries of PostgreSQL and of Redis; see
// the README.
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
	"slices"
	"syscall"
	"time"
)

func main() {
	if isChild() {
		exitOn(runChild())
		return
	}
	only := flag.String("only", "", "only systems that this `regexp` matches, such as '^(ess|dbos)-sqlite$'")
	rounds := flag.Int("rounds", 5, "how often the times are taken")
	short := flag.Bool("short", false, "take small trees, once, to see that all works")
	flag.Parse()
	pattern, err := regexp.Compile(*only)
	exitOn(err)
	p := newPeers(*short)
	p.only, p.rounds = pattern, *rounds
	if *short {
		p.rounds = 1
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err = p.run(ctx, flag.Args())
	if err == nil || ctx.Err() != nil { // if interrupted, show what there is
		err = errors.Join(err, p.write(os.Stdout))
	}
	exitOn(errors.Join(err, p.servers.stop()))
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// peers is one run of the program.
type peers struct {
	only    *regexp.Regexp
	rounds  int
	short   bool
	limit   time.Duration // for one tree
	log     io.Writer
	servers *servers

	times    map[string][]map[shape]figure // by system and round
	shown    map[string]showing
	escapes  map[string]escapade
	killings map[string][]killing
}

func newPeers(short bool) *peers {
	return &peers{
		only: regexp.MustCompile(""), short: short, log: os.Stderr, servers: new(servers),
		limit: time.Minute,
		times: map[string][]map[shape]figure{}, shown: map[string]showing{}, escapes: map[string]escapade{}, killings: map[string][]killing{},
	}
}

// A part is one of the things that the program can do.
type part struct {
	word string
	do   func(*peers, context.Context) error
}

// parts are all of them, in this order.
var parts = []part{
	{"times", (*peers).takeTimes},
	{"shown", eachSystem(func(p *peers, ctx context.Context, e entrant) error {
		return askOne(ctx, p, e, "shown", p.shown)
	})},
	{"escape", eachSystem(func(p *peers, ctx context.Context, e entrant) error {
		return askOne(ctx, p, e, "escape", p.escapes)
	})},
	{"kill", eachSystem((*peers).killAll)},
}

func (p *peers) run(ctx context.Context, words []string) error {
	for _, word := range words {
		if !slices.ContainsFunc(parts, func(p part) bool { return p.word == word }) {
			return fmt.Errorf("no part %q", word)
		}
	}
	if len(p.entrants()) == 0 {
		return fmt.Errorf("no system matches %q", p.only)
	}
	for _, part := range parts {
		if len(words) > 0 && !slices.Contains(words, part.word) {
			continue
		}
		if err := part.do(p, ctx); err != nil {
			return fmt.Errorf("%s: %w", part.word, err)
		}
	}
	return nil
}

func (p *peers) entrants() (chosen []entrant) {
	for _, e := range entrants {
		if p.only.MatchString(e.name) {
			chosen = append(chosen, e)
		}
	}
	return chosen
}

func eachSystem(do func(*peers, context.Context, entrant) error) func(*peers, context.Context) error {
	return func(p *peers, ctx context.Context) error {
		for _, e := range p.entrants() {
			if e.variant {
				continue
			}
			start := time.Now()
			if err := do(p, ctx, e); err != nil {
				return err
			}
			fmt.Fprintf(p.log, "%s: %.1f s\n", e.name, time.Since(start).Seconds())
		}
		return nil
	}
}

// askOne has a process with an empty store do something, and keeps its one answer.
func askOne[T any](ctx context.Context, p *peers, e entrant, do string, answers map[string]T) (err error) {
	env, remove, err := p.servers.env(ctx, e)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	var answer T
	if err := ask(ctx, job{System: e.name, Do: do, Env: env}, &answer); err != nil {
		return err
	}
	answers[e.name] = answer
	return nil
}

// killAll kills a process at several moments.
func (p *peers) killAll(ctx context.Context, e entrant) error {
	moments := []float64{0.25, 0.5, 0.75}
	if p.short {
		moments = moments[1:2]
	}
	for _, at := range moments {
		k, err := p.kill(ctx, e, at)
		if err != nil {
			return err
		}
		p.killings[e.name] = append(p.killings[e.name], k)
	}
	return nil
}

// takeTimes has the systems take turns, in another order in every round.
func (p *peers) takeTimes(ctx context.Context) error {
	chosen := p.entrants()
	for round := range p.rounds {
		for i := range chosen {
			e := chosen[(i+round)%len(chosen)]
			if e.rounds > 0 && round >= e.rounds {
				continue
			}
			start := time.Now()
			figures, err := p.takeTime(ctx, e)
			if err != nil {
				return err
			}
			p.times[e.name] = append(p.times[e.name], figures)
			fmt.Fprintf(p.log, "round %d, %s: %.1f s\n", round+1, e.name, time.Since(start).Seconds())
		}
	}
	return nil
}

func (p *peers) takeTime(ctx context.Context, e entrant) (figures map[shape]figure, err error) {
	env, remove, err := p.servers.env(ctx, e)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	shapes := e.shapes
	if p.short {
		shapes = shortShapes(shapes)
	}
	c, err := startChild(ctx, job{System: e.name, Do: "measure", Env: env, Shapes: shapes, Limit: p.limit})
	if err != nil {
		return nil, err
	}
	figures = map[shape]figure{}
	for {
		var f figure
		switch err := c.next(&f); {
		case errors.Is(err, io.EOF):
			return figures, nil
		case err != nil:
			return nil, fmt.Errorf("%s: %w", e.name, err)
		}
		figures[f.Shape] = f
		if f.Failed != "" {
			fmt.Fprintf(p.log, "%s, %v: %s\n", e.name, f.Shape, f.Failed)
		}
	}
}

// shortShapes returns a tiny shape for each kind of shape.
func shortShapes(shapes []shape) (short []shape) {
	tiny := func(s shape) shape {
		return shape{Leaves: 4, Groups: min(s.Groups, 2), Running: s.Running}
	}
	for _, s := range shapes {
		if s = tiny(s); !slices.Contains(short, s) {
			short = append(short, s)
		}
	}
	return short
}
