package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/version"
	clientv3 "go.etcd.io/etcd/client/v3"

	"example.com/ess/cancel"
	"example.com/ess/examples/etcd"
	"example.com/ess/lifecycle"
)

// etcd measures cascades in a cluster, which waits for the disks of two members.
func (b *bench) etcd(ctx context.Context) (err error) {
	var c *cluster
	sizes := append(slices.Clone(b.size.growth), b.size.etcd)
	slices.Sort(sizes)
	for _, n := range slices.Compact(sizes) {
		t := etcdTree{tree: wide(n/b.size.fan, b.size.fan)}
		contest := contest{name: fmt.Sprintf("etcd/%d", n), title: "etcd, three members, " + t.name, rounds: b.size.few}
		if n > b.size.etcd || !b.only.MatchString(contest.name) {
			continue // etcd is not made for so many
		}
		if c == nil {
			if c, err = startCluster(ctx); err != nil {
				return err
			}
			defer func() { err = errors.Join(err, c.stop()) }()
			b.note("etcd " + version.Version)
		}
		t.cluster = c
		ours := []goal{}
		if n == b.size.etcd {
			contest.rounds = b.size.rounds
			ours = append(ours, atMost(1.2))
		}
		contest.ways = []way{
			{name: "bare transactions", run: t.bare},
			{name: paged(threeMethods, defaultPage), goals: ours, run: t.cascade(defaultPage)},
			{name: paged(threeMethods, largePage), goals: ours, run: t.cascade(largePage)},
		}
		if err := b.compete(ctx, contest); err != nil {
			return err
		}
	}
	return nil
}

type etcdTree struct {
	tree
	cluster *cluster
}

// fresh runs do on a tree that has been stored anew, under a prefix of its own, checks it, and
// removes it.
func (t etcdTree) fresh(ctx context.Context, m *meter, do func(client *clientv3.Client, prefix string) error) (err error) {
	client, err := t.cluster.connect(&m.trips, 0, 1, 2)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	prefix := fmt.Sprintf("/%020d/", time.Now().UnixNano())
	if err := etcd.New(client, prefix).Insert(ctx, slices.Collect(t.all())...); err != nil {
		return err
	}
	if err := do(client, prefix); err != nil {
		return err
	}
	all, err := client.Get(ctx, prefix+"ended/", clientv3.WithPrefix())
	if err != nil {
		return err
	}
	var states census
	for _, kv := range all.Kvs {
		var rec etcdRecord
		if err := json.Unmarshal(kv.Value, &rec); err != nil {
			return err
		}
		states.add(rec.State)
	}
	left, err := client.Get(ctx, prefix+"live/", clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err == nil && left.Count > 0 {
		err = fmt.Errorf("%d requests are live", left.Count)
	}
	if err = errors.Join(err, states.check(t.tree)); err != nil {
		return err
	}
	// The next run finds a store without a past.
	gone, err := client.Delete(ctx, prefix, clientv3.WithPrefix())
	if err == nil {
		_, err = client.Compact(ctx, gone.Header.Revision, clientv3.WithCompactPhysical())
	}
	return err
}

func (t etcdTree) cascade(page int) func(context.Context, *meter) error {
	return func(ctx context.Context, m *meter) error {
		return t.fresh(ctx, m, func(client *clientv3.Client, prefix string) error {
			store := etcd.New(client, prefix)
			return m.measure(func() (int, error) { return t.n, cancelTrees(ctx, store, t.tree, page, 1) })
		})
	}
}

// An etcdRecord is what the store keeps of a request.
type etcdRecord struct {
	lifecycle.Request
	Cause cancel.Cause `json:"cause,omitzero"`
}

// What the store has in one transaction, and how many of those are under way at once.
const (
	etcdBatch    = 125
	etcdInFlight = 8
)

// bare writes what a cascade writes in the end: it knows every key, value and revision
// beforehand, and sends nothing but transactions, as many at once and as large as the store
// does.
func (t etcdTree) bare(ctx context.Context, m *meter) error {
	return t.fresh(ctx, m, func(client *clientv3.Client, prefix string) error {
		stored, err := client.Get(ctx, prefix+"live/", clientv3.WithPrefix())
		if err != nil {
			return err
		}
		var ops []clientv3.Op
		for _, kv := range stored.Kvs {
			var rec etcdRecord
			if err := json.Unmarshal(kv.Value, &rec); err != nil {
				return err
			}
			rec.State = lifecycle.StateCancelled
			rec.Cause = cancel.Cause{Root: t.roots[0], Time: time.Now().UTC().Truncate(time.Microsecond)}
			value, err := json.Marshal(rec)
			if err != nil {
				return err
			}
			key := string(kv.Key)
			ops = append(ops, clientv3.OpTxn(
				[]clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(key), "=", kv.ModRevision)},
				[]clientv3.Op{
					clientv3.OpPut(strings.Replace(key, prefix+"live/", prefix+"ended/", 1), string(value)),
					clientv3.OpDelete(key),
				}, nil))
		}
		return m.measure(func() (int, error) { return len(ops), commit(ctx, client, ops) })
	})
}

// commit sends operations in batches.
func commit(ctx context.Context, client *clientv3.Client, ops []clientv3.Op) error {
	batches := slices.Collect(slices.Chunk(ops, etcdBatch))
	errs := make([]error, len(batches))
	free := make(chan struct{}, etcdInFlight)
	var group sync.WaitGroup
	for i, batch := range batches {
		free <- struct{}{}
		group.Go(func() {
			_, errs[i] = client.Txn(ctx).Then(batch...).Commit()
			<-free
		})
	}
	group.Wait()
	return errors.Join(errs...)
}
