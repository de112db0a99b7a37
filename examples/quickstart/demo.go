package main

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// A course is what becomes of a tree of requests when one of them is cancelled. The
// program draws all it shows of a tree from one.
type course struct {
	names    map[lifecycle.ID]string
	root     lifecycle.ID        // the request that is cancelled
	before   []lifecycle.Request // the tree before the cancel,
	after    []lifecycle.Request // right after the call; nil until then
	now      []lifecycle.Request // and as it is now
	done     bool                // whether nothing happens any more
	result   cancel.Result
	receipts []cancel.Receipt
	answers  []answer
	forced   []forcing
}

// An answer is what work that was told to stop has returned.
type answer struct {
	id  lifecycle.ID
	err error
	to  lifecycle.State // of the request, right after
}

// A forcing is what it took to end a request whose work does not answer.
type forcing struct {
	id       lifecycle.ID
	wait     time.Duration // how much too early the first try was
	receipts []cancel.Receipt
	late     bool // whether the work returned after all
}

// A demo cancels a request of a tree while work of the tree runs.
type demo struct {
	course
	repo      *memrepo.Repo
	clock     clock
	workers   cancel.Workers
	canceller *cancel.Canceller
	jobs      []*job
	watch     func(*course) // called after each step, unless it is nil
}

// runDemo runs the work of the requests in t and cancels root. It keeps the
// requests in repo, and calls watch after each step unless it is nil.
func runDemo(ctx context.Context, repo *memrepo.Repo, t *tree, root lifecycle.ID, watch func(*course)) (*course, error) {
	d := &demo{course: course{names: t.names, root: root}, repo: repo, watch: watch}
	d.canceller = cancel.New(repo, &cancel.Options{Interrupter: &d.workers, Now: d.clock.Now})
	ctx, stop := context.WithCancel(ctx)
	defer func() {
		stop()
		for _, j := range d.jobs {
			j.finish()
		}
	}()
	for _, step := range []func() error{
		func() error { return d.start(ctx, t) },
		func() error { return d.cancel(ctx) },
		func() error { return d.answer(ctx) },
		func() error { return d.force(ctx) },
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	d.now = slices.Collect(d.repo.All())
	d.done = true
	d.show()
	return &d.course, nil
}

// show shows how far the course is.
func (d *demo) show() {
	if d.watch != nil {
		d.now = slices.Collect(d.repo.All())
		d.watch(&d.course)
	}
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
	d.before = slices.Collect(d.repo.All())
	d.show()
	return nil
}

// cancel cancels the root.
func (d *demo) cancel(ctx context.Context) error {
	result, err := d.canceller.Cancel(ctx, cancel.Order{
		ID:      d.root,
		Actor:   "ann",
		Reason:  "wrong rates",
		Receipt: func(r cancel.Receipt) { d.receipts = append(d.receipts, r) },
	})
	if err != nil {
		return err
	}
	d.result = result
	d.after = slices.Collect(d.repo.All())
	d.show()
	return nil
}

// answer lets the work that was told to stop answer, if it does.
func (d *demo) answer(ctx context.Context) error {
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
		d.answers = append(d.answers, answer{j.id, j.err, r.State})
		d.show()
	}
	return nil
}

// force ends those requests whose work has not answered.
func (d *demo) force(ctx context.Context) error {
	for _, rec := range d.receipts {
		if r, err := d.repo.Get(ctx, rec.ID); err != nil {
			return err
		} else if waitsFor(r) != ownWork {
			continue
		}
		f := forcing{id: rec.ID}
		order := cancel.Order{
			ID:      rec.ID,
			Actor:   "ann",
			Reason:  "does not answer",
			Receipt: func(r cancel.Receipt) { f.receipts = append(f.receipts, r) },
		}
		_, err := d.canceller.Force(ctx, order)
		if wait, early := esserrors.RetryAfter(err); early {
			f.wait = wait
			d.clock.Jump(wait)
			_, err = d.canceller.Force(ctx, order)
		}
		if err != nil {
			return err
		}
		for _, j := range d.jobs {
			if j.id == rec.ID {
				j.finish()
				f.late = true
			}
		}
		d.forced = append(d.forced, f)
		d.show()
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

// A clock begins at 23:00 and moves only when told, so that nobody has to wait.
type clock struct{ jumped atomic.Int64 }

func (c *clock) Now() time.Time {
	return time.Date(2026, time.January, 31, 23, 0, 0, 0, time.UTC).Add(time.Duration(c.jumped.Load()))
}

func (c *clock) Jump(d time.Duration) { c.jumped.Add(int64(d)) }
