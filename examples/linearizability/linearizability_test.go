package linearizability_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/memrepo"
	"example.com/ess/examples/linearizability"
	"example.com/ess/lifecycle"
)

func newMemrepo(_ context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
	var repo memrepo.Repo
	return &repo, repo.Insert(requests...)
}

func TestMemrepo(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5) {
		linearizability.Run(t, canceltest.Harness{New: newMemrepo}, &linearizability.Options{Seed: seed + 1})
	}
}

// TestLostAnswers has every seventh write fail, before or after its effect.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	h := canceltest.Harness{New: func(ctx context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
		repo, err := newMemrepo(ctx, requests)
		var faults []canceltest.Fault
		for n := 7; n < 1000; n += 7 {
			faults = append(faults, canceltest.Fault{Method: "Apply", Call: n, After: n%2 == 1, Err: errors.New("connection reset")})
		}
		return canceltest.NewFaulty(repo, faults...), err
	}}
	linearizability.Run(t, h, nil)
}

// TestRejects has stores that are wrong only when they are called at the same time.
func TestRejects(t *testing.T) {
	t.Parallel()
	for name, wrong := range map[string]func(*broken) cancel.Repository{
		"an update is lost":               func(b *broken) cancel.Repository { return lostUpdate{b} },
		"a read is stale":                 func(b *broken) cancel.Repository { return &staleRead{broken: b} },
		"a page is stale":                 func(b *broken) cancel.Repository { return &stalePage{broken: b} },
		"a lost change reads as made":     func(b *broken) cancel.Repository { return alwaysMade{b} },
		"an outcome is read half written": func(b *broken) cancel.Repository { return tornWrite{b} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := canceltest.Harness{New: func(ctx context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
				repo, err := newMemrepo(ctx, requests)
				b := &broken{Repository: repo, rows: map[lifecycle.ID]lifecycle.Request{}}
				for _, r := range requests {
					b.rows[r.ID] = r
				}
				return wrong(b), err
			}}
			for seed := range uint64(20) {
				report, err := linearizability.Check(t.Context(), h, &linearizability.Options{Seed: seed + 1})
				if report.Result != porcupine.Illegal {
					continue
				}
				if err == nil {
					t.Error("it is illegal, and Check returns no error")
				}
				var page strings.Builder
				if err := report.Visualize(&page); err != nil || !strings.Contains(page.String(), "CANCELLING") {
					t.Errorf("Visualize: %v", err)
				}
				return
			}
			t.Error("20 histories were accepted")
		})
	}
}

func TestCheckReportsFailures(t *testing.T) {
	t.Parallel()
	no := errors.New("no database")
	h := canceltest.Harness{New: func(context.Context, []lifecycle.Request) (cancel.Repository, error) { return nil, no }}
	if _, err := linearizability.Check(t.Context(), h, nil); !errors.Is(err, no) {
		t.Errorf("New fails: %v", err)
	}
	h = canceltest.Harness{New: newMemrepo, Close: func(cancel.Repository) error { return no }}
	if report, err := linearizability.Check(t.Context(), h, nil); !errors.Is(err, no) || report.Result != porcupine.Ok {
		t.Errorf("Close fails: %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := linearizability.Check(ctx, canceltest.Harness{New: newMemrepo}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a stopped caller: %v", err)
	}
}

// A broken is a store in a map, for others to make mistakes on.
type broken struct {
	cancel.Repository

	mu   sync.Mutex
	rows map[lifecycle.ID]lifecycle.Request
}

func (b *broken) row(id lifecycle.ID) lifecycle.Request {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rows[id]
}

func (b *broken) set(r lifecycle.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rows[r.ID] = r
}

func (b *broken) Get(_ context.Context, id lifecycle.ID) (lifecycle.Request, error) {
	return b.row(id), nil
}

func (b *broken) Children(_ context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var page []lifecycle.Request
	for id := range lifecycle.ID(len(b.rows) + 1) {
		if r := b.rows[id]; r.ID > 1 && q.States.Has(r.State) {
			page = append(page, r)
		}
	}
	return page, nil
}

func same(a, b lifecycle.Request) bool {
	return a.State == b.State && a.Outcome == b.Outcome && a.CheckedIn.Equal(b.CheckedIn)
}

func (b *broken) Apply(_ context.Context, changes []cancel.Change) ([]bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	made := make([]bool, len(changes))
	for i, ch := range changes {
		if made[i] = same(b.rows[ch.Old.ID], ch.Old); made[i] {
			b.rows[ch.Old.ID] = ch.New()
		}
	}
	return made, nil
}

// lostUpdate compares, and then writes.
type lostUpdate struct{ *broken }

func (s lostUpdate) Apply(_ context.Context, changes []cancel.Change) ([]bool, error) {
	made := make([]bool, len(changes))
	for i, ch := range changes {
		if made[i] = same(s.row(ch.Old.ID), ch.Old); made[i] {
			runtime.Gosched()
			s.set(ch.New())
		}
	}
	return made, nil
}

// staleRead reads from a replica that lags.
type staleRead struct {
	*broken
	replica sync.Map
}

func (s *staleRead) Get(_ context.Context, id lifecycle.ID) (lifecycle.Request, error) {
	if old, ok := s.replica.Load(id); ok && rand.IntN(5) > 0 {
		return old.(lifecycle.Request), nil
	}
	r := s.row(id)
	s.replica.Store(id, r)
	return r, nil
}

// stalePage remembers pages.
type stalePage struct {
	*broken
	pages sync.Map
}

func (s *stalePage) Children(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
	if old, ok := s.pages.Load(q.States); ok && rand.IntN(5) > 0 {
		return old.([]lifecycle.Request), nil
	}
	page, err := s.broken.Children(ctx, q)
	s.pages.Store(q.States, page)
	return page, err
}

// alwaysMade does not say what was lost.
type alwaysMade struct{ *broken }

func (s alwaysMade) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	made, err := s.broken.Apply(ctx, changes)
	for i := range made {
		made[i] = true
	}
	return made, err
}

// tornWrite writes the state and then the time.
type tornWrite struct{ *broken }

func (s tornWrite) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	first := append([]cancel.Change(nil), changes...)
	for i := range first {
		first[i].CheckedIn = first[i].Old.CheckedIn
	}
	made, err := s.broken.Apply(ctx, first)
	runtime.Gosched()
	for i, ch := range changes {
		if made[i] {
			s.set(ch.New())
		}
	}
	return made, err
}

func ExampleCheck() {
	h := canceltest.Harness{New: newMemrepo}
	report, err := linearizability.Check(context.Background(), h, &linearizability.Options{Clients: 4, Timeout: 10 * time.Second})
	fmt.Println(report.Result, err)
	// Output:
	// Ok <nil>
}
