package etcd_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/examples/etcd"
	"example.com/ess/lifecycle"
)

var prefixes atomic.Int64

func newPrefix() string { return fmt.Sprintf("/test/%d/", prefixes.Add(1)) }

// newStore returns a store under a prefix of its own that holds the requests.
func newStore(ctx context.Context, client *clientv3.Client, requests ...lifecycle.Request) (*etcd.Store, error) {
	s := etcd.New(client, newPrefix())
	return s, s.Insert(ctx, requests...)
}

func open(t testing.TB, client *clientv3.Client, requests ...lifecycle.Request) *etcd.Store {
	t.Helper()
	s, err := newStore(t.Context(), client, requests...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// harness gives canceltest stores under prefixes of their own.
func harness(t testing.TB) canceltest.Harness {
	t.Helper()
	client := connect(t)
	return canceltest.Harness{
		New: func(ctx context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
			return newStore(ctx, client, requests...)
		},
		Insert: func(ctx context.Context, repo cancel.Repository, requests []lifecycle.Request) error {
			return repo.(*etcd.Store).Insert(ctx, requests...)
		},
		Timeout: 3 * time.Minute, // three members and the race detector on a busy machine
	}
}

func TestContract(t *testing.T) {
	t.Parallel()
	canceltest.Run(t, harness(t))
}

func TestStorm(t *testing.T) {
	t.Parallel()
	canceltest.RunStorm(t, harness(t), &canceltest.StormOptions{Storms: 1})
}

func TestRandom(t *testing.T) {
	t.Parallel()
	canceltest.RunRandom(t, harness(t), &canceltest.RandomOptions{Worlds: 8})
}
