package cancel

import (
	"context"
	"errors"
	"fmt"
	"sync"

	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// Workers runs the work of requests in this process, and is an [Interrupter] for that
// work: when a request is cancelled, the context of its work ends.
//
// Workers knows only what its own method Run runs. Work in another process has Workers of
// its own, which learn of a cancel by [Workers.Poll].
//
// The zero Workers is ready to use. It is safe for concurrent use and must not be
// copied.
type Workers struct {
	mu      sync.Mutex
	running map[lifecycle.ID]attempts
}

// attempts has, for each attempt of one request that runs here, what ends its context.
// There is more than one if an attempt has been superseded and has not returned yet.
type attempts map[int]context.CancelCauseFunc

// A CancelledError is the cause (see [context.Cause]) of a context that ended
// because its request was cancelled. It says by whom and why.
type CancelledError struct {
	ID    lifecycle.ID
	Cause Cause // zero if the store could not tell
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

// Interrupt ends the context of the work of each of these requests that runs here, with a
// [*CancelledError] as its cause. It does not ask the store: the ids have to be of requests
// that are CANCELLING in the store. Ids from a message that anybody could have sent are
// for [Workers.Poll]. Interrupt always returns nil.
func (w *Workers) Interrupt(_ context.Context, ids []lifecycle.ID, cause Cause) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		for _, stop := range w.running[id] {
			stop(&CancelledError{ID: id, Cause: cause})
		}
	}
	return nil
}

// Poll reads the requests whose work runs here from the store: those of the given ids or,
// if there are none, all. It is for cancels that were made in another process, and for
// interrupts that got lost.
//
// If a request is CANCELLING or CANCELLED, Poll ends the context of its work with a
// [*CancelledError] as its cause. If the request has ended otherwise or is gone, or if
// its attempt has been superseded, the cause is an error matching [ErrSuperseded].
//
// Poll returns the errors about requests that could not be read, joined. It has dealt with
// the others all the same, unless ctx is done.
func (w *Workers) Poll(ctx context.Context, c *Canceller, ids ...lifecycle.ID) error {
	var errs []error
	for _, id := range w.runningHere(ids) {
		o := c.operation(OpCheckIn, Order{ID: id})
		r, ok, err := o.read(ctx, id)
		switch {
		case err != nil:
			errs = append(errs, err)
			if ctx.Err() != nil {
				return errors.Join(errs...)
			}
		case ok && (r.State == lifecycle.StateCancelling || r.State == lifecycle.StateCancelled):
			cause, err := o.causeOf(ctx, id)
			if err != nil {
				errs = append(errs, err)
				cause = Cause{} // the work is told all the same
			}
			w.stop(id, r.Attempt, &CancelledError{ID: id, Cause: cause})
		case !ok || lifecycle.Terminal.Has(r.State):
			w.stop(id, 0, fmt.Errorf("request %d has ended: %w", id, ErrSuperseded))
		default:
			w.stop(id, r.Attempt, nil)
		}
	}
	return errors.Join(errs...)
}

// runningHere returns those of ids that run here, or all that do.
func (w *Workers) runningHere(ids []lifecycle.ID) []lifecycle.ID {
	w.mu.Lock()
	defer w.mu.Unlock()
	var here []lifecycle.ID
	if len(ids) == 0 {
		for id := range w.running {
			here = append(here, id)
		}
		return here
	}
	for _, id := range ids {
		if w.running[id] != nil {
			here = append(here, id)
		}
	}
	return here
}

// stop ends contexts of the work of a request. The attempt that is stored gets the cause,
// unless that is nil; all others are superseded. If the store keeps no attempts, stored
// is 0, and every attempt is taken to be the one that is stored.
func (w *Workers) stop(id lifecycle.ID, stored int, cause error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for attempt, stop := range w.running[id] {
		switch {
		case stored != 0 && attempt != 0 && attempt != stored:
			stop(fmt.Errorf("attempt %d of request %d: %w", attempt, id, ErrSuperseded))
		case cause != nil:
			stop(cause)
		}
	}
}

// add notes that the attempt of r runs here. It returns an error if it does so already.
func (w *Workers) add(r lifecycle.Request, stop context.CancelCauseFunc) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running[r.ID][r.Attempt] != nil {
		return esserrors.Conflict("run", int64(r.ID), fmt.Sprintf("Attempt %d of request %d is running already.", r.Attempt, r.ID), nil)
	}
	if w.running == nil {
		w.running = map[lifecycle.ID]attempts{}
	}
	if w.running[r.ID] == nil {
		w.running[r.ID] = attempts{}
	}
	w.running[r.ID][r.Attempt] = stop
	return nil
}

// remove notes that the attempt of r does not run here any more.
func (w *Workers) remove(r lifecycle.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.running[r.ID], r.Attempt)
	if len(w.running[r.ID]) == 0 {
		delete(w.running, r.ID)
	}
}
