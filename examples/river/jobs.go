package essriver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/examples/postgres/pgstore"
	"example.com/ess/lifecycle"
)

// Jobs cancels River's jobs, with all below them. It is a [cancel.Canceller] on River's
// table, and a middleware that tells the workers of a client by whom and why they are
// cancelled.
//
// It is safe for concurrent use if its DB is, which should be a pool.
type Jobs struct {
	river.MiddlewareDefaults
	*cancel.Canceller
	*Store

	opts    Options
	workers cancel.Workers
}

// Options are optional settings of [New]. A nil *Options or a zero field gives the default.
type Options struct {
	// Schema is that of River's Config.
	Schema string
	// Cancel are those of the Canceller. If they have no Interrupter, River's own
	// notification tells the workers.
	Cancel cancel.Options
	// Every is how often [Jobs.Run] takes up what a cancel has left unfinished. Zero means a
	// minute.
	Every time.Duration
	// Trouble, if not nil, is called with what goes wrong in Run, which goes on, and in Work
	// beside the work.
	Trouble func(error)
}

// New returns the Jobs in River's table.
func New(db DB, opts *Options) *Jobs {
	j := &Jobs{}
	if opts != nil {
		j.opts = *opts
	}
	if j.opts.Every <= 0 {
		j.opts.Every = time.Minute
	}
	j.Store = NewStore(db, j.opts.Schema)
	if j.opts.Cancel.Interrupter == nil {
		j.opts.Cancel.Interrupter = j.Store
	}
	j.Canceller = cancel.New(j.Store, &j.opts.Cancel)
	return j
}

// interruptSQL notifies as River's JobCancel does, of any number of jobs.
const interruptSQL = `
SELECT pg_notify(
    coalesce(nullif(@schema::text, ''), current_schema()) || '.river_control',
    json_build_object('action', 'cancel', 'job_id', j.id, 'queue', j.queue)::text)
FROM {schema}river_job j
WHERE j.id = ANY ((SELECT @ids::bigint[])::bigint[]) AND ` + markedSQL + ` AND j.state = 'running'`

// Interrupt implements [cancel.Interrupter]: it has River's clients end the contexts of the
// jobs, in one statement. A client that misses it looks for itself within a minute.
func (s *Store) Interrupt(ctx context.Context, ids []lifecycle.ID, _ cancel.Cause) error {
	_, err := s.db.Exec(ctx, s.sql(interruptSQL), pgx.NamedArgs{"schema": s.name, "ids": pgstore.Ints(ids)})
	return err
}

// Work implements [rivertype.WorkerMiddleware]. The context that the worker gets ends with a
// [*cancel.CancelledError] as its cause if the job is cancelled. When the worker has
// returned, the job ends as it says before River can do anything else to it, and the ancestors
// that waited for it end too:
//
//   - nil: completed;
//   - the cause of the context, or its error, or what River's JobCancel or JobSnooze
//     return: cancelled;
//   - another error, or a panic: discarded.
//
// The error is kept in the job as River keeps it, but for a panic, which River logs.
//
// A job that is cancelled before its worker is called ends without it. With a job that nobody
// cancels River goes on as ever. River ends the context of a job on a notification, which
// anybody can send who can connect to the database: the worker's ends only if the store
// says that the job is cancelled.
func (j *Jobs) Work(ctx context.Context, job *rivertype.JobRow, doInner func(context.Context) error) error {
	// River ends ctx for its own reasons, and ours is to be the one that the worker sees.
	workCtx, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	defer context.AfterFunc(ctx, func() {
		if errors.Is(context.Cause(ctx), rivertype.ErrJobCancelledRemotely) {
			j.trouble(workCtx, j.workers.Poll(workCtx, j.Canceller, lifecycle.ID(job.ID)))
		} else {
			stop(context.Cause(ctx))
		}
	})()
	worked := false
	var workErr error
	var cancelled *cancel.CancelledError
	err := j.workers.Run(workCtx, j.Canceller, request(job), func(ctx context.Context) error {
		worked = true
		workErr = doInner(ctx)
		cancelled, _ = errors.AsType[*cancel.CancelledError](context.Cause(ctx))
		if cancelled != nil && workErr != nil {
			ctx := context.WithoutCancel(ctx)
			j.trouble(ctx, j.record(ctx, job, cancelled, workErr))
		}
		return workErr
	}, &cancel.RunOptions{End: end})
	if _, ok := errors.AsType[*cancel.CancelledError](err); ok && !worked {
		return rivertype.JobCancel(err) // or River's ErrorHandler would hear of it
	}
	if !worked {
		return err
	}
	if e, ok := errors.AsType[*esserrors.Error](err); ok && e.Code != esserrors.CodeUnsupportedState { // which is River's turn: see end
		j.trouble(context.WithoutCancel(ctx), e)
	}
	if cancelled != nil && workErr != nil {
		return rivertype.JobCancel(workErr)
	}
	return workErr
}

