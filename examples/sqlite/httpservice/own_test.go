package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"example.com/ess/lifecycle"
)

// refused has the program try to serve a file that another process serves.
func refused(t *testing.T, file string) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	out, err := command(ctx, file).CombinedOutput()
	if want := "httpservice: " + file + ": another process serves this file\n"; err == nil || string(out) != want {
		t.Errorf("a second process: %v, %q; want %q", err, out, want)
	}
}

// TestOneProcess starts a second process on a file, by each name that it has, while the
// first is well, while it is stopped with all its clocks, and after it has been killed. As
// long as the first may still do its work nobody else answers for that.
func TestOneProcess(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("no signals")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "requests.db")
	links := []string{filepath.Join(dir, "link.db"), filepath.Join(dir, "link", "requests.db")}
	for name, to := range map[string]string{links[0]: file, filepath.Dir(links[1]): dir} {
		if err := os.Symlink(to, name); err != nil {
			t.Fatal(err)
		}
	}
	first := start(t, links[0]) // which leads to a file that is not there yet
	first.submit(`{"seconds": 3600, "deaf": true}`)
	first.waitFor(1, lifecycle.StateRunning)
	first.do("POST", "/1/cancel", "")
	first.waitFor(1, lifecycle.StateCancelling)

	var others sync.WaitGroup
	for _, name := range append(links, file) {
		others.Go(func() { refused(t, name) })
	}
	others.Wait()
	if err := first.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	// A lease that the first had to renew, every 100 ms as all that it does, would be over
	// by far. It still has its work.
	time.Sleep(time.Second)
	refused(t, file)
	if err := first.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	first.waitFor(1, lifecycle.StateCancelling)
	if id := first.submit(`{"seconds": 3600, "deaf": true}`); id != 2 {
		t.Errorf("the next request is %d", id)
	}
	first.waitFor(2, lifecycle.StateRunning)

	first.end(os.Kill)
	second := start(t, file) // at once
	second.waitFor(1, lifecycle.StateCancelled)
	second.waitFor(2, lifecycle.StateRunning)
	refused(t, links[0])
	second.end(os.Interrupt)
	start(t, links[1]).end(os.Interrupt)
}

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
