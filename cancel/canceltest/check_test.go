package canceltest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/lifecycle"
)

// inMemory returns the harness of a store that can do everything.
func inMemory() canceltest.Harness { return harness(func(*store) {}) }

// TestProofContract runs all checks, also those of what a store need not have.
func TestProofContract(t *testing.T) {
	t.Parallel()
	canceltest.Run(t, inMemory())
}

// Stores that differ in what they may differ in are right.
func TestCheckAccepts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		h    canceltest.Harness
	}{
		{"memrepo", inMemory()},
		{"hidden capabilities", canceltest.Harness{
			New: func(_ context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
				return canceltest.Plain(memoryOf(requests)), nil
			},
		}},
		{"declined capabilities", canceltest.Harness{
			New: func(_ context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
				return declining{memoryOf(requests)}, nil
			},
		}},
		{"versions", harness(func(s *store) { s.version(true, false) })},
		{"pages of at most two", harness(func(s *store) { s.shorten(2) })},
		{"audit trail", harness(func(s *store) {
			// Only the first cause counts, but all are there.
			trail := make(chan cancel.Cause, 10_000)
			s.each(func(ch *cancel.Change) { trail <- ch.Cause })
		})},
		{"times in another zone", harness(func(s *store) {
			s.reads(func(r *lifecycle.Request) {
				if !r.CheckedIn.IsZero() {
					r.CheckedIn = r.CheckedIn.In(time.FixedZone("CEST", 7200))
				}
			})
		})},
		{"few states and two kinds", few(lifecycle.SetOf(
			lifecycle.StateReady, lifecycle.StateRunning, lifecycle.StateCancelling, lifecycle.StateCancelled, lifecycle.StateError,
		), lifecycle.KindParent, lifecycle.KindChild)},
		{"no work that has children", few(lifecycle.Live|lifecycle.Terminal, lifecycle.KindParent, lifecycle.KindSingleton)},
		{"no parent without work", few(lifecycle.Live|lifecycle.Terminal, lifecycle.KindSubrequestParent, lifecycle.KindChild)},
		{"errors wrapped twice", harness(func(s *store) {
			s.get = func(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
				r, err := s.Store.Get(ctx, id)
				if err != nil {
					err = fmt.Errorf("store: %w", fmt.Errorf("get: %w", err))
				}
				return r, err
			}
		})},
		{"says that there may be more when a page is full", harness(func(s *store) {
			s.childPages(func(page *cancel.ChildPage, c cancel.ChildCancel) {
				page.More = page.More || len(page.Changes)+page.Cancelled == c.Query.Limit
			})
		})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if err := canceltest.Check(t.Context(), tt.h); err != nil {
				t.Error(err)
			}
		})
	}
}

// few returns a harness whose stores have only some states and kinds, and refuse others.
func few(states lifecycle.StateSet, kinds ...lifecycle.Kind) canceltest.Harness {
	h := harness(func(s *store) {
		s.each(func(ch *cancel.Change) {
			for _, s := range []lifecycle.State{ch.State, ch.Old.State, ch.Outcome, ch.Old.Outcome} {
				if s != 0 && !states.Has(s) {
					panic(fmt.Sprint("the store has no state ", s))
				}
			}
		})
	})
	h.States, h.Kinds = states, kinds
	open := h.New
	h.New = func(ctx context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
		for _, r := range requests {
			if !states.Has(r.State) || r.Outcome != 0 && !states.Has(r.Outcome) || !slices.Contains(kinds, r.Kind) {
				return nil, fmt.Errorf("the store cannot have %v", r)
			}
		}
		return open(ctx, requests)
	}
	return h
}

type declining struct{ cancel.Repository }

func (declining) CancelChildren(context.Context, cancel.ChildCancel) (cancel.ChildPage, error) {
	return cancel.ChildPage{}, errors.ErrUnsupported
}

func (declining) CancelTree(context.Context, cancel.TreeCancel) (cancel.TreePage, error) {
	return cancel.TreePage{}, errors.ErrUnsupported
}

func (declining) Settle(context.Context, cancel.Settlement) ([]cancel.Change, error) {
	return nil, errors.ErrUnsupported
}

func (declining) ListCancelling(context.Context, lifecycle.ID, int) ([]cancel.CancellingRequest, error) {
	return nil, fmt.Errorf("not here: %w", errors.ErrUnsupported)
}

func (declining) Cause(context.Context, lifecycle.ID) (cancel.Cause, error) {
	return cancel.Cause{}, errors.ErrUnsupported
}

func TestPlain(t *testing.T) {
	t.Parallel()
	repo := canceltest.Plain(memoryOf(nil))
	if _, ok := repo.(cancel.ChildCanceller); ok {
		t.Error("Plain left a ChildCanceller")
	}
	if _, ok := repo.(cancel.CancellingLister); ok {
		t.Error("Plain left a CancellingLister")
	}
	if _, ok := repo.(cancel.CauseReader); ok {
		t.Error("Plain left a CauseReader")
	}
}

// Names are unique, and what they enforce is said in sentences.
func TestContractReads(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for name, why := range canceltest.Contract() {
		if seen[name] {
			t.Errorf("two checks are called %s", name)
		}
		seen[name] = true
		if group, rest, ok := strings.Cut(name, "/"); !ok || group == "" || rest == "" || strings.ContainsAny(name, " ") {
			t.Errorf("the name %q is not Method/WhatHolds", name)
		}
		if !strings.HasSuffix(why, ".") || len(why) < 30 {
			t.Errorf("%s enforces %q, which is not a sentence", name, why)
		}
		t.Logf("%-38s %s", name, why)
	}
}

