package simulate

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"example.com/ess/cancel/canceltest"
	"example.com/ess/lifecycle"
)

// A shrinker makes a script that fails smaller, as long as it still fails.
type shrinker struct {
	ctx   context.Context
	h     canceltest.Harness
	title string
	best  script
	err   error // of best
	tries int   // left
}

// shrink returns the error of the smallest script it can make of sc, which fails with
// err at its nth command.
func (sc script) shrink(ctx context.Context, h canceltest.Harness, seed uint64, n int, err error) error {
	s := &shrinker{ctx: ctx, h: h, best: sc, err: err, tries: 5000}
	s.title = fmt.Sprintf("the world of seed %d, shrunk from %d requests and %d commands", seed, len(sc.requests), len(sc.commands))
	first := sc
	first.commands = sc.commands[:n]
	s.try(first)
	for before := -1; before != s.size() && s.tries > 0; {
		before = s.size()
		s.commands()
		s.subtrees()
		s.inner()
		s.simplify()
	}
	return s.err
}

func (s *shrinker) size() int {
	n := 10*len(s.best.commands) + 10*len(s.best.requests)
	for _, c := range s.best.commands {
		if c.fault != (fault{}) {
			n++
		}
	}
	return n
}

// try takes sc if it still fails.
func (s *shrinker) try(sc script) {
	if s.tries--; s.tries < 0 || s.ctx.Err() != nil {
		return
	}
	_, err := sc.play(s.ctx, s.h, s.title)
	if _, ok := errors.AsType[*ScriptError](err); ok {
		s.best, s.err = sc, err
	}
}

// commands leaves out commands: half of them, a quarter, down to each.
func (s *shrinker) commands() {
	for part := max(len(s.best.commands)/2, 1); ; part /= 2 {
		for end := len(s.best.commands); end > 0; end -= part {
			sc := s.best
			sc.commands = slices.Delete(slices.Clone(sc.commands), max(end-part, 0), end)
			s.try(sc)
		}
		if part <= 1 {
			return
		}
	}
}

// subtrees leaves out requests with all that is below them.
func (s *shrinker) subtrees() {
	for part := max(len(s.best.requests)/2, 1); ; part /= 2 {
		for end := len(s.best.requests); end > 0; end -= part {
			end = min(end, len(s.best.requests))
			gone := map[lifecycle.ID]bool{}
			for _, r := range s.best.requests[max(end-part, 0):end] {
				gone[r.ID] = true
			}
			sc := s.best
			sc.requests = nil
			for _, r := range s.best.requests {
				if gone[r.Parent] {
					gone[r.ID] = true
				}
				if !gone[r.ID] {
					sc.requests = append(sc.requests, r)
				}
			}
			s.try(sc)
		}
		if part <= 1 {
			return
		}
	}
}

// inner leaves out single requests and gives what is below them to their parents.
func (s *shrinker) inner() {
	for _, gone := range slices.Backward(s.best.requests) {
		sc := s.best
		sc.requests = nil
		for _, r := range s.best.requests {
			if r.Parent == gone.ID {
				r.Parent = gone.Parent
			}
			if r.ID != gone.ID {
				sc.requests = append(sc.requests, r)
			}
		}
		s.try(sc)
	}
}

// simplify has less go wrong, and the plainest store that will do.
func (s *shrinker) simplify() {
	for i := range s.best.commands {
		if s.best.commands[i].fault != (fault{}) {
			sc := s.best
			sc.commands = slices.Clone(sc.commands)
			sc.commands[i].fault = fault{}
			s.try(sc)
		}
	}
	for _, change := range []func(*setup){
		func(set *setup) { set.silent = false },
		func(set *setup) { set.pageSize = 0 },
		func(set *setup) { set.view = viewPlain },
	} {
		sc := s.best
		if change(&sc.setup); sc.setup != s.best.setup {
			s.try(sc)
		}
	}
}
