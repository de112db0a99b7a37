package cancel

import (
	"context"
	"errors"
	"fmt"
	"sync"

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
	running map[lifecycle.ID]attempts
}

// attempts are the attempts of one request that run here: more than one where an
// earlier one has been superseded and has not returned yet.
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

// Interrupt ends the context of each of the requests that runs here. It believes what it
// is told: call it with ids that the store says are CANCELLING, not with those of a
// message that anybody could have sent. For these there is [Workers.Poll].
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

// Poll asks the store for the requests whose work runs here, and ends the context of
// those that are CANCELLING, have ended or were deleted, or whose attempt has been
// superseded: with a [*CancelledError] as its cause, or an error matching
// [ErrSuperseded]. It is for interrupts that got lost, or came from outside: of the given
// ids, or if there are none, of all that runs here, each that runs here is read once.
//
// An error is that of the requests that could not be read; the others have been
// looked at all the same.
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
				cause = Cause{} // work is told all the same
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

// stop ends the contexts of a request: that of the attempt that is stored with cause,
// unless that is nil, and of all others because they are superseded. If the stored one
// is 0, it is every attempt's.
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

func (w *Workers) remove(r lifecycle.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.running[r.ID], r.Attempt)
	if len(w.running[r.ID]) == 0 {
		delete(w.running, r.ID)
	}
}
