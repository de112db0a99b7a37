package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	esserrors "example.com/ess/errors"
	"example.com/ess/examples/etcd"
	"example.com/ess/lifecycle"
)

// A ledger has what the store has acknowledged: in which state each request was left.
type ledger struct {
	mu     sync.Mutex
	states map[lifecycle.ID]lifecycle.State
	count  int
}

func (l *ledger) add(id lifecycle.ID, s lifecycle.State) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.states == nil {
		l.states = map[lifecycle.ID]lifecycle.State{}
	}
	if rank(s) >= rank(l.states[id]) {
		l.states[id] = s
	}
	l.count++
	return l.count
}

// rank says how far a request is in its life, as far as a scheduler takes it here.
func rank(s lifecycle.State) int {
	switch {
	case s == 0:
		return -1
	case s == lifecycle.StateWait, s == lifecycle.StateReady:
		return 0
	case s == lifecycle.StateRunning:
		return 1
	case s == lifecycle.StateCancelling:
		return 2
	default:
		return 3
	}
}

// check checks that nothing acknowledged is lost.
func (l *ledger) check(t *testing.T, snap canceltest.Snapshot) {
	t.Helper()
	for id, then := range l.states {
		switch now, ok := snap[id]; {
		case !ok:
			t.Errorf("request %d, which was acknowledged, is lost", id)
		case now.State != then && (lifecycle.Terminal.Has(then) || rank(now.State) < rank(then)):
			t.Errorf("request %d was acknowledged to be %v and is %v", id, then, now.State)
		}
	}
}

// schedule cancels request 1 of a tree and, at the same time, acknowledges, starts and
// submits what is below it. When about as many answers as said have come, and the cascade
// is in the middle, it calls fault. It returns when everybody has given up or is through,
// and says how many calls have failed.
func schedule(ctx context.Context, s *etcd.Store, requests []lifecycle.Request, l *ledger, answers int, fault func()) (failed int64) {
	var failures atomic.Int64
	failedBy := func(err error) {
		if err != nil && !errors.Is(err, esserrors.CodeUnsupportedState) && !errors.Is(err, context.Canceled) {
			failures.Add(1)
		}
	}
	cascading := true // guarded by being used in the goroutine of Cancel only
	var group sync.WaitGroup
	receipt := func(r cancel.Receipt) {
		if r.Err != nil || !r.To.Valid() {
			return
		}
		if n := l.add(r.ID, r.To); n >= answers && cascading {
			cascading = false
			group.Go(fault) // beside the cascade, which goes on
		}
	}
	told := make(chan lifecycle.ID, len(requests))
	c := cancel.New(s, &cancel.Options{
		PageSize: 10,
		Interrupter: cancel.InterrupterFunc(func(_ context.Context, ids []lifecycle.ID, _ cancel.Cause) error {
			for _, id := range ids {
				told <- id
			}
			return nil
		}),
	})
	group.Go(func() {
		defer close(told)
		_, err := c.Cancel(ctx, cancel.Order{ID: 1, Actor: "ann", Receipt: receipt})
		failedBy(err)
	})
	group.Go(func() {
		for id := range told {
			if ctx.Err() != nil {
				continue
			}
			_, err := c.Acknowledge(ctx, cancel.Order{ID: id, Receipt: func(r cancel.Receipt) {
				if r.Err == nil && r.To.Valid() {
					l.add(r.ID, r.To)
				}
			}}, lifecycle.StateSucceeded)
			failedBy(err)
		}
	})
	group.Go(func() {
		for _, r := range slices.Backward(requests) {
			if r.State != lifecycle.StateReady || ctx.Err() != nil {
				continue
			}
			now, err := c.Transition(ctx, cancel.Order{ID: r.ID}, lifecycle.TriggerStart)
			if err == nil {
				l.add(now.ID, now.State)
			}
			failedBy(err)
		}
	})
	group.Go(func() {
		for i := range lifecycle.ID(20) {
			child := request(lifecycle.ID(len(requests))+1+i, 2+i%10, lifecycle.KindChild, lifecycle.StateWait)
			err := s.Submit(ctx, child)
			if err == nil {
				l.add(child.ID, child.State)
			}
			failedBy(err)
		}
	})
	group.Wait()
	return failures.Load()
}

