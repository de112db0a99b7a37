package essasynq_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	essasynq "example.com/ess/examples/asynq"
	"example.com/ess/examples/asynq/redisserver"
	"example.com/ess/lifecycle"
)

// In a Redis Cluster trees spread over the nodes. One that is away keeps only its own trees
// from being cancelled; when it is back the rest follows.
func TestCluster(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	nodes, err := redisserver.StartCluster(ctx, 3, append(durable, "--cluster-require-full-coverage", "no")...)
	if err != nil {
		t.Fatal(err)
	}
	var addrs []string
	for _, node := range nodes {
		addrs = append(addrs, node.Addr())
		t.Cleanup(func() {
			if err := node.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
	rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs, DialerRetries: 1})
	t.Cleanup(func() { _ = rdb.Close() })
	const tags = 64
	s := essasynq.NewStore(rdb, &essasynq.StoreOptions{Tags: tags})
	all := forest(tags, 64)
	if err := s.Insert(ctx, all...); err != nil {
		t.Fatal(err)
	}
	on := map[string]int{}
	for i, node := range nodes {
		c := connect(t, node.Addr())
		n, err := c.DBSize(ctx).Result()
		if err != nil {
			t.Fatal(err)
		}
		if on[node.Addr()] = int(n); n < int64(len(all)/9) {
			t.Errorf("node %d of 3 has only %d keys of %d requests", i, n, len(all))
		}
	}
	var orders []cancel.Order
	for _, r := range all {
		if r.Parent == 0 {
			orders = append(orders, cancel.Order{ID: r.ID, Actor: "ann"})
		}
	}
	canceller := cancel.New(s, &cancel.Options{PageSize: 20})
	cut := 0
	for i, o := range orders {
		if i == len(orders)/3 {
			nodes[1].Kill()
		}
		limited, stop := context.WithTimeout(ctx, 5*time.Second)
		if _, err := canceller.Cancel(limited, o); err != nil {
			cut++
		}
		stop()
	}
	if cut == 0 || cut > len(orders)*2/3 {
		t.Errorf("%d of %d trees could not be cancelled while one of three nodes was away", cut, len(orders))
	}
	if err := nodes[1].Restart(ctx); err != nil {
		t.Fatal(err)
	}
	within(t, "everything is cancelled", func() bool {
		for _, o := range orders {
			if _, err := canceller.Cancel(ctx, o); err != nil && !errors.Is(err, esserrors.CodeUnsupportedState) {
				return false
			}
		}
		return true
	})
	for _, o := range orders {
		for _, r := range below(t, s, o.ID) {
			if lifecycle.Live.Has(r.State) && r.State != lifecycle.StateCancelling {
				t.Errorf("request %d is %v", r.ID, r.State)
			}
		}
	}
	t.Logf("keys on the three nodes: %v; with one of them away %d of %d trees could not be cancelled", slices.Sorted(maps.Values(on)), cut, len(orders))
}
