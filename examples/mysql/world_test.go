package mysql_test

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/examples/mysql"
	"example.com/ess/lifecycle"
)

// tree returns a tree of about three hundred requests with ids from root on.
func tree(root lifecycle.ID) []lifecycle.Request {
	all := []lifecycle.Request{{ID: root, Kind: lifecycle.KindParent, State: lifecycle.StateRunning}}
	add := func(parent lifecycle.ID, kind lifecycle.Kind, state lifecycle.State) lifecycle.ID {
		id := root + lifecycle.ID(len(all))
		all = append(all, lifecycle.Request{ID: id, Parent: parent, Kind: kind, State: state})
		return id
	}
	states := []lifecycle.State{
		lifecycle.StateWait, lifecycle.StateReady, lifecycle.StateRunning, lifecycle.StateReady, lifecycle.StateBlocked,
		lifecycle.StateSucceeded, lifecycle.StateHold, lifecycle.StateCompleted, lifecycle.StateErrorAutoRetry, lifecycle.StateReady,
	}
	for i := range 6 {
		parent := add(root, lifecycle.KindParent, lifecycle.StateRunning)
		for j := range 40 {
			add(parent, lifecycle.KindChild, states[(i+j)%len(states)])
		}
		sub := add(parent, lifecycle.KindSubrequestParent, []lifecycle.State{lifecycle.StateRunning, lifecycle.StatePaused}[i%2])
		for j := range 9 {
			add(sub, lifecycle.KindChild, states[(i+j)%len(states)])
		}
	}
	return all
}

// smallPage makes many places at which a cascade can be cut off.
const smallPage = 8

// A world is a canceller, and work that answers it.
type world struct {
	canceller *cancel.Canceller
	report    func(id lifecycle.ID, outcome lifecycle.State) // may be nil

	mu   sync.Mutex
	told map[lifecycle.ID]bool
	acks answers
	work sync.WaitGroup
}

// answers are what has been acknowledged.
type answers map[lifecycle.ID]lifecycle.State

func newWorld(db *sql.DB) *world {
	w := &world{told: map[lifecycle.ID]bool{}, acks: answers{}}
	slots := make(chan struct{}, 3)
	w.canceller = cancel.New(mysql.New(db, "jobs"), &cancel.Options{
		PageSize: smallPage,
		Interrupter: cancel.InterrupterFunc(func(_ context.Context, ids []lifecycle.ID, _ cancel.Cause) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, id := range ids {
				if id%3 == 0 || w.told[id] { // some work is slow to answer
					continue
				}
				w.told[id] = true
				w.work.Go(func() {
					slots <- struct{}{}
					defer func() { <-slots }()
					w.acknowledge(id)
				})
			}
			return nil
		}),
	})
	return w
}

// acknowledge is the end of the work of a job.
func (w *world) acknowledge(id lifecycle.ID) {
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	outcome := answerOf(id)
	if _, err := w.canceller.Acknowledge(ctx, cancel.Order{ID: id, Actor: "worker"}, outcome); err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.acks[id] = outcome; w.report != nil {
		w.report(id, outcome)
	}
}

func answerOf(id lifecycle.ID) lifecycle.State {
	return []lifecycle.State{lifecycle.StateCancelled, lifecycle.StateSucceeded, lifecycle.StateWarning, lifecycle.StateError}[id%4]
}

// A field has trees that are cancelled under adverse conditions.
type field struct {
	*testing.T
	db   *sql.DB
	root lifecycle.ID
	size int
}

// plant stores a tree.
func (f *field) plant() {
	f.Helper()
	requests := tree(f.root + 1000)
	f.root, f.size = requests[0].ID, len(requests)
	if err := insert(f.Context(), f.db, "jobs", requests); err != nil {
		f.Fatal(err)
	}
}

