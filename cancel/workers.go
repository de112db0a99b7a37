package cancel

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// Workers is an [Interrupter] for work that runs in this process: it turns the
// cancel of a request into the end of a context.
//
// The zero Workers is ready to use. It is safe for concurrent use and must not be
// copied.
type Workers struct {
	mu      sync.Mutex
	running map[lifecycle.ID]context.CancelCauseFunc
}

// A CancelledError is the cause (see [context.Cause]) of a context that ended
// because its request was cancelled. It says by whom and why.
type CancelledError struct {
	ID    lifecycle.ID
	Cause Cause
}

// Error returns a text such as `request 7 was cancelled by "ann": wrong ledger`.
func (e *CancelledError) Error() string {
	s := fmt.Sprintf("request %d was cancelled", e.ID)
	if e.Cause.Actor != "" {
		s += fmt.Sprintf(" by %q", e.Cause.Actor)
	}
	if e.Cause.Reason != "" {
		s += ": " + e.Cause.Reason
	}
	return s
}

// Interrupt ends the context of each of the requests that runs here.
func (w *Workers) Interrupt(_ context.Context, ids []lifecycle.ID, cause Cause) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		if stop := w.running[id]; stop != nil {
			stop(&CancelledError{ID: id, Cause: cause})
		}
	}
	return nil
}

// Run runs the work of a request that the scheduler has just made RUNNING, and
// returns the work's error. If the request is cancelled meanwhile, the context
// given to work ends with a [*CancelledError] as its cause, and when work has
// returned Run acknowledges for it:
//
//   - nil: SUCCEEDED;
//   - the cause of the context, or its error: CANCELLED;
//   - another error, or a panic, which Run lets pass: ERROR.
//
// If the request has been cancelled before, Run does not call work: it
// acknowledges CANCELLED and returns the CancelledError. No cancel is lost
// between the two, because Run looks at the store after the work can be
// interrupted. If the request is in any other state than RUNNING or COMPLETED, or is
// a container, Run returns an error with [esserrors.CodeUnsupportedState] and does nothing.
//
// To end a request that nobody has cancelled is the scheduler's task, and best
// done by work before it returns: if a cancel was quicker, the scheduler's own
// change finds the request CANCELLING and must be left out, and Run acknowledges.
// A scheduler that does it after Run has returned, and is too late, has to call
// [Canceller.Acknowledge] itself.
//
// An error of the acknowledgement is joined to that of the work. A request that
// runs here already gives an error with [esserrors.CodeConflict].
func (w *Workers) Run(ctx context.Context, c *Canceller, id lifecycle.ID, work func(context.Context) error) (err error) {
	workCtx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if !w.add(id, stop) {
		return esserrors.Conflict("run", int64(id), fmt.Sprintf("Request %d is running already.", id), nil)
	}
	defer w.remove(id)
	in, err := c.CheckIn(ctx, id) // with the caller's context: the other may have been ended already
	switch {
	case err != nil:
		return err
	case in.Cancelling:
		err := acknowledge(ctx, c, id, lifecycle.StateCancelled)
		return errors.Join(&CancelledError{ID: id, Cause: in.Cause}, err)
	case !lifecycle.Executes(in.Request.Kind, in.Request.State):
		return esserrors.UnsupportedState("run", int64(id), in.Request.Kind.String(), in.Request.State.String())
	}
	outcome := lifecycle.StateError // should work panic
	defer func() {
		if ackErr := acknowledge(ctx, c, id, outcome); ackErr != nil {
			err = errors.Join(err, ackErr)
		}
	}()
	err = work(workCtx)
	outcome = outcomeOf(workCtx, err)
	return err
}

func (w *Workers) add(id lifecycle.ID, stop context.CancelCauseFunc) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running[id] != nil {
		return false
	}
	if w.running == nil {
		w.running = map[lifecycle.ID]context.CancelCauseFunc{}
	}
	w.running[id] = stop
	return true
}

func (w *Workers) remove(id lifecycle.ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.running, id)
}

// outcomeOf returns the state in which work that was cancelled ends.
func outcomeOf(ctx context.Context, err error) lifecycle.State {
	if err == nil {
		return lifecycle.StateSucceeded
	}
	if _, ok := errors.AsType[*CancelledError](err); ok {
		return lifecycle.StateCancelled
	}
	// The process may be stopping its work for reasons of its own when the cancel comes.
	if ctx.Err() != nil && (errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx))) {
		return lifecycle.StateCancelled
	}
	return lifecycle.StateError
}

// acknowledgeTimeout bounds the last words of work whose own context has ended.
const acknowledgeTimeout = 30 * time.Second

// acknowledge acknowledges if the request is CANCELLING.
func acknowledge(ctx context.Context, c *Canceller, id lifecycle.ID, outcome lifecycle.State) error {
	// The context of the work may have ended, and just then there is something
	// to acknowledge.
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), acknowledgeTimeout)
	defer stop()
	o := c.operation("acknowledge", Order{ID: id})
	r, err := o.get(ctx, id)
	if err != nil || r.State != lifecycle.StateCancelling {
		return err
	}
	_, err = c.Acknowledge(ctx, Order{ID: id}, outcome)
	return err
}
