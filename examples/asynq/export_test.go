package essasynq

import (
	"context"

	"example.com/ess/lifecycle"
)

// Channel is where processes tell each other of cancels.
func (j *Jobs) Channel() string { return j.channel() }

// TaskID is the id of the task of a request.
func (j *Jobs) TaskID(id lifecycle.ID) string { return j.taskID(id) }

// Prefix is what the names of all keys begin with.
func (s *Store) Prefix() string { return s.opts.Prefix }

// Record is the key of a request.
func (s *Store) Record(id lifecycle.ID) string { return s.record(id) }

// Ended is the key of the children that have ended.
func (s *Store) Ended(id lifecycle.ID) string { return s.prefix(s.tagOf(id)) + "e:" + text(id) }

// Tagged returns an id with a tag.
func Tagged(tag int, id lifecycle.ID) lifecycle.ID { return lifecycle.ID(tag)<<tagShift | id }

// SubmitOnly submits a request with a task and dies before asynq is given that.
func (j *Jobs) SubmitOnly(ctx context.Context, parent lifecycle.ID, task string) (lifecycle.ID, error) {
	kind := lifecycle.KindChild
	if parent == 0 {
		kind = lifecycle.KindSingleton
	}
	id, _, err := j.submit(ctx, parent, kind, lifecycle.StateReady, "", task)
	return id, err
}

// Work does what the middleware does with a task of a request.
func (j *Jobs) Work(ctx context.Context, id lifecycle.ID, work func(context.Context) error) error {
	_, err := j.work(ctx, id, work)
	return err
}
