package canceltest_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/lifecycle"
)

// TestProofRandomWorlds compares the library with a naive model of its rules.
func TestProofRandomWorlds(t *testing.T) {
	t.Parallel()
	opts := &canceltest.RandomOptions{Worlds: 1500, Requests: 3000}
	switch {
	case short():
		opts.Worlds = 150
	case *proofLong:
		opts.Worlds = 50_000
	}
	canceltest.RunRandom(t, inMemory, opts)
}

func FuzzWorlds(f *testing.F) { canceltest.Fuzz(f, inMemory) }

// TestProofConcurrentWorlds has many at work on one store. Run it with -race.
func TestProofConcurrentWorlds(t *testing.T) {
	t.Parallel()
	opts := &canceltest.StormOptions{Storms: 150}
	switch {
	case short():
		opts.Storms = 10
	case *proofLong:
		opts.Storms = 5000
	}
	canceltest.RunStorm(t, inMemory, opts)
}

// TestStormConcurrentSafe is one small storm, for runs that repeat tests.
func TestStormConcurrentSafe(t *testing.T) {
	t.Parallel()
	canceltest.RunStorm(t, inMemory, &canceltest.StormOptions{Storms: 2, Requests: 20, Goroutines: 8, Tries: 30})
}

// lagging is a store whose writes take effect one call later.
type lagging struct {
	cancel.Repository
	mu   sync.Mutex
	late []cancel.Change
}

func (l *lagging) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.Repository.Apply(ctx, l.late); err != nil {
		return nil, err
	}
	l.late = slices.Clone(changes)
	return slices.Repeat([]bool{true}, len(changes)), nil
}

// racing is a store that compares, and then writes whatever has become of the request
// meanwhile.
type racing struct{ cancel.Repository }

func (r racing) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	made := make([]bool, len(changes))
	for i, ch := range changes {
		for {
			is, err := r.Get(ctx, ch.Old.ID)
			if err != nil {
				return nil, err
			}
			ch.Old = is
			one, err := r.Repository.Apply(ctx, []cancel.Change{ch})
			if err != nil {
				return nil, err
			}
			if made[i] = one[0]; made[i] {
				break
			}
		}
	}
	return made, nil
}

// TestWrongStores checks that each check rejects stores that it is for.
func TestWrongStores(t *testing.T) {
	t.Parallel()
	wrong := func(wrap func(cancel.Repository) cancel.Repository) canceltest.Harness {
		h := inMemory
		h.Insert = nil
		h.New = func(ctx context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
			repo, err := inMemory.New(ctx, requests)
			return wrap(repo), err
		}
		return h
	}
	forgets := wrong(func(repo cancel.Repository) cancel.Repository { return forgetful{repo} })
	lags := wrong(func(repo cancel.Repository) cancel.Repository { return &lagging{Repository: repo} })
	races := wrong(func(repo cancel.Repository) cancel.Repository { return racing{repo} })
	ctx := t.Context()
	checks := map[string]func() error{
		"crashes, an outcome is forgotten": func() error { _, err := canceltest.CheckCrashes(ctx, forgets); return err },
		"crashes, writes are late":         func() error { _, err := canceltest.CheckCrashes(ctx, lags); return err },
		"faults, an outcome is forgotten":  func() error { _, err := canceltest.CheckFaults(ctx, forgets); return err },
		"faults, writes are late":          func() error { _, err := canceltest.CheckFaults(ctx, lags); return err },
		"faults, nothing is compared":      func() error { _, err := canceltest.CheckFaults(ctx, races); return err },
		"random, an outcome is forgotten":  func() error { _, err := canceltest.CheckRandom(ctx, forgets, nil); return err },
		"random, writes are late":          func() error { _, err := canceltest.CheckRandom(ctx, lags, nil); return err },
		"storm, an outcome is forgotten":   func() error { _, err := canceltest.CheckStorm(ctx, forgets, nil); return err },
		"storm, nothing is compared":       func() error { _, err := canceltest.CheckStorm(ctx, races, nil); return err },
		"storm, writes are late":           func() error { _, err := canceltest.CheckStorm(ctx, lags, nil); return err },
	}
	for name, check := range checks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := check()
			if err == nil {
				t.Fatal("the store was accepted")
			}
			e, ok := errors.AsType[*canceltest.ScriptError](err)
			if strings.HasPrefix(name, "storm") {
				return // other threads, other outcomes: there is no script
			}
			if !ok || e.Unwrap() == nil {
				t.Fatalf("no story: %v", err)
			}
			// The script plays the mistake again, and only there.
			h := lags
			switch {
			case strings.HasSuffix(name, "forgotten"):
				h = forgets
			case strings.HasSuffix(name, "compared"):
				h = races
			}
			if err := canceltest.PlayScript(ctx, h, e.Script); err == nil {
				t.Errorf("played again, the script finds nothing:\n%s", e.Script)
			}
			if err := canceltest.PlayScript(ctx, inMemory, e.Script); err != nil {
				t.Errorf("the script finds a mistake in a store that is right:\n%v", err)
			}
		})
	}
}

