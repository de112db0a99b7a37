package sqlite_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/examples/sqlite"
	"example.com/ess/lifecycle"
)

// open returns a store in a file of its own that holds the requests.
func open(t testing.TB, requests ...lifecycle.Request) *sqlite.Store {
	t.Helper()
	return openFile(t, filepath.Join(t.TempDir(), "requests.db"), requests...)
}

func openFile(t testing.TB, path string, requests ...lifecycle.Request) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.Insert(t.Context(), requests...); err != nil {
		t.Fatal(err)
	}
	return s
}

// harness gives canceltest stores in files of their own.
func harness(t testing.TB) canceltest.Harness {
	t.Helper()
	dir := t.TempDir()
	var files atomic.Int64
	return canceltest.Harness{
		New: func(ctx context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
			s, err := sqlite.Open(ctx, filepath.Join(dir, fmt.Sprintf("%d.db", files.Add(1))))
			if err != nil {
				return nil, err
			}
			return s, s.Insert(ctx, requests...)
		},
		Insert: func(ctx context.Context, repo cancel.Repository, requests []lifecycle.Request) error {
			return repo.(*sqlite.Store).Insert(ctx, requests...)
		},
		Close: func(repo cancel.Repository) error { return repo.(*sqlite.Store).Close() },
	}
}

// plain is h without the capabilities of its stores.
func plain(h canceltest.Harness) canceltest.Harness {
	type plainStore struct{ cancel.Repository }
	store := func(repo cancel.Repository) cancel.Repository { return repo.(*plainStore).Repository }
	return canceltest.Harness{
		New: func(ctx context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
			s, err := h.New(ctx, requests)
			return &plainStore{s}, err
		},
		Insert: func(ctx context.Context, repo cancel.Repository, requests []lifecycle.Request) error {
			return h.Insert(ctx, store(repo), requests)
		},
		Close: func(repo cancel.Repository) error { return h.Close(store(repo)) },
	}
}

func TestContract(t *testing.T) {
	t.Parallel()
	canceltest.Run(t, harness(t))
}

func TestContractPlain(t *testing.T) {
	t.Parallel()
	canceltest.Run(t, plain(harness(t)))
}

func TestStorm(t *testing.T) {
	t.Parallel()
	canceltest.RunStorm(t, harness(t), &canceltest.StormOptions{Storms: 4})
}

func TestRandom(t *testing.T) {
	t.Parallel()
	canceltest.RunRandom(t, harness(t), &canceltest.RandomOptions{Worlds: 20})
}

// small is a tree for a test that needs a new file hundreds of times. The library's own
// tests go through many trees, in memory.
var small = canceltest.Tree{Name: "small", Requests: []lifecycle.Request{
	request(1, 0, lifecycle.KindSubrequestParent, lifecycle.StateRunning),
	request(2, 1, lifecycle.KindChild, lifecycle.StateRunning),
}}

// A process dies before and after every call of the store.
func TestCrashes(t *testing.T) {
	t.Parallel()
	canceltest.RunCrashes(t, harness(t), small)
}
