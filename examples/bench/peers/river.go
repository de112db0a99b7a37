package main

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// riverSystem is River. It knows of no parents: a tag says whose child a job is, and the
// caller cancels job by job.
type riverSystem struct {
	book
	client *river.Client[pgx.Tx]
}

func newRiver() system { return new(riverSystem) }

type riverArgs struct {
	Work string `json:"work"` // "", "obey" or "stubborn"
}

func (riverArgs) Kind() string { return "work" }

type riverWorker struct {
	river.WorkerDefaults[riverArgs]
}

func (riverWorker) Work(ctx context.Context, job *river.Job[riverArgs]) error {
	switch job.Args.Work {
	case "obey":
		<-ctx.Done()
		return context.Cause(ctx)
	case "stubborn":
		theWork.work()
	}
	return nil
}

func (s *riverSystem) look(ctx context.Context, e env) (err error) {
	s.book, err = openPostgresBook(ctx, e.PG)
	return err
}

func (s *riverSystem) start(ctx context.Context, e env) error {
	pool, err := pgxpool.New(ctx, e.PG)
	if err != nil {
		return err
	}
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, riverWorker{})
	s.client, err = river.NewClient(riverpgxv5.New(pool), &river.Config{
		Queues:  map[string]river.QueueConfig{"now": {MaxWorkers: 1000}}, // what is in the queue "later" waits
		Workers: workers,
		Logger:  slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	return s.client.Start(ctx)
}

func (s *riverSystem) insert(ctx context.Context, work, queue, parent string) (string, error) {
	opts := &river.InsertOpts{Queue: queue}
	if parent != "" {
		opts.Tags = []string{"parent-" + parent}
	}
	r, err := s.client.Insert(ctx, riverArgs{work}, opts)
	if err != nil {
		return "", err
	}
	return fmt.Sprint(r.Job.ID), nil
}

// build makes a job for the parent, too, and remembers the ids of all.
func (s *riverSystem) build(ctx context.Context, shape shape) (*tree, error) {
	if shape.Groups > 0 {
		return nil, errNoLevels
	}
	root, err := s.insert(ctx, "", "later", "")
	if err != nil {
		return nil, err
	}
	args, queue := riverArgs{}, "later"
	if shape.Running {
		args, queue = riverArgs{"obey"}, "now"
	}
	many := make([]river.InsertManyParams, shape.Leaves)
	for i := range many {
		many[i] = river.InsertManyParams{Args: args, InsertOpts: &river.InsertOpts{Queue: queue, Tags: []string{"parent-" + root}}}
	}
	jobs, err := s.client.InsertMany(ctx, many)
	if err != nil {
		return nil, err
	}
	t := &tree{Shape: shape, ID: root, All: []string{root}}
	for _, j := range jobs {
		t.All = append(t.All, fmt.Sprint(j.Job.ID))
	}
	return t, until(ctx, func() (bool, error) {
		c, err := s.census(ctx, t)
		return !shape.Running || c.in("running") == shape.Leaves, err
	})
}

func (s *riverSystem) cancel(ctx context.Context, t *tree) error {
	for _, text := range t.All {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return err
		}
		if _, err := s.client.JobCancel(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// A tree is what came after its root: there is one tree at a time.
func (s *riverSystem) live(ctx context.Context, t *tree) (bool, error) {
	return s.any(ctx, "SELECT 1 FROM river_job WHERE id >= "+t.ID+" AND finalized_at IS NULL")
}

// A job that was told to stop stays as it is, with a note.
const riverState = `state::text || CASE WHEN state = 'running' AND metadata ? 'cancel_attempted_at' THEN ' (cancel_attempted_at)' ELSE '' END`

func (s *riverSystem) census(ctx context.Context, t *tree) (census, error) {
	return s.book.census(ctx, "river_job", riverState, "id = "+t.ID, "id >= "+t.ID)
}

func (s *riverSystem) family(ctx context.Context) (f family, err error) {
	root, err := s.insert(ctx, "obey", "now", "")
	if err != nil {
		return f, err
	}
	if f.Finished, err = s.insert(ctx, "", "now", root); err != nil {
		return f, err
	}
	if err := until(ctx, func() (bool, error) {
		state, err := s.state(ctx, f.Finished)
		return state == "completed", err
	}); err != nil {
		return f, err
	}
	if f.Waiting, err = s.insert(ctx, "", "later", root); err != nil {
		return f, err
	}
	if f.Working, err = s.insert(ctx, "stubborn", "now", root); err != nil {
		return f, err
	}
	f.Tree = &tree{ID: root, All: []string{root, f.Working, f.Waiting, f.Finished}}
	return f, theWork.begun(ctx)
}

func (s *riverSystem) state(ctx context.Context, id string) (string, error) {
	return s.text(ctx, "SELECT "+riverState+" FROM river_job WHERE id = "+id)
}

func (s *riverSystem) crowd(ctx context.Context) (*tree, error) {
	return s.build(ctx, shape{Leaves: 100})
}

func (s *riverSystem) submit(ctx context.Context, t *tree, stop <-chan struct{}) error {
	return fourTimes(stop, func() error {
		_, err := s.insert(ctx, "", "later", t.ID)
		return err
	})
}

// again is the same loop.
func (s *riverSystem) again(ctx context.Context, t *tree) error { return s.cancel(ctx, t) }
