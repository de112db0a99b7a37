package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hibiken/asynq"
)

// asynqSystem is asynq. It knows of no parents: a queue of its own says which tasks belong
// together, and the caller deletes task by task, or has them interrupted.
type asynqSystem struct {
	client    *asynq.Client
	inspector *asynq.Inspector
	deleted   map[string]int // by this process, by queue
}

func newAsynq() system { return &asynqSystem{deleted: map[string]int{}} }

func (s *asynqSystem) look(_ context.Context, e env) error {
	redis := asynq.RedisClientOpt{Network: "unix", Addr: e.Redis}
	s.client, s.inspector = asynq.NewClient(redis), asynq.NewInspector(redis)
	return nil
}

func (s *asynqSystem) start(_ context.Context, e env) error {
	server := asynq.NewServer(asynq.RedisClientOpt{Network: "unix", Addr: e.Redis}, asynq.Config{
		Concurrency: 1000,
		Queues:      map[string]int{"now": 1}, // what is in other queues waits
		LogLevel:    asynq.FatalLevel,
	})
	mux := asynq.NewServeMux()
	mux.HandleFunc("quick", func(context.Context, *asynq.Task) error { return nil })
	mux.HandleFunc("stubborn", func(context.Context, *asynq.Task) error { theWork.work(); return nil })
	mux.HandleFunc("obey", func(ctx context.Context, _ *asynq.Task) error {
		<-ctx.Done()
		return ctx.Err()
	})
	return server.Start(mux)
}

// enqueue returns the id of a task with its queue. What has succeeded is kept, as is what
// has failed. Work that obeys must not be tried again, or it would be: a task whose
// context has ended has failed.
func (s *asynqSystem) enqueue(ctx context.Context, work, queue string) (string, error) {
	options := []asynq.Option{asynq.Queue(queue), asynq.Retention(time.Hour)}
	if work == "obey" {
		options = append(options, asynq.MaxRetry(0))
	}
	info, err := s.client.EnqueueContext(ctx, asynq.NewTask(work, nil), options...)
	if err != nil {
		return "", err
	}
	return info.Queue + "/" + info.ID, nil
}

func (s *asynqSystem) build(ctx context.Context, shape shape) (*tree, error) {
	if shape.Groups > 0 {
		return nil, errNoLevels
	}
	t := &tree{Shape: shape, ID: fmt.Sprintf("q%d", time.Now().UnixMilli())}
	work := "quick"
	if shape.Running {
		t.ID, work = "now", "obey"
	}
	for range shape.Leaves {
		id, err := s.enqueue(ctx, work, t.ID)
		if err != nil {
			return nil, err
		}
		t.All = append(t.All, id)
	}
	return t, until(ctx, func() (bool, error) {
		c, err := s.census(ctx, t)
		return !shape.Running || c.in("active") == shape.Leaves, err
	})
}

// cancel deletes what waits. What runs cannot be deleted, and is interrupted.
func (s *asynqSystem) cancel(ctx context.Context, t *tree) error {
	for _, task := range t.All {
		queue, id, _ := strings.Cut(task, "/")
		var err error
		if t.Shape.Running {
			err = s.inspector.CancelProcessing(id)
		} else if err = s.inspector.DeleteTask(queue, id); err == nil {
			s.deleted[queue]++
		} else {
			err = s.running(ctx, task, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// running interrupts a task that could not be deleted because it runs.
func (s *asynqSystem) running(ctx context.Context, task string, err error) error {
	state, stateErr := s.state(ctx, task)
	_, id, _ := strings.Cut(task, "/")
	switch {
	case stateErr != nil:
		return stateErr
	case state == "active":
		return s.inspector.CancelProcessing(id)
	case state == "gone":
		return nil // it has been deleted before
	default:
		return err
	}
}

func (s *asynqSystem) live(_ context.Context, t *tree) (bool, error) {
	one := asynq.PageSize(1)
	pending, err := s.inspector.ListPendingTasks(t.ID, one)
	if err != nil || len(pending) > 0 {
		return true, err
	}
	active, err := s.inspector.ListActiveTasks(t.ID, one)
	if err != nil || len(active) > 0 {
		return true, err
	}
	retry, err := s.inspector.ListRetryTasks(t.ID, one)
	return len(retry) > 0, err
}

// census counts tasks by state. Of a task that was deleted nothing is left: what is missing
// is "gone".
func (s *asynqSystem) census(_ context.Context, t *tree) (census, error) {
	c := census{Below: map[string]int{}}
	info, err := s.inspector.GetQueueInfo(t.ID)
	if err != nil && !errors.Is(err, asynq.ErrQueueNotFound) {
		return c, err
	}
	there := 0
	if info != nil {
		for state, n := range map[string]int{"pending": info.Pending, "active": info.Active, "retry": info.Retry, "scheduled": info.Scheduled, "archived": info.Archived, "completed": info.Completed} {
			if n > 0 {
				c.Below[state] = n
				there += n
			}
		}
	}
	if gone := max(s.deleted[t.ID], len(t.All)-there); gone > 0 {
		c.Below["gone"] = gone
	}
	return c, nil
}

func (s *asynqSystem) family(ctx context.Context) (f family, err error) {
	if f.Finished, err = s.enqueue(ctx, "quick", "now"); err != nil {
		return f, err
	}
	if err := until(ctx, func() (bool, error) {
		state, err := s.state(ctx, f.Finished)
		return state == "completed", err
	}); err != nil {
		return f, err
	}
	if f.Waiting, err = s.enqueue(ctx, "quick", "later"); err != nil {
		return f, err
	}
	if f.Working, err = s.enqueue(ctx, "stubborn", "now"); err != nil {
		return f, err
	}
	f.Tree = &tree{All: []string{f.Working, f.Waiting}} // a task that has finished would be deleted
	return f, theWork.begun(ctx)
}

func (s *asynqSystem) state(_ context.Context, task string) (string, error) {
	queue, id, _ := strings.Cut(task, "/")
	info, err := s.inspector.GetTaskInfo(queue, id)
	if errors.Is(err, asynq.ErrTaskNotFound) {
		return "gone", nil
	}
	if err != nil {
		return "", err
	}
	return info.State.String(), nil
}

func (s *asynqSystem) crowd(ctx context.Context) (*tree, error) {
	return s.build(ctx, shape{Leaves: 100})
}

func (s *asynqSystem) submit(ctx context.Context, t *tree, stop <-chan struct{}) error {
	return fourTimes(stop, func() error {
		_, err := s.enqueue(ctx, "quick", t.ID)
		return err
	})
}

// again is the same loop.
func (s *asynqSystem) again(ctx context.Context, t *tree) error { return s.cancel(ctx, t) }
