package essasynq_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"example.com/ess/cancel"
	essasynq "example.com/ess/examples/asynq"
	"example.com/ess/lifecycle"
)

// A watcher looks at trees all the time: a parent never ends over a live child, what has
// ended stays as it is, and what has been cancelled goes nowhere else.
type watcher struct {
	t    *testing.T
	jobs *essasynq.Jobs
	quit chan struct{}
	over sync.WaitGroup

	mu    sync.Mutex
	state map[lifecycle.ID]lifecycle.State // as last seen
	dead  map[lifecycle.ID]bool            // trees that have been cancelled
	looks int
}

func watchTrees(t *testing.T, jobs *essasynq.Jobs, roots ...lifecycle.ID) *watcher {
	w := &watcher{t: t, jobs: jobs, quit: make(chan struct{}), state: map[lifecycle.ID]lifecycle.State{}, dead: map[lifecycle.ID]bool{}}
	w.over.Go(func() {
		for {
			for _, root := range roots {
				w.look(root, false, w.isDead(root))
			}
			select {
			case <-w.quit:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	return w
}

// look looks at a request and what is below it. If it is below one that has ended, it has to
// have ended too: the parent was read first.
func (w *watcher) look(id lifecycle.ID, ended, dead bool) {
	r, err := w.jobs.Get(context.Background(), id)
	if err != nil {
		return // the server is away
	}
	w.saw(r, ended, dead)
	for r, err := range cancel.Children(context.Background(), w.jobs.Store, cancel.ChildQuery{Parents: []lifecycle.ID{id}, States: lifecycle.Live | lifecycle.Terminal}) {
		if err != nil {
			return
		}
		w.saw(r, lifecycle.Terminal.Has(w.last(id)), dead)
		if r.Kind.HasChildren() {
			w.look(r.ID, lifecycle.Terminal.Has(w.last(id)), dead)
		}
	}
}

func (w *watcher) saw(r lifecycle.Request, ended, dead bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looks++
	if was := w.state[r.ID]; lifecycle.Terminal.Has(was) && was != r.State {
		w.t.Errorf("request %d was %v and is %v", r.ID, was, r.State)
	}
	if ended && lifecycle.Live.Has(r.State) {
		w.t.Errorf("request %d is %v below a parent that has ended", r.ID, r.State)
	}
	if dead && lifecycle.Live.Has(r.State) && r.State != lifecycle.StateCancelling {
		w.t.Errorf("request %d is %v below one that has been cancelled", r.ID, r.State)
	}
	w.state[r.ID] = r.State
}

func (w *watcher) last(id lifecycle.ID) lifecycle.State {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state[id]
}

func (w *watcher) isDead(root lifecycle.ID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dead[root]
}

// cancelled says that a tree has been cancelled.
func (w *watcher) cancelled(root lifecycle.ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead[root] = true
}

func (w *watcher) ended(root lifecycle.ID) bool { return lifecycle.Terminal.Has(w.last(root)) }

// stop returns how often it has looked at a request.
func (w *watcher) stop() int {
	close(w.quit)
	w.over.Wait()
	return w.looks
}
