package essasynq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// Run does what has to be done beside asynq's server, until ctx is done: it tells the work in
// this process of cancels in others, takes up what was cut off, and ends requests whose work
// gives no sign of life. Have it in each process with a server, and in at least one.
func (j *Jobs) Run(ctx context.Context) {
	sub := j.rdb.Subscribe(ctx, j.channel())
	var listening sync.WaitGroup
	listening.Go(func() { j.listen(ctx, sub) })
	defer listening.Wait()
	defer sub.Close()
	cancel.Repeat(ctx, j.every, func(ctx context.Context) {
		if err := j.tidy(ctx); err != nil && ctx.Err() == nil {
			j.trouble(err)
		}
	})
}

func (j *Jobs) channel() string { return j.opts.Prefix + ":cancel" }

// interrupt tells the work in this process, and has other processes look for themselves. It answers
// for parents whose handler has returned and that only waited for their children.
func (j *Jobs) interrupt(ctx context.Context, ids []lifecycle.ID, cause cancel.Cause) error {
	idle, err := j.idle(ctx, ids)
	errs := []error{err, j.workers.Interrupt(ctx, ids, cause)}
	for _, id := range idle {
		_, err := j.Acknowledge(ctx, cancel.Order{ID: id}, lifecycle.StateCancelled)
		errs = append(errs, err)
	}
	var b strings.Builder
	for _, id := range ids {
		fmt.Fprintf(&b, "%d ", id)
	}
	errs = append(errs, j.rdb.Publish(ctx, j.channel(), b.String()).Err())
	return errors.Join(errs...)
}

// listen looks at requests that a message names. Anybody can send one: it is believed only
// that there may be something to see, and nothing of it is passed on.
func (j *Jobs) listen(ctx context.Context, sub *redis.PubSub) {
	for m := range sub.Channel() {
		var ids []lifecycle.ID
		for word := range strings.FieldsSeq(m.Payload) {
			if n, err := strconv.ParseInt(word, 10, 64); err == nil {
				ids = append(ids, lifecycle.ID(n))
			}
		}
		if len(ids) == 0 { // or Poll would look at everything
			continue
		}
		if err := j.workers.Poll(ctx, j.Canceller, ids...); err != nil && ctx.Err() == nil {
			j.trouble(err)
		}
	}
}

// tidy takes up what was cut off, wherever that was.
func (j *Jobs) tidy(ctx context.Context) error {
	_, err := j.Resume(ctx, nil)
	errs := []error{err, j.workers.Poll(ctx, j.Canceller)}
	for u, err := range j.Overdue(ctx) {
		if err == nil {
			_, err = j.Force(ctx, cancel.Order{ID: u.Request.ID, Actor: "asynq", Reason: "its work gives no sign of life"})
		}
		errs = append(errs, err)
	}
	tags, err := j.tags(ctx, 0, "todo")
	errs = append(errs, err)
	for _, tag := range tags {
		errs = append(errs, j.tidyTag(ctx, tag))
	}
	return errors.Join(errs...)
}

// tidyTag gives asynq the tasks that it has not got, and ends what nobody has ended.
func (j *Jobs) tidyTag(ctx context.Context, tag int) error {
	jobs, err := j.todo(ctx, tag, j.every, 1000)
	errs := []error{err}
	for _, job := range jobs {
		var t task
		switch {
		case job.task == "":
			err = j.end(ctx, job.id)
		case json.Unmarshal([]byte(job.task), &t) != nil:
			err = esserrors.System("enqueue", int64(job.id), errors.New("its task cannot be read"))
		default:
			err = j.give(ctx, job.id, t)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
