package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// A killing is what a process leaves behind that was killed while it cancelled a tree. The
// servers of PostgreSQL and Redis go on.
type killing struct {
	At     float64 // as a part of the time that it would have taken
	Left   census  // right after
	Opened census  // after a new process has opened the store, and some seconds for it
	Again  census  // after what the system has for it: see system.again
}

// patience is how long a new process waits for what may come by itself.
const patience = 3 * time.Second

// A victimTree is what is being cancelled when the process is killed.
type victimTree struct {
	Tree *tree
	Took time.Duration // to cancel another of that shape
}

// victim makes a tree, and cancels it when it is told to.
func victim(ctx context.Context, s system, j job, tell func(any)) error {
	f, err := measureOne(ctx, s, j.Shapes[0], j.Limit)
	if err != nil {
		return err
	}
	t, err := s.build(ctx, j.Shapes[0])
	if err != nil {
		return err
	}
	tell(victimTree{t, f.Done})
	<-input
	if err := s.cancel(ctx, t); err != nil {
		return err
	}
	tell(true)
	return untilStopped(ctx, nil) // whatever goes on in the background
}

// lookAtTree only looks.
func lookAtTree(ctx context.Context, s system, j job, tell func(any)) error {
	c, err := s.census(ctx, j.Tree)
	tell(c)
	return err
}

// after tells what becomes of the tree in a new process, by itself and then again.
func after(ctx context.Context, s system, j job, tell func(any)) error {
	wait := func(d time.Duration) (census, error) {
		ctx, stop := context.WithTimeoutCause(ctx, d, errEnough)
		defer stop()
		err := until(ctx, func() (bool, error) {
			live, err := s.live(ctx, j.Tree)
			return !live, err
		})
		if ctx.Err() != nil { // then it stays as it is
			err = nil
		}
		c, censusErr := s.census(context.WithoutCancel(ctx), j.Tree)
		return c, errors.Join(err, censusErr)
	}
	opened, err := wait(j.Limit)
	if err != nil {
		return err
	}
	live, err := s.live(ctx, j.Tree)
	if err != nil {
		return err
	}
	if live {
		if err := s.again(ctx, j.Tree); err != nil {
			return err
		}
	}
	again, err := wait(10 * patience)
	tell([2]census{opened, again})
	return err
}

var errEnough = errors.New("waited for long enough")

// kill kills a process in the middle of a cancel.
func (p *peers) kill(ctx context.Context, e entrant, at float64) (k killing, err error) {
	k.At = at
	env, remove, err := p.servers.env(ctx, e)
	if err != nil {
		return k, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	leaves := e.victims
	if p.short {
		leaves = min(leaves, 10)
	}
	j := job{System: e.name, Do: "victim", Env: env, Shapes: []shape{{Leaves: leaves}}, Limit: p.limit}
	c, err := startChild(ctx, j)
	if err != nil {
		return k, err
	}
	var v victimTree
	if err := c.next(&v); err != nil {
		return k, errors.Join(fmt.Errorf("%s, victim: %w", e.name, err), c.kill())
	}
	if _, err := io.WriteString(c.in, "go\n"); err != nil {
		return k, err
	}
	if e.later { // what is being done begins with the return of the call
		var returned bool
		if err := c.next(&returned); err != nil {
			return k, errors.Join(fmt.Errorf("%s, victim: %w", e.name, err), c.kill())
		}
	}
	time.Sleep(time.Duration(at * float64(v.Took)))
	if err := c.kill(); err != nil {
		return k, err
	}
	j.Tree, j.Shapes, j.Do = v.Tree, nil, "look"
	if err := ask(ctx, j, &k.Left); err != nil {
		return k, err
	}
	j.Do, j.Limit = "after", patience
	if e.later {
		j.Limit = 10 * patience // workers may do it
	}
	var then [2]census
	if err := ask(ctx, j, &then); err != nil {
		return k, err
	}
	k.Opened, k.Again = then[0], then[1]
	return k, nil
}
