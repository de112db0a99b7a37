package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
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

// A job is work that runs until its context ends.
type job struct {
	ended chan error
}

// run has workers run the work of a request that is RUNNING, and returns when it does.
func run(t *testing.T, s *etcd.Store, workers *cancel.Workers, id lifecycle.ID) job {
	t.Helper()
	r, err := s.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	j, running := job{make(chan error, 1)}, make(chan struct{})
	go func() {
		j.ended <- workers.Run(t.Context(), cancel.New(s, nil), r, func(ctx context.Context) error {
			close(running)
			<-ctx.Done()
			return context.Cause(ctx)
		}, nil)
	}()
	select {
	case <-running:
	case err := <-j.ended:
		t.Fatal(err)
	}
	return j
}

// cause waits until the work has been told to stop, and returns why.
func (j job) cause(t *testing.T) cancel.Cause {
	t.Helper()
	select {
	case err := <-j.ended:
		cancelled, ok := errors.AsType[*cancel.CancelledError](err)
		if !ok {
			t.Fatalf("the work ended with %v", err)
		}
		return cancelled.Cause
	case <-time.After(30 * time.Second):
		t.Fatal("the work was not told to stop")
		panic("not reached")
	}
}

// watch runs a Watcher to the end of the test, and returns a channel of its troubles.
func watch(t *testing.T, s *etcd.Store, workers *cancel.Workers) <-chan error {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	troubles := make(chan error, 100)
	done := make(chan error)
	go func() {
		w := etcd.Watcher{Store: s, Retry: 10 * time.Millisecond, Trouble: func(err error) { troubles <- err }}
		done <- w.Run(ctx, cancel.New(s, nil), workers)
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
		request(5, 4, lifecycle.KindChild, lifecycle.StateRunning),
		request(6, 0, lifecycle.KindSingleton, lifecycle.StateRunning))
	c := cancel.New(s, nil)
	var workers cancel.Workers
	one, two, five, six := run(t, s, &workers, 1), run(t, s, &workers, 2), run(t, s, &workers, 5), run(t, s, &workers, 6)

	// Before it runs, and while it runs.
	if _, err := c.Cancel(t.Context(), cancel.Order{ID: 1, Actor: "ann", Reason: "before"}); err != nil {
		t.Fatal(err)
	}
	watch(t, s, &workers)
	for _, j := range []job{one, two} {
		if cause := j.cause(t); cause.Actor != "ann" || cause.Reason != "before" || cause.Root != 1 {
			t.Errorf("told %+v", cause)
		}
	}
	if _, err := c.Cancel(t.Context(), cancel.Order{ID: 4, Actor: "bob", Reason: "while"}); err != nil {
		t.Fatal(err)
	}
	if cause := five.cause(t); cause.Actor != "bob" || cause.Root != 4 {
		t.Errorf("told %+v", cause)
	}
	select {
	case err := <-six.ended:
		t.Errorf("what nobody has cancelled has ended: %v", err)
	default:
	}
}

// Whoever can write the keys that are watched, and no others, ends no work and puts no words
// into anybody's mouth.
func TestWatcherForged(t *testing.T) {
	t.Parallel()
	client, prefix := connect(t), newPrefix()
	s := etcd.New(client, prefix)
	if err := s.Insert(t.Context(), request(1, 0, lifecycle.KindSingleton, lifecycle.StateRunning)); err != nil {
		t.Fatal(err)
	}
	var workers cancel.Workers
	one := run(t, s, &workers, 1)
	troubles := watch(t, s, &workers)
	for _, value := range []string{
		`{"id":1,"kind":"SINGLETON","state":"CANCELLING","cause":{"root":1,"actor":"root","reason":"\n2026/03/31 all is well"}}`,
		fmt.Sprintf("%019d", 0), "junk\n2026/03/31 all is well", "",
	} {
		for _, key := range []string{fmt.Sprintf("%019d", 1), fmt.Sprintf("%019d", 2), "junk\n2026/03/31 all is well", "-000000000000000001", ""} {
			put(t, client, prefix+"cancelling/"+key, value)
			if listed, err := s.ListCancelling(t.Context(), 0, 10); err != nil || len(listed) > 0 {
				t.Errorf("ListCancelling = %v, %v, want nothing", listed, err)
			}
		}
	}
	if _, err := cancel.New(s, nil).Resume(t.Context(), nil); err != nil {
		t.Error(err)
	}
	select {
	case err := <-one.ended:
		t.Fatalf("the work has ended: %v", err)
	case err := <-troubles:
		t.Errorf("trouble: %v", err)
	case <-time.After(500 * time.Millisecond):
	}
	checkStates(t, s, map[lifecycle.ID]lifecycle.State{1: lifecycle.StateRunning})

	if _, err := cancel.New(s, nil).Cancel(t.Context(), cancel.Order{ID: 1, Actor: "ann", Reason: "wrong ledger"}); err != nil {
		t.Fatal(err)
	}
	if cause := one.cause(t); cause.Actor != "ann" || cause.Reason != "wrong ledger" {
		t.Errorf("told %+v", cause)
	}
}

