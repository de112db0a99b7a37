package simulate_test

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/internal/proof"
	"example.com/ess/cancel/canceltest/simulate"
	"example.com/ess/cancel/memrepo"
	"example.com/ess/lifecycle"
)

// TestProofRandomWorlds compares the library with a naive model of its rules.
func TestProofRandomWorlds(t *testing.T) {
	t.Parallel()
	simulate.RunRandom(t, inMemory, &simulate.RandomOptions{Worlds: proof.Pick(proof.Quick(50, 150), 1500, 50_000), Requests: 3000})
}

func FuzzWorlds(f *testing.F) { simulate.Fuzz(f, inMemory) }

// TestProofConcurrentWorlds has many at work on one store. Run it with -race.
func TestProofConcurrentWorlds(t *testing.T) {
	t.Parallel()
	simulate.RunStorm(t, inMemory, &simulate.StormOptions{Storms: proof.Pick(proof.Quick(3, 10), 150, 5000)})
}

// TestStormConcurrentSafe is one small storm, for runs that repeat tests.
func TestStormConcurrentSafe(t *testing.T) {
	t.Parallel()
	simulate.RunStorm(t, inMemory, &simulate.StormOptions{Storms: 2, Requests: 20, Goroutines: 8, Tries: 30})
}

var errDown = errors.New("the store is down")

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
	looksFirst := inMemory
	looksFirst.Submit = func(ctx context.Context, repo cancel.Repository, r lifecycle.Request) error {
		if r.Parent != 0 {
			parent, err := repo.Get(ctx, r.Parent)
			if err = cmp.Or(err, lifecycle.Admit(parent)); err != nil {
				return err
			}
		}
		time.Sleep(50 * time.Microsecond)
		return repo.(*memrepo.Repo).Insert(r)
	}
	checks := map[string]func(ctx context.Context) error{
		"crashes, an outcome is forgotten": func(ctx context.Context) error { _, err := simulate.CheckCrashes(ctx, forgets, nil); return err },
		"crashes, writes are late":         func(ctx context.Context) error { _, err := simulate.CheckCrashes(ctx, lags, nil); return err },
		"faults, an outcome is forgotten":  func(ctx context.Context) error { _, err := simulate.CheckFaults(ctx, forgets, nil); return err },
		"faults, writes are late":          func(ctx context.Context) error { _, err := simulate.CheckFaults(ctx, lags, nil); return err },
		"faults, nothing is compared":      func(ctx context.Context) error { _, err := simulate.CheckFaults(ctx, races, nil); return err },
		"random, an outcome is forgotten":  func(ctx context.Context) error { _, err := simulate.CheckRandom(ctx, forgets, nil); return err },
		"random, writes are late":          func(ctx context.Context) error { _, err := simulate.CheckRandom(ctx, lags, nil); return err },
		"storm, an outcome is forgotten":   func(ctx context.Context) error { _, err := simulate.CheckStorm(ctx, forgets, nil); return err },
		"storm, nothing is compared":       func(ctx context.Context) error { _, err := simulate.CheckStorm(ctx, races, nil); return err },
		"storm, writes are late":           func(ctx context.Context) error { _, err := simulate.CheckStorm(ctx, lags, nil); return err },
		"storm, a submission looks first": func(ctx context.Context) error {
			_, err := simulate.CheckStorm(ctx, looksFirst, &simulate.StormOptions{Storms: 100})
			return err
		},
	}
	for name, check := range checks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var err error
			// In a bubble, whoever sleeps lets all others go on: who meets whom does not
			// depend on the machine.
			synctest.Test(t, func(t *testing.T) { err = check(t.Context()) })
			if err == nil {
				t.Fatal("the store was accepted")
			}
			e, ok := errors.AsType[*simulate.ScriptError](err)
			if strings.HasPrefix(name, "storm") {
				return // other threads, other outcomes: there is no script
			}
			if !ok || e.Unwrap() == nil {
				t.Fatalf("no report: %v", err)
			}
			// The script plays the mistake again, and only there.
			h := lags
			switch {
			case strings.HasSuffix(name, "forgotten"):
				h = forgets
			case strings.HasSuffix(name, "compared"):
				h = races
			}
			if err := simulate.PlayScript(t.Context(), h, e.Script); err == nil {
				t.Errorf("played again, the script finds nothing:\n%s", e.Script)
			}
			if err := simulate.PlayScript(t.Context(), inMemory, e.Script); err != nil {
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
	tree := simulate.Trees()[2]
	if n, err := simulate.CheckCrashes(ctx, h, &simulate.TreeOptions{Trees: []simulate.Tree{tree}, Trials: 3}); err != nil || n == 0 {
		t.Errorf("CheckCrashes = %d, %v", n, err)
	}
	if n, err := simulate.CheckFaults(ctx, h, &simulate.TreeOptions{Trees: []simulate.Tree{tree}, Trials: 3}); err != nil || n == 0 {
		t.Errorf("CheckFaults = %d, %v", n, err)
	}
	if n, err := simulate.CheckRandom(ctx, h, &simulate.RandomOptions{Worlds: 10}); err != nil || n != 400 {
		t.Errorf("CheckRandom = %d, %v", n, err)
	}
	if n, err := simulate.CheckStorm(ctx, h, &simulate.StormOptions{Storms: 2}); err != nil || n == 0 {
		t.Errorf("CheckStorm = %d, %v", n, err)
	}
	if closed == 0 {
		t.Error("no store was closed")
	}
}

