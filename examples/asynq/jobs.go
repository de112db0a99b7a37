package essasynq

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// Jobs gives asynq's tasks parents and children, and cancels them. It is a
// [cancel.Canceller] on a [Store], and safe for concurrent use.
type Jobs struct {
	*cancel.Canceller
	*Store

	client  *asynq.Client
	workers cancel.Workers
	grace   time.Duration
	every   time.Duration
	trouble func(error)
}

// Options are optional settings of [New]. A nil *Options or a zero field gives the default.
type Options struct {
	Store StoreOptions
	// Cancel are those of the Canceller, but for its Interrupter. Its Grace is how long work
	// that is being cancelled is taken to be alive without a sign of it.
	Cancel cancel.Options
	// Every is how often [Jobs.Run] looks for what is left to do. Zero means a minute.
	Every time.Duration
	// Trouble, if not nil, is called with what goes wrong in Run, which goes on.
	Trouble func(error)
}

// New returns the Jobs in Redis. The client may be the one that asynq's server has. It
// panics as [NewStore] does.
func New(rdb redis.UniversalClient, opts *Options) *Jobs {
	var o Options
	if opts != nil {
		o = *opts
	}
	j := &Jobs{Store: NewStore(rdb, &o.Store), client: asynq.NewClientFromRedisClient(rdb), grace: o.Cancel.Grace, every: o.Every, trouble: o.Trouble}
	if j.grace <= 0 {
		j.grace = 30 * time.Minute
	}
	if j.every <= 0 {
		j.every = time.Minute
	}
	if j.trouble == nil {
		j.trouble = func(error) {}
	}
	o.Cancel.Interrupter = cancel.InterrupterFunc(j.interrupt)
	j.Canceller = cancel.New(j.Store, &o.Cancel)
	return j
}

// Enqueue submits a task below parent, or below none if that is 0, and returns its request.
// The options are those of asynq, but for Group. With [asynq.TaskID] a second task of the
// same name below the same parent is the first one: so a handler that is tried again may
// enqueue its children again.
//
// The error has [esserrors.CodeUnsupportedState] if the parent admits no child, because it
// is being cancelled, has ended, or was given all its children. With an error nothing
// is going to run, unless Redis could not be asked: then it may.
func (j *Jobs) Enqueue(ctx context.Context, parent lifecycle.ID, typename string, payload []byte, opts ...asynq.Option) (lifecycle.ID, error) {
	kind := lifecycle.KindChild
	if parent == 0 {
		kind = lifecycle.KindSingleton
	}
	return j.enqueue(ctx, parent, kind, typename, payload, opts)
}

// EnqueueParent is like Enqueue for a task whose handler may enqueue children below
// [RequestID]. It admits them until its handler has succeeded, and ends after the last of them.
func (j *Jobs) EnqueueParent(ctx context.Context, parent lifecycle.ID, typename string, payload []byte, opts ...asynq.Option) (lifecycle.ID, error) {
	return j.enqueue(ctx, parent, lifecycle.KindSubrequestParent, typename, payload, opts)
}

func (j *Jobs) enqueue(ctx context.Context, parent lifecycle.ID, kind lifecycle.Kind, typename string, payload []byte, opts []asynq.Option) (lifecycle.ID, error) {
	t, name, err := newTask(typename, payload, opts)
	if err != nil {
		return 0, err
	}
	b, err := json.Marshal(t)
	if err != nil {
		return 0, err
	}
	id, waiting, err := j.submit(ctx, parent, kind, lifecycle.StateReady, name, string(b))
	if err == nil && waiting {
		err = j.give(ctx, id, t)
	}
	return id, err
}

// give gives asynq the task of a request, once, and expires the request if asynq will not have it.
func (j *Jobs) give(ctx context.Context, id lifecycle.ID, t task) error {
	_, err := j.client.EnqueueContext(ctx, asynq.NewTask(t.Type, t.Payload), t.options(j.taskID(id))...)
	if err == nil || errors.Is(err, asynq.ErrTaskIDConflict) {
		return j.enqueued(ctx, id)
	}
	ctx = context.WithoutCancel(ctx)
	r, e := j.Transition(ctx, cancel.Order{ID: id}, lifecycle.TriggerExpire)
	return errors.Join(err, e, j.end(ctx, r.Parent))
}

// Batch submits a request that has no task and only groups others, below parent or below none
// if that is 0. It admits children until [Jobs.Complete].
func (j *Jobs) Batch(ctx context.Context, parent lifecycle.ID) (lifecycle.ID, error) {
	id, _, err := j.submit(ctx, parent, lifecycle.KindParent, lifecycle.StateRunning, "", "")
	return id, err
}

// Complete says that a batch has been given all its children: it ends after the last of them.
func (j *Jobs) Complete(ctx context.Context, batch lifecycle.ID) error {
	if _, err := j.Transition(ctx, cancel.Order{ID: batch}, lifecycle.TriggerComplete); err != nil {
		return err
	}
	return j.end(ctx, batch)
}

// Cancel is [cancel.Canceller.Cancel]. It also ends parents that only waited for the request.
func (j *Jobs) Cancel(ctx context.Context, order cancel.Order) (cancel.Result, error) {
	res, err := j.Canceller.Cancel(ctx, order)
	return res, errors.Join(err, j.end(ctx, res.Root.Parent))
}

// end ends a request that is COMPLETED and waits for no child any more, and then its parent: as
// SUCCEEDED, or WARNING if a child has failed.
func (j *Jobs) end(ctx context.Context, id lifecycle.ID) error {
	for id != 0 {
		over, failed, err := j.over(ctx, id)
		if err != nil || !over {
			return err
		}
		t := lifecycle.TriggerSucceed
		if failed {
			t = lifecycle.TriggerWarn
		}
		r, err := j.Transition(ctx, cancel.Order{ID: id}, t)
		if errors.Is(err, cancel.ErrLiveChild) || errors.Is(err, esserrors.CodeUnsupportedState) || errors.Is(err, esserrors.CodeNotFound) {
			return nil // somebody else was quicker
		}
		if err != nil {
			return err
		}
		id = r.Parent
	}
	return nil
}
