package essasynq

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/hibiken/asynq"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// taskID returns the id of the task of a request.
func (j *Jobs) taskID(id lifecycle.ID) string {
	return fmt.Sprintf("%s:%d", j.opts.Prefix, id)
}

// requestOf returns the request whose task has come in ctx, or 0.
func (j *Jobs) requestOf(ctx context.Context) lifecycle.ID {
	task, _ := asynq.GetTaskID(ctx)
	n, err := strconv.ParseInt(strings.TrimPrefix(task, j.opts.Prefix+":"), 10, 64)
	if err != nil || j.taskID(lifecycle.ID(n)) != task {
		return 0
	}
	return lifecycle.ID(n)
}

type key struct{}

// RequestID returns the request whose handler runs in ctx, for children to be enqueued below.
func RequestID(ctx context.Context) lifecycle.ID {
	id, _ := ctx.Value(key{}).(lifecycle.ID)
	return id
}

// errNotNow is what asynq is told of a task whose request somebody else has just started.
var errNotNow = errors.New("essasynq: the request has been started by somebody else")

// Middleware is for asynq's ServeMux.Use. A task that [Jobs.Enqueue] has submitted reaches its
// handler only if its request can be started, and the handler's context ends with a
// [*cancel.CancelledError] as its cause if the request is cancelled. When the handler has
// returned its request ends, or waits for another try, by the rules of package lifecycle:
//
//   - nil: SUCCEEDED, for a parent after its last child;
//   - [asynq.RevokeTask]: WARNING;
//   - [asynq.SkipRetry], or any error of the last try: ERROR. What is live below it is cancelled;
//   - another error, or a panic: ERROR_AUTO_RETRY.
//
// If it was cancelled it ends as [cancel.Workers.Run] says, and asynq tries it no more.
//
// When asynq hands a task out again, after a timeout, an expired lease or the death of a
// worker, the new attempt supersedes the one before: the context of that ends with an error
// matching [cancel.ErrSuperseded] as its cause, and what it returns does not count. Other tasks
// pass through.
func (j *Jobs) Middleware(next asynq.Handler) asynq.Handler {
	return asynq.HandlerFunc(func(ctx context.Context, t *asynq.Task) error {
		id := j.requestOf(ctx)
		if id == 0 {
			return next.ProcessTask(ctx, t)
		}
		r, err := j.work(ctx, id, func(ctx context.Context) error {
			return next.ProcessTask(context.WithValue(ctx, key{}, id), t)
		})
		if err != nil {
			r, err = j.after(context.WithoutCancel(ctx), id, err)
		}
		return answer(r, err)
	})
}

// work starts a request, does its work and ends it. It returns the request as it was when it had
// been started, or as it is because it cannot be.
func (j *Jobs) work(delivery context.Context, id lifecycle.ID, work func(context.Context) error) (lifecycle.Request, error) {
	ctx := context.WithoutCancel(delivery) // what asynq gives up on is ended all the same
	tries := triesOf(delivery)
	r, err := j.start(ctx, id, tries)
	if err == nil && r.State != lifecycle.StateRunning {
		return r, nil
	}
	if err == nil {
		alive, stop := context.WithCancel(ctx) // also while it takes its time to stop
		go cancel.Repeat(alive, j.grace/3, func(ctx context.Context) {
			_, _ = j.CheckIn(ctx, cancel.Order{ID: id, Attempt: r.Attempt})
		})
		defer stop()
		err = j.workers.Run(ctx, j.Canceller, r, func(ctx context.Context) error {
			ctx, stop := within(ctx, delivery)
			defer stop()
			return work(ctx)
		}, &cancel.RunOptions{End: tries.end})
	}
	if errors.Is(err, cancel.ErrLiveChild) { // it has failed for good, and its children go with it
		order := cancel.Order{ID: id, Attempt: r.Attempt, Actor: "asynq", Reason: err.Error()}
		_, e := j.Cancel(ctx, order)
		err = errors.Join(err, e)
		if r.State == lifecycle.StateRunning {
			_, e = j.Acknowledge(ctx, order, lifecycle.StateError)
			err = errors.Join(err, e)
		}
	}
	return r, errors.Join(err, j.end(ctx, r.Parent))
}