// TestChecksNeedNoInsert runs everything on a harness that has no more than New, and
// plain stores.
func TestChecksNeedNoInsert(t *testing.T) {
	t.Parallel()
	closed := 0
	h := canceltest.Harness{
		New: func(ctx context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
			repo, err := inMemory.New(ctx, requests)
			return canceltest.Plain(repo), err
		},
		Close: func(cancel.Repository) error { closed++; return nil },
	}
	ctx := t.Context()
	tree := canceltest.Trees()[2]
	if n, err := canceltest.CheckCrashes(ctx, h, tree); err != nil || n == 0 {
		t.Errorf("CheckCrashes = %d, %v", n, err)
	}
	if n, err := canceltest.CheckFaults(ctx, h, tree); err != nil || n == 0 {
		t.Errorf("CheckFaults = %d, %v", n, err)
	}
	if n, err := canceltest.CheckRandom(ctx, h, &canceltest.RandomOptions{Worlds: 10}); err != nil || n != 400 {
		t.Errorf("CheckRandom = %d, %v", n, err)
	}
	if n, err := canceltest.CheckStorm(ctx, h, &canceltest.StormOptions{Storms: 2}); err != nil || n == 0 {
		t.Errorf("CheckStorm = %d, %v", n, err)
	}
	if closed == 0 {
		t.Error("no store was closed")
	}
}

// TestChecksReportTheHarness checks that a harness that fails, or a caller that stops, is an
// error and no story.
func TestChecksReportTheHarness(t *testing.T) {
	t.Parallel()
	down := canceltest.Harness{New: func(context.Context, []lifecycle.Request) (cancel.Repository, error) { return nil, errDown }}
	lossy := canceltest.Harness{New: func(ctx context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
		return inMemory.New(ctx, requests[:len(requests)-1])
	}}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	tree := canceltest.Trees()[1]
	for name, check := range map[string]func(context.Context, canceltest.Harness) error{
		"CheckCrashes": func(ctx context.Context, h canceltest.Harness) error {
			_, err := canceltest.CheckCrashes(ctx, h, tree)
			return err
		},
		"CheckFaults": func(ctx context.Context, h canceltest.Harness) error {
			_, err := canceltest.CheckFaults(ctx, h, tree)
			return err
		},
		"CheckRandom": func(ctx context.Context, h canceltest.Harness) error {
			_, err := canceltest.CheckRandom(ctx, h, nil)
			return err
		},
		"CheckStorm": func(ctx context.Context, h canceltest.Harness) error {
			_, err := canceltest.CheckStorm(ctx, h, nil)
			return err
		},
	} {
		if err := check(t.Context(), down); !errors.Is(err, errDown) {
			t.Errorf("%s, New fails: %v", name, err)
		}
		if err := check(t.Context(), lossy); err == nil {
			t.Errorf("%s accepts a New that leaves out a request", name)
		}
		if err := check(stopped, inMemory); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, a stopped caller: %v", name, err)
		}
	}
}

func TestPlayScriptRefusesNonsense(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "plain", "plane\n\n1 PARENT WAIT\n\nresume", "plain, pages of 0\n\n1 PARENT WAIT", "plain, quickly\n\n1 PARENT WAIT",
		"plain\n\n1 PARENT\n\nresume", "plain\n\n1 PARENT WAIT\n\nabolish 1", "plain\n\n1 PARENT WAIT\n\ncancel one",
		"plain\n\n1 PARENT WAIT\n\ncancel 1, call 2 explodes", "plain\n\n1 PARENT WAIT\n\nacknowledge 1 WELL", "plain\n\n1 PARENT WAIT\n\nwait long",
		"plain\n\n1 PARENT WAIT\n\nfire 1 up", "plain\n\n1 PARENT WAIT\n\nsubmit 2 CHILD WAIT",
	} {
		if err := canceltest.PlayScript(t.Context(), inMemory, text); err == nil {
			t.Errorf("PlayScript(%q) accepts it", text)
		}
	}
}

// TestPlayScript plays every command and everything that can go wrong.
func TestPlayScript(t *testing.T) {
	t.Parallel()
	err := canceltest.PlayScript(t.Context(), inMemory, `
all capabilities, pages of 2, no receipts

1 PARENT RUNNING
  2 SUBREQUEST_PARENT RUNNING
    3 CHILD RUNNING
    4 CHILD WAIT
  5 CHILD CANCELLING

plan 1
fire 4 dispatch
fire 4 finish
submit 6<2 PARENT PENDING_VALIDATION
checkin 3
begin 6, call 1 fails
begin 6, call 2 loses its answer
cancel 2, calls from 2 fail
cancel 2, crash before call 2
cancel 2
cancel 2, crash after call 3
resume, crash after call 2
resume
cancel 1, caller stops before call 3
cancel 1, caller stops after call 3
checkin 3
wait 10m0s
force 3
wait 20m0s
force 3, write 1 conflicts
acknowledge 2 WARNING, write 1 conflicts three times
acknowledge 2 WARNING
acknowledge 2 SUCCEEDED
cancel 1, writes from 1 conflict
cancel 1, read 2 is stale
cancel 1, page 1 is short
resume, pages from 1 are short
resume, request 5 cannot be written
acknowledge 5 ERROR
cancel 1
cancel 99
`)
	if err != nil {
		t.Error(err)
	}
}