// request returns a job that River has just started as a request.
func request(job *rivertype.JobRow) lifecycle.Request {
	var metadata struct {
		Note note `json:"ess"`
	}
	_ = json.Unmarshal(job.Metadata, &metadata) // what cannot be read is found out by cancel.Workers
	r := lifecycle.Request{ID: lifecycle.ID(job.ID), Parent: metadata.Note.Parent, Kind: metadata.Note.Kind, State: lifecycle.StateRunning, Attempt: job.Attempt}
	if r.Kind == 0 {
		r.Kind = lifecycle.KindSingleton
	}
	return r
}

// end returns how a job goes on whose worker has returned err. Unless it is cancelled, River
// makes it go on. So the first trigger is one that no rule permits to a job that runs, at
// which cancel.Workers leaves it alone, and the second is what the answer of a cancelled
// one is taken from. No trigger means that it is cancelled: River has two ways of its own to
// say that this attempt is over.
func end(err error) []lifecycle.Trigger {
	_, cancelled := errors.AsType[*rivertype.JobCancelError](err)
	_, snoozed := errors.AsType[*rivertype.JobSnoozeError](err)
	switch {
	case cancelled || snoozed:
		return nil
	case err != nil:
		return []lifecycle.Trigger{lifecycle.TriggerRetry, lifecycle.TriggerFail}
	default:
		return []lifecycle.Trigger{lifecycle.TriggerRetry, lifecycle.TriggerSucceed}
	}
}

const recordSQL = `
UPDATE {schema}river_job j SET errors = array_append(j.errors, @error::jsonb)
WHERE j.id = @id AND j.state = 'running' AND j.attempt = @attempt AND ` + markedSQL

// record keeps the error of a worker whose job has been cancelled. River's completer comes too
// late for that.
func (j *Jobs) record(ctx context.Context, job *rivertype.JobRow, cancelled, workErr error) error {
	if _, ok := errors.AsType[*rivertype.JobSnoozeError](workErr); ok {
		workErr = cancelled // to snooze is no error
	}
	text, err := json.Marshal(rivertype.AttemptError{At: *job.AttemptedAt, Attempt: job.Attempt, Error: workErr.Error()})
	if err != nil {
		return err
	}
	_, err = j.db.Exec(ctx, j.sql(recordSQL), pgx.NamedArgs{"id": job.ID, "attempt": job.Attempt, "error": string(text)})
	return err
}

// Run takes up what a cancel has left unfinished and tells the workers in this process of
// cancels that they have missed, at once and then from time to time, and settles the
// parents of jobs that the client's own completer has ended, until ctx is done. It returns
// the error of ctx. Have one in each process with a client that works jobs.
func (j *Jobs) Run(ctx context.Context, client *river.Client[pgx.Tx]) error {
	events, stop := client.Subscribe(river.EventKindJobCancelled, river.EventKindJobCompleted, river.EventKindJobFailed)
	defer stop()
	var repeated sync.WaitGroup
	defer repeated.Wait()
	repeated.Go(func() {
		cancel.Repeat(ctx, j.opts.Every, func(ctx context.Context) {
			_, err := j.Resume(ctx, nil)
			j.trouble(ctx, errors.Join(err, j.workers.Poll(ctx, j.Canceller)))
		})
	})
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case event, ok := <-events:
			if !ok {
				events = nil // the client has stopped
				continue
			}
			j.trouble(ctx, j.ended(ctx, event.Job))
		}
	}
}

// ended settles the ancestors of a job that has ended, if it was being cancelled. A cancel may
// come when the worker has returned and River has not yet written how: then River writes it,
// and knows nothing of parents.
func (j *Jobs) ended(ctx context.Context, job *rivertype.JobRow) error {
	if job.FinalizedAt == nil || !bytes.Contains(job.Metadata, []byte(mark)) {
		return nil
	}
	if request(job).Parent == 0 {
		return nil
	}
	_, err := j.Acknowledge(ctx, cancel.Order{ID: lifecycle.ID(job.ID)}, natural[job.State])
	if errors.Is(err, esserrors.CodeConflict) || errors.Is(err, esserrors.CodeNotFound) {
		return nil // it ended with a warning, and its ancestors are settled all the same; or it is gone
	}
	return err
}

func (j *Jobs) trouble(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil && j.opts.Trouble != nil {
		j.opts.Trouble(err)
	}
}
