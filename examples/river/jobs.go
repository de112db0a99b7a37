package essriver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
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
	_, err := s.db.Exec(ctx, s.sql(interruptSQL), pgx.NamedArgs{"schema": s.schema, "ids": ints(ids)})
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
// cancels River goes on as ever.
func (j *Jobs) Work(ctx context.Context, job *rivertype.JobRow, doInner func(context.Context) error) error {
	id := lifecycle.ID(job.ID)
	// River ends ctx for its own reasons, and ours is to be the one that the worker sees.
	workCtx, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	defer context.AfterFunc(ctx, func() {
		if errors.Is(context.Cause(ctx), rivertype.ErrJobCancelledRemotely) {
			j.tell(workCtx, id)
		} else {
			stop(context.Cause(ctx))
		}
	})()
	err := j.workers.Run(workCtx, j.Canceller, id, func(ctx context.Context) error {
		err := doInner(ctx)
		if cancelled, ok := errors.AsType[*cancel.CancelledError](context.Cause(ctx)); ok && err != nil {
			err = answer(cancelled, err)
			ctx := context.WithoutCancel(ctx)
			j.trouble(ctx, j.record(ctx, job, err))
		}
		return err
	})
	if _, ok := errors.AsType[*cancel.CancelledError](err); ok {
		return rivertype.JobCancel(err) // or River's ErrorHandler would hear of it
	}
	return err
}

// tell ends the context of a job's worker. Who cancelled it and why is good to know, but
// not a condition.
func (j *Jobs) tell(ctx context.Context, id lifecycle.ID) {
	cause, err := j.Cause(ctx, id)
	j.trouble(ctx, err)
	j.trouble(ctx, j.workers.Interrupt(ctx, []lifecycle.ID{id}, cause))
}

// answer returns what the error of a worker means whose job has been cancelled: River has two
// ways of its own to say that this attempt is over.
func answer(cancelled *cancel.CancelledError, err error) error {
	if _, ok := errors.AsType[*rivertype.JobCancelError](err); ok {
		return fmt.Errorf("%w: %w", cancelled, err)
	}
	if _, ok := errors.AsType[*rivertype.JobSnoozeError](err); ok {
		return cancelled
	}
	return err
}

const recordSQL = `
UPDATE {schema}river_job j SET errors = array_append(j.errors, @error::jsonb) WHERE j.id = @id AND j.state = 'running' AND ` + markedSQL

// record keeps the error of a worker whose job has been cancelled. River's completer comes too
// late for that.
func (j *Jobs) record(ctx context.Context, job *rivertype.JobRow, workErr error) error {
	text, err := json.Marshal(rivertype.AttemptError{At: *job.AttemptedAt, Attempt: job.Attempt, Error: workErr.Error()})
	if err != nil {
		return err
	}
	_, err = j.db.Exec(ctx, j.sql(recordSQL), pgx.NamedArgs{"id": job.ID, "error": string(text)})
	return err
}

// Run takes up what a cancel has left unfinished, at once and then from time to time, and
// settles the parents of jobs that the client's own completer has ended, until ctx is done. It
// returns the error of ctx. Have one in each process with a client that works jobs.
func (j *Jobs) Run(ctx context.Context, client *river.Client[pgx.Tx]) error {
	events, stop := client.Subscribe(river.EventKindJobCancelled, river.EventKindJobCompleted, river.EventKindJobFailed)
	defer stop()
	tick := time.NewTicker(j.opts.Every)
	defer tick.Stop()
	resume := func() {
		_, err := j.Resume(ctx, nil)
		j.trouble(ctx, err)
	}
	for resume(); ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			resume()
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
	var metadata struct {
		Note note `json:"ess"`
	}
	if err := json.Unmarshal(job.Metadata, &metadata); err != nil || metadata.Note.Parent == 0 {
		return err
	}
	_, err := j.Acknowledge(ctx, cancel.Order{ID: lifecycle.ID(job.ID)}, natural[job.State])
	if errors.Is(err, esserrors.CodeConflict) {
		return nil // it ended with a warning; its ancestors are settled all the same
	}
	return err
}

func (j *Jobs) trouble(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil && j.opts.Trouble != nil {
		j.opts.Trouble(err)
	}
}
