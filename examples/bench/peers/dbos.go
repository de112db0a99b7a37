package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	_ "github.com/dbos-inc/dbos-transact-golang/dbos/driver/sqlite"
)

// dbosSystem is DBOS Transact: CancelWorkflow with WithCancelChildren.
type dbosSystem struct {
	book
	lite  bool
	ctx   dbos.Context
	queue dbos.Queue
	n     int
}

func newDBOS(lite bool) func() system { return func() system { return &dbosSystem{lite: lite} } }

func (s *dbosSystem) file(e env) string { return filepath.Join(e.Dir, "dbos.db") }

func (s *dbosSystem) look(ctx context.Context, e env) (err error) {
	if s.lite {
		s.book, err = openSQLiteBook(ctx, s.file(e))
	} else {
		s.book, err = openPostgresBook(ctx, e.PG)
	}
	return err
}

func (s *dbosSystem) start(ctx context.Context, e env) (err error) {
	config := dbos.Config{AppName: "peers", DatabaseURL: e.PG, Logger: slog.New(slog.DiscardHandler)}
	if s.lite {
		config.DatabaseURL = "sqlite:" + s.file(e)
	}
	if s.ctx, err = dbos.NewContext(ctx, config); err != nil {
		return err
	}
	dbos.RegisterWorkflow(s.ctx, s.rootFlow)
	dbos.RegisterWorkflow(s.ctx, s.groupFlow)
	dbos.RegisterWorkflow(s.ctx, s.leafFlow)
	dbos.RegisterWorkflow(s.ctx, s.runningFlow)
	dbos.RegisterWorkflow(s.ctx, s.stubbornFlow)
	dbos.RegisterWorkflow(s.ctx, s.parentFlow)
	dbos.RegisterWorkflow(s.ctx, s.crowdFlow)
	dbos.RegisterWorkflow(s.ctx, s.submitFlow)
	if s.queue, err = dbos.RegisterQueue(s.ctx, "later"); err != nil {
		return err
	}
	if _, err = dbos.RegisterQueue(s.ctx, "now"); err != nil {
		return err
	}
	dbos.ListenQueues(s.ctx, "now") // what is in the queue "later" waits
	if err := dbos.Launch(s.ctx); err != nil {
		return err
	}
	if s.db == nil {
		return s.look(ctx, e)
	}
	return nil
}

// wait waits for a message that never comes.
func (s *dbosSystem) wait(ctx dbos.Context) (string, error) {
	return dbos.Recv[string](ctx, "never", 24*time.Hour)
}

// rootFlow has groups of leaves, or leaves only.
func (s *dbosSystem) rootFlow(ctx dbos.Context, shape shape) (string, error) {
	if shape.Groups == 0 {
		return s.groupFlow(ctx, shape)
	}
	for range shape.Groups {
		if _, err := dbos.RunWorkflow(ctx, s.groupFlow, shapeOfGroup(shape)); err != nil {
			return "", err
		}
	}
	return s.wait(ctx)
}

// shapeOfGroup returns the shape of one of the groups of a tree.
func shapeOfGroup(s shape) shape { return shape{Leaves: s.Leaves / s.Groups, Running: s.Running} }

func (s *dbosSystem) groupFlow(ctx dbos.Context, shape shape) (string, error) {
	for range shape.Leaves {
		var err error
		if shape.Running {
			_, err = dbos.RunWorkflow(ctx, s.runningFlow, 0)
		} else {
			_, err = dbos.RunWorkflow(ctx, s.leafFlow, 0, dbos.WithQueue(s.queue))
		}
		if err != nil {
			return "", err
		}
	}
	return s.wait(ctx)
}

func (s *dbosSystem) leafFlow(dbos.Context, int) (string, error)          { return "done", nil }
func (s *dbosSystem) runningFlow(ctx dbos.Context, _ int) (string, error) { return s.wait(ctx) }

func (s *dbosSystem) build(ctx context.Context, shape shape) (*tree, error) {
	s.n++
	t := &tree{Shape: shape, ID: fmt.Sprintf("w%d_%d", time.Now().UnixMilli(), s.n)}
	if _, err := dbos.RunWorkflow(s.ctx, s.rootFlow, shape, dbos.WithWorkflowID(t.ID)); err != nil {
		return nil, err
	}
	// All are there, and whoever runs waits in Recv, which has a step of its own for that.
	waits := 1 + shape.Groups
	if shape.Running {
		waits += shape.Leaves
	}
	return t, until(ctx, func() (bool, error) {
		n, err := s.number(ctx, "SELECT count(*) FROM "+s.below(t))
		if err != nil || n < shape.Leaves+shape.Groups {
			return false, err
		}
		n, err = s.number(ctx, "SELECT count(*) FROM "+s.schema()+"operation_outputs WHERE function_name = 'DBOS.sleep' AND "+s.tree(t))
		return n == waits, err
	})
}