func TestCheckSaysWhatFailed(t *testing.T) {
	t.Parallel()
	err := canceltest.CheckOnly(t.Context(), harness(func(s *store) {
		s.each(func(ch *cancel.Change) { ch.Outcome = 0 })
	}), "Apply/MakesTheChange", "Get/NotFound")
	failed, ok := errors.AsType[*canceltest.CheckError](err)
	if !ok {
		t.Fatalf("the error is %v, want a *CheckError", err)
	}
	want := `Apply/MakesTheChange failed.
  contract: Apply writes State, Outcome and CheckedIn, and nothing else, of a request that is as Old says.
  found: after Apply(Old: request 1 (PARENT RUNNING), new: CANCELLING, outcome CANCELLED, checked in 2026-03-31T22:00:00.123456Z): Get(1) returned request 1 (PARENT CANCELLING, checked in 2026-03-31T22:00:00.123456Z), want request 1 (PARENT CANCELLING, outcome CANCELLED, checked in 2026-03-31T22:00:00.123456Z)`
	if got := failed.Error(); got != want {
		t.Errorf("the error reads\n%s\nwant\n%s", got, want)
	}
	if failed.Check != "Apply/MakesTheChange" || errors.Unwrap(failed) != failed.Err {
		t.Errorf("the error is %#v", failed)
	}
}

func TestCheckHarness(t *testing.T) {
	t.Parallel()
	errNew, errClose := errors.New("no database"), errors.New("cannot close")
	tests := []struct {
		name string
		h    canceltest.Harness
		want error
		text string
	}{
		{"no New", canceltest.Harness{}, nil, "canceltest: Harness.New is nil"},
		{"New fails", canceltest.Harness{New: func(context.Context, []lifecycle.Request) (cancel.Repository, error) {
			return nil, errNew
		}}, errNew, "Harness.New of 101 requests: no database"},
		{"New returns nil", canceltest.Harness{New: func(context.Context, []lifecycle.Request) (cancel.Repository, error) {
			return nil, nil
		}}, nil, "Harness.New returned nil"},
		{"Close fails", canceltest.Harness{New: inMemory().New, Close: func(cancel.Repository) error { return errClose }}, errClose, "Harness.Close: cannot close"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := canceltest.Check(t.Context(), tt.h)
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("Check() = %v, want it to say %q", err, tt.text)
			}
		})
	}
}

func TestCheckClosesAll(t *testing.T) {
	t.Parallel()
	var open []cancel.Repository
	h := inMemory()
	opened := 0
	h.New = func(ctx context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
		repo, err := inMemory().New(ctx, requests)
		open = append(open, repo)
		opened++
		return repo, err
	}
	h.Close = func(repo cancel.Repository) error {
		at := slices.Index(open, repo)
		if at < 0 {
			return errors.New("closed twice")
		}
		open = slices.Delete(open, at, at+1)
		return nil
	}
	if err := canceltest.Check(t.Context(), h); err != nil {
		t.Error(err)
	}
	if len(open) > 0 || opened == 0 {
		t.Errorf("of %d repositories %d were not closed", opened, len(open))
	}
}

func TestCheckStops(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	news := 0
	h := inMemory()
	h.New = func(ctx context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
		if news++; news == 5 {
			stop()
		}
		return inMemory().New(ctx, requests)
	}
	err := canceltest.Check(ctx, h)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "canceltest: stopped before ") {
		t.Errorf("Check() = %v, want it to say where it stopped", err)
	}
	if news > 6 {
		t.Errorf("Check() made %d repositories after its context was done", news-5)
	}
}

// A store that hangs fails its check, and no more.
func TestCheckGivesUp(t *testing.T) {
	t.Parallel()
	for _, watches := range []bool{true, false} {
		t.Run(fmt.Sprintf("watches its context: %v", watches), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var calls atomic.Int64
				end := make(chan struct{})
				h := harness(func(s *store) {
					s.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
						if calls.Add(1)%2 == 1 {
							return s.Store.Apply(ctx, changes)
						}
						if watches {
							<-ctx.Done()
							return nil, ctx.Err()
						}
						<-end
						return nil, ctx.Err()
					}
				})
				h.Timeout = 50 * time.Millisecond
				err := canceltest.CheckOnly(t.Context(), h, "Apply/OneOfManyWins")
				if err == nil || !strings.Contains(err.Error(), "the check was given up after 50ms (Harness.Timeout)") {
					t.Errorf("the error is %v, want it to say that the check was given up", err)
				}
				if hang := "goroutines still hang in calls of the repository"; !watches && !strings.Contains(err.Error(), hang) {
					t.Errorf("the error is %v, want it to say that %s", err, hang)
				}
				close(end)
			})
		})
	}
}

// TestSnapshotEnds has a store give the same page for ever.
func TestSnapshotEnds(t *testing.T) {
	t.Parallel()
	s, err := newStore([]lifecycle.Request{{ID: 1, Kind: lifecycle.KindSingleton, State: lifecycle.StateWait}})
	if err != nil {
		t.Fatal(err)
	}
	s.children = func(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
		q.After = cancel.Cursor{}
		return s.Store.Children(ctx, q)
	}
	if snap, err := canceltest.TakeSnapshot(t.Context(), s); err == nil || !strings.Contains(err.Error(), "out of order") {
		t.Errorf("TakeSnapshot = %v, %v", snap, err)
	}
}

// TestBeginnings checks that the files with which the documentation has one begin are short.
func TestBeginnings(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"example_store_test.go", "example_rules_test.go", "explore/example_scheduler_test.go"} {
		text, err := os.ReadFile(path)
		if n := bytes.Count(text, []byte("\n")); err != nil || n > 40 {
			t.Errorf("%s has %d lines, want at most 40: %v", path, n, err)
		}
	}
}
