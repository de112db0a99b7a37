package cancel

import (
	"context"
	"errors"

	"example.com/ess/lifecycle"
)

// ResumeOptions are optional settings of [Canceller.Resume]. A nil *ResumeOptions
// or a zero field gives the default.
type ResumeOptions struct {
	// Receipt is as in [Order].
	Receipt func(Receipt)
}

// Resume takes up everything that a cancel has left unfinished, wherever it was
// cut off: it cancels what is live below requests that are CANCELLING, settles
// those that wait for nothing any more, and interrupts again the work that has not
// acknowledged. It finds them as [Cancelling] does.
//
// Call it when a scheduler starts, and from time to time if processes may die or
// [Canceller.Begin] is used. It may run at any time, beside any other operation,
// in several processes at once, and twice in a row changes nothing. Changes are
// kept with the Cause of the cancel that they complete if the store is a
// [CauseReader], and otherwise with one that names only the request where Resume
// began.
//
// A tree that fails does not keep the others from being resumed. The error has
// [esserrors.CodeSystem] or [esserrors.CodeConflict], or matches ctx.Err(); what
// is left is for the next Resume.
func (c *Canceller) Resume(ctx context.Context, opts *ResumeOptions) (Result, error) {
	o := c.operation("resume", Order{})
	o.resuming = true
	o.visited = map[lifecycle.ID]struct{}{}
	if opts != nil {
		o.receipt = opts.Receipt
	}
	var tell batch
	for u, err := range cancelling(ctx, c.repo, c.opts.PageSize) {
		if err != nil {
			o.stopOn(o.storeError(ctx, err))
			break
		}
		if err := o.resumeOne(ctx, u, &tell); err != nil {
			if ctx.Err() != nil {
				o.stopOn(err)
				break
			}
			o.failures.add(err)
		}
	}
	o.flush(ctx, &tell)
	return o.result, o.err()
}

// resumeOne takes up one request that is CANCELLING. Its work, if it has not
// answered, comes into tell.
func (o *operation) resumeOne(ctx context.Context, u Unfinished, tell *batch) (err error) {
	r := u.Request
	if err := r.Validate(); err != nil {
		return err
	}
	if _, done := o.visited[r.ID]; done {
		return nil
	}
	if u.Cause == (Cause{}) {
		if u.Cause, err = o.causeOf(ctx, r.ID); err != nil {
			return err
		}
	}
	if unanswered(r) {
		if u.Cause != tell.cause || len(tell.ids) == o.c.opts.PageSize {
			o.flush(ctx, tell)
			tell.cause = u.Cause
		}
		tell.ids = append(tell.ids, r.ID)
	}
	n := node{req: r, from: r.State}
	if !n.opensBelow() {
		o.report(n)
		return nil
	}
	if o.cause = u.Cause; o.cause.Root == 0 {
		o.cause.Root = r.ID
	}
	return o.cascade(ctx, n)
}

// A batch is requests to interrupt for one cause.
type batch struct {
	ids   []lifecycle.ID
	cause Cause
}

func (o *operation) flush(ctx context.Context, b *batch) {
	o.interrupt(ctx, b.ids, b.cause)
	b.ids = b.ids[:0]
}

// causeOf returns why the request was cancelled, as far as the store can tell.
func (o *operation) causeOf(ctx context.Context, id lifecycle.ID) (Cause, error) {
	if o.c.causes == nil {
		return Cause{}, nil
	}
	cause, err := o.c.causes.Cause(ctx, id)
	switch {
	case err == nil:
		return cause, nil
	case errors.Is(err, errors.ErrUnsupported), errors.Is(err, ErrNotFound):
		return Cause{}, nil
	default:
		return Cause{}, o.storeError(ctx, err)
	}
}
