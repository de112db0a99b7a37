package essriver_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	essriver "example.com/ess/examples/river"
	"example.com/ess/lifecycle"
)

func TestAdmit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	live, ended := w.parent(0), w.parent(0)
	leaf := w.insert(live, "end", nil)
	w.cancel(ended)
	both := w.insert(live, "end", essriver.WithChildren(nil))
	for _, tt := range []struct {
		name   string
		parent lifecycle.ID
		want   error
	}{
		{"a container", live, nil},
		{"a job with work and children", both, nil},
		{"a parent that has ended", ended, esserrors.CodeUnsupportedState},
		{"a leaf", leaf, esserrors.CodeUnsupportedState},
		{"nobody", 999, esserrors.CodeNotFound},
	} {
		err := pgx.BeginFunc(t.Context(), w.pool, func(tx pgx.Tx) error {
			_, err := w.jobs.Admit(t.Context(), tx, tt.parent, nil)
			return err
		})
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

// The options are the user's own, and no others.
func TestOptions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	mine := &river.InsertOpts{Metadata: []byte(`{"mine": {"a": 1}}`), Priority: 3, Queue: "slow"}
	container := essriver.Container(mine)
	if string(mine.Metadata) != `{"mine": {"a": 1}}` || mine.Pending {
		t.Errorf("the user's options have become %+v", mine)
	}
	root := w.insert(0, "nothing", container)
	id := w.insert(root, "nothing", container)
	job := w.row(id)
	var metadata struct {
		Mine json.RawMessage `json:"mine"`
	}
	if err := json.Unmarshal(job.Metadata, &metadata); err != nil || string(metadata.Mine) != `{"a": 1}` || job.Priority != 3 || job.Queue != "slow" {
		t.Errorf("the job has %s, priority %d, queue %s, %v", job.Metadata, job.Priority, job.Queue, err)
	}
	want := lifecycle.Request{ID: id, Parent: root, Kind: lifecycle.KindParent, State: lifecycle.StateRunning}
	if got, err := w.jobs.Get(t.Context(), id); err != nil || got != want {
		t.Errorf("the job is %+v, %v, want %+v", got, err, want)
	}
	for _, nonsense := range []string{`nonsense`, `[]`, `{"ess": 1}`, `{} {}`, `null null`} {
		opts := essriver.Container(&river.InsertOpts{Metadata: []byte(nonsense)})
		if job, err := w.client.Insert(t.Context(), task{"nothing"}, opts); err == nil {
			t.Errorf("a job has been inserted with the metadata %s", job.Job.Metadata)
		}
	}
}

// A cancel waits for a child that is being inserted, and takes it with it.
func TestAdmitHoldsOffCancel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	root := w.parent(0)
	cancelled := make(chan error, 1)
	var child lifecycle.ID
	err := pgx.BeginFunc(t.Context(), w.pool, func(tx pgx.Tx) error {
		opts, err := w.jobs.Admit(t.Context(), tx, root, nil)
		if err != nil {
			return err
		}
		go func() {
			_, err := w.jobs.Cancel(context.Background(), cancel.Order{ID: root})
			cancelled <- err
		}()
		select {
		case err := <-cancelled:
			cancelled <- err
			return errors.New("the cancel did not wait")
		case <-time.After(100 * time.Millisecond):
		}
		inserted, err := w.client.InsertTx(t.Context(), tx, task{"end"}, opts)
		if err == nil {
			child = lifecycle.ID(inserted.Job.ID)
		}
		return err
	})
	if err := errors.Join(err, <-cancelled); err != nil {
		t.Fatal(err)
	}
	if got := w.state(child); got != lifecycle.StateCancelled {
		t.Errorf("the child is %v", got)
	}
}

// Many insert children while the parent is cancelled: none escapes.
func TestNoChildEscapes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for range 5 {
		root := w.parent(0)
		var wg sync.WaitGroup
		var mu sync.Mutex
		var children []lifecycle.ID
		for range 8 {
			wg.Go(func() {
				for {
					err := pgx.BeginFunc(context.Background(), w.pool, func(tx pgx.Tx) error {
						opts, err := w.jobs.Admit(context.Background(), tx, root, nil)
						if err != nil {
							return err
						}
						many, err := w.client.InsertManyTx(context.Background(), tx, []river.InsertManyParams{{Args: task{"end"}, InsertOpts: opts}, {Args: task{"end"}, InsertOpts: opts}})
						for _, one := range many {
							mu.Lock()
							children = append(children, lifecycle.ID(one.Job.ID))
							mu.Unlock()
						}
						return err
					})
					if err != nil {
						if !errors.Is(err, esserrors.CodeUnsupportedState) {
							t.Error(err)
						}
						return
					}
				}
			})
		}
		time.Sleep(20 * time.Millisecond)
		w.cancel(root)
		wg.Wait()
		if got := w.state(root); got != lifecycle.StateCancelled {
			t.Errorf("the parent is %v", got)
		}
		for _, id := range children {
			if got := w.state(id); got != lifecycle.StateCancelled {
				t.Errorf("of %d children, %d is %v", len(children), id, got)
			}
		}
		if len(children) == 0 {
			t.Error("no child was inserted")
		}
	}
}
