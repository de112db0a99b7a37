package cancel

import (
	"context"
	"errors"
	"time"

	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// RunOptions are optional settings of [Workers.Run]. A nil *RunOptions or a zero field
// gives the default.
type RunOptions struct {
	// End returns the triggers by which the request goes on when its work has
	// returned err, one after the other. The default is complete and succeed if err
	// is nil, and fail if not; for post-processing, which runs in COMPLETED, it is
	// succeed or warn. A scheduler that tries again returns TriggerFailRetryable,
	// one whose work waits for its children TriggerPause.
	//
	// No triggers leave the request as it is, for the scheduler to deal with. That is
	// what Run does without asking End if the caller's own context has ended and
	// err is its error: the process is stopping.
	End func(err error) []lifecycle.Trigger
}

// endTimeout bounds what Run does after the work has returned, when the context of
// the work has ended.
const endTimeout = 30 * time.Second

// Run runs the work of a request and ends the request when the work has returned. The
// request is the one that [Canceller.Transition] returned when this process started
// it: by its Attempt the run is told from earlier and later ones.
//
// If the request is cancelled meanwhile, the context given to work ends with a
// [*CancelledError] as its cause. No cancel is lost between the start and this call,
// because Run looks at the store after the work can be interrupted; if it finds
// the request CANCELLING it does not call work, and answers for it.
//
// When work has returned, Run makes one decision by what the store says then, so
// that a cancel comes either before it or after it:
//
//   - nobody has cancelled the request: it goes on by the triggers of opts.End;
//   - it is CANCELLING: Run acknowledges. CANCELLED if err is the cause of the
//     context or its error; otherwise SUCCEEDED, WARNING or ERROR, if that is where
//     opts.End would have led (failed attempts are not tried again), and CANCELLED
//     in every other case;
//   - another attempt has been started: Run changes nothing and returns an error
//     matching [ErrSuperseded];
//   - the request has ended, because it was forced, or has been deleted: nothing is
//     left to do.
//
// In this way a panic of the work is an error; Run lets it pass. Work that is killed when
// its context ends often returns an error of its own, as exec.CommandContext does with
// "signal: killed". It has to return the cause of the context instead, or Run takes it
// to have failed:
//
//	if err := cmd.Run(); ctx.Err() == nil {
//		return err
//	}
//	return context.Cause(ctx)
//
// A request that may have children, and has live ones when its work has succeeded, stays
// COMPLETED: it is ended by the scheduler, with Transition, after the last of them. If
// it has failed, and the scheduler does not cancel it, it stays as it is too, and Run
// returns the error of Transition.
//
// Run returns the error of the work, or a CancelledError where it was not called, joined
// with that of ending the request. It has [esserrors.CodeUnsupportedState] if the
// request is neither RUNNING nor COMPLETED, or is a container, and [esserrors.CodeConflict] if the same
// attempt runs here already: then Run has done nothing. In a store that does not keep
// attempts, Run cannot tell one from the other: the scheduler has to see to it that no
// two run.
func (w *Workers) Run(ctx context.Context, c *Canceller, r lifecycle.Request, work func(context.Context) error, opts *RunOptions) (err error) {
	if !lifecycle.Executes(r.Kind, r.State) || r.State == lifecycle.StateCancelling {
		return esserrors.UnsupportedState("run", int64(r.ID), r.Kind.String(), r.State.String())
	}
	workCtx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if err := w.add(r, stop); err != nil {
		return err
	}
	defer w.remove(r)

	e := ending{c: c, request: r, ctx: ctx, workCtx: workCtx}
	if opts != nil {
		e.triggers = opts.End
	}
	o := c.operation(OpTransition, Order{ID: r.ID, Attempt: r.Attempt})
	o.verb = "run"
	now, err := o.get(ctx, r.ID)
	if err == nil {
		err = o.superseded(now)
	}
	switch {
	case err != nil:
		return err
	case now.State == lifecycle.StateCancelling:
		cause, _ := o.causeOf(ctx, r.ID) // work is told all the same
		err := &CancelledError{ID: r.ID, Cause: cause}
		return errors.Join(err, e.end(err))
	case now.State != r.State:
		return esserrors.UnsupportedState("run", int64(r.ID), now.Kind.String(), now.State.String())
	}
	err = errors.New("the work panicked")
	defer func() {
		if endErr := e.end(err); endErr != nil {
			err = errors.Join(err, endErr)
		}
	}()
	err = work(workCtx)
	return err
}

// An ending is the end of one run.
type ending struct {
	c            *Canceller
	request      lifecycle.Request // as it was when the run began
	ctx, workCtx context.Context   //nolint:containedctx // the caller's and that of the work
	triggers     func(error) []lifecycle.Trigger
}

// end ends the request of work that has returned err, or acknowledges for it.
func (e *ending) end(err error) error {
	cancelled, triggers := e.decide(err)
	// The context of the work may have ended, and just then there is something to say.
	ctx, stop := context.WithTimeout(context.WithoutCancel(e.ctx), endTimeout)
	defer stop()
	order := Order{ID: e.request.ID, Attempt: e.request.Attempt}
	for {
		r, err := e.step(ctx, order, triggers)
		switch {
		case r.State == lifecycle.StateCancelling:
			outcome := lifecycle.StateCancelled
			if !cancelled {
				outcome = outcomeOf(triggers)
			}
			_, err := e.c.Acknowledge(ctx, order, outcome)
			return unlessGone(err)
		case lifecycle.Terminal.Has(r.State) && hasCode(err, esserrors.CodeUnsupportedState):
			return nil // somebody else has ended it
		case r.State == lifecycle.StateCompleted && errors.Is(err, ErrLiveChild):
			return nil // until its last child has ended
		case err != nil, len(triggers) <= 1:
			return unlessGone(err)
		}
		triggers = triggers[1:]
	}
}

// decide returns how the request goes on after err, and whether that is the cancel.
func (e *ending) decide(err error) (cancelled bool, triggers []lifecycle.Trigger) {
	if _, ok := errors.AsType[*CancelledError](err); ok {
		cancelled = true
	} else if err != nil && e.workCtx.Err() != nil {
		// The process may be stopping its work for reasons of its own when the cancel comes.
		cancelled = errors.Is(err, e.workCtx.Err()) || errors.Is(err, context.Cause(e.workCtx))
	}
	switch {
	case cancelled && e.ctx.Err() != nil:
		return true, nil
	case e.triggers != nil:
		return cancelled, e.triggers(err)
	case e.request.State == lifecycle.StateCompleted && err == nil:
		return false, []lifecycle.Trigger{lifecycle.TriggerSucceed}
	case e.request.State == lifecycle.StateCompleted:
		return cancelled, []lifecycle.Trigger{lifecycle.TriggerWarn}
	case err == nil:
		return false, []lifecycle.Trigger{lifecycle.TriggerComplete, lifecycle.TriggerSucceed}
	default:
		return cancelled, []lifecycle.Trigger{lifecycle.TriggerFail}
	}
}

// step makes the first of the transitions, or only looks if there is none. It returns the
// request as it is then.
func (e *ending) step(ctx context.Context, order Order, triggers []lifecycle.Trigger) (lifecycle.Request, error) {
	if len(triggers) > 0 {
		return e.c.Transition(ctx, order, triggers[0])
	}
	o := e.c.operation(OpTransition, order)
	o.verb = "end"
	r, err := o.get(ctx, order.ID)
	if err == nil {
		err = o.superseded(r)
	}
	if err != nil {
		r.State = 0 // nothing is to be answered for another attempt
	}
	return r, err
}

// outcomeOf returns the state in which work ends that would have gone on by triggers.
func outcomeOf(triggers []lifecycle.Trigger) lifecycle.State {
	if len(triggers) == 0 {
		return lifecycle.StateCancelled
	}
	switch triggers[len(triggers)-1] {
	case lifecycle.TriggerSucceed:
		return lifecycle.StateSucceeded
	case lifecycle.TriggerWarn:
		return lifecycle.StateWarning
	case lifecycle.TriggerFail, lifecycle.TriggerFailRetryable, lifecycle.TriggerFailRecoverable:
		return lifecycle.StateError
	default:
		return lifecycle.StateCancelled
	}
}

// unlessGone returns err, or nil if it says that the request is gone: it was there, and so
// it has ended.
func unlessGone(err error) error {
	if hasCode(err, esserrors.CodeNotFound) {
		return nil
	}
	return err
}

// hasCode reports whether err, which an operation has returned, has the code.
func hasCode(err error, code esserrors.Code) bool {
	e, ok := err.(*esserrors.Error) //nolint:errorlint // not what a cause has
	return ok && e.Code == code
}
