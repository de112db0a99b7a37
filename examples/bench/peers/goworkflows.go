package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/cschleiden/go-workflows/backend"
	"github.com/cschleiden/go-workflows/backend/history"
	"github.com/cschleiden/go-workflows/backend/sqlite"
	"github.com/cschleiden/go-workflows/client"
	"github.com/cschleiden/go-workflows/core"
	"github.com/cschleiden/go-workflows/worker"
	"github.com/cschleiden/go-workflows/workflow"
)

// goWorkflows is go-workflows: CancelWorkflowInstance of a workflow with sub-workflows. All
// of them run, and wait for a timer; an activity cannot be cancelled.
type goWorkflows struct {
	book
	client *client.Client
	n      int
}

func newGoWorkflows() system { return new(goWorkflows) }

func (s *goWorkflows) file(e env) string { return filepath.Join(e.Dir, "workflows.db") }

func (s *goWorkflows) look(ctx context.Context, e env) (err error) {
	s.book, err = openSQLiteBook(ctx, s.file(e))
	return err
}

func (s *goWorkflows) start(ctx context.Context, e env) error {
	b := sqlite.NewSqliteBackend(s.file(e), sqlite.WithBackendOptions(
		backend.WithLogger(slog.New(slog.DiscardHandler)),
		// What the worker of a process that was killed had locked is free again after
		// these, and not after half a minute and a whole one.
		backend.WithStickyTimeout(time.Second), backend.WithWorkflowLockTimeout(3*time.Second),
	))
	options := worker.DefaultOptions
	options.WorkflowHeartbeatInterval = time.Second // has to come within the time of the lock
	w := worker.New(b, &options)
	for _, flow := range []any{gwRoot, gwGroup, gwLeaf, gwFamily, gwQuick, gwStubborn, gwCrowd} {
		if err := w.RegisterWorkflow(flow); err != nil {
			return err
		}
	}
	if err := w.RegisterActivity(gwWork); err != nil {
		return err
	}
	if err := w.Start(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	s.client = client.New(b)
	if s.db == nil {
		return s.look(ctx, e)
	}
	return nil
}

// Sub-workflows get ids of ours, so that they can be found: w1, w1-g1, w1-g1-l1.

func gwSub(ctx workflow.Context, id string, flow any, args ...any) workflow.Future[string] {
	return workflow.CreateSubWorkflowInstance[string](ctx, workflow.SubWorkflowOptions{InstanceID: id, RetryOptions: workflow.DefaultSubWorkflowRetryOptions}, flow, args...)
}

func gwJoin(ctx workflow.Context, all []workflow.Future[string]) (string, error) {
	var errs []error
	for _, f := range all {
		_, err := f.Get(ctx)
		errs = append(errs, err)
	}
	return "done", errors.Join(errs...)
}

func gwRoot(ctx workflow.Context, id string, groups, leaves int) (string, error) {
	if groups == 0 {
		return gwGroup(ctx, id, leaves)
	}
	var all []workflow.Future[string]
	for i := range groups {
		id := fmt.Sprintf("%s-g%d", id, i)
		all = append(all, gwSub(ctx, id, gwGroup, id, leaves/groups))
	}
	return gwJoin(ctx, all)
}

func gwGroup(ctx workflow.Context, id string, leaves int) (string, error) {
	var all []workflow.Future[string]
	for i := range leaves {
		all = append(all, gwSub(ctx, fmt.Sprintf("%s-l%d", id, i), gwLeaf))
	}
	return gwJoin(ctx, all)
}

// gwLeaf waits for a day, or for its cancellation.
func gwLeaf(ctx workflow.Context) (string, error) {
	return "done", workflow.Sleep(ctx, 24*time.Hour)
}

// create starts a workflow. The id of a tree has that of the execution behind a slash.
func (s *goWorkflows) create(ctx context.Context, flow any, args ...any) (*tree, error) {
	s.n++
	id := fmt.Sprintf("w%d_%d", time.Now().UnixMilli(), s.n)
	i, err := s.client.CreateWorkflowInstance(ctx, client.WorkflowInstanceOptions{InstanceID: id}, flow, append([]any{id}, args...)...)
	if err != nil {
		return nil, err
	}
	return &tree{ID: i.InstanceID + "/" + i.ExecutionID}, nil
}

func (s *goWorkflows) build(ctx context.Context, shape shape) (*tree, error) {
	t, err := s.create(ctx, gwRoot, shape.Groups, shape.Leaves)
	if err != nil {
		return nil, err
	}
	t.Shape = shape
	return t, s.waiting(ctx, t, shape.Leaves)
}

// waiting waits until so many leaves wait: their timers have been scheduled.
func (s *goWorkflows) waiting(ctx context.Context, t *tree, leaves int) error {
	id, _, _ := strings.Cut(t.ID, "/")
	return until(ctx, func() (bool, error) {
		n, err := s.number(ctx, fmt.Sprintf("SELECT count(*) FROM history WHERE instance_id > '%s-' AND instance_id < '%s.' AND event_type = %d", id, id, history.EventType_TimerScheduled))
		return n >= leaves, err
	})
}

func (s *goWorkflows) cancel(ctx context.Context, t *tree) error {
	id, execution, _ := strings.Cut(t.ID, "/")
	return s.client.CancelWorkflowInstance(ctx, core.NewWorkflowInstance(id, execution))
}

func (s *goWorkflows) live(ctx context.Context, t *tree) (bool, error) {
	id, _, _ := strings.Cut(t.ID, "/")
	return s.any(ctx, fmt.Sprintf("SELECT 1 FROM instances WHERE id >= '%s' AND id < '%s.' AND state <> %d", id, id, core.WorkflowInstanceStateFinished))
}

// A finished instance is finished, however it has ended.
var gwState = fmt.Sprintf("CASE state WHEN %d THEN 'finished' WHEN %d THEN 'active' ELSE state END", core.WorkflowInstanceStateFinished, core.WorkflowInstanceStateActive)

func (s *goWorkflows) census(ctx context.Context, t *tree) (census, error) {
	id, _, _ := strings.Cut(t.ID, "/")
	return s.book.census(ctx, "instances", gwState, "id = '"+id+"'", fmt.Sprintf("id >= '%s' AND id < '%s.'", id, id))
}

func gwQuick(workflow.Context) (string, error) { return "done", nil }

func gwWork(context.Context) (string, error) { return theWork.work(), nil }

func gwStubborn(ctx workflow.Context) (string, error) {
	return workflow.ExecuteActivity[string](ctx, workflow.DefaultActivityOptions, gwWork).Get(ctx)
}

func gwFamily(ctx workflow.Context, id string) (string, error) {
	if _, err := gwSub(ctx, id+"-finished", gwQuick).Get(ctx); err != nil {
		return "", err
	}
	return gwJoin(ctx, []workflow.Future[string]{gwSub(ctx, id+"-waiting", gwLeaf), gwSub(ctx, id+"-working", gwStubborn)})
}

func (s *goWorkflows) family(ctx context.Context) (family, error) {
	t, err := s.create(ctx, gwFamily)
	if err != nil {
		return family{}, err
	}
	id, _, _ := strings.Cut(t.ID, "/")
	f := family{t, id + "-working", id + "-waiting", id + "-finished"}
	if err := s.waiting(ctx, t, 1); err != nil {
		return f, err
	}
	return f, theWork.begun(ctx)
}

func (s *goWorkflows) state(ctx context.Context, id string) (string, error) {
	id, _, _ = strings.Cut(id, "/")
	return s.text(ctx, "SELECT "+gwState+" FROM instances WHERE id = '"+id+"'")
}

// gwCrowd makes more and more children, ten at a time, and then waits for all. (It has to:
// a workflow that returns while a child of it runs makes the worker panic.)
func gwCrowd(ctx workflow.Context, id string) (string, error) {
	var all []workflow.Future[string]
	for ctx.Err() == nil && len(all) < 1000 {
		for range 10 {
			all = append(all, gwSub(ctx, fmt.Sprintf("%s-l%d", id, len(all)), gwLeaf))
		}
		_ = workflow.Sleep(ctx, 50*time.Millisecond) // or it is cancelled, as ctx says
	}
	return gwJoin(ctx, all)
}

func (s *goWorkflows) crowd(ctx context.Context) (*tree, error) {
	t, err := s.create(ctx, gwCrowd)
	if err != nil {
		return nil, err
	}
	return t, s.waiting(ctx, t, 20)
}

func (s *goWorkflows) submit(ctx context.Context, _ *tree, stop <-chan struct{}) error {
	return untilStopped(ctx, stop) // the crowd does it by itself
}

// again has nothing to do: workers take up what is there.
func (s *goWorkflows) again(context.Context, *tree) error { return nil }
