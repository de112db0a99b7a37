package essasynq_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	essasynq "example.com/ess/examples/asynq"
	"example.com/ess/examples/asynq/redisserver"
	"example.com/ess/lifecycle"
)

// durable are the settings under which Redis has on disk what it has answered.
var durable = []string{"--appendonly", "yes", "--appendfsync", "always"}

// startServer starts a server of the test's own.
func startServer(t testing.TB, settings ...string) *redisserver.Server {
	t.Helper()
	s, err := redisserver.Start(t.Context(), settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// restart kills the server and starts it again. It returns when the client has found it.
func restart(t testing.TB, server *redisserver.Server, rdb redis.UniversalClient) {
	t.Helper()
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	within(t, "the client has found the server again", func() bool { return rdb.Ping(t.Context()).Err() == nil })
}

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

// acks are what work has been told to be acknowledged.
type acks struct {
	mu   sync.Mutex
	told map[lifecycle.ID]lifecycle.State
	left int           // until there are enough
	many chan struct{} // closed then
}

// answering returns a canceller whose work answers at once, each in its way, and some never.
func answering(s *essasynq.Store, a *acks, work *sync.WaitGroup) *cancel.Canceller {
	var c *cancel.Canceller
	slots := make(chan struct{}, 3)
	c = cancel.New(s, &cancel.Options{
		PageSize: 8, // so that there are many places to be cut off at
		Interrupter: cancel.InterrupterFunc(func(_ context.Context, ids []lifecycle.ID, _ cancel.Cause) error {
			for _, id := range ids {
				if id%3 == 0 {
					continue
				}
				work.Go(func() {
					slots <- struct{}{}
					defer func() { <-slots }()
					if _, err := c.Acknowledge(context.Background(), cancel.Order{ID: id}, answerOf(id)); err == nil {
						a.mu.Lock()
						defer a.mu.Unlock()
						a.told[id] = answerOf(id)
						if a.left--; a.left == 0 {
							close(a.many)
						}
					}
				})
			}
			return nil
		}),
	})
	return c
}

func answerOf(id lifecycle.ID) lifecycle.State {
	outcomes := []lifecycle.State{lifecycle.StateCancelled, lifecycle.StateSucceeded, lifecycle.StateWarning, lifecycle.StateError}
	return outcomes[id%4]
}

// The server is killed with SIGKILL in the middle of cascades and started again. With
// appendfsync always nothing is lost that it has answered.
func TestServerKilled(t *testing.T) {
	t.Parallel()
	const times = 12
	ctx := t.Context()
	server := startServer(t, durable...)
	rdb := connect(t, server.Addr())
	s := essasynq.NewStore(rdb, nil)
	var inTheMiddle, answers, changes int
	for i := range times {
		requests := tree(lifecycle.ID(1 + 1000*i))
		root := requests[0].ID
		if err := s.Insert(ctx, requests...); err != nil {
			t.Fatal(err)
		}
		a := &acks{told: map[lifecycle.ID]lifecycle.State{}, left: 1 + rand.IntN(8), many: make(chan struct{})}
		var work sync.WaitGroup
		canceller := answering(s, a, &work)
		receipts := map[lifecycle.ID]lifecycle.State{}
		enough := make(chan struct{})
		// How far it comes is not a matter of time: it is killed after so many receipts, or answers.
		left := 1 + rand.IntN(200)
		if i%2 == 0 {
			left = -1
		}
		done := make(chan error, 1)
		go func() {
			_, err := canceller.Cancel(ctx, cancel.Order{ID: root, Actor: "ann", Receipt: func(r cancel.Receipt) {
				if r.Err == nil && r.To != 0 {
					receipts[r.ID] = r.To
				}
				if left--; left == 0 {
					close(enough)
				}
			}})
			done <- err
		}()
		var err error
		select {
		case <-enough:
			server.Kill()
			err = <-done
		case <-a.many:
			server.Kill()
			err = <-done
		case err = <-done:
			server.Kill()
		}
		work.Wait()
		if err != nil {
			inTheMiddle++
		}
		restart(t, server, rdb)
		answers += len(a.told)
		changes += len(receipts)
		harvest(t, s, root, receipts, a.told)
	}
	t.Logf("redis-server was killed %d times, %d in the middle of a cascade; %d changes and %d answers that it had acknowledged, none lost", times, inTheMiddle, changes, answers)
	if inTheMiddle < times/4 || answers == 0 {
		t.Errorf("only %d of %d servers were killed in the middle of a cascade", inTheMiddle, times)
	}
}

// harvest checks that nothing has been lost that was acknowledged, resumes what was cut off,
// has the rest of the work answer, and checks that everything ends.
func harvest(t *testing.T, s *essasynq.Store, root lifecycle.ID, receipts, answers map[lifecycle.ID]lifecycle.State) {
	t.Helper()
	ctx := t.Context()
	get := func(id lifecycle.ID) lifecycle.Request {
		t.Helper()
		r, err := s.Get(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	kept := func() {
		t.Helper()
		for id, to := range receipts {
			if r := get(id); r.State != to && to != lifecycle.StateCancelling {
				t.Errorf("request %d was reported %v and is %v", id, to, r.State)
			} else if lifecycle.Live.Has(r.State) && r.State != lifecycle.StateCancelling {
				t.Errorf("request %d was reported %v and is %v", id, to, r.State)
			}
		}
		for id, outcome := range answers {
			if r := get(id); r.State != outcome && (r.State != lifecycle.StateCancelling || r.Outcome != outcome) {
				t.Errorf("request %d acknowledged %v, and is %v (outcome %v)", id, outcome, r.State, r.Outcome)
			}
		}
	}
	kept()
	canceller := cancel.New(s, nil)
	if _, err := canceller.Resume(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := canceller.Cancel(ctx, cancel.Order{ID: root}); err != nil { // it may have been cut off before the fence
		t.Fatal(err)
	}
	for _, r := range below(t, s, root) {
		if r.State == lifecycle.StateCancelling && r.Kind.RunsWork() && r.Outcome == 0 {
			if _, err := canceller.Acknowledge(ctx, cancel.Order{ID: r.ID}, answerOf(r.ID)); err != nil {
				t.Error(err)
			}
		}
	}
	for _, r := range below(t, s, root) {
		if lifecycle.Live.Has(r.State) {
			t.Errorf("request %d is %v in the end", r.ID, r.State)
		}
	}
	kept()
}

// below returns the request and everything below it.
func below(t testing.TB, s *essasynq.Store, root lifecycle.ID) canceltest.Snapshot {
	t.Helper()
	r, err := s.Get(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	snap := canceltest.Snapshot{root: r}
	for level := []lifecycle.ID{root}; len(level) > 0; {
		q := cancel.ChildQuery{Parents: level, States: lifecycle.Live | lifecycle.Terminal}
		level = nil
		for r, err := range cancel.Children(t.Context(), s, q) {
			if err != nil {
				t.Fatal(err)
			}
			snap[r.ID] = r
			if r.Kind.HasChildren() {
				level = append(level, r.ID)
			}
		}
	}
	return snap
}

// batchOf3 is a small tree, for tests of what Redis forgets.
var batchOf3 = []lifecycle.Request{
	{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateRunning},
	{ID: 2, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateReady},
	{ID: 3, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateReady},
}

// A server that writes only snapshots forgets, when it is killed, what came after the last.
func TestSnapshotsForget(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server := startServer(t)
	rdb := connect(t, server.Addr())
	s := essasynq.NewStore(rdb, nil)
	if err := s.Insert(ctx, batchOf3...); err != nil {
		t.Fatal(err)
	}
	if err := rdb.Save(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	canceller := cancel.New(s, nil)
	if res, err := canceller.Cancel(ctx, cancel.Order{ID: 1}); err != nil || res.Root.To != lifecycle.StateCancelled {
		t.Fatal(res.Root, err)
	}
	restart(t, server, rdb)
	if r := below(t, s, 1)[2]; r.State != lifecycle.StateReady {
		t.Errorf("after the server was killed, a child that had been cancelled is %v; has Redis learnt to keep it?", r.State)
	}
}

func within(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within half a minute: %s", what)
		}
	}
}

// A server that does not answer keeps nobody longer than his context.
func TestServerHangs(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	s := essasynq.NewStore(connect(t, server.Addr()), nil)
	if err := s.Insert(t.Context(), batchOf3...); err != nil {
		t.Fatal(err)
	}
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	begin := time.Now()
	_, err := cancel.New(s, nil).Cancel(ctx, cancel.Order{ID: 1})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Cancel while the server hangs: %v", err)
	}
	if d := time.Since(begin); d > 2*time.Second {
		t.Errorf("Cancel with a timeout of 50 ms took %v", d)
	}
}

// The client does not send a script again by itself, whose answer was lost: whether it has
// been done is not known then, and a second try would find the first one's work.
func TestNoRetry(t *testing.T) {
	t.Parallel()
	s := newStore(t, batchOf3...)
	var sent atomic.Int32
	rdb := redis.NewClient(&redis.Options{
		Addr: addr, MaxRetries: 3,
		Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, addr)
			return deaf{c, &sent}, err
		},
	})
	t.Cleanup(func() { _ = rdb.Close() })
	if _, err := s.Apply(t.Context(), []cancel.Change{{Old: lifecycle.Request{ID: 9}}}); err != nil {
		t.Fatal(err) // now the server knows the script
	}
	changes := []cancel.Change{{Old: batchOf3[1], Trigger: lifecycle.TriggerStart, State: lifecycle.StateRunning, Attempt: 1}}
	if _, err := essasynq.NewStore(rdb, &essasynq.StoreOptions{Prefix: s.Prefix()}).Apply(t.Context(), changes); err == nil {
		t.Error("the answer was lost, and Apply has no error")
	}
	if n := sent.Load(); n != 1 {
		t.Errorf("the script was sent %d times, want once", n)
	}
	within(t, "it was done all the same", func() bool {
		r, err := s.Get(t.Context(), 2)
		return err == nil && r.State == lifecycle.StateRunning
	})
}

// A deaf connection breaks when a script has been sent.
type deaf struct {
	net.Conn
	sent *atomic.Int32
}

func (c deaf) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if bytes.Contains(b, []byte("evalsha")) {
		c.sent.Add(1)
		time.Sleep(10 * time.Millisecond) // for the server to read it
		_ = c.Conn.Close()
	}
	return n, err
}