// within returns a context that ends with ctx, and also when asynq's does.
func within(ctx, delivery context.Context) (context.Context, context.CancelFunc) {
	ctx, cancelCause := context.WithCancelCause(ctx)
	after := context.AfterFunc(delivery, func() { cancelCause(context.Cause(delivery)) })
	stop := func() { after(); cancelCause(nil) }
	if d, ok := delivery.Deadline(); ok {
		ctx, timer := context.WithDeadline(ctx, d)
		return ctx, func() { timer(); stop() }
	}
	return ctx, stop
}

// start makes a request RUNNING, by as many transitions as it takes. If the request is
// not RUNNING then, it is not to be started, or not now.
func (j *Jobs) start(ctx context.Context, id lifecycle.ID, tries tries) (lifecycle.Request, error) {
	t, attempt, looked := lifecycle.TriggerStart, 0, false
	for {
		r, err := j.Transition(ctx, cancel.Order{ID: id, Attempt: attempt}, t)
		if err == nil && (t == lifecycle.TriggerStart || t == lifecycle.TriggerFail) ||
			err != nil && !errors.Is(err, esserrors.CodeUnsupportedState) {
			return r, err
		}
		attempt = r.Attempt
		switch r.State {
		case lifecycle.StateWait:
			t = lifecycle.TriggerDispatch
		case lifecycle.StateReady:
			t = lifecycle.TriggerStart
		case lifecycle.StateErrorAutoRetry:
			t = lifecycle.TriggerRetry
			if tries.exceeded() {
				t = lifecycle.TriggerFail
			}
		case lifecycle.StateRunning: // asynq has given up on the attempt that was started
			if looked {
				return r, errNotNow // and somebody else was quicker
			}
			t = lifecycle.TriggerFailRetryable
			if tries.exceeded() {
				t = lifecycle.TriggerFail
			}
		default:
			return r, nil
		}
		looked = true
	}
}

// tries are how often a task has been tried before, and how often it may be.
type tries struct{ done, most int }

func triesOf(delivery context.Context) tries {
	done, _ := asynq.GetRetryCount(delivery)
	most, _ := asynq.GetMaxRetry(delivery)
	return tries{done, most - spareRetries}
}

// exceeded reports whether asynq has handed the task out once more than it may be tried.
func (t tries) exceeded() bool { return t.done > t.most }

// end returns how a request goes on after the error of its work.
func (t tries) end(err error) []lifecycle.Trigger {
	switch {
	case err == nil:
		return []lifecycle.Trigger{lifecycle.TriggerComplete, lifecycle.TriggerSucceed}
	case errors.Is(err, asynq.RevokeTask):
		return []lifecycle.Trigger{lifecycle.TriggerComplete, lifecycle.TriggerWarn}
	case errors.Is(err, asynq.SkipRetry), t.done >= t.most:
		return []lifecycle.Trigger{lifecycle.TriggerFail}
	default:
		return []lifecycle.Trigger{lifecycle.TriggerFailRetryable}
	}
}

// after returns the request after work that has failed with err.
func (j *Jobs) after(ctx context.Context, id lifecycle.ID, err error) (lifecycle.Request, error) {
	r, getErr := j.Get(ctx, id)
	if getErr != nil && !errors.Is(getErr, cancel.ErrNotFound) {
		return lifecycle.Request{ID: id, State: lifecycle.StateRunning}, errors.Join(err, getErr) // for all that is known
	}
	return r, err
}

// answer returns what asynq is to be told.
func answer(r lifecycle.Request, err error) error {
	switch {
	case err == nil && r.State == lifecycle.StateRunning:
		return nil // its work was done, and has succeeded
	case err == nil:
		err = fmt.Errorf("request %d is %v", r.ID, r.State)
	}
	switch {
	case r.State == lifecycle.StateError, r.Outcome == lifecycle.StateError:
		return fmt.Errorf("%w: %w", asynq.SkipRetry, err) // for asynq's archive
	case r.ID == 0, r.State == lifecycle.StateCancelling, r.State == lifecycle.StateCompleted, lifecycle.Terminal.Has(r.State):
		return fmt.Errorf("%w: %w", asynq.RevokeTask, err) // it has ended or is gone, or somebody else ends it
	default:
		return err // asynq tries again
	}
}