// TestChecksReportTheHarness checks that a harness that fails, or a caller that stops, is an
// error and no report.
func TestChecksReportTheHarness(t *testing.T) {
	t.Parallel()
	down := canceltest.Harness{New: func(context.Context, []lifecycle.Request) (cancel.Repository, error) { return nil, errDown }}
	lossy := canceltest.Harness{New: func(ctx context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
		return inMemory.New(ctx, requests[:len(requests)-1])
	}}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	tree := simulate.Trees()[1]
	for name, check := range map[string]func(context.Context, canceltest.Harness) error{
		"CheckCrashes": func(ctx context.Context, h canceltest.Harness) error {
			_, err := simulate.CheckCrashes(ctx, h, &simulate.TreeOptions{Trees: []simulate.Tree{tree}, Trials: -1})
			return err
		},
		"CheckFaults": func(ctx context.Context, h canceltest.Harness) error {
			_, err := simulate.CheckFaults(ctx, h, &simulate.TreeOptions{Trees: []simulate.Tree{tree}, Trials: -1})
			return err
		},
		"CheckRandom": func(ctx context.Context, h canceltest.Harness) error {
			_, err := simulate.CheckRandom(ctx, h, nil)
			return err
		},
		"CheckStorm": func(ctx context.Context, h canceltest.Harness) error {
			_, err := simulate.CheckStorm(ctx, h, nil)
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
		"plain\n\n1 PARENT WAIT\n\ntransition 1 up", "plain\n\n1 PARENT WAIT\n\nsubmit 2 CHILD WAIT",
	} {
		if err := simulate.PlayScript(t.Context(), inMemory, text); err == nil {
			t.Errorf("PlayScript(%q) accepts it", text)
		}
	}
}

// TestPlayScript plays every command and everything that can go wrong.
func TestPlayScript(t *testing.T) {
	t.Parallel()
	err := simulate.PlayScript(t.Context(), inMemory, `
all capabilities, pages of 2, no receipts

1 PARENT RUNNING
  2 SUBREQUEST_PARENT RUNNING
    3 CHILD RUNNING
    4 CHILD WAIT
  5 CHILD CANCELLING

plan 1
transition 4 dispatch
transition 4 finish
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
cancel 1, page 1 is broken off
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