// someChanges waits until a random part of the tree has been changed, or done is closed: how
// far a cascade comes is no matter of time on a machine that has other things to do.
func (f *field) someChanges(done <-chan struct{}) {
	f.Helper()
	for n := 1 + rand.IntN(f.size*3/4); f.changed() < n; {
		select {
		case <-done:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

func (f *field) changed() int {
	f.Helper()
	return queryOne[int](f, f.db, "SELECT COUNT(*) FROM jobs WHERE id BETWEEN ? AND ? AND stop_at IS NOT NULL", f.root, f.root+999)
}

// harvest resumes what was cut off and checks that nothing has been lost: neither a job below
// the root nor an answer. Then all other work answers, and everything has to end.
func (f *field) harvest(acks answers) {
	f.Helper()
	ctx := f.Context()
	c := cancel.New(mysql.New(f.db, "jobs"), nil)
	if _, err := c.Resume(ctx, nil); err != nil {
		f.Fatalf("Resume: %v", err)
	}
	snap := f.snapshot()
	if err := errors.Join(canceltest.CheckQuiet(snap), canceltest.CheckCancelled(snap, f.root)); err != nil {
		f.Error(err)
	}
	for id, r := range snap {
		if r.State == lifecycle.StateCancelling && r.Kind.RunsWork() && r.Outcome == 0 {
			if _, err := c.Acknowledge(ctx, cancel.Order{ID: id}, answerOf(id)); err != nil {
				f.Error(err)
			}
		}
	}
	snap = f.snapshot()
	for id, r := range snap {
		if lifecycle.Live.Has(r.State) {
			f.Errorf("job %d is %v in the end", id, r.State)
		}
	}
	for id, outcome := range acks {
		if r, ok := snap[id]; ok && r.State != outcome {
			f.Errorf("job %d acknowledged %v, and is %v", id, outcome, r.State)
		}
	}
}

func (f *field) snapshot() canceltest.Snapshot {
	f.Helper()
	all, err := canceltest.TakeSnapshot(f.Context(), mysql.New(f.db, "jobs"))
	if err != nil {
		f.Fatal(err)
	}
	maps.DeleteFunc(all, func(id lifecycle.ID, _ lifecycle.Request) bool { return id < f.root || id > f.root+999 })
	return all
}

// The tests start this program once more to have processes that can be killed. An errand is
// what such a process is sent for.
type errand struct {
	DSN  string
	Root lifecycle.ID // what to cancel; 0: resume
}

const errandEnv = "ESS_TEST_ERRAND"

// runErrand runs an errand and writes to the standard output what has been acknowledged, as
// soon as it has, and "done" in the end.
func runErrand() {
	var e errand
	if err := json.Unmarshal([]byte(os.Getenv(errandEnv)), &e); err != nil {
		panic(err)
	}
	db, err := mysql.Open(e.DSN)
	if err != nil {
		panic(err)
	}
	w := newWorld(db)
	w.report = func(id lifecycle.ID, outcome lifecycle.State) { fmt.Println("acknowledged", id, outcome) }
	if e.Root != 0 {
		_, err = w.canceller.Cancel(context.Background(), cancel.Order{ID: e.Root, Actor: "ann"})
	} else {
		_, err = w.canceller.Resume(context.Background(), nil)
	}
	w.work.Wait()
	fmt.Println("done", err)
}

// A process runs an errand.
type process struct {
	cmd  *exec.Cmd
	read chan struct{} // closed at the end of its output
	acks answers
	end  string // what it says of its end, or nothing
}

func send(t *testing.T, e errand) *process {
	t.Helper()
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(os.Args[0]), read: make(chan struct{}), acks: answers{}}
	p.cmd.Env = append(os.Environ(), errandEnv+"="+string(text))
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.read)
		for lines := bufio.NewReader(out); ; {
			line, err := lines.ReadString('\n')
			if err != nil {
				if !errors.Is(err, io.EOF) {
					p.end = err.Error()
				}
				return // what it has begun to say does not count
			}
			var id lifecycle.ID
			var name string
			var state lifecycle.State
			if n, _ := fmt.Sscanf(line, "acknowledged %d %s", &id, &name); n == 2 && state.UnmarshalText([]byte(name)) == nil {
				p.acks[id] = state
			} else {
				p.end = line
			}
		}
	}()
	return p
}

// kill kills the process and reports whether it had not finished.
func (p *process) kill() bool {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.read
	_ = p.cmd.Wait()
	return p.end == ""
}

// wait waits until the process has finished.
func (p *process) wait(t *testing.T) {
	t.Helper()
	<-p.read
	if err := p.cmd.Wait(); err != nil || p.end != "done <nil>\n" {
		t.Errorf("the process ended with %v: %q", err, p.end)
	}
}
