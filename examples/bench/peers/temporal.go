package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// temporalSystem is Temporal: CancelWorkflow of a workflow that waits for its children, or
// TerminateWorkflow, after which the server terminates the children. All of them run, and
// wait for a timer or for an activity.
type temporalSystem struct {
	book
	terminate bool
	client    client.Client
	n         int
}

func newTemporal(terminate bool) func() system {
	return func() system { return &temporalSystem{terminate: terminate} }
}

const temporalQueue = "peers"

func (s *temporalSystem) file(e env) string { return filepath.Join(e.Dir, "temporal.db") }

func (s *temporalSystem) look(ctx context.Context, e env) (err error) {
	s.book, err = openSQLiteBook(ctx, s.file(e))
	return err
}

func (s *temporalSystem) start(ctx context.Context, e env) (err error) {
	if s.client, err = startTemporal(ctx, s.file(e)); err != nil {
		return err
	}
	w := worker.New(s.client, temporalQueue, worker.Options{
		// An activity learns of its cancellation from the answer to a heartbeat.
		MaxHeartbeatThrottleInterval: time.Second,
	})
	for _, flow := range []any{tpRoot, tpGroup, tpLeaf, tpRunning, tpFamily, tpQuick, tpStubborn, tpCrowd} {
		w.RegisterWorkflow(flow)
	}
	w.RegisterActivity(tpObey)
	w.RegisterActivity(tpWork)
	if err := w.Start(); err != nil {
		return err
	}
	if s.db == nil {
		return s.look(ctx, e)
	}
	return nil
}

// tpLeaves is how many leaves have begun to wait or to run in this process.
var tpLeaves atomic.Int64

// tpChild has the options for a child: an id of ours, so that it can be found, and a parent
// that is cancelled waits for it. What happens to a child when its parent is terminated is
// the default: it is terminated, too.
func tpChild(ctx workflow.Context, id string) workflow.Context {
	return workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID:          workflow.GetInfo(ctx).WorkflowExecution.ID + "-" + id,
		WaitForCancellation: true,
	})
}

func tpJoin(ctx workflow.Context, all []workflow.ChildWorkflowFuture) (err error) {
	for _, f := range all {
		err = errors.Join(err, f.Get(ctx, nil))
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func tpRoot(ctx workflow.Context, s shape) error {
	if s.Groups == 0 {
		return tpGroup(ctx, s)
	}
	var all []workflow.ChildWorkflowFuture
	for i := range s.Groups {
		all = append(all, workflow.ExecuteChildWorkflow(tpChild(ctx, fmt.Sprint("g", i)), tpGroup, shapeOfGroup(s)))
	}
	return tpJoin(ctx, all)
}

func tpGroup(ctx workflow.Context, s shape) error {
	flow := tpLeaf
	if s.Running {
		flow = tpRunning
	}
	var all []workflow.ChildWorkflowFuture
	for i := range s.Leaves {
		all = append(all, workflow.ExecuteChildWorkflow(tpChild(ctx, fmt.Sprint("l", i)), flow))
	}
	return tpJoin(ctx, all)
}

// tpLeaf waits for a day, or for its cancellation.
func tpLeaf(ctx workflow.Context) error {
	if !workflow.IsReplaying(ctx) {
		tpLeaves.Add(1)
	}
	return workflow.Sleep(ctx, 24*time.Hour)
}

func tpRunning(ctx workflow.Context) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Hour, HeartbeatTimeout: 10 * time.Second, WaitForCancellation: true,
	})
	return workflow.ExecuteActivity(ctx, tpObey).Get(ctx, nil)
}

// tpObey is an activity that stops when it is told to.
func tpObey(ctx context.Context) error {
	tpLeaves.Add(1)
	for {
		activity.RecordHeartbeat(ctx)
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return ctx.Err()
		}
	}
}

func (s *temporalSystem) create(ctx context.Context, flow any, args ...any) (*tree, error) {
	s.n++
	t := &tree{ID: fmt.Sprintf("w%d_%d", time.Now().UnixMilli(), s.n)}
	_, err := s.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: t.ID, TaskQueue: temporalQueue}, flow, args...)
	return t, err
}