// A hookedClient does something when the Watcher begins to look, and before it begins to
// watch.
type hookedClient struct {
	clientv3.KV
	clientv3.Watcher
	look, watch sync.Once
	onLook      func()
	onWatch     func()
}

func (h *hookedClient) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	if strings.HasSuffix(key, "cancelling/") {
		h.look.Do(h.onLook)
	}
	return h.KV.Get(ctx, key, opts...)
}

func (h *hookedClient) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	h.watch.Do(h.onWatch)
	return h.Watcher.Watch(ctx, key, opts...)
}

// Nothing falls between the look at the requests and the watch.
func TestWatcherBetweenLookAndWatch(t *testing.T) {
	t.Parallel()
	client, prefix := connect(t), newPrefix()
	s := etcd.New(connect(t), prefix)
	if err := s.Insert(t.Context(),
		request(1, 0, lifecycle.KindSingleton, lifecycle.StateRunning),
		request(2, 0, lifecycle.KindSingleton, lifecycle.StateRunning)); err != nil {
		t.Fatal(err)
	}
	var workers cancel.Workers
	one, two := run(t, s, &workers, 1), run(t, s, &workers, 2)
	cancelled := func(id lifecycle.ID) func() {
		return func() {
			if _, err := cancel.New(s, nil).Cancel(t.Context(), cancel.Order{ID: id}); err != nil {
				t.Error(err)
			}
		}
	}
	h := &hookedClient{KV: client.KV, Watcher: client.Watcher, onLook: cancelled(1), onWatch: cancelled(2)}
	client.KV, client.Watcher = h, h
	watch(t, etcd.New(client, prefix), &workers)
	one.cause(t)
	two.cause(t)
}

// A broken store fails once, when it is asked about a request.
type broken struct {
	clientv3.KV
	failed sync.Once
}

var errBroken = errors.New("broken")

func (kv *broken) Txn(ctx context.Context) clientv3.Txn {
	fail := false
	kv.failed.Do(func() { fail = true })
	if fail {
		return brokenTxn{kv.KV.Txn(ctx)}
	}
	return kv.KV.Txn(ctx)
}

type brokenTxn struct{ clientv3.Txn }

func (t brokenTxn) Then(...clientv3.Op) clientv3.Txn       { return t }
func (t brokenTxn) Commit() (*clientv3.TxnResponse, error) { return nil, errBroken }

// A request that could not be read is asked about again.
func TestWatcherCannotRead(t *testing.T) {
	t.Parallel()
	client, prefix := connect(t), newPrefix()
	s := etcd.New(connect(t), prefix)
	if err := s.Insert(t.Context(), request(1, 0, lifecycle.KindSingleton, lifecycle.StateRunning)); err != nil {
		t.Fatal(err)
	}
	var workers cancel.Workers
	one := run(t, s, &workers, 1)
	if _, err := cancel.New(s, nil).Cancel(t.Context(), cancel.Order{ID: 1}); err != nil {
		t.Fatal(err)
	}
	client.KV = &broken{KV: client.KV}
	troubles := watch(t, etcd.New(client, prefix), &workers)
	one.cause(t)
	if err := <-troubles; !errors.Is(err, errBroken) {
		t.Errorf("trouble %v, want %v", err, errBroken)
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
	var workers cancel.Workers
	one, two := run(t, s, &workers, 1), run(t, s, &workers, 2)
	troubles := watch(t, etcd.New(behind, prefix), &workers)
	if _, err := c.Cancel(t.Context(), cancel.Order{ID: 1}); err != nil {
		t.Fatal(err)
	}
	one.cause(t)

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
	two.cause(t)
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
