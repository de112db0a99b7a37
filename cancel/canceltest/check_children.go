package canceltest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest/internal/rows"
	"example.com/ess/cancel/canceltest/internal/show"
	"example.com/ess/lifecycle"
)

var childrenChecks = []check{
	{
		"Children/OfTheParents", "Children returns the requests whose Parent is in q.Parents, and no others; a parent may have none, or not exist.",
		func(ctx context.Context, h Harness) error {
			return eachQuery(ctx, h, h.families(), func(yield func(cancel.ChildQuery)) {
				for _, parents := range [][]lifecycle.ID{{10}, {20}, {30}, {40}, {50}, {10, 30}, {20, 50}, {10, 20, 30, 40, 50}, {40, 50}, {101}} {
					yield(cancel.ChildQuery{Parents: parents, States: anyState, Limit: 100})
				}
			})
		},
	}, {
		"Children/WithoutParent", "Parent 0 stands for the requests that have no parent.",
		func(ctx context.Context, h Harness) error {
			return eachQuery(ctx, h, h.families(), func(yield func(cancel.ChildQuery)) {
				for _, parents := range [][]lifecycle.ID{{0}, {0, 10}, {0, 10, 20, 30, 40}} {
					yield(cancel.ChildQuery{Parents: parents, States: anyState, Limit: 100})
					yield(cancel.ChildQuery{Parents: parents, States: anyState, Limit: 100, After: cancel.Cursor{ID: 20}})
					yield(cancel.ChildQuery{Parents: parents, States: anyState, Limit: 100, After: cancel.Cursor{ID: math.MaxInt64}})
				}
			})
		},
	}, {
		"Children/InTheStates", "Children returns the requests whose State is in q.States, and no others.",
		func(ctx context.Context, h Harness) error {
			return eachQuery(ctx, h, h.everyRequest(), func(yield func(cancel.ChildQuery)) {
				sets := []lifecycle.StateSet{lifecycle.Live, lifecycle.Terminal, anyState, lifecycle.Pending, lifecycle.Executing}
				for s := range lifecycle.States() {
					sets = append(sets, lifecycle.SetOf(s))
				}
				for _, states := range sets {
					yield(cancel.ChildQuery{Parents: []lifecycle.ID{1}, States: states, Limit: 1000})
				}
			})
		},
	}, {
		"Children/ReturnsTheRequests", "Children returns the same of a request as Get: parent, kind, state, outcome, and the check-in to the microsecond.",
		func(ctx context.Context, h Harness) error {
			all := h.everyRequest()
			return h.with(ctx, all, func(repo cancel.Repository) error { return wantAll(ctx, repo, all) })
		},
	}, {
		"Children/OrderedByParentAndID", "Children returns the requests ordered by Parent and then by ID, whatever the order in which they came.",
		func(ctx context.Context, h Harness) error {
			return eachQuery(ctx, h, h.families(), func(yield func(cancel.ChildQuery)) {
				for limit := 1; limit <= 12; limit++ {
					yield(cancel.ChildQuery{Parents: []lifecycle.ID{10, 20, 30}, States: lifecycle.Live, Limit: limit})
				}
			})
		},
	}, {
		"Children/AtMostLimit", "Children returns at most q.Limit requests; it may return fewer, but only an empty page says that there are none left.",
		onStore(Harness.families, func(ctx context.Context, _ Harness, repo cancel.Repository, all []lifecycle.Request) error {
			for limit := 1; limit <= 12; limit++ {
				q := cancel.ChildQuery{Parents: []lifecycle.ID{10, 20, 30, 40}, States: lifecycle.Live, Limit: limit}
				if err := wantSeries(ctx, repo, all, q, nil); err != nil {
					return err
				}
			}
			return nil
		}),
	}, {
		"Children/AfterTheCursor", "Children begins after q.After, a position by Parent and then by ID at which there need not be a request.",
		func(ctx context.Context, h Harness) error {
			return eachQuery(ctx, h, h.families(), func(yield func(cancel.ChildQuery)) {
				for _, parent := range []lifecycle.ID{0, 5, 10, 15, 20, 30, 35, math.MaxInt64} {
					for _, id := range []lifecycle.ID{0, 2, 104, 106, 112, math.MaxInt64} {
						yield(cancel.ChildQuery{Parents: []lifecycle.ID{10, 20, 30}, States: lifecycle.Live, After: cancel.Cursor{Parent: parent, ID: id}, Limit: 4})
					}
				}
			})
		},
	}, {
		"Children/ManyPages", "Pages of a thousand requests, one after the other, return every request once.",
		func(ctx context.Context, h Harness) error {
			all := []lifecycle.Request{h.request(1, 0, lifecycle.KindParent, lifecycle.StateRunning)}
			for id := lifecycle.ID(2); id <= 1302; id++ {
				all = append(all, h.request(id, 1, lifecycle.KindChild, lifecycle.StateWait))
			}
			return h.with(ctx, all, func(repo cancel.Repository) error {
				return wantSeries(ctx, repo, all, cancel.ChildQuery{Parents: []lifecycle.ID{1}, States: lifecycle.Live, Limit: 1000}, nil)
			})
		},
	}, {
		"Children/ManyParents", "A query may have a thousand parents.",
		func(ctx context.Context, h Harness) error {
			all, parents := h.thousand()
			return h.with(ctx, all, func(repo cancel.Repository) error {
				return wantSeries(ctx, repo, all, cancel.ChildQuery{Parents: parents, States: lifecycle.Live, Limit: 1000}, nil)
			})
		},
	}, {
		"Children/WhileOthersChange", "A request that is there, and in q.States, during the whole of a series of calls is returned once in it, whatever comes, goes or changes meanwhile.",
		seriesWhileOthersChange,
	}, {
		"Children/WhileTheyChangeState", "A request that changes its state meanwhile, and is in q.States all the time, is returned once in a series of calls.",
		func(ctx context.Context, h Harness) error {
			return whileTheyChange(ctx, h, func(ctx context.Context, repo cancel.Repository) error {
				for range 8 {
					q := cancel.ChildQuery{Parents: []lifecycle.ID{1}, States: lifecycle.Live, Limit: 7}
					seen := map[lifecycle.ID]int{}
					for r, err := range cancel.Children(ctx, repo, q) {
						if err != nil {
							return err
						}
						seen[r.ID]++
					}
					for id := lifecycle.ID(2); id < 2+changing; id++ {
						if seen[id] != 1 {
							return fmt.Errorf("%s and the pages after it returned request %d %d times, which went from one live state to another and back meanwhile", showQuery(q), id, seen[id])
						}
					}
				}
				return nil
			})
		},
	}, {
		"Children/NothingStaysOpen", "Nothing stays open between calls: a series that is broken off holds nothing up.",
		onStore(Harness.families, func(ctx context.Context, _ Harness, repo cancel.Repository, all []lifecycle.Request) error {
			for range 40 {
				if _, err := repo.Children(ctx, cancel.ChildQuery{Parents: []lifecycle.ID{10, 20, 30}, States: lifecycle.Live, Limit: 1}); err != nil {
					return fmt.Errorf("Children, after others that were not read to the end: %w", err)
				}
			}
			for i, r := range all {
				if lifecycle.Live.Has(r.State) && !r.Kind.HasChildren() {
					if err := made(ctx, repo, cancelled(r)); err != nil {
						return fmt.Errorf("after pages that were not read to the end: %w", err)
					}
					all[i] = cancelled(r).New()
				}
			}
			return wantAll(ctx, repo, all)
		}),
	}, {
		"Children/ContextDone", contextDone,
		func(ctx context.Context, h Harness) error {
			return whenDone(ctx, h, func(ctx context.Context, repo cancel.Repository) error {
				_, err := repo.Children(ctx, cancel.ChildQuery{Parents: []lifecycle.ID{10, 20}, States: lifecycle.Live, Limit: 10})
				return err
			})
		},
	}, {
		"Children/GivenSlices", "The slice of parents must not be changed, nor kept after the return.",
		onStore(Harness.families, func(ctx context.Context, _ Harness, repo cancel.Repository, all []lifecycle.Request) error {
			memory := []lifecycle.ID{10, 20, 30, -1}
			q := cancel.ChildQuery{Parents: memory[:2], States: lifecycle.Live, Limit: 100}
			if err := wantPage(ctx, repo, all, q); err != nil {
				return err
			}
			if want := []lifecycle.ID{10, 20, 30, -1}; !slices.Equal(memory, want) {
				return fmt.Errorf("Children changed the memory of q.Parents, or behind it, from %v to %v", want, memory)
			}
			memory[0], memory[1] = 20, 30
			if err := wantPage(ctx, repo, all, q); err != nil {
				return fmt.Errorf("after the caller had written other parents to the same slice: %w", err)
			}
			return nil
		}),
	}, {
		"Children/ReturnedSlices", "The slice that Children returns belongs to the caller.",
		onStore(Harness.families, func(ctx context.Context, _ Harness, repo cancel.Repository, all []lifecycle.Request) error {
			q := cancel.ChildQuery{Parents: []lifecycle.ID{10, 20, 30}, States: lifecycle.Live, Limit: 4}
			first, err := repo.Children(ctx, q)
			if err != nil {
				return err
			}
			before := slices.Clone(first)
			q.After = cancel.Cursor{Parent: 20}
			if err := wantPage(ctx, repo, all, q); err != nil {
				return err
			}
			if !slices.EqualFunc(first, before, rows.Same) {
				return errors.New("the next call of Children wrote to the page that the one before had returned")
			}
			for _, page := range [][]lifecycle.Request{first, first[:cap(first)]} {
				for i := range page {
					page[i] = lifecycle.Request{ID: 666, Parent: 666}
				}
			}
			if err := wantAll(ctx, repo, all); err != nil {
				return fmt.Errorf("after the caller had written to the page that Children returned: %w", err)
			}
			return nil
		}),
	},
}