func (s *temporalSystem) build(ctx context.Context, shape shape) (*tree, error) {
	before := tpLeaves.Load()
	t, err := s.create(ctx, tpRoot, shape)
	if err != nil {
		return nil, err
	}
	t.Shape = shape
	return t, until(ctx, func() (bool, error) { return tpLeaves.Load() >= before+int64(shape.Leaves), nil })
}

func (s *temporalSystem) cancel(ctx context.Context, t *tree) error {
	if s.terminate {
		return s.client.TerminateWorkflow(ctx, t.ID, "", "wrong ledger")
	}
	return s.client.CancelWorkflow(ctx, t.ID, "")
}

func (s *temporalSystem) tree(t *tree) string {
	return fmt.Sprintf("(workflow_id = '%s' OR workflow_id > '%s-' AND workflow_id < '%s.')", t.ID, t.ID, t.ID)
}

func (s *temporalSystem) live(ctx context.Context, t *tree) (bool, error) {
	return s.any(ctx, "SELECT 1 FROM current_executions WHERE status = 1 AND "+s.tree(t))
}

const tpState = "CASE status WHEN 1 THEN 'Running' WHEN 2 THEN 'Completed' WHEN 3 THEN 'Failed' WHEN 4 THEN 'Canceled' WHEN 5 THEN 'Terminated' ELSE status END"

func (s *temporalSystem) census(ctx context.Context, t *tree) (census, error) {
	return s.book.census(ctx, "current_executions", tpState, "workflow_id = '"+t.ID+"'", s.tree(t))
}

func tpQuick(workflow.Context) error { return nil }

func tpWork(context.Context) (string, error) { return theWork.work(), nil }

// tpStubborn does not give up its activity when it is cancelled.
func tpStubborn(ctx workflow.Context) (result string, err error) {
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	err = workflow.ExecuteActivity(ctx, tpWork).Get(ctx, &result)
	return result, err
}

func tpFamily(ctx workflow.Context) error {
	if err := workflow.ExecuteChildWorkflow(tpChild(ctx, "finished"), tpQuick).Get(ctx, nil); err != nil {
		return err
	}
	return tpJoin(ctx, []workflow.ChildWorkflowFuture{
		workflow.ExecuteChildWorkflow(tpChild(ctx, "waiting"), tpLeaf),
		workflow.ExecuteChildWorkflow(tpChild(ctx, "working"), tpStubborn),
	})
}

func (s *temporalSystem) family(ctx context.Context) (family, error) {
	t, err := s.create(ctx, tpFamily)
	if err != nil {
		return family{}, err
	}
	if err := until(ctx, func() (bool, error) { return tpLeaves.Load() >= 1, nil }); err != nil {
		return family{}, err
	}
	return family{t, t.ID + "-working", t.ID + "-waiting", t.ID + "-finished"}, theWork.begun(ctx)
}

func (s *temporalSystem) state(ctx context.Context, id string) (string, error) {
	return s.text(ctx, "SELECT "+tpState+" FROM current_executions WHERE workflow_id = '"+id+"'")
}

// tpCrowd makes more and more children, ten at a time.
func tpCrowd(ctx workflow.Context) error {
	for i := 0; i < 1000; i += 10 {
		var all []workflow.ChildWorkflowFuture
		for j := range 10 {
			all = append(all, workflow.ExecuteChildWorkflow(tpChild(ctx, fmt.Sprint("l", i+j)), tpLeaf))
		}
		for _, f := range all {
			if err := f.GetChildWorkflowExecution().Get(ctx, nil); err != nil {
				return err
			}
		}
	}
	return workflow.Sleep(ctx, 24*time.Hour)
}

func (s *temporalSystem) crowd(ctx context.Context) (*tree, error) {
	t, err := s.create(ctx, tpCrowd)
	if err != nil {
		return nil, err
	}
	return t, until(ctx, func() (bool, error) { return tpLeaves.Load() >= 20, nil })
}

func (s *temporalSystem) submit(ctx context.Context, _ *tree, stop <-chan struct{}) error {
	return untilStopped(ctx, stop) // the crowd does it by itself
}

// again has nothing to do: the server and the workers go on.
func (s *temporalSystem) again(context.Context, *tree) error { return nil }
