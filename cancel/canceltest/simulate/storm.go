package simulate

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/internal/rows"
	"example.com/ess/cancel/canceltest/internal/show"
	"example.com/ess/lifecycle"
)

// StormOptions are optional settings of [CheckStorm]. A nil *StormOptions or a zero
// field gives the default.
type StormOptions struct {
	// Seed is that of the first storm. The next ones have the next seeds. Zero
	// means 1. A seed fixes the tree and what each goroutine tries; who is quicker
	// it does not fix.
	Seed uint64
	// Storms is how many there are. Zero means 10.
	Storms int
	// Requests is how many requests there are to begin with. Zero means 60.
	Requests int
	// Goroutines is how many work at the same time. Zero means 12.
	Goroutines int
	// Tries is how many things each of them does. Zero means 150.
	Tries int
}

func (o *StormOptions) orDefault() StormOptions {
	opts := StormOptions{}
	if o != nil {
		opts = *o
	}
	opts.Seed = cmp.Or(opts.Seed, 1)
	opts.Storms = cmp.Or(opts.Storms, 10)
	opts.Requests = cmp.Or(opts.Requests, 60)
	opts.Goroutines = cmp.Or(opts.Goroutines, 12)
	opts.Tries = cmp.Or(opts.Tries, 150)
	return opts
}

// CheckStorm has many goroutines work on one store at the same time, on random trees:
// they cancel, resume, acknowledge, force and check in, run work with
// [cancel.Workers], make a scheduler's transitions, and submit children by
// [canceltest.Harness.Submit] or the store's own method. All calls go to the store at
// once. What it said of each is put on record, and when all have finished the record is
// judged: whether every request can have gone the way that it is said to have gone,
// whether the rules permit every write, and whether a request was live, or came, when its
// parent had ended. Every Cancel that succeeds is followed by a look whether anything has
// escaped. In the end Resume and the last acknowledgements have to bring every cancelled
// tree to its end.
//
// Run it with the race detector. It returns how many writes were judged, and an error
// that has the history of the requests in question.
func CheckStorm(ctx context.Context, h canceltest.Harness, opts *StormOptions) (writes int, err error) {
	o := opts.orDefault()
	for i := range o.Storms {
		n, err := o.storm(ctx, h, o.Seed+uint64(i))
		if writes += n; err != nil {
			return writes, fmt.Errorf("simulate: the storm of seed %d: %w", o.Seed+uint64(i), err)
		}
	}
	return writes, nil
}

// RunStorm is [CheckStorm] as a test. It returns how many writes were checked.
func RunStorm(t *testing.T, h canceltest.Harness, opts *StormOptions) (writes int) {
	t.Helper()
	writes, err := CheckStorm(t.Context(), h, opts)
	if err != nil {
		t.Error(err)
	}
	o := opts.orDefault()
	t.Logf("%d writes in %d storms, seeds %d to %d", writes, o.Storms, o.Seed, o.Seed+uint64(o.Storms)-1)
	return writes
}

// A storm is many goroutines at work on one store.
type storm struct {
	h       canceltest.Harness
	history *history
	workers cancel.Workers
	tries   int
	whole   bool // nobody leaves anything to Resume
	submits func(ctx context.Context, r lifecycle.Request) error
	next    atomic.Int64 // the last id
	clock   atomic.Int64 // microseconds

	mu        sync.Mutex
	told      map[lifecycle.ID]bool
	cancelled map[lifecycle.ID]string // by whom, without an error
	errs      []error
}

func (o *StormOptions) storm(ctx context.Context, h canceltest.Harness, seed uint64) (writes int, err error) {
	fit := rows.Fit{States: h.States, Kinds: h.Kinds}
	d := &dice{rng: rand.New(rand.NewPCG(seed, 0)), fit: fit}
	requests := d.tree(o.Requests)
	picked := len(requests)
	whole := seed%2 == 0
	if whole {
		requests = fit.All(stormFamilies(requests))
	}
	set := setup{view: view(d.roll(3)), pageSize: pick(d, []int{0, 1, 3, 16})}
	err = rows.With(ctx, h.New, h.Close, requests, func(repo cancel.Repository) error {
		s := &storm{
			h: h, history: newHistory(set.view.of(repo), requests), tries: o.Tries, whole: whole,
			told: map[lifecycle.ID]bool{}, cancelled: map[lifecycle.ID]string{}, submits: rows.Submitter(h.Submit, repo),
		}
		s.next.Store(int64(len(requests)))
		s.history.ids = s.history.ids[:picked]
		if s.whole {
			if _, err := s.canceller(0).Resume(ctx, nil); err != nil {
				return fmt.Errorf("resume: %w", err)
			}
		}
		var wg sync.WaitGroup
		for i := range o.Goroutines {
			a := &stormActor{storm: s, d: &dice{rng: rand.New(rand.NewPCG(seed, uint64(i)+1)), fit: fit}, name: fmt.Sprintf("goroutine %d", i+1)}
			a.canceller = s.canceller(set.pageSize)
			wg.Go(func() { a.run(ctx) })
		}
		wg.Wait()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if s.whole {
			s.finish(ctx, set.pageSize)
		}
		if len(s.errs) == 0 {
			s.quiesce(ctx)
		}
		writes = s.history.count
		snap, err := canceltest.TakeSnapshot(ctx, repo)
		return show.Errors(append([]error{s.history.judge(snap), err}, s.errs...))
	})
	return writes, err
}