// eachQuery reads all pages for every query that queries yields.
func eachQuery(ctx context.Context, h Harness, all []lifecycle.Request, queries func(yield func(cancel.ChildQuery))) error {
	return h.with(ctx, all, func(repo cancel.Repository) error {
		var errs []error
		queries(func(q cancel.ChildQuery) { errs = append(errs, wantSeries(ctx, repo, all, q, nil)) })
		return show.Errors(errs)
	})
}

// wantSeries reads pages to the end and checks them. between, if not nil, is called after
// each, and returns the requests from then on.
func wantSeries(ctx context.Context, repo cancel.Repository, all []lifecycle.Request, q cancel.ChildQuery, between func(pages int) ([]lifecycle.Request, error)) error {
	for pages := 1; ; pages++ {
		got, err := page(ctx, repo, all, q)
		if err != nil {
			return fmt.Errorf("page %d: %w", pages, err)
		}
		if len(got) == 0 {
			return nil
		}
		q.After = position(got[len(got)-1]) // page has made sure that this is further
		if between == nil {
			continue
		}
		if all, err = between(pages); err != nil {
			return err
		}
	}
}

// wantPage reads one page and checks it, if the store holds all.
func wantPage(ctx context.Context, repo cancel.Repository, all []lifecycle.Request, q cancel.ChildQuery) error {
	_, err := page(ctx, repo, all, q)
	return err
}

