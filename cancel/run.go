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
	// End returns the triggers by which the request goes on, one after the other, when
	// its work has returned err. By default these are complete and succeed if err is
	// nil, and fail if not. For post-processing, which runs in COMPLETED, they are
	// succeed if err is nil, and warn if not. A scheduler that tries again after err
	// returns TriggerFailRetryable; one whose work now waits for its children returns
	// TriggerPause.
	//
	// If End returns no triggers, Run leaves the request as it is, for the scheduler to
	// deal with. Run does so without asking End if the context that Run was given has
	// ended and err is its error: then the process is stopping.
	End func(err error) []lifecycle.Trigger
}

// endTimeout bounds how long Run takes to end the request after the work has returned.
const endTimeout = 30 * time.Second

// Run runs the work of a request, and ends the request when the work has returned. r is
// what [Canceller.Transition] returned when this process started the request: its
// Attempt tells this run from earlier and later ones.
//
// When the request is cancelled, the context that work was given ends, with a
// [*CancelledError] as its cause. For that, w has to be told: as the Interrupter of the
// Canceller that cancels, or by [Workers.Poll]. A cancel that comes between the start and
// this call is not lost: Run first makes the work known to w and then reads the request.
// If that is CANCELLING, Run does not call work, and acknowledges CANCELLED.
//
// When work has returned err, Run makes one decision, by what is stored then. So a cancel
// comes either before this decision or after it.
//
//   - If the request is not cancelled, it goes on by the triggers of opts.End.
//   - If it is CANCELLING, Run acknowledges: CANCELLED if err is the cause of the context
//     of work, or its error; SUCCEEDED, WARNING or ERROR if that is where opts.End leads
//     (an attempt that was to be tried again counts as ERROR); CANCELLED otherwise.
//   - If the attempt has been superseded, Run changes nothing and returns an error
//     matching [ErrSuperseded].
//   - If the request has ended, for example by [Canceller.Force], or is gone, Run does
//     nothing.
//
// If work panics, Run ends the request as if work had returned an error, and the panic
// goes on.
//
// Work that is stopped by its context often returns an error of its own. A process under
// exec.CommandContext returns "signal: killed", which Run takes for a failure, so that
// the request would end as ERROR. Such work returns the cause of the context instead:
//
//	err := cmd.Run()
//	if err != nil && ctx.Err() != nil {
//		return context.Cause(ctx)
//	}
//	return err
//
// A parent whose work has succeeded while children are live stays COMPLETED: the
// scheduler ends it after the last of them, with Transition. If somebody cancels it
// before that, it waits for an acknowledgement although no work of it is left: the
// scheduler, who knows that its work has returned, has to acknowledge. A parent whose
// work has failed stays RUNNING if children are live or the store is no [ParentEnder]. Run then
// returns the error of Transition, which matches [ErrLiveChild] or errors.ErrUnsupported,
// and the scheduler can cancel the request.
//
// Run returns the error of work, or a CancelledError if it found the request CANCELLING
// before, joined with the error of ending the request, if there is one. Otherwise it has
// not called work and not changed the request, and the error has
//
//   - [esserrors.CodeUnsupportedState] if the request is neither RUNNING nor COMPLETED, or
//     is not in the state that r has, or is a container;
//   - [esserrors.CodeConflict] if the attempt runs in w already. It also matches
//     [ErrSuperseded] if the attempt has been superseded;
//   - [esserrors.CodeNotFound] if there is no such request;
//   - [esserrors.CodeSystem] if the store failed.
//
// In a store that keeps no attempts, Run cannot tell one from another: the scheduler has
// to make sure that only one runs.
//
// All this is a decision.
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
		cause, _ := o.causeOf(ctx, r.ID) // without the cause it is a CancelledError, too
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

// An ending ends the request of one run.
type ending struct {
	c            *Canceller
	request      lifecycle.Request // as it was when the run began
	ctx, workCtx context.Context   //nolint:containedctx // the caller's and that of the work
	triggers     func(error) []lifecycle.Trigger
}

// end ends the request after its work has returned err, by transitions or by an
// acknowledgement.
func (e *ending) end(err error) error {
	cancelled, triggers := e.decide(err)
	// What is done now must be done also if the contexts have ended.
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
			return nil // the scheduler ends it after its last child
		case err != nil, len(triggers) <= 1:
			return unlessGone(err)
		}
		triggers = triggers[1:]
	}
}

// decide returns whether err says that the work was stopped by its context, and the triggers
// by which the request goes on if it is not CANCELLING.
func (e *ending) decide(err error) (cancelled bool, triggers []lifecycle.Trigger) {
	if _, ok := errors.AsType[*CancelledError](err); ok {
		cancelled = true
	} else if err != nil && e.workCtx.Err() != nil {
		// The cause may be one of the caller's own: it may be stopping its work when the
		// cancel comes.
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

// step makes the first of the transitions, or only reads the request if there is none. It
// returns the request as it is then.
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
		r.State = 0 // end must not acknowledge for another attempt
	}
	return r, err
}

// outcomeOf returns the state to acknowledge for work after which the request would have
// gone on by triggers.
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

// unlessGone returns err, or nil if err says that the request is gone. It was there before,
// so it has ended.
func unlessGone(err error) error {
	if hasCode(err, esserrors.CodeNotFound) {
		return nil
	}
	return err
}

// hasCode reports whether err, which an operation has returned, has this code itself.
func hasCode(err error, code esserrors.Code) bool {
	e, ok := err.(*esserrors.Error) //nolint:errorlint // an error in the cause does not count
	return ok && e.Code == code
}