func (s *dbosSystem) schema() string {
	if s.lite {
		return ""
	}
	return "dbos."
}

// Children have ids that begin with that of their parent, and a hyphen.
func (s *dbosSystem) below(t *tree) string {
	return fmt.Sprintf("%sworkflow_status WHERE workflow_uuid > '%s-' AND workflow_uuid < '%s.'", s.schema(), t.ID, t.ID)
}

func (s *dbosSystem) tree(t *tree) string {
	return fmt.Sprintf("(workflow_uuid = '%s' OR workflow_uuid > '%s-' AND workflow_uuid < '%s.')", t.ID, t.ID, t.ID)
}

func (s *dbosSystem) cancel(_ context.Context, t *tree) error {
	return dbos.CancelWorkflow(s.ctx, t.ID, dbos.WithCancelChildren())
}

func (s *dbosSystem) live(ctx context.Context, t *tree) (bool, error) {
	return s.any(ctx, "SELECT 1 FROM "+s.schema()+"workflow_status WHERE "+s.tree(t)+" AND status IN ('PENDING', 'ENQUEUED', 'DELAYED')")
}

func (s *dbosSystem) census(ctx context.Context, t *tree) (census, error) {
	return s.book.census(ctx, s.schema()+"workflow_status", "status", "workflow_uuid = '"+t.ID+"'", s.tree(t))
}

func (s *dbosSystem) stubbornFlow(ctx dbos.Context, _ int) (string, error) {
	return dbos.RunAsStep(ctx, func(context.Context) (string, error) { return theWork.work(), nil })
}

func (s *dbosSystem) parentFlow(ctx dbos.Context, id string) (string, error) {
	finished, err := dbos.RunWorkflow(ctx, s.leafFlow, 0, dbos.WithWorkflowID(id+"-finished"))
	if err != nil {
		return "", err
	}
	if _, err := finished.GetResult(); err != nil {
		return "", err
	}
	if _, err := dbos.RunWorkflow(ctx, s.leafFlow, 0, dbos.WithQueue(s.queue), dbos.WithWorkflowID(id+"-waiting")); err != nil {
		return "", err
	}
	if _, err := dbos.RunWorkflow(ctx, s.stubbornFlow, 0, dbos.WithWorkflowID(id+"-working")); err != nil {
		return "", err
	}
	return s.wait(ctx)
}

func (s *dbosSystem) family(ctx context.Context) (family, error) {
	t := &tree{ID: fmt.Sprintf("f%d", time.Now().UnixMilli())}
	if _, err := dbos.RunWorkflow(s.ctx, s.parentFlow, t.ID, dbos.WithWorkflowID(t.ID)); err != nil {
		return family{}, err
	}
	return family{t, t.ID + "-working", t.ID + "-waiting", t.ID + "-finished"}, theWork.begun(ctx)
}

func (s *dbosSystem) state(ctx context.Context, id string) (string, error) {
	return s.text(ctx, "SELECT status FROM "+s.schema()+"workflow_status WHERE workflow_uuid = '"+id+"'")
}

func (s *dbosSystem) crowd(ctx context.Context) (*tree, error) {
	shape := shape{Leaves: 100}
	t := &tree{Shape: shape, ID: fmt.Sprintf("c%d", time.Now().UnixMilli())}
	if _, err := dbos.RunWorkflow(s.ctx, s.crowdFlow, shape, dbos.WithWorkflowID(t.ID)); err != nil {
		return nil, err
	}
	return t, until(ctx, func() (bool, error) {
		n, err := s.number(ctx, "SELECT count(*) FROM "+s.below(t))
		return n > shape.Leaves+20, err
	})
}

// crowdFlow has some children that wait, and then one that goes on making others: only a
// workflow that runs can have children.
func (s *dbosSystem) crowdFlow(ctx dbos.Context, shape shape) (string, error) {
	for range shape.Leaves {
		if _, err := dbos.RunWorkflow(ctx, s.leafFlow, 0, dbos.WithQueue(s.queue)); err != nil {
			return "", err
		}
	}
	if _, err := dbos.RunWorkflow(ctx, s.submitFlow, 0); err != nil {
		return "", err
	}
	return s.wait(ctx)
}

func (s *dbosSystem) submitFlow(ctx dbos.Context, _ int) (string, error) {
	for {
		if _, err := dbos.RunWorkflow(ctx, s.leafFlow, 0, dbos.WithQueue(s.queue)); err != nil {
			return "", err
		}
	}
}

func (s *dbosSystem) submit(ctx context.Context, _ *tree, stop <-chan struct{}) error {
	return untilStopped(ctx, stop) // the crowd does it by itself
}

// again is the same call: nothing else takes up what was cut off.
func (s *dbosSystem) again(ctx context.Context, t *tree) error { return s.cancel(ctx, t) }
