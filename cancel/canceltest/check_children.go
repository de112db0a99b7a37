package canceltest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest/internal/rows"
	"example.com/ess/cancel/canceltest/internal/show"
	"example.com/ess/lifecycle"
)

// moment is when the requests of the checks last checked in. It has microseconds,
// which a store must keep.
var moment = time.Date(2026, 3, 31, 22, 0, 0, 123_456_000, time.UTC)

const anyState = lifecycle.Live | lifecycle.Terminal

var readChecks = []check{
	{
		"Harness/HoldsExactlyTheRequests", "Harness.New returns a repository that holds exactly the given requests.",
		func(ctx context.Context, h Harness) error {
			return errors.Join(
				h.with(ctx, nil, func(repo cancel.Repository) error { return wantAll(ctx, repo, nil) }),
				h.with(ctx, families(), func(repo cancel.Repository) error { return wantAll(ctx, repo, families()) }),
			)
		},
	}, {
		"Harness/RepositoriesShareNothing", "Every call of Harness.New returns a repository that shares nothing with the others.",
		func(ctx context.Context, h Harness) error {
			one := []lifecycle.Request{request(1, 0, lifecycle.KindSingleton, lifecycle.StateWait)}
			other := []lifecycle.Request{request(1, 0, lifecycle.KindParent, lifecycle.StateHold), request(2, 1, lifecycle.KindChild, lifecycle.StateHold)}
			return h.with(ctx, one, func(first cancel.Repository) error {
				return h.with(ctx, other, func(second cancel.Repository) error {
					if err := made(ctx, first, cancelled(one[0])); err != nil {
						return err
					}
					return errors.Join(
						wantAll(ctx, first, []lifecycle.Request{cancelled(one[0]).New()}),
						wantAll(ctx, second, other),
					)
				})
			})
		},
	}, {
		"Get/ReturnsTheRequest", "Get returns the request as it is stored: parent, kind, state, outcome, and the check-in to the microsecond.",
		func(ctx context.Context, h Harness) error {
			all := everyRequest()
			return h.with(ctx, all, func(repo cancel.Repository) error {
				var errs []error
				for _, want := range all {
					errs = append(errs, wantGet(ctx, repo, want))
				}
				return show.Errors(errs)
			})
		},
	}, {
		"Get/NotFound", "Get returns an error matching ErrNotFound for an id that no request has.",
		func(ctx context.Context, h Harness) error {
			return h.with(ctx, families(), func(repo cancel.Repository) error {
				var errs []error
				for _, id := range []lifecycle.ID{5, 11, 1 << 40, math.MaxInt64} {
					r, err := repo.Get(ctx, id)
					if !errors.Is(err, cancel.ErrNotFound) {
						errs = append(errs, fmt.Errorf("Get(%d), of which there is none, returned %s and the error %v, want one matching cancel.ErrNotFound", id, showRow(r), err))
					}
				}
				return show.Errors(errs)
			})
		},
	}, {
		"Get/LargeIDs", "An id is any positive int64, and is a number, not a text: every method keeps it exactly and orders by it.",
		func(ctx context.Context, h Harness) error {
			// 1<<53+1 is the first number that a float64 does not hold. 9, 10 and 99,
			// 100 come in another order as texts.
			ids := []lifecycle.ID{9, 10, 99, 100, 1<<31 + 1, 1<<53 + 1, 1<<53 + 2, math.MaxInt64 - 1, math.MaxInt64}
			parent := ids[7]
			all := []lifecycle.Request{request(parent, 0, lifecycle.KindParent, lifecycle.StateRunning)}
			for _, id := range slices.Backward(ids) {
				if id != parent {
					all = append(all, request(id, parent, lifecycle.KindChild, lifecycle.StateReady))
				}
			}
			return h.with(ctx, all, func(repo cancel.Repository) error {
				var errs []error
				for _, r := range all {
					errs = append(errs, wantGet(ctx, repo, r))
				}
				for _, after := range append([]lifecycle.ID{0}, ids...) {
					errs = append(errs, wantPage(ctx, repo, all, cancel.ChildQuery{
						Parents: []lifecycle.ID{parent}, States: lifecycle.Live, After: cancel.Cursor{Parent: parent, ID: after}, Limit: 100,
					}))
				}
				last := all[1]
				errs = append(errs, made(ctx, repo, cancelled(last)), wantGet(ctx, repo, cancelled(last).New()))
				return show.Errors(errs)
			})
		},
	}, {
		"Children/OfTheParents", "Children returns the requests whose Parent is in q.Parents, and no others; a parent may have none, or not exist.",
		func(ctx context.Context, h Harness) error {
			return eachQuery(ctx, h, families(), func(yield func(cancel.ChildQuery)) {
				for _, parents := range [][]lifecycle.ID{{10}, {20}, {30}, {40}, {50}, {10, 30}, {20, 50}, {10, 20, 30, 40, 50}, {40, 50}, {101}} {
					yield(cancel.ChildQuery{Parents: parents, States: anyState, Limit: 100})
				}
			})
		},
	}, {
		"Children/WithoutParent", "Parent 0 stands for the requests that have no parent.",
		func(ctx context.Context, h Harness) error {
			return eachQuery(ctx, h, families(), func(yield func(cancel.ChildQuery)) {
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
			return eachQuery(ctx, h, everyRequest(), func(yield func(cancel.ChildQuery)) {
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
			all := everyRequest()
			return h.with(ctx, all, func(repo cancel.Repository) error { return wantAll(ctx, repo, all) })
		},
	}, {
		"Children/OrderedByParentAndID", "Children returns the requests ordered by Parent and then by ID, whatever the order in which they came.",
		func(ctx context.Context, h Harness) error {
			return eachQuery(ctx, h, families(), func(yield func(cancel.ChildQuery)) {
				for limit := 1; limit <= 12; limit++ {
					yield(cancel.ChildQuery{Parents: []lifecycle.ID{10, 20, 30}, States: lifecycle.Live, Limit: limit})
				}
			})
		},
	}, {
		"Children/AtMostLimit", "Children returns at most q.Limit requests; it may return fewer, but only an empty page says that there are none left.",
		func(ctx context.Context, h Harness) error {
			all := families()
			return h.with(ctx, all, func(repo cancel.Repository) error {
				for limit := 1; limit <= 12; limit++ {
					q := cancel.ChildQuery{Parents: []lifecycle.ID{10, 20, 30, 40}, States: lifecycle.Live, Limit: limit}
					if err := wantSeries(ctx, repo, all, q, nil); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}, {
		"Children/AfterTheCursor", "Children begins after q.After, a position by Parent and then by ID at which there need not be a request.",
		func(ctx context.Context, h Harness) error {
			return eachQuery(ctx, h, families(), func(yield func(cancel.ChildQuery)) {
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
			all := []lifecycle.Request{request(1, 0, lifecycle.KindParent, lifecycle.StateRunning)}
			for id := lifecycle.ID(2); id <= 1302; id++ {
				all = append(all, request(id, 1, lifecycle.KindChild, lifecycle.StateWait))
			}
			return h.with(ctx, all, func(repo cancel.Repository) error {
				return wantSeries(ctx, repo, all, cancel.ChildQuery{Parents: []lifecycle.ID{1}, States: lifecycle.Live, Limit: 1000}, nil)
			})
		},
	}, {
		"Children/ManyParents", "A query may have a thousand parents.",
		func(ctx context.Context, h Harness) error {
			all, parents := thousand()
			return h.with(ctx, all, func(repo cancel.Repository) error {
				return wantSeries(ctx, repo, all, cancel.ChildQuery{Parents: parents, States: lifecycle.Live, Limit: 1000}, nil)
			})
		},
	}, {
		"Children/WhileOthersChange", "A request that is there, and in q.States, during the whole of a series of calls is returned once in it, whatever comes, goes or changes meanwhile.",
		seriesWhileOthersChange,
	}, {
		"Children/NothingStaysOpen", "Nothing stays open between calls: a series that is broken off holds nothing up.",
		func(ctx context.Context, h Harness) error {
			all := families()
			return h.with(ctx, all, func(repo cancel.Repository) error {
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
			})
		},
	}, {
		"Get/ContextDone", contextDone,
		func(ctx context.Context, h Harness) error {
			return whenDone(ctx, h, func(ctx context.Context, repo cancel.Repository) error {
				_, err := repo.Get(ctx, 101)
				return err
			})
		},
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
		func(ctx context.Context, h Harness) error {
			all := families()
			return h.with(ctx, all, func(repo cancel.Repository) error {
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
			})
		},
	}, {
		"Children/ReturnedSlices", "The slice that Children returns belongs to the caller.",
		func(ctx context.Context, h Harness) error {
			all := families()
			return h.with(ctx, all, func(repo cancel.Repository) error {
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
			})
		},
	},
}

const contextDone = "Methods return early, with an error matching ctx.Err(), when ctx is done."

func request(id, parent lifecycle.ID, k lifecycle.Kind, s lifecycle.State) lifecycle.Request {
	return lifecycle.Request{ID: id, Parent: parent, Kind: k, State: s}
}

// everyRequest returns requests of every kind in every state, with every outcome,
// below request 1.
func everyRequest() []lifecycle.Request {
	all := []lifecycle.Request{request(1, 0, lifecycle.KindParent, lifecycle.StateRunning)}
	id := lifecycle.ID(1)
	add := func(r lifecycle.Request) {
		id++
		r.ID, r.Parent = id, 1
		all = append(all, r)
	}
	for k := range lifecycle.Kinds() {
		for s := range lifecycle.States() {
			r := lifecycle.Request{Kind: k, State: s}
			switch s {
			case lifecycle.StateCancelling:
				add(r) // as other means than this package may have left it: without a check-in
				r.CheckedIn = moment
				add(r)
				r.CheckedIn = moment.Add(time.Hour + time.Microsecond)
				for o := range lifecycle.Outcomes.All() {
					r.Outcome = o
					add(r)
				}
			case lifecycle.StateCancelled:
				add(r)
				r.CheckedIn = moment.Add(-time.Microsecond)
				add(r)
			default:
				add(r)
			}
		}
	}
	return all
}

// families returns three parents whose children's ids alternate, and come in no
// order, one parent without children and some leaves without a parent.
func families() []lifecycle.Request {
	var all []lifecycle.Request
	for _, id := range []lifecycle.ID{40, 10, 30, 20} {
		all = append(all, request(id, 0, lifecycle.KindParent, lifecycle.StateRunning))
	}
	for i := lifecycle.ID(11); i >= 0; i-- {
		all = append(all, request(101+i, 10*(1+i%3), lifecycle.KindChild, lifecycle.StateWait))
	}
	return append(all,
		request(2, 30, lifecycle.KindChild, lifecycle.StateReady), // older than its parent
		request(3, 10, lifecycle.KindChild, lifecycle.StateSucceeded),
		request(4, 20, lifecycle.KindChild, lifecycle.StateCancelled),
		request(8, 0, lifecycle.KindSingleton, lifecycle.StateHold),
		request(7, 0, lifecycle.KindSingleton, lifecycle.StateError),
	)
}

// thousand returns a thousand parents, with their ids, most of which have a child,
// and a few others.
func thousand() (all []lifecycle.Request, parents []lifecycle.ID) {
	for id := lifecycle.ID(1); id <= 1010; id++ {
		all = append(all, request(id, 0, lifecycle.KindParent, lifecycle.StateRunning))
		if id%101 != 0 {
			parents = append(parents, id)
		}
	}
	for id := lifecycle.ID(1); id <= 1010; id++ {
		if id%4 == 3 {
			all = append(all, request(10_000-id, id, lifecycle.KindChild, lifecycle.StateWait))
		}
	}
	return all, parents[:1000]
}

// showRow describes a request, such as "request 7 of parent 2 (CHILD CANCELLING)".
func showRow(r lifecycle.Request) string {
	var b strings.Builder
	fmt.Fprintf(&b, "request %d", r.ID)
	if r.Parent != 0 {
		fmt.Fprintf(&b, " of parent %d", r.Parent)
	}
	fmt.Fprintf(&b, " (%v %v", r.Kind, r.State)
	if r.Outcome != 0 {
		fmt.Fprintf(&b, ", outcome %v", r.Outcome)
	}
	if !r.CheckedIn.IsZero() {
		fmt.Fprintf(&b, ", checked in %s", r.CheckedIn.UTC().Format("2006-01-02T15:04:05.999999999Z"))
	}
	b.WriteByte(')')
	return b.String()
}

// wantGet checks that the request is as wanted.
func wantGet(ctx context.Context, repo cancel.Repository, want lifecycle.Request) error {
	got, err := repo.Get(ctx, want.ID)
	if err != nil {
		return fmt.Errorf("Get(%d) returned the error %w, want %s", want.ID, err, showRow(want))
	}
	if !rows.Same(got, want) {
		return fmt.Errorf("Get(%d) returned %s, want %s", want.ID, showRow(got), showRow(want))
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

// wantAll checks that the repository holds just these requests.
func wantAll(ctx context.Context, repo cancel.Repository, want []lifecycle.Request) error {
	got, err := TakeSnapshot(ctx, repo)
	if err != nil {
		return fmt.Errorf("while all requests were read level by level: %w", err)
	}
	return diff(got, snapshotOf(want))
}

func snapshotOf(requests []lifecycle.Request) Snapshot {
	snap := make(Snapshot, len(requests))
	for _, r := range requests {
		snap[r.ID] = r
	}
	return snap
}

// diff says where got differs from want.
func diff(got, want Snapshot) error {
	var errs []error
	for _, id := range sortedIDs(want) {
		if g, ok := got[id]; !ok {
			errs = append(errs, fmt.Errorf("%s is missing", showRow(want[id])))
		} else if !rows.Same(g, want[id]) {
			errs = append(errs, fmt.Errorf("%s, want %s", showRow(g), showRow(want[id])))
		}
	}
	for _, id := range sortedIDs(got) {
		if _, ok := want[id]; !ok {
			errs = append(errs, fmt.Errorf("%s should not be there", showRow(got[id])))
		}
	}
	return show.Errors(errs)
}

func sortedIDs(s Snapshot) []lifecycle.ID {
	ids := make([]lifecycle.ID, 0, len(s))
	for id := range s {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func seriesWhileOthersChange(ctx context.Context, h Harness) error {
	all := []lifecycle.Request{
		request(1, 0, lifecycle.KindParent, lifecycle.StateRunning),
		request(2, 0, lifecycle.KindParent, lifecycle.StateRunning),
	}
	for id := lifecycle.ID(10); id < 34; id++ {
		all = append(all, request(2*id, 1+id%2, lifecycle.KindChild, lifecycle.StateWait))
	}
	return h.with(ctx, all, func(repo cancel.Repository) error {
		q := cancel.ChildQuery{Parents: []lifecycle.ID{1, 2}, States: lifecycle.SetOf(lifecycle.StateWait), Limit: 5}
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
					request(lifecycle.ID(2*pages+1), 1, lifecycle.KindChild, lifecycle.StateWait),
					request(lifecycle.ID(100+pages), 2, lifecycle.KindChild, lifecycle.StateWait),
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

// whenDone checks that call fails with the right error under a context that is
// done, and changes nothing.
func whenDone(ctx context.Context, h Harness, call func(ctx context.Context, repo cancel.Repository) error) error {
	return h.with(ctx, families(), func(repo cancel.Repository) error {
		stopped, stop := context.WithCancelCause(ctx)
		stop(errors.New("a cause, which is not ctx.Err()"))
		late, stop2 := context.WithDeadline(ctx, time.Now().Add(-time.Second))
		defer stop2()
		for _, done := range []context.Context{stopped, late} {
			err := call(done, repo)
			if errors.Is(err, errors.ErrUnsupported) {
				return err
			}
			if !errors.Is(err, done.Err()) {
				return fmt.Errorf("under a context that is done the error is %v, want one matching %q", err, done.Err())
			}
			if errors.Is(err, cancel.ErrNotFound) {
				return fmt.Errorf("under a context that is done the error %q matches cancel.ErrNotFound", err)
			}
		}
		return nil
	})
}
