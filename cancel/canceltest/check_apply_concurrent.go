package canceltest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest/internal/rows"
	"example.com/ess/lifecycle"
)

var applyConcurrentChecks = []check{
	{
		"Apply/OneOfManyWins", "Each change is atomic: of many that begin with the same Old at once, one is made. " + concurrently,
		func(ctx context.Context, h Harness) error {
			const rounds, callers = 8, 16
			var all []lifecycle.Request
			for id := lifecycle.ID(1); id <= rounds; id++ {
				all = append(all, h.request(id, 0, lifecycle.KindSingleton, lifecycle.StateRunning))
			}
			return h.with(ctx, all, func(repo cancel.Repository) error {
				for _, r := range all {
					var winners atomic.Int64
					var winner atomic.Int64
					err := together(ctx, callers, func(i int) error {
						ch := toCancelling(r, moment.Add(time.Duration(i)*time.Second))
						ok, err := repo.Apply(ctx, []cancel.Change{ch})
						if err != nil {
							return fmt.Errorf("%s, %d at once, returned the error %w", showChange(ch), callers, err)
						}
						if len(ok) != 1 {
							return fmt.Errorf("%s returned %d answers, want 1", showChange(ch), len(ok))
						}
						if ok[0] {
							winners.Add(1)
							winner.Store(int64(i))
						}
						return nil
					})
					if err != nil {
						return err
					}
					if n := winners.Load(); n != 1 {
						return fmt.Errorf("of %d changes at once, all with the Old %s, %d were reported as made, want 1", callers, showRow(r), n)
					}
					if err := wantGet(ctx, repo, cancelling(r, moment.Add(time.Duration(winner.Load())*time.Second))); err != nil {
						return fmt.Errorf("the change that was reported as made is not there: %w", err)
					}
				}
				return nil
			})
		},
	}, {
		"Apply/OverlappingBatches", "Batches that have requests in common, in different orders, may be applied at once: every change has one winner, and nobody waits for ever or fails.",
		func(ctx context.Context, h Harness) error {
			const rounds, callers, size = 3, 8, 40
			var all []lifecycle.Request
			for id := lifecycle.ID(1); id <= rounds*size; id++ {
				all = append(all, h.request(id, 0, lifecycle.KindSingleton, lifecycle.StateWait))
			}
			return h.with(ctx, all, func(repo cancel.Repository) error {
				for batch := range slices.Chunk(all, size) {
					var winners [size]atomic.Int64
					err := together(ctx, callers, func(i int) error {
						order := rand.New(rand.NewPCG(uint64(i), 7)).Perm(size)
						switch i {
						case 0:
							slices.Sort(order)
						case 1:
							slices.Sort(order)
							slices.Reverse(order)
						}
						changes := make([]cancel.Change, size)
						for j, at := range order {
							changes[j] = cancelled(batch[at])
						}
						ok, err := repo.Apply(ctx, changes)
						if err != nil {
							return fmt.Errorf("Apply of %d changes, %d such batches in different orders at once, returned the error %w", size, callers, err)
						}
						if len(ok) != size {
							return fmt.Errorf("Apply of %d changes returned %d answers", size, len(ok))
						}
						for j, at := range order {
							if ok[j] {
								winners[at].Add(1)
							}
						}
						return nil
					})
					if err != nil {
						return err
					}
					for at := range winners {
						if n := winners[at].Load(); n != 1 {
							return fmt.Errorf("%d of %d batches at once had the change of request %d reported as made, want 1", n, callers, batch[at].ID)
						}
					}
				}
				for i, r := range all {
					all[i] = cancelled(r).New()
				}
				return wantAll(ctx, repo, all)
			})
		},
	}, {
		"Apply/AtomicForReaders", "Each change is atomic: who reads meanwhile sees State, Outcome and CheckedIn as they were before a change or as they are after it, in no mixture.",
		func(ctx context.Context, h Harness) error {
			var all []lifecycle.Request
			seen := map[lifecycle.ID][]lifecycle.Request{}
			var steps [][]cancel.Change
			for id := lifecycle.ID(1); id <= 8; id++ {
				r := h.request(id, 0, lifecycle.KindSubrequestParent, lifecycle.StateRunning)
				all = append(all, r)
				seen[id] = []lifecycle.Request{r}
				for i, ch := range h.life(r) {
					if i == len(steps) {
						steps = append(steps, nil)
					}
					steps[i] = append(steps[i], ch)
					seen[id] = append(seen[id], ch.New())
				}
			}
			return h.with(ctx, all, func(repo cancel.Repository) error {
				right := func(r lifecycle.Request, method string) error {
					if !slices.ContainsFunc(seen[r.ID], func(s lifecycle.Request) bool { return rows.Same(r, s) }) {
						return fmt.Errorf("%s returned %s, which nobody has written", method, showRow(r))
					}
					return nil
				}
				reads := []func(n int) error{
					func(n int) error {
						r, err := repo.Get(ctx, all[n%len(all)].ID)
						return cmp.Or(err, right(r, "Get"))
					},
					func(int) error {
						page, err := repo.Children(ctx, cancel.ChildQuery{Parents: []lifecycle.ID{0}, States: anyState, Limit: 100})
						for _, r := range page {
							err = cmp.Or(err, right(r, "Children"))
						}
						return err
					},
				}
				for _, changes := range steps {
					var reading sync.WaitGroup
					reading.Add(len(reads))
					var written atomic.Bool
					err := together(ctx, 1+len(reads), func(i int) error {
						if i == 0 {
							defer written.Store(true)
							reading.Wait()
							return wantApply(ctx, repo, changes, slices.Repeat([]bool{true}, len(changes)))
						}
						// Before, during and after the write, but not for ever if the writer gets
						// no turn.
						after := 0
						for n := 0; n < 100 && after < 4; n++ {
							if written.Load() {
								after++
							}
							err := reads[i-1](n)
							if n == 0 {
								reading.Done()
							}
							if err != nil {
								return err
							}
							if n%4 == 3 {
								time.Sleep(10 * time.Microsecond)
							}
						}
						return nil
					})
					if err != nil {
						return err
					}
				}
				return nil
			})
		},
	}, {
		"Apply/OthersSeeIt", "Reads see every write which finished before they began, whoever wrote and whoever reads. " + concurrently,
		func(ctx context.Context, h Harness) error {
			const callers = 8
			var all []lifecycle.Request
			for id := lifecycle.ID(1); id <= callers; id++ {
				all = append(all, h.request(id, 0, lifecycle.KindSubrequestParent, lifecycle.StateRunning))
			}
			return h.with(ctx, all, func(repo cancel.Repository) error {
				for step := range h.life(all[0]) {
					if err := together(ctx, callers, func(i int) error {
						return made(ctx, repo, h.life(h.request(all[i].ID, 0, lifecycle.KindSubrequestParent, lifecycle.StateRunning))[step])
					}); err != nil {
						return err
					}
					for i, r := range all {
						all[i] = h.life(h.request(r.ID, 0, r.Kind, lifecycle.StateRunning))[step].New()
					}
					if err := together(ctx, callers, func(i int) error {
						return errors.Join(
							wantGet(ctx, repo, all[(i+1)%callers]),
							wantPage(ctx, repo, all, cancel.ChildQuery{Parents: []lifecycle.ID{0}, States: lifecycle.SetOf(all[0].State), Limit: 100}),
						)
					}); err != nil {
						return fmt.Errorf("right after %d goroutines have written, each to a request of its own: %w", callers, err)
					}
				}
				return nil
			})
		},
	},
}
