package essasynq_test

import (
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"

	"example.com/ess/cancel"
	essasynq "example.com/ess/examples/asynq"
	"example.com/ess/lifecycle"
)

// Replicas are behind. What a primary has acknowledged, on its disk as it may be, is lost if a
// replica that has not got it takes over. min-replicas-to-write bounds for how long.
func TestFailoverForgets(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	primary := startServer(t, append(durable, "--min-replicas-to-write", "1", "--min-replicas-max-lag", "2",
		"--repl-ping-replica-period", "1", "--repl-diskless-sync-delay", "0")...)
	line := newLine(t, primary.Addr())
	host, port, _ := net.SplitHostPort(line.addr())
	replica := startServer(t, append(durable, "--replicaof", host+" "+port)...)
	old, promoted := connect(t, primary.Addr()), connect(t, replica.Addr())
	s := essasynq.NewStore(old, nil)
	within(t, "the replica is in step", func() bool { return s.Insert(ctx, batchOf3...) == nil })
	within(t, "the replica has the batch", func() bool {
		_, err := essasynq.NewStore(promoted, nil).Get(ctx, 3)
		return err == nil
	})

	line.cut() // nothing comes through any more, which nobody knows yet
	canceller := cancel.New(s, nil)
	if res, err := canceller.Cancel(ctx, cancel.Order{ID: 1}); err != nil || res.Root.To != lifecycle.StateCancelled {
		t.Fatal(res.Root, err)
	}
	within(t, "the primary refuses to write without a replica", func() bool {
		r := lifecycle.Request{ID: lifecycle.ID(1 + rand.Int64N(1<<40)), Kind: lifecycle.KindSingleton, State: lifecycle.StateReady}
		return s.Submit(ctx, r) != nil
	})
	primary.Kill()
	within(t, "the replica takes over", func() bool { return promoted.ReplicaOf(ctx, "NO", "ONE").Err() == nil })
	s = essasynq.NewStore(promoted, nil)
	if r := below(t, s, 1)[2]; r.State != lifecycle.StateReady {
		t.Errorf("after the failover, a child that had been cancelled is %v; has Redis learnt to keep it?", r.State)
	}
	// What is left is a tree as it was, and can be cancelled.
	if res, err := cancel.New(s, nil).Cancel(ctx, cancel.Order{ID: 1}); err != nil || res.Root.To != lifecycle.StateCancelled {
		t.Error(res.Root, err)
	}
}

// A line is a connection over which, once it is cut, nothing comes any more.
type line struct {
	net.Listener
	isCut atomic.Bool
}

func newLine(t testing.TB, to string) *line {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	ln := &line{Listener: l}
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				_ = from.Close()
				continue
			}
			go ln.pass(from, far)
			go ln.pass(far, from)
		}
	}()
	return ln
}

func (l *line) addr() string { return l.Addr().String() }

func (l *line) cut() { l.isCut.Store(true) }

func (l *line) pass(to, from net.Conn) {
	defer to.Close()
	for b := make([]byte, 1<<16); ; {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		if !l.isCut.Load() {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
	}
}
