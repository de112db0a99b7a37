package postgres_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/ess/cancel"
	"example.com/ess/examples/postgres"
	"example.com/ess/lifecycle"
)

// The tests start this program once more to have processes that can be killed. Such
// a process is told what to do by an environment variable.
const helperEnv = "ESS_TEST_HELPER"

// An errand is what a helper process is sent for.
type errand struct {
	URL      string
	Database string
	Table    postgres.Table
	Root     lifecycle.ID // what to cancel
	Resume   bool         // resume instead
}

// help runs an errand and writes to the standard output what has been acknowledged,
// as soon as it has, and "done" in the end.
func help() {
	var e errand
	if err := json.Unmarshal([]byte(os.Getenv(helperEnv)), &e); err != nil {
		panic(err)
	}
	config, err := pgxpool.ParseConfig(e.URL)
	if err != nil {
		panic(err)
	}
	config.ConnConfig.Database = e.Database
	ctx := context.Background()
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		panic(err)
	}
	w := newWorld(pool, e.Table)
	w.acknowledged = func(id lifecycle.ID, outcome lifecycle.State) { fmt.Println("acknowledged", id, outcome) }
	if e.Resume {
		_, err = w.canceller.Resume(ctx, nil)
	} else {
		_, err = w.canceller.Cancel(ctx, cancel.Order{ID: e.Root, Actor: "helper", Reason: "told to"})
	}
	w.stopWorkers()
	if err != nil {
		fmt.Println("failed", err)
	}
	fmt.Println("done")
}

// A process is a helper.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed at the end of its output

	mu      sync.Mutex
	acks    map[lifecycle.ID]lifecycle.State
	end     string // "done", or nothing if it was killed before
	trouble []string
}

func send(t *testing.T, e errand) *process {
	t.Helper()
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(os.Args[0]), done: make(chan struct{}), acks: map[lifecycle.ID]lifecycle.State{}}
	p.cmd.Env = append(os.Environ(), helperEnv+"="+string(text))
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.listen(out)
	return p
}

func (p *process) listen(out io.Reader) {
	defer close(p.done)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		p.mu.Lock()
		switch word, rest, _ := strings.Cut(lines.Text(), " "); word {
		case "acknowledged":
			var id lifecycle.ID
			var name string
			var state lifecycle.State
			if n, _ := fmt.Sscan(rest, &id, &name); n == 2 && state.UnmarshalText([]byte(name)) == nil {
				p.acks[id] = state
			} // or else the process died in the middle of a line
		case "failed":
			p.trouble = append(p.trouble, rest)
		case "done":
			p.end = word
		}
		p.mu.Unlock()
	}
}

// kill kills the process and reports whether it had not finished.
func (p *process) kill() bool {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
	_ = p.cmd.Wait()
	return p.end == ""
}

// wait waits until the process has finished.
func (p *process) wait(t *testing.T) {
	t.Helper()
	<-p.done
	if err := p.cmd.Wait(); err != nil || p.end != "done" || len(p.trouble) > 0 {
		t.Errorf("the helper process ended with %v, %q: %v", err, p.end, p.trouble)
	}
}

// A world is a canceller and workers that answer it.
type world struct {
	store     *postgres.Store
	canceller *cancel.Canceller
	// acknowledged, if not nil, is called after work has acknowledged.
	acknowledged func(id lifecycle.ID, outcome lifecycle.State)

	mu   sync.Mutex
	told map[lifecycle.ID]bool
	acks map[lifecycle.ID]lifecycle.State // what has been acknowledged
	work sync.WaitGroup
}

const (
	smallPage = 8 // so that there are many places to be cut off at
	workers   = 3
)

func newWorld(pool *pgxpool.Pool, table postgres.Table) *world {
	w := &world{store: postgres.New(pool, table), told: map[lifecycle.ID]bool{}, acks: map[lifecycle.ID]lifecycle.State{}}
	slots := make(chan struct{}, workers)
	w.canceller = cancel.New(w.store, &cancel.Options{
		PageSize: smallPage,
		Interrupter: cancel.InterrupterFunc(func(_ context.Context, ids []lifecycle.ID, _ cancel.Cause) error {
			for _, id := range ids {
				if w.isNews(id) {
					w.work.Go(func() {
						slots <- struct{}{}
						defer func() { <-slots }()
						w.acknowledge(id)
					})
				}
			}
			return nil
		}),
	})
	return w
}

func (w *world) isNews(id lifecycle.ID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if id%3 == 0 || w.told[id] { // some work is slow to answer
		return false
	}
	w.told[id] = true
	return true
}

// acknowledge is the end of the work of a request.
func (w *world) acknowledge(id lifecycle.ID) {
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	outcome := answerOf(id)
	if _, err := w.canceller.Acknowledge(ctx, cancel.Order{ID: id, Actor: "worker"}, outcome); err != nil {
		return
	}
	if w.acknowledged != nil {
		w.acknowledged(id, outcome)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acks[id] = outcome
}

// answerOf is what the work of a request answers.
func answerOf(id lifecycle.ID) lifecycle.State {
	outcomes := []lifecycle.State{lifecycle.StateCancelled, lifecycle.StateSucceeded, lifecycle.StateWarning, lifecycle.StateError}
	return outcomes[id%4]
}

// stopWorkers waits until all work that was told has acknowledged.
func (w *world) stopWorkers() { w.work.Wait() }
