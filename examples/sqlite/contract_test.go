package sqlite_test

import (
	"context"
	"path/filepath"
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

func TestContract(t *testing.T) {
	t.Parallel()
	canceltest.Run(t, canceltest.Harness{
		New: func(_ context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
			return open(t, requests...), nil
		},
		Insert: func(ctx context.Context, repo cancel.Repository, requests []lifecycle.Request) error {
			return repo.(*sqlite.Store).Insert(ctx, requests...)
		},
	})
}

func TestContractPlain(t *testing.T) {
	t.Parallel()
	stores := map[cancel.Repository]*sqlite.Store{}
	canceltest.Run(t, canceltest.Harness{
		New: func(_ context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
			s := open(t, requests...)
			plain := canceltest.Plain(s)
			stores[plain] = s
			return plain, nil
		},
		Insert: func(ctx context.Context, repo cancel.Repository, requests []lifecycle.Request) error {
			return stores[repo].Insert(ctx, requests...)
		},
	})
}
