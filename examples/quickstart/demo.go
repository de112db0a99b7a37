package main

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// A demo shows step by step what becomes of a tree when it is cancelled.
type demo struct {
	out       *screen
	repo      *memrepo.Repo
	names     map[lifecycle.ID]string
	clock     clock
	workers   cancel.Workers
	canceller *cancel.Canceller
	jobs      []*job
}

// runDemo runs the work of the requests in t and cancels root. It keeps the
// requests in repo.
func runDemo(ctx context.Context, repo *memrepo.Repo, t *tree, root lifecycle.ID, out *screen) error {
	d := &demo{out: out, repo: repo, names: t.names}
	d.canceller = cancel.New(repo, &cancel.Options{Interrupter: &d.workers, Now: d.clock.Now})
	ctx, stop := context.WithCancel(ctx)
	defer func() {
		stop()
		for _, j := range d.jobs {
			j.finish()
		}
	}()
	if err := d.start(ctx, t); err != nil {
		return err
	}
	receipts, err := d.cancel(ctx, root)
	if err != nil {
		return err
	}
	if err := d.answer(ctx); err != nil {
		return err
	}
	if err := d.force(ctx, receipts); err != nil {
		return err
	}
	out.announce("In the end. A parent that was cancelled ends after its last child.")
	d.draw(waitsFor)
	return nil
}

// start stores the requests and starts the work of those that are running.
func (d *demo) start(ctx context.Context, t *tree) error {
	if err := d.repo.Insert(t.requests...); err != nil {
		return err
	}
	for _, r := range t.requests {
		if runs(r) {
			d.jobs = append(d.jobs, startJob(ctx, &d.workers, d.canceller, r, t.manners[r.ID]))
		}
	}
	d.out.announce("Some requests have ended, some run, some wait.")
	d.draw(func(r lifecycle.Request) string { return r.Kind.String() })
	return nil
}

// cancel cancels root and returns what that did to each request.
func (d *demo) cancel(ctx context.Context, root lifecycle.ID) ([]cancel.Receipt, error) {
	var receipts []cancel.Receipt
	result, err := d.canceller.Cancel(ctx, cancel.Order{
		ID:      root,
		Actor:   "ann",
		Reason:  "wrong rates",
		Receipt: func(r cancel.Receipt) { receipts = append(receipts, r) },
	})
	if err != nil {
		return nil, err
	}
	d.out.announce("Ann cancels request %d. The call gives a receipt for each request:", root)
	d.list(receipts)
	d.out.printf("\n   In all %v. Work told to stop: %d.\n", result.Counts, result.Interrupted)

	d.out.announce("Right after the call. Work that runs has to answer before its request ends.")
	d.draw(waitsFor)
	return receipts, nil
}

// answer lets the work that was told to stop answer, if it does.
func (d *demo) answer(ctx context.Context) error {
	rows := [][]string{{"request", "then", "error that its work returned"}}
	for _, j := range d.jobs {
		r, err := d.repo.Get(ctx, j.id)
		if err != nil {
			return err
		}
		if r.State != lifecycle.StateCancelling || j.manner == ignores {
			continue
		}
		j.finish()
		if r, err = d.repo.Get(ctx, j.id); err != nil {
			return err
		}
		rows = append(rows, []string{d.label(j.id), r.State.String(), fmt.Sprint(j.err)})
	}
	if len(rows) > 1 {
		d.out.announce("The work answers, each in its own way:")
		d.out.table(rows)
	}
	return nil
}

// force ends those requests whose work has not answered.
func (d *demo) force(ctx context.Context, receipts []cancel.Receipt) error {
	for _, rec := range receipts {
		if r, err := d.repo.Get(ctx, rec.ID); err != nil {
			return err
		} else if waitsFor(r) != ownWork {
			continue
		}
		var forced []cancel.Receipt
		order := cancel.Order{
			ID:      rec.ID,
			Actor:   "ann",
			Reason:  "does not answer",
			Receipt: func(r cancel.Receipt) { forced = append(forced, r) },
		}
		d.out.announce("Request %d does not answer. Ann takes its work for dead and forces it.", rec.ID)
		_, err := d.canceller.Force(ctx, order)
		if wait, early := esserrors.RetryAfter(err); early {
			d.out.printf("   Too early: that is possible in %v. (The clock of this program jumps.)\n\n", wait)
			d.clock.Jump(wait)
			_, err = d.canceller.Force(ctx, order)
		}
		if err != nil {
			return err
		}
		d.list(forced)
		for _, j := range d.jobs {
			if j.id == rec.ID {
				j.finish()
				d.out.printf("\n   The work returns after all. It is too late: CANCELLED is final.\n")
			}
		}
	}
	return nil
}

const (
	ownWork  = "waits for its work"
	children = "waits for its children"
)

// waitsFor returns what a request that is CANCELLING waits for.
func waitsFor(r lifecycle.Request) string {
	switch {
	case r.State != lifecycle.StateCancelling:
		return ""
	case r.Outcome == 0:
		return ownWork
	default:
		return children
	}
}

func (d *demo) draw(remark func(lifecycle.Request) string) { d.out.tree(d.repo, d.label, remark) }

func (d *demo) list(receipts []cancel.Receipt) {
	rows := [][]string{{"request", "from", "to", "disposition"}}
	for _, r := range receipts {
		rows = append(rows, []string{d.label(r.ID), r.From.String(), r.To.String(), r.Disposition.String()})
	}
	d.out.table(rows)
}

func (d *demo) label(id lifecycle.ID) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", id, d.names[id]))
}

// A clock begins at 23:00 and moves only when told, so that nobody has to wait.
type clock struct{ jumped atomic.Int64 }

func (c *clock) Now() time.Time {
	return time.Date(2026, time.January, 31, 23, 0, 0, 0, time.UTC).Add(time.Duration(c.jumped.Load()))
}

func (c *clock) Jump(d time.Duration) { c.jumped.Add(int64(d)) }
