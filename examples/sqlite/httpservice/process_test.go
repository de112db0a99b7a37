//go:build unix

package main

import (
	"context"
	"os"
	"path/filepath"
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
