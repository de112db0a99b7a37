package etcd_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"example.com/ess/cancel"
	"example.com/ess/examples/etcd"
	"example.com/ess/lifecycle"
)

// told is an Interrupter that says of what it was told.
type told struct {
	mu     sync.Mutex
	causes map[lifecycle.ID][]cancel.Cause
	fail   error
}

func (w *told) Interrupt(_ context.Context, ids []lifecycle.ID, cause cancel.Cause) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.fail; err != nil {
		w.fail = nil
		return err
	}
	if w.causes == nil {
		w.causes = map[lifecycle.ID][]cancel.Cause{}
	}
	for _, id := range ids {
		w.causes[id] = append(w.causes[id], cause)
	}
	return nil
}

// of returns the causes that w was told for a request. It waits for n of them.
func (w *told) of(t *testing.T, id lifecycle.ID, n int) []cancel.Cause {
	t.Helper()
	for range 3000 {
		w.mu.Lock()
		causes := slices.Clone(w.causes[id])
		w.mu.Unlock()
		if len(causes) >= n {
			return causes
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("request %d was not told of %d times", id, n)
	return nil
}

// watch runs a Watcher to the end of the test, and returns a channel of its troubles.
func watch(t *testing.T, s *etcd.Store, workers cancel.Interrupter) <-chan error {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	troubles := make(chan error, 100)
	done := make(chan error)
	go func() {
		w := etcd.Watcher{Store: s, Retry: 10 * time.Millisecond, Trouble: func(err error) { troubles <- err }}
		done <- w.Run(ctx, workers)
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run = %v, want the error of its context", err)
		}
	})
	return troubles
}

func TestWatcher(t *testing.T) {
	t.Parallel()
	client := connect(t)
	s := open(t, client,
		request(1, 0, lifecycle.KindSubrequestParent, lifecycle.StateRunning),
		request(2, 1, lifecycle.KindChild, lifecycle.StateRunning),
		request(3, 1, lifecycle.KindChild, lifecycle.StateWait),
		request(4, 0, lifecycle.KindParent, lifecycle.StateRunning),
		request(5, 4, lifecycle.KindChild, lifecycle.StateRunning))
	c := cancel.New(s, nil)

	// Before it runs, and while it runs.
	if _, err := c.Cancel(t.Context(), cancel.Order{ID: 1, Actor: "ann", Reason: "before"}); err != nil {
		t.Fatal(err)
	}
	var workers told
	watch(t, s, &workers)
	for _, id := range []lifecycle.ID{1, 2} {
		if causes := workers.of(t, id, 1); causes[0].Actor != "ann" || causes[0].Reason != "before" || causes[0].Root != 1 {
			t.Errorf("request %d: told %+v", id, causes)
		}
	}
	if _, err := c.CheckIn(t.Context(), 2); err != nil { // of which nobody is told
		t.Fatal(err)
	}
	if _, err := c.Cancel(t.Context(), cancel.Order{ID: 4, Actor: "bob", Reason: "while"}); err != nil {
		t.Fatal(err)
	}
	if causes := workers.of(t, 5, 1); causes[0].Actor != "bob" || causes[0].Root != 4 {
		t.Errorf("request 5: told %+v", causes)
	}
	workers.mu.Lock()
	defer workers.mu.Unlock()
	for id := range workers.causes {
		if !slices.Contains([]lifecycle.ID{1, 2, 5}, id) || len(workers.causes[id]) != 1 {
			t.Errorf("request %d was told of %d times", id, len(workers.causes[id]))
		}
	}
}

// A late list lets something happen before its first answer arrives.
type lateList struct {
	clientv3.KV
	calls int
	do    func()
}

func (kv *lateList) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	resp, err := kv.KV.Get(ctx, key, opts...)
	if kv.calls++; kv.calls == 1 {
		kv.do()
	}
	return resp, err
}