func page(ctx context.Context, repo cancel.Repository, all []lifecycle.Request, q cancel.ChildQuery) ([]lifecycle.Request, error) {
	got, err := repo.Children(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("%s returned the error %w", showQuery(q), err)
	}
	if err := rightPage(got, answer(all, q), q); err != nil {
		return nil, fmt.Errorf("%s %w", showQuery(q), err)
	}
	return got, nil
}

// rightPage checks a page of which want is all that there is.
func rightPage(got, want []lifecycle.Request, q cancel.ChildQuery) error {
	if len(got) > q.Limit {
		return fmt.Errorf("returned %d requests", len(got))
	}
	if len(got) == 0 && len(want) > 0 {
		return fmt.Errorf("returned an empty page, but there is %s", showRow(want[0]))
	}
	last := q.After
	for i, r := range got {
		switch at := position(r); {
		case !asked(q, r):
			return fmt.Errorf("returned %s, whose parent was not asked for", showRow(r))
		case !q.States.Has(r.State):
			return fmt.Errorf("returned %s, whose state was not asked for", showRow(r))
		case at.Compare(last) <= 0:
			return fmt.Errorf("returned %s, which comes before or is at the position %+v, at index %d", showRow(r), last, i)
		case i >= len(want):
			return fmt.Errorf("returned %s at index %d, want no more than %d requests", showRow(r), i, len(want))
		case !rows.Same(r, want[i]):
			return fmt.Errorf("returned %s at index %d, want %s", showRow(r), i, showRow(want[i]))
		default:
			last = at
		}
	}
	return nil
}

