package explore_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/explore"
	"example.com/ess/cancel/canceltest/internal/proof"
	"example.com/ess/lifecycle"
)

// variants returns a world with and without the capabilities of the store, with pages of
// one and of many requests, and with and without receipts.
func variants(w explore.World) []explore.World {
	var all []explore.World
	for i, v := range []struct {
		name     string
		page     int
		view     func(cancel.Repository) cancel.Repository
		receipts bool
	}{
		{"as it comes", 0, nil, false},
		{"plain, page of 1", 1, canceltest.Plain, true},
		{"by level, page of 1", 1, canceltest.ByLevel, true},
		{"plain", 0, canceltest.Plain, false},
		{"page of 1", 1, nil, true},
		{"by level", 0, canceltest.ByLevel, false},
	} {
		if i > 1 && !strings.Contains(w.Tree, "PARENT") {
			break // there are no pages
		}
		v2 := w
		opts := cancel.Options{}
		if w.Options != nil {
			opts = *w.Options
		}
		opts.PageSize = v.page
		v2.Name, v2.Options, v2.View, v2.NoReceipts = w.Name+", "+v.name, &opts, v.view, !v.receipts
		all = append(all, v2)
	}
	return all
}

// totals adds up reports.
type totals struct {
	mu        sync.Mutex
	worlds    int
	schedules float64
	runs      int
	steps     int
	cut       int
}

func (s *totals) add(r explore.Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.worlds++
	s.schedules += r.Schedules
	s.runs += r.Runs
	s.steps += r.Steps
	if !r.Complete {
		s.cut++
	}
}

func (s *totals) String() string {
	text := fmt.Sprintf("%d worlds: %.4g schedules, in %d runs of %d steps", s.worlds, s.schedules, s.runs, s.steps)
	if s.cut > 0 {
		text += fmt.Sprintf("; %d worlds were cut short", s.cut)
	}
	return text
}

// TestProofInterleavings explores every world in every variant. Where a world can end
// does not depend on the variant.
func TestProofInterleavings(t *testing.T) {
	t.Parallel()
	worlds := explore.Worlds()
	if proof.Long() {
		worlds = append(worlds, longWorlds()...)
	}
	var sum totals
	t.Run("worlds", func(t *testing.T) {
		for _, w := range worlds {
			t.Run(w.Name, func(t *testing.T) {
				t.Parallel()
				var ends []string
				for i, v := range variants(w) {
					if !proof.Full() {
						v.MaxTurns = 1
						if i == proof.Quick(1, 6) {
							break
						}
					}
					r := explore.Run(t, v)
					sum.add(r)
					if i == 0 {
						ends = r.Ends
					} else if r.Complete && !slices.Equal(r.Ends, ends) && proof.Full() && !strings.Contains(w.Name, "a parent that fails") { // that takes a ParentEnder
						t.Errorf("10 (pages do not matter): with pages of one, or without capabilities, the ends are\n%s\nnot\n%s", strings.Join(r.Ends, "or\n"), strings.Join(ends, "or\n"))
					}
				}
			})
		}
	})
	t.Logf("interleavings: %v", &sum)
}

// longWorlds are worlds that take minutes.
func longWorlds() []explore.World {
	const cancelled, succeeded = lifecycle.StateCancelled, lifecycle.StateSucceeded
	gaveIn := context.Cause
	child := lifecycle.Request{ID: 9, Parent: 2, Kind: lifecycle.KindChild, State: lifecycle.StateWait}
	return []explore.World{
		{
			Name: "long/two resumes", OneEnd: true, Tree: `
				1 PARENT CANCELLING (then CANCELLED)
				  2 CHILD RUNNING
				  3 CHILD WAIT`,
			Actors: []explore.Actor{explore.Resumes("boot1"), explore.Resumes("boot2"), explore.Acknowledges("work", 2, succeeded)},
		}, {
			Name: "long/two workers told by resume", Workers: true, Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING
				  3 CHILD RUNNING`,
			Actors: []explore.Actor{dies(explore.Cancels("ann", 1)), explore.Works("work2", 2, gaveIn), explore.Works("work3", 3, gaveIn)},
		}, {
			Name: "long/a worker dies", Workers: true, Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING`,
			Actors: []explore.Actor{explore.Cancels("ann", 1), dies(explore.Works("work", 2, gaveIn)), explore.Works("next", 2, gaveIn)},
		}, {
			Name: "long/three cancels", OneEnd: true, Tree: `
				1 PARENT RUNNING
				  2 PARENT RUNNING
				    3 CHILD RUNNING`,
			Actors: []explore.Actor{
				explore.Cancels("ann", 1), explore.Cancels("bob", 2), explore.Cancels("cid", 3),
				explore.Acknowledges("work", 3, cancelled),
			},
		}, {
			Name: "long/two cancels and two answers", OneEnd: true, Tree: `
				1 SUBREQUEST_PARENT RUNNING
				  2 SUBREQUEST_PARENT RUNNING
				    3 CHILD WAIT`,
			Actors: []explore.Actor{
				explore.Cancels("ann", 1), explore.Cancels("bob", 2),
				explore.Acknowledges("work1", 1, succeeded), explore.Acknowledges("work2", 2, cancelled),
			},
		}, {
			Name: "long/submission below an inner node", Tree: `
				1 PARENT RUNNING
				  2 SUBREQUEST_PARENT RUNNING
				    3 CHILD RUNNING`,
			Actors: []explore.Actor{
				explore.Cancels("ann", 1), explore.Cancels("bob", 2), explore.Submits("sched", child),
				explore.Acknowledges("work2", 2, cancelled), explore.Acknowledges("work3", 3, succeeded),
			},
		}, {
			Name: "long/a canceller and two workers die", Tree: `
				1 PARENT RUNNING
				  2 SUBREQUEST_PARENT RUNNING
				    3 CHILD RUNNING`,
			Actors: []explore.Actor{
				dies(explore.Cancels("ann", 1)), dies(explore.Cancels("bob", 2)),
				dies(explore.Acknowledges("work2", 2, succeeded)), dies(explore.Acknowledges("work3", 3, cancelled)),
			},
		}, {
			Name: "long/resume beside everything", OneEnd: true, Tree: `
				1 PARENT CANCELLING (then CANCELLED)
				  2 SUBREQUEST_PARENT RUNNING
				    3 CHILD READY`,
			Actors: []explore.Actor{
				explore.Resumes("boot"), explore.Cancels("bob", 2), explore.Acknowledges("work2", 2, succeeded),
			},
		}, {
			Name: "long/retry below two cancels", Tree: `
				1 PARENT RUNNING
				  2 PARENT RUNNING
				    3 CHILD RUNNING
				  4 CHILD RUNNING`,
			Actors: []explore.Actor{
				explore.Cancels("ann", 1), explore.Cancels("bob", 2),
				explore.Finishes("work3", 3, lifecycle.StateError, lifecycle.TriggerFailRetryable, lifecycle.TriggerRetry, lifecycle.TriggerDispatch, lifecycle.TriggerStart),
				explore.Acknowledges("work4", 4, succeeded),
			},
		},
	}
}

func dies(a explore.Actor) explore.Actor {
	a.Dies = true
	return a
}