// resumed has another process, as it were, take up what a fault has left: it checks that
// nothing acknowledged is lost, resumes, and checks that all comes to its end.
func resumed(t *testing.T, s *etcd.Store, l *ledger) (left int) {
	t.Helper()
	snap, err := canceltest.TakeSnapshot(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	l.check(t, snap)
	for _, r := range snap {
		if lifecycle.Live.Has(r.State) && r.State != lifecycle.StateCancelling {
			left++
		}
	}
	if _, err := cancel.New(s, nil).Resume(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	checkEnd(t, s)
	if snap, err = canceltest.TakeSnapshot(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	l.check(t, snap)
	return left
}

// TestLeaderKilled kills the leader with SIGKILL in the middle of a cascade, again and
// again, starts it again, and has another process take up what was left. Every second time
// whoever cancels lives on, and may get through with the next leader.
func TestLeaderKilled(t *testing.T) {
	const kills = 3
	c := private(t)
	requests := tree(10, 30)
	random := rand.New(rand.NewPCG(3, 4))
	answers, left, failed := 0, 0, int64(0)
	for kill := range kills {
		prefix := newPrefix()
		s := etcd.New(c.connect(t), prefix)
		if err := s.Insert(t.Context(), requests...); err != nil {
			t.Fatal(err)
		}
		leader := c.leader(t)
		var l ledger
		killed := false
		ctx, stop := context.WithCancel(t.Context())
		failed += schedule(ctx, s, requests, &l, 30+random.IntN(120), func() {
			time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond)
			if err := c.kill(leader); err != nil {
				t.Error(err)
			}
			killed = true
			if kill%2 == 0 {
				stop()
			}
		})
		stop()
		if !killed {
			t.Fatal("the cascade was over before the leader was killed")
		}
		answers += l.count
		if err := c.start(leader); err != nil {
			t.Fatal(err)
		}
		if err := c.ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		left += resumed(t, etcd.New(c.connect(t), prefix), &l)
	}
	if left == 0 {
		t.Error("nothing was left to resume")
	}
	t.Logf("the leader was killed %d times in the middle of a cascade: %d calls failed, %d requests were left to cancel in all; "+
		"%d answers of the store had come and none was lost", kills, failed, left, answers)
}

// TestMinority cuts one member off the other two in the middle of a cascade: the leader,
// and then one that is not. The two go on. The one, and whoever is connected to it
// alone, learns nothing, rather than what used to be true.
func TestMinority(t *testing.T) {
	c := private(t)
	requests := tree(10, 30)
	answers, left, refused, failed := 0, 0, 0, int64(0)
	for _, ofLeader := range []bool{true, false} {
		prefix := newPrefix()
		s := etcd.New(c.connect(t), prefix)
		if err := s.Insert(t.Context(), requests...); err != nil {
			t.Fatal(err)
		}
		cut := c.leader(t)
		if !ofLeader {
			cut = (cut + 1) % 3
		}
		client := c.connect(t, cut)
		minority := etcd.New(client, prefix)
		majority := etcd.New(c.connect(t, (cut+1)%3, (cut+2)%3), prefix)
		if _, err := minority.Get(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		var workers cancel.Workers
		troubles := watch(t, minority, &workers)

		// Who speaks to the member that is cut off waits; that ends with the process.
		ctx, stop := context.WithCancel(t.Context())
		var l ledger
		failed += schedule(ctx, s, requests, &l, 100, func() {
			if err := c.partition("cut", cut); err != nil {
				t.Error(err)
			}
			time.Sleep(3 * time.Second)
			stop()
		})
		answers += l.count
		stop()

		// The majority goes on. Where the leader was cut off it has elected another.
		left += resumed(t, majority, &l)

		// The minority still has the root, for one, as it used to be.
		const id = 1
		now, err := majority.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		old, err := client.Get(t.Context(), fmt.Sprintf("%slive/%019d/%019d", prefix, now.Parent, id), clientv3.WithSerializable())
		if err != nil || len(old.Kvs) != 1 {
			t.Errorf("a serializable read of the minority does not show what used to be true: %v, %v; then this test shows nothing", old, err)
		}
		for name, call := range map[string]func(context.Context) error{
			"Get": func(ctx context.Context) error { _, err := minority.Get(ctx, id); return err },
			"Children": func(ctx context.Context) error {
				_, err := minority.Children(ctx, cancel.ChildQuery{Parents: []lifecycle.ID{now.Parent}, States: lifecycle.Live, Limit: 10})
				return err
			},
			"ListCancelling": func(ctx context.Context) error { _, err := minority.ListCancelling(ctx, 0, 10); return err },
			"Cause":          func(ctx context.Context) error { _, err := minority.Cause(ctx, id); return err },
			"Submit": func(ctx context.Context) error {
				return minority.Submit(ctx, request(9999, 1, lifecycle.KindChild, lifecycle.StateWait))
			},
			"Cancel": func(ctx context.Context) error {
				_, err := cancel.New(minority, nil).Cancel(ctx, cancel.Order{ID: 1})
				return err
			},
		} {
			ctx, stop := context.WithTimeout(t.Context(), time.Second)
			if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s from the minority = %v, want the error of the context", name, err)
			}
			stop()
			refused++
		}
		if err := <-troubles; !errors.Is(err, rpctypes.ErrNoLeader) {
			t.Errorf("the watcher of the minority: %v, want %v", err, rpctypes.ErrNoLeader)
		}

		if err := c.partition("mend", cut); err != nil {
			t.Fatal(err)
		}
		if err := c.ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r, err := minority.Get(t.Context(), id); err != nil || r.State != now.State {
			t.Errorf("after that Get(%d) = %v, %v, want %v", id, r.State, err, now.State)
		}
		if err := majority.Insert(t.Context(), request(9999, 0, lifecycle.KindSingleton, lifecycle.StateRunning)); err != nil {
			t.Fatal(err)
		}
		late := run(t, majority, &workers, 9999)
		if _, err := cancel.New(majority, nil).Cancel(t.Context(), cancel.Order{ID: 9999}); err != nil {
			t.Fatal(err)
		}
		late.cause(t) // the watcher has recovered
	}
	t.Logf("the leader, and then another member, was cut off in the middle of a cascade: %d calls failed, %d requests were left to cancel in all; "+
		"%d answers of the store had come and none was lost; %d calls to the minority were refused, none gave an old answer",
		failed, left, answers, refused)
}