// answer returns all that q asks for, without its limit, if the store holds all.
func answer(all []lifecycle.Request, q cancel.ChildQuery) []lifecycle.Request {
	var want []lifecycle.Request
	for _, r := range all {
		if asked(q, r) && q.States.Has(r.State) && position(r).Compare(q.After) > 0 {
			want = append(want, r)
		}
	}
	slices.SortFunc(want, func(a, b lifecycle.Request) int { return position(a).Compare(position(b)) })
	return want
}

func asked(q cancel.ChildQuery, r lifecycle.Request) bool {
	_, ok := slices.BinarySearch(q.Parents, r.Parent)
	return ok
}

func position(r lifecycle.Request) cancel.Cursor { return cancel.Cursor{Parent: r.Parent, ID: r.ID} }

func showQuery(q cancel.ChildQuery) string {
	parents := fmt.Sprint(q.Parents)
	if len(q.Parents) > 12 {
		parents = fmt.Sprintf("%d parents", len(q.Parents))
	}
	states := q.States.String()
	switch q.States {
	case anyState:
		states = "all"
	case lifecycle.Live:
		states = "lifecycle.Live"
	}
	return fmt.Sprintf("Children(Parents: %s, States: %s, After: %+v, Limit: %d)", parents, states, q.After, q.Limit)
}

func seriesWhileOthersChange(ctx context.Context, h Harness) error {
	all := []lifecycle.Request{
		h.request(1, 0, lifecycle.KindParent, lifecycle.StateRunning),
		h.request(2, 0, lifecycle.KindParent, lifecycle.StateRunning),
	}
	for id := lifecycle.ID(10); id < 34; id++ {
		all = append(all, h.request(2*id, 1+id%2, lifecycle.KindChild, lifecycle.StateWait))
	}
	return h.with(ctx, all, func(repo cancel.Repository) error {
		q := cancel.ChildQuery{Parents: []lifecycle.ID{1, 2}, States: lifecycle.SetOf(h.fit().State(lifecycle.StateWait)), Limit: 5}
		todo := answer(all, q)
		// After each page a request before the position, the one at it and one
		// behind it leave, and others come.
		return wantSeries(ctx, repo, all, q, func(pages int) ([]lifecycle.Request, error) {
			at := pages*q.Limit - 1
			for _, i := range []int{at - 3, at, at + 3} {
				if i >= len(todo) {
					continue
				}
				r := todo[i]
				if err := made(ctx, repo, cancelled(r)); err != nil {
					return nil, err
				}
				all = slices.DeleteFunc(all, func(a lifecycle.Request) bool { return a.ID == r.ID })
				all = append(all, cancelled(r).New())
			}
			if h.Insert != nil && pages <= 4 { // later ones would come as fast as they are read
				fresh := []lifecycle.Request{
					h.request(lifecycle.ID(2*pages+1), 1, lifecycle.KindChild, lifecycle.StateWait),
					h.request(lifecycle.ID(100+pages), 2, lifecycle.KindChild, lifecycle.StateWait),
				}
				if err := h.Insert(ctx, repo, fresh); err != nil {
					return nil, fmt.Errorf("Harness.Insert: %w", err)
				}
				all = append(all, fresh...)
			}
			return all, nil
		})
	})
}
