package sqlite_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	esserrors "example.com/ess/errors"
	"example.com/ess/examples/sqlite"
	"example.com/ess/lifecycle"
)

// The tests here start processes: the test binary once more, in one of these roles.
const (
	roleVariable  = "SQLITE_TEST_ROLE"
	fileVariable  = "SQLITE_TEST_FILE"
	roleCancel    = "cancel"    // cancels request 1 once
	roleScheduler = "scheduler" // cancels request 1 while it starts, submits and ends others
)

func TestMain(m *testing.M) {
	role := os.Getenv(roleVariable)
	if role == "" {
		os.Exit(m.Run())
	}
	ctx := context.Background()
	s, err := sqlite.Open(ctx, os.Getenv(fileVariable))
	if err == nil {
		switch role {
		case roleCancel:
			_, err = cancel.New(s, &cancel.Options{PageSize: 20}).Cancel(ctx, cancel.Order{ID: 1})
		case roleScheduler:
			err = schedule(ctx, s)
		default:
			err = fmt.Errorf("unknown role %q", role)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func process(t *testing.T, role, path string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), roleVariable+"="+role, fileVariable+"="+path)
	cmd.Stderr = os.Stderr
	return cmd
}

func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "requests.db")
	s := openFile(t, path, tree(10, 30)...)
	var group sync.WaitGroup
	for range 2 {
		cmd := process(t, roleCancel, path)
		group.Go(func() {
			if err := cmd.Run(); err != nil {
				t.Errorf("the other process: %v", err)
			}
		})
	}
	if _, err := cancel.New(s, &cancel.Options{PageSize: 20}).Cancel(t.Context(), cancel.Order{ID: 1}); err != nil {
		t.Error(err)
	}
	group.Wait()
	checkEnd(t, s)
}

// schedule cancels request 1 and, at the same time, acknowledges, starts and submits
// what is below it. Whatever the store has acknowledged it prints, as an id and the state
// that the request has then.
func schedule(ctx context.Context, s *sqlite.Store) error {
	var mu sync.Mutex
	acknowledged := func(id lifecycle.ID, state lifecycle.State) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = fmt.Println(id, state) // one write, which is in the pipe when it returns
	}
	receipt := func(r cancel.Receipt) {
		if r.Err == nil && r.To.Valid() {
			acknowledged(r.ID, r.To)
		}
	}
	told := make(chan lifecycle.ID, 10_000)
	c := cancel.New(s, &cancel.Options{
		PageSize: 10,
		Interrupter: cancel.InterrupterFunc(func(_ context.Context, ids []lifecycle.ID, _ cancel.Cause) error {
			for _, id := range ids {
				told <- id
			}
			return nil
		}),
	})
	requests := tree(crashParents, crashChildren)
	refused := func(err error) bool {
		return err == nil || errors.Is(err, esserrors.CodeUnsupportedState)
	}
	var group sync.WaitGroup
	var failures [4]error
	group.Go(func() {
		defer close(told)
		_, failures[0] = c.Cancel(ctx, cancel.Order{ID: 1, Actor: "ann", Receipt: receipt})
	})
	group.Go(func() {
		for id := range told {
			_, err := c.Acknowledge(ctx, cancel.Order{ID: id, Receipt: receipt}, lifecycle.StateSucceeded)
			failures[1] = errors.Join(failures[1], err)
		}
	})
	group.Go(func() {
		for _, r := range slices.Backward(requests) {
			if r.State != lifecycle.StateReady {
				continue
			}
			now, err := c.Transition(ctx, cancel.Order{ID: r.ID}, lifecycle.TriggerStart)
			if err == nil {
				acknowledged(now.ID, now.State)
			} else if !refused(err) {
				failures[2] = err
			}
		}
	})
	group.Go(func() {
		for i := range crashParents {
			child := request(lifecycle.ID(len(requests)+1+i), lifecycle.ID(1+crashParents-i), lifecycle.KindChild, lifecycle.StateWait)
			err := s.Submit(ctx, child)
			if err == nil {
				acknowledged(child.ID, child.State)
			} else if !refused(err) {
				failures[3] = err
			}
		}
	})
	group.Wait()
	return errors.Join(failures[:]...)
}

