package main

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// TestOwn has one process own files: as often as it likes, but one at a time.
func TestOwn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx, stop := context.WithCancel(t.Context())
	first, err := open(ctx, filepath.Join(dir, "a.db"))
	if err != nil {
		t.Fatal(err)
	}
	stop() // a signal, after which there is still something to do
	if _, err := open(t.Context(), filepath.Join(dir, "a.db")); !errors.Is(err, errServed) {
		t.Errorf("open the same file again: %v", err)
	}
	other, err := open(t.Context(), filepath.Join(dir, "b.db"))
	if err != nil {
		t.Errorf("open another file: %v", err)
	}
	for _, s := range []any{first, other} {
		if err := s.(store).Close(); err != nil {
			t.Error(err)
		}
	}
	again, err := open(t.Context(), filepath.Join(dir, "a.db"))
	if err != nil {
		t.Fatalf("open again what has been closed: %v", err)
	}
	if err := again.(store).Close(); err != nil {
		t.Error(err)
	}
	missing := filepath.Join(dir, "missing", "c.db")
	if _, err := open(t.Context(), missing); err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("a file in a folder that is not there: %v", err)
	}
}