// Nothing falls between the list and the watch.
func TestWatcherBetweenListAndWatch(t *testing.T) {
	t.Parallel()
	client, prefix := connect(t), newPrefix()
	other := etcd.New(connect(t), prefix)
	if err := other.Insert(t.Context(), request(1, 0, lifecycle.KindSingleton, lifecycle.StateRunning)); err != nil {
		t.Fatal(err)
	}
	client.KV = &lateList{KV: client.KV, do: func() {
		if _, err := cancel.New(other, nil).Cancel(t.Context(), cancel.Order{ID: 1}); err != nil {
			t.Error(err)
		}
	}}
	var workers told
	watch(t, etcd.New(client, prefix), &workers)
	workers.of(t, 1, 1)
}

// Workers that fail are told of everything again.
func TestWatcherWorkersFail(t *testing.T) {
	t.Parallel()
	s := open(t, connect(t), request(1, 0, lifecycle.KindSingleton, lifecycle.StateRunning))
	if _, err := cancel.New(s, nil).Cancel(t.Context(), cancel.Order{ID: 1}); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	workers := told{fail: broken}
	troubles := watch(t, s, &workers)
	workers.of(t, 1, 1)
	if err := <-troubles; !errors.Is(err, broken) {
		t.Errorf("trouble %v, want %v", err, broken)
	}
}

// A Watcher that was cut off finds that etcd has forgotten where it was.
func TestWatcherAfterCompaction(t *testing.T) {
	t.Parallel()
	client := connect(t)
	prefix := newPrefix()
	s := etcd.New(client, prefix)
	if err := s.Insert(t.Context(),
		request(1, 0, lifecycle.KindSingleton, lifecycle.StateRunning),
		request(2, 0, lifecycle.KindSingleton, lifecycle.StateRunning)); err != nil {
		t.Fatal(err)
	}
	between := newProxy(t, shared.cluster.members[0].client)
	behind, err := clientv3.New(clientv3.Config{Endpoints: []string{between.address}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = behind.Close() })
	c := cancel.New(s, nil)
	var workers told
	troubles := watch(t, etcd.New(behind, prefix), &workers)
	if _, err := c.Cancel(t.Context(), cancel.Order{ID: 1}); err != nil {
		t.Fatal(err)
	}
	workers.of(t, 1, 1)

	between.cut()
	if _, err := c.Cancel(t.Context(), cancel.Order{ID: 2}); err != nil {
		t.Fatal(err)
	}
	now, err := client.Put(t.Context(), "compact", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Compact(t.Context(), now.Header.Revision); err != nil {
		t.Fatal(err)
	}
	between.mend(t)
	workers.of(t, 2, 1)
	if err := <-troubles; !errors.Is(err, rpctypes.ErrCompacted) {
		t.Errorf("trouble %v, want %v", err, rpctypes.ErrCompacted)
	}
}

// A proxy stands between a client and a member, and can cut them off from each other.
type proxy struct {
	address, to string

	mu          sync.Mutex
	listener    net.Listener
	connections []net.Conn
}

func newProxy(t *testing.T, member string) *proxy {
	t.Helper()
	to, err := url.Parse(member)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{address: "127.0.0.1:0", to: to.Host}
	p.mend(t)
	t.Cleanup(p.cut)
	return p
}

func (p *proxy) mend(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener, p.address = listener, listener.Addr().String()
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", p.to)
			if err != nil {
				_ = in.Close()
				continue
			}
			p.mu.Lock()
			p.connections = append(p.connections, in, out)
			p.mu.Unlock()
			for _, pipe := range [][2]net.Conn{{in, out}, {out, in}} {
				go func() {
					_, _ = io.Copy(pipe[0], pipe[1])
					_, _ = in.Close(), out.Close()
				}()
			}
		}
	}()
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.listener.Close()
	for _, c := range p.connections {
		_ = c.Close()
	}
	p.connections = nil
}
