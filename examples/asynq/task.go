package essasynq

import (
	"errors"
	"time"

	"github.com/hibiken/asynq"
)

// A task is what asynq is to be given. It is kept with its request until asynq has it, so
// that it is not lost if the process dies in between.
type task struct {
	Type      string        `json:"type"`
	Payload   []byte        `json:"payload,omitzero"`
	Queue     string        `json:"queue,omitzero"`
	MaxRetry  int           `json:"maxRetry"`
	Timeout   time.Duration `json:"timeout,omitzero"`
	Deadline  time.Time     `json:"deadline,omitzero"`
	Unique    time.Duration `json:"unique,omitzero"`
	ProcessAt time.Time     `json:"processAt,omitzero"`
	Retention time.Duration `json:"retention,omitzero"`
}

const (
	// defaultRetries is asynq's own default.
	defaultRetries = 25
	// spareRetries are what a task gets beyond those that its submitter wants. When a
	// worker is killed during the last try, asynq would put the task aside and tell
	// nobody. As it is, asynq hands it out once more, and the request is ended.
	spareRetries = 1000
)

// newTask returns a task as it is kept, and the name that [asynq.TaskID] gives it.
func newTask(typename string, payload []byte, opts []asynq.Option) (t task, name string, err error) {
	t = task{Type: typename, Payload: payload, MaxRetry: defaultRetries}
	for _, o := range opts {
		switch v := o.Value(); o.Type() {
		case asynq.MaxRetryOpt:
			t.MaxRetry = v.(int)
		case asynq.QueueOpt:
			t.Queue = v.(string)
		case asynq.TimeoutOpt:
			t.Timeout = v.(time.Duration)
		case asynq.DeadlineOpt:
			t.Deadline = v.(time.Time)
		case asynq.UniqueOpt:
			t.Unique = v.(time.Duration)
		case asynq.ProcessAtOpt:
			t.ProcessAt = v.(time.Time)
		case asynq.ProcessInOpt: // from now on, not from when asynq gets it
			t.ProcessAt = time.Now().Add(v.(time.Duration))
		case asynq.RetentionOpt:
			t.Retention = v.(time.Duration)
		case asynq.TaskIDOpt:
			name = v.(string)
		default: // Group
			return t, "", errors.New("essasynq: a task that asynq may merge with others is no request of its own")
		}
	}
	return t, name, nil
}

// options returns the options of the task, whose id is given.
func (t task) options(id string) []asynq.Option {
	opts := []asynq.Option{asynq.TaskID(id), asynq.MaxRetry(t.MaxRetry + spareRetries)}
	if t.Queue != "" {
		opts = append(opts, asynq.Queue(t.Queue))
	}
	if t.Timeout != 0 {
		opts = append(opts, asynq.Timeout(t.Timeout))
	}
	if !t.Deadline.IsZero() {
		opts = append(opts, asynq.Deadline(t.Deadline))
	}
	if t.Unique != 0 {
		opts = append(opts, asynq.Unique(t.Unique))
	}
	if !t.ProcessAt.IsZero() {
		opts = append(opts, asynq.ProcessAt(t.ProcessAt))
	}
	if t.Retention != 0 {
		opts = append(opts, asynq.Retention(t.Retention))
	}
	return opts
}