const crashParents, crashChildren = 8, 30

// TestKilled kills a scheduler in the middle of a cascade, twenty times, and has another
// process, this one, take up what it left.
//
// This is about the process. That a power failure loses nothing either rests on
// synchronous(FULL), which no test can show.
func TestKilled(t *testing.T) {
	t.Parallel()
	const kills = 20
	random := rand.New(rand.NewPCG(1, 2))
	midway, acknowledged, live, unsettled := 0, 0, 0, 0
	for try := range 3 * kills {
		if midway == kills {
			break
		}
		path := filepath.Join(t.TempDir(), fmt.Sprintf("%d.db", try))
		s := openFile(t, path, tree(crashParents, crashChildren)...)
		lines := killed(t, process(t, roleScheduler, path), 1+random.IntN(150))
		acknowledged += len(lines)

		snap, err := canceltest.TakeSnapshot(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range lines {
			var id lifecycle.ID
			var name string
			var then lifecycle.State
			if _, err := fmt.Sscan(line, &id, &name); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if err := then.UnmarshalText([]byte(name)); err != nil {
				t.Fatal(err)
			}
			switch now, ok := snap[id]; {
			case !ok:
				t.Errorf("request %d, which was acknowledged, is lost", id)
			case now.State != then && (lifecycle.Terminal.Has(then) || rank(now.State) < rank(then)):
				t.Errorf("request %d was acknowledged to be %v and is %v", id, then, now.State)
			}
		}
		checkFile(t, path)

		left := 0
		for _, r := range snap {
			if lifecycle.Live.Has(r.State) && r.State != lifecycle.StateCancelling {
				left++
			}
		}
		switch quiet := canceltest.CheckQuiet(snap); {
		case snap[1].State == lifecycle.StateCancelling && left > 0:
			midway++
			live += left
		case snap[1].State == lifecycle.StateCancelling && quiet != nil:
			midway++
			unsettled++
		}
		c := cancel.New(s, nil)
		if _, err := c.Resume(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if snap[1].State == lifecycle.StateRunning { // killed before it began
			if _, err := c.Cancel(t.Context(), cancel.Order{ID: 1}); err != nil {
				t.Fatal(err)
			}
		}
		checkEnd(t, s)
	}
	if midway < kills {
		t.Errorf("only %d of the kills came in the middle of the cascade, want %d", midway, kills)
	}
	t.Logf("killed %d times in the middle of a cascade, with %d requests still to cancel in all (%d times only containers to settle); "+
		"%d answers of the store had been printed and none was lost", midway, live, unsettled, acknowledged)
}

// rank says how far a request is in its life, as far as schedule takes it.
func rank(s lifecycle.State) int {
	switch {
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

// killed starts the process, kills it after it has printed n lines, and returns all
// complete lines that it has printed.
func killed(t *testing.T, cmd *exec.Cmd, n int) []string {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for in := bufio.NewReader(out); ; {
		line, err := in.ReadString('\n')
		if err != nil {
			break
		}
		if lines = append(lines, strings.TrimSpace(line)); len(lines) == n {
			if err := cmd.Process.Kill(); err != nil { // SIGKILL
				t.Fatal(err)
			}
		}
	}
	err = cmd.Wait()
	if failed, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || failed.Exited()) {
		t.Fatalf("the process ended by itself: %v", err)
	}
	return lines
}

// checkFile checks the file, and that every request is what the last row of the audit
// trail says.
func checkFile(t *testing.T, path string) {
	t.Helper()
	var sound string
	db := database(t, path)
	if err := db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&sound); err != nil || sound != "ok" {
		t.Errorf("integrity check: %s, %v", sound, err)
	}
	var wrong int
	err := db.QueryRowContext(t.Context(), `
		SELECT count(*) FROM requests AS r WHERE cause IS NOT NULL AND state IS NOT
			(SELECT state FROM changes WHERE request = r.id ORDER BY cause DESC LIMIT 1)`).Scan(&wrong)
	if err != nil || wrong != 0 {
		t.Errorf("%d requests are not what the audit trail says, %v", wrong, err)
	}
}
