package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/examples/etcd"
	"example.com/ess/lifecycle"
)

// BenchmarkCascade measures what it costs to cancel a tree, beside the bare transactions
// that write the same values to the same keys: it runs one after the other on equal
// trees, and reports the median of the ratios. The cluster waits for its disks.
func BenchmarkCascade(b *testing.B) {
	const parents, children = 10, 1000
	requests := []lifecycle.Request{request(1, 0, lifecycle.KindParent, lifecycle.StateRunning)}
	for p := range lifecycle.ID(parents) {
		requests = append(requests, request(2+p, 1, lifecycle.KindParent, lifecycle.StateRunning))
	}
	for p := range lifecycle.ID(parents) {
		for range children {
			requests = append(requests, request(lifecycle.ID(len(requests)+1), 2+p, lifecycle.KindChild, lifecycle.StateWait))
		}
	}
	c := private(b)
	client := c.connect(b)
	for _, page := range []int{1000, 5000} {
		b.Run(fmt.Sprintf("page=%d", page), func(b *testing.B) {
			var bare, cascade time.Duration
			var ratios []float64
			ways := []func() time.Duration{
				func() time.Duration {
					return onTree(b, client, requests, func(ctx context.Context, prefix string) (func() error, error) {
						batches, err := bareTransactions(ctx, client, prefix)
						return func() error { return commit(ctx, client, batches) }, err
					})
				},
				func() time.Duration {
					return onTree(b, client, requests, func(ctx context.Context, prefix string) (func() error, error) {
						canceller := cancel.New(etcd.New(client, prefix), &cancel.Options{PageSize: page})
						return func() error {
							_, err := canceller.Cancel(ctx, cancel.Order{ID: 1, Actor: "ann", Reason: "wrong ledger"})
							return err
						}, nil
					})
				},
			}
			for round := 0; b.Loop(); round++ {
				var took [2]time.Duration
				for i := range ways {
					way := (i + round) % 2 // in turn, who is the first
					took[way] = ways[way]()
				}
				bare, cascade = bare+took[0], cascade+took[1]
				ratios = append(ratios, took[1].Seconds()/took[0].Seconds())
			}
			slices.Sort(ratios)
			each := float64(b.N * len(requests))
			b.ReportMetric(0, "ns/op") // says nothing: most of it is preparation
			b.ReportMetric(float64(bare.Nanoseconds())/each, "bare-ns/request")
			b.ReportMetric(float64(cascade.Nanoseconds())/each, "cancel-ns/request")
			b.ReportMetric(ratios[len(ratios)/2], "cancel/bare")
		})
	}
}

// onTree stores the requests anew, and returns how long the function takes that prepare
// has returned. It checks that it has ended them all, and removes them.
func onTree(b *testing.B, client *clientv3.Client, requests []lifecycle.Request, prepare func(ctx context.Context, prefix string) (func() error, error)) time.Duration {
	b.Helper()
	ctx, prefix := b.Context(), newPrefix()
	s := etcd.New(client, prefix)
	if err := s.Insert(ctx, requests...); err != nil {
		b.Fatal(err)
	}
	run, err := prepare(ctx, prefix)
	if err != nil {
		b.Fatal(err)
	}
	begin := time.Now()
	err = run()
	took := time.Since(begin)
	if err != nil {
		b.Fatal(err)
	}
	snap, err := canceltest.TakeSnapshot(ctx, s)
	if err != nil {
		b.Fatal(err)
	}
	if len(snap) != len(requests) {
		b.Fatalf("%d requests, want %d", len(snap), len(requests))
	}
	for id, r := range snap {
		if r.State != lifecycle.StateCancelled {
			b.Fatalf("request %d is %v", id, r.State)
		}
	}
	gone, err := client.Delete(ctx, prefix, clientv3.WithPrefix())
	if err == nil {
		_, err = client.Compact(ctx, gone.Header.Revision, clientv3.WithCompactPhysical())
	}
	if err != nil {
		b.Fatal(err)
	}
	return took
}

// bareTransactions returns what a cascade writes in the end, in batches as large as
// those of the store. They know every key, value and revision: nothing is read, and no
// rule asked.
func bareTransactions(ctx context.Context, client *clientv3.Client, prefix string) ([][]clientv3.Op, error) {
	stored, err := client.Get(ctx, prefix+"live/", clientv3.WithPrefix())
	if err != nil {
		return nil, err
	}
	cause := fmt.Sprintf(`"CANCELLED","cause":{"root":1,"actor":"ann","reason":"wrong ledger","time":%q}}`, time.Now().UTC().Format(time.RFC3339Nano))
	var ops []clientv3.Op
	for _, kv := range stored.Kvs {
		key, value := string(kv.Key), string(kv.Value)
		value, _, _ = strings.Cut(value, `"WAIT"`)
		value, _, _ = strings.Cut(value, `"RUNNING"`)
		ops = append(ops, clientv3.OpTxn(
			[]clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(key), "=", kv.ModRevision)},
			[]clientv3.Op{clientv3.OpPut(strings.Replace(key, "/live/", "/ended/", 1), value+cause), clientv3.OpDelete(key)}, nil))
	}
	return slices.Collect(slices.Chunk(ops, 125)), nil
}

// commit sends the batches, as many at once as the store does.
func commit(ctx context.Context, client *clientv3.Client, batches [][]clientv3.Op) error {
	free := make(chan struct{}, 8)
	errs := make([]error, len(batches))
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
