package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	"example.com/ess/lifecycle"
)

// big cancels a tree of n requests and shows how long that takes. It keeps them in
// repo, and shows its progress on stderr if that is a terminal.
func big(ctx context.Context, repo *memrepo.Repo, n int, out *screen, stderr io.Writer) error {
	begun := time.Now()
	bar := newProgress(stderr, "building", n)
	sets, err := build(ctx, repo, n, bar)
	bar.clear()
	if err != nil {
		return err
	}
	built := time.Since(begun)

	bar = newProgress(stderr, "cancelling", n)
	canceller := cancel.New(&watchedRepo{repo, bar}, nil)
	begun = time.Now()
	result, err := canceller.Cancel(ctx, cancel.Order{ID: 1, Actor: "ann", Reason: "wrong rates"})
	took := time.Since(begun)
	bar.clear()
	if err != nil {
		return err
	}
	out.printf("tree       %s requests: a root, %s job sets, %s steps\n", grouped(n), grouped(sets), grouped(n-1-sets))
	out.printf("built in   %v\n", built.Round(time.Microsecond))
	out.printf("cancelled  in %v, %s requests per second\n", took.Round(time.Microsecond), grouped(int(float64(n)/took.Seconds())))
	out.printf("result     %v; root %v\n", result.Counts, result.Root.To)
	return nil
}

// build inserts a root with about as many job sets as each of them has steps, n
// requests in all.
func build(ctx context.Context, repo *memrepo.Repo, n int, bar *progress) (sets int, err error) {
	sets = min(int(math.Sqrt(float64(n))), n-1)
	steps := n - 1 - sets
	page := make([]lifecycle.Request, 0, 1000)
	for i := range n {
		r := lifecycle.Request{ID: lifecycle.ID(i + 1), Kind: lifecycle.KindParent, State: lifecycle.StateWait}
		switch step := i - 1 - sets; {
		case step >= 0:
			r.Parent, r.Kind = lifecycle.ID(2+step*sets/steps), lifecycle.KindChild
		case i > 0:
			r.Parent = 1
		}
		if page = append(page, r); len(page) == cap(page) || i == n-1 {
			if err := ctx.Err(); err != nil {
				return 0, err
			}
			if err := repo.Insert(page...); err != nil {
				return 0, err
			}
			bar.add(len(page))
			page = page[:0]
		}
	}
	return sets, nil
}

// A watchedRepo shows how a cascade goes on: it counts the children that are
// cancelled page by page. A receipt for each would do as well, but takes longer than
// the cancel.
type watchedRepo struct {
	*memrepo.Repo
	bar *progress
}

func (r *watchedRepo) CancelChildren(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
	page, err := r.Repo.CancelChildren(ctx, c)
	r.bar.add(page.Cancelled + len(page.Changes))
	return page, err
}

// A progress is a bar on a terminal. A nil one shows nothing.
type progress struct {
	w           io.Writer
	what        string
	done, total int
	shown       time.Time
}

func newProgress(w io.Writer, what string, total int) *progress {
	if !isTerminal(w) {
		return nil
	}
	return &progress{w: w, what: what, total: total}
}

// add moves the bar on. It draws it ten times a second at most.
func (p *progress) add(n int) {
	if p == nil {
		return
	}
	if p.done += n; time.Since(p.shown) < 100*time.Millisecond {
		return
	}
	p.shown = time.Now()
	const width = 30
	filled := width * p.done / p.total
	_, _ = fmt.Fprintf(p.w, "\r%-10s [%s%s] %3d %%  %s of %s", p.what,
		strings.Repeat("=", filled), strings.Repeat(" ", width-filled), 100*p.done/p.total, grouped(p.done), grouped(p.total))
}

// clear removes the bar.
func (p *progress) clear() {
	if p != nil {
		_, _ = fmt.Fprint(p.w, "\r\x1b[K")
	}
}