func (s *storm) canceller(pageSize int) *cancel.Canceller {
	return cancel.New(s.history, &cancel.Options{
		PageSize:    pageSize,
		Grace:       -1,
		Now:         s.now,
		Interrupter: cancel.InterrupterFunc(s.interrupt),
	})
}

// now never gives the same time twice.
func (s *storm) now() time.Time {
	return clockStart.Add(time.Duration(s.clock.Add(1)) * time.Microsecond)
}

func (s *storm) interrupt(ctx context.Context, ids []lifecycle.ID, cause cancel.Cause) error {
	s.mu.Lock()
	for _, id := range ids {
		s.told[id] = true
	}
	s.mu.Unlock()
	return s.workers.Interrupt(ctx, ids, cause)
}

func (s *storm) bad(ids []lifecycle.ID, format string, args ...any) {
	err := fmt.Errorf("%w%s", fmt.Errorf(format, args...), s.history.text(ids...))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errs = append(s.errs, err)
}

// quiesce brings everything to its end and looks whether that is possible.
func (s *storm) quiesce(ctx context.Context) {
	c := s.canceller(0)
	if s.whole {
		s.quiet(ctx, "when all had finished and there was nothing to resume")
	}
	for range 2 { // the first may end what is above others; the second finds nothing to do
		if _, err := c.Resume(ctx, nil); err != nil {
			s.bad(nil, "resume: %w", err)
			return
		}
	}
	snap, ok := s.quiet(ctx, "after Resume")
	if !ok {
		return
	}
	for id, r := range snap {
		if !rows.Unanswered(r) {
			continue
		}
		if !s.told[id] {
			s.bad([]lifecycle.ID{id}, "5 (a way out): the work of request %d was never told to stop", id)
		}
		if _, err := c.Acknowledge(ctx, cancel.Order{ID: id, Actor: "the last worker"}, lifecycle.StateCancelled); err != nil {
			s.bad([]lifecycle.ID{id}, "the last acknowledgement of request %d: %w", id, err)
		}
	}
	if snap, ok = s.quiet(ctx, "at the end"); !ok {
		return
	}
	for id, r := range snap {
		if r.State == lifecycle.StateCancelling {
			s.bad([]lifecycle.ID{id}, "5 (a way out): request %d is still %s, and all work has answered", id, show.State(r))
		}
	}
	for id, by := range s.cancelled {
		for _, r := range append(snap.Below(id), snap[id]) {
			if lifecycle.Live.Has(r.State) {
				s.bad([]lifecycle.ID{id, r.ID}, "3 (no escape): request %d is %v, and %s has cancelled %d", r.ID, r.State, by, id)
			}
		}
	}
	if err := s.history.agrees(snap); err != nil {
		s.bad(nil, "%w", err)
	}
}

// quiet reads all requests and checks that none waits for nothing. It reports whether it
// could.
func (s *storm) quiet(ctx context.Context, when string) (canceltest.Snapshot, bool) {
	snap, err := canceltest.TakeSnapshot(ctx, s.history.repo)
	if err != nil {
		s.bad(nil, "reading all requests: %w", err)
		return nil, false
	}
	if err := canceltest.CheckQuiet(snap); err != nil {
		var ids []lifecycle.ID
		for id, r := range snap {
			kids := snap.Children(id)
			stuck := !slices.ContainsFunc(kids, func(r lifecycle.Request) bool { return r.State == lifecycle.StateCancelling })
			if r.State == lifecycle.StateCancelling && !rows.Unanswered(r) && stuck && len(ids) < 8 {
				ids = append(ids, id)
				for _, kid := range kids {
					ids = append(ids, kid.ID)
				}
			}
		}
		s.bad(ids, "%s: %w", when, err)
	}
	return snap, true
}

// stormFamilies adds small families whose work has been told to stop, and is left to do so
// until the end.
func stormFamilies(requests []lifecycle.Request) []lifecycle.Request {
	for n := range 20 {
		id := lifecycle.ID(len(requests) + 1)
		requests = append(requests,
			lifecycle.Request{ID: id, Kind: parentKinds[n%2], State: lifecycle.StateCancelling},
			lifecycle.Request{ID: id + 1, Parent: id, Kind: lifecycle.KindSubrequestParent, State: lifecycle.StateCancelling},
			lifecycle.Request{ID: id + 2, Parent: id + 1, Kind: lifecycle.KindChild, State: lifecycle.StateCancelling},
		)
	}
	return requests
}

// finish answers for all work that has been told to stop, everybody at once: of two
// that come last, at least one has to see it.
func (s *storm) finish(ctx context.Context, pageSize int) {
	s.history.slow.Store(true)
	defer s.history.slow.Store(false)
	snap, err := canceltest.TakeSnapshot(ctx, s.history.repo)
	if err != nil {
		s.bad(nil, "reading all requests: %w", err)
	}
	c := s.canceller(pageSize)
	var wg sync.WaitGroup
	for _, id := range unanswered(snap) {
		wg.Go(func() {
			if _, err := c.Acknowledge(ctx, cancel.Order{ID: id, Actor: fmt.Sprint("worker of ", id)}, lifecycle.StateCancelled); err != nil {
				s.bad([]lifecycle.ID{id}, "acknowledge of request %d: %w", id, err)
			}
		})
	}
	wg.Wait()
}
