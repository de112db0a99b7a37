package canceltest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest/internal/rows"
	"example.com/ess/cancel/canceltest/internal/show"
	"example.com/ess/lifecycle"
)

var causeChecks = []check{
	{
		"Cause/OfTheFirstChange", "Cause returns the Cause of the first change that was made to the request.",
		func(ctx context.Context, h Harness) error {
			r := request(1, 0, lifecycle.KindSubrequestParent, lifecycle.StateRunning)
			return capable(ctx, h, []lifecycle.Request{r}, func(repo cancel.CauseReader) error {
				for i, ch := range life(r) {
					ch.Cause.Reason = fmt.Sprintf("change %d", i+1)
					ch.Cause.Root = lifecycle.ID(i + 1)
					if err := made(ctx, repo, ch); err != nil {
						return err
					}
					first := why
					first.Reason = "change 1"
					if err := wantCause(ctx, repo, 1, first); err != nil {
						return fmt.Errorf("after %d changes: %w", i+1, err)
					}
				}
				return nil
			})
		},
	}, {
		"Cause/ZeroIfNone", "Cause returns the zero Cause if no change was made to the request; one that was not made has none.",
		func(ctx context.Context, h Harness) error {
			all := everyRequest()
			return capable(ctx, h, all, func(repo cancel.CauseReader) error {
				leaf := all[2]
				stale := leaf
				stale.State = lifecycle.StateHold
				if err := notMade(ctx, repo, cancelled(stale), leaf); err != nil {
					return err
				}
				for _, r := range []lifecycle.Request{leaf, all[1], all[len(all)-1]} {
					if err := wantCause(ctx, repo, r.ID, cancel.Cause{}); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}, {
		"Cause/NotFound", "Cause returns an error matching ErrNotFound for an id that no request has.",
		func(ctx context.Context, h Harness) error {
			return capable(ctx, h, families(), func(repo cancel.CauseReader) error {
				for _, id := range []lifecycle.ID{5, math.MaxInt64} {
					cause, err := repo.Cause(ctx, id)
					if errors.Is(err, errors.ErrUnsupported) {
						return err
					}
					if !errors.Is(err, cancel.ErrNotFound) {
						return fmt.Errorf("Cause(%d), of which there is none, returned %+v and the error %v, want one matching cancel.ErrNotFound", id, cause, err)
					}
				}
				return nil
			})
		},
	}, {
		"Cause/KeepsTheWords", "Root, Actor, Reason and Time are kept as they are: any text, and the time to the microsecond.",
		func(ctx context.Context, h Harness) error {
			causes := oddCauses()
			var all []lifecycle.Request
			for id := range causes {
				all = append(all, request(lifecycle.ID(id+1), 0, lifecycle.KindSingleton, lifecycle.StateWait))
			}
			return capable(ctx, h, all, func(repo cancel.CauseReader) error {
				var changes []cancel.Change
				for i, r := range all {
					ch := cancelled(r)
					ch.Cause = causes[i]
					changes = append(changes, ch)
				}
				if err := wantApply(ctx, repo, changes, slices.Repeat([]bool{true}, len(changes))); err != nil {
					return err
				}
				var errs []error
				for i, r := range all {
					errs = append(errs, wantCause(ctx, repo, r.ID, causes[i]))
				}
				return show.Errors(errs)
			})
		},
	}, {
		"Cause/ContextDone", contextDone,
		func(ctx context.Context, h Harness) error {
			return capable(ctx, h, nil, func(cancel.CauseReader) error {
				return whenDone(ctx, h, func(ctx context.Context, repo cancel.Repository) error {
					_, err := repo.(cancel.CauseReader).Cause(ctx, 101)
					return err
				})
			})
		},
	},
}

var listChecks = []check{
	{
		"ListCancelling/OnlyCancelling", "ListCancelling returns the requests in CANCELLING, at any depth and of any kind, and no others, ordered by ID.",
		func(ctx context.Context, h Harness) error {
			all := append(everyRequest(), request(1000, 900, lifecycle.KindChild, lifecycle.StateCancelling), request(20, 900, lifecycle.KindChild, lifecycle.StateCancelling))
			all[len(all)-2].CheckedIn = moment
			all = slices.Insert(all, len(all)-2, request(900, 0, lifecycle.KindParent, lifecycle.StateRunning))
			all = slices.DeleteFunc(all, func(r lifecycle.Request) bool { return r.ID == 20 && r.Parent == 1 })
			return capable(ctx, h, all, func(repo cancel.CancellingLister) error {
				return wantList(ctx, repo, all, 0, 1000)
			})
		},
	}, {
		"ListCancelling/AfterAndLimit", "ListCancelling returns requests whose ID is greater than after, at most limit of them; only an empty page says that there are none left.",
		func(ctx context.Context, h Harness) error {
			all := everyRequest()
			return capable(ctx, h, all, func(repo cancel.CancellingLister) error {
				var errs []error
				for _, limit := range []int{1, 2, 5, 1000} {
					errs = append(errs, wantListSeries(ctx, repo, all, limit))
				}
				for _, r := range all {
					if r.State == lifecycle.StateCancelling {
						errs = append(errs, wantList(ctx, repo, all, r.ID-1, 2), wantList(ctx, repo, all, r.ID, 2))
					}
				}
				return show.Errors(append(errs, wantList(ctx, repo, all, math.MaxInt64-1, 5), wantList(ctx, repo, all, math.MaxInt64, 5)))
			})
		},
	}, {
		"ListCancelling/SeesWrites", "Reads see every write which finished before they began: ListCancelling, too.",
		func(ctx context.Context, h Harness) error {
			all := lives()
			return capable(ctx, h, all, func(repo cancel.CancellingLister) error {
				for i, r := range all {
					for _, ch := range life(r) {
						if err := made(ctx, repo, ch); err != nil {
							return err
						}
						all[i] = ch.New()
						if err := wantListSeries(ctx, repo, all, 1000); err != nil {
							return fmt.Errorf("right after %s: %w", showChange(ch), err)
						}
					}
				}
				return nil
			})
		},
	}, {
		"ListCancelling/WithCauses", "ListCancelling returns each request with what Cause says of it.",
		func(ctx context.Context, h Harness) error {
			all := everyRequest()
			return capable(ctx, h, all, func(repo cancel.CancellingLister) error {
				causes := oddCauses()
				for i, r := range all[1 : 1+len(causes)] {
					if ch, ok := someChange(r); ok {
						ch.Cause = causes[i]
						if err := made(ctx, repo, ch); err != nil {
							return err
						}
						all[i+1] = ch.New()
					}
				}
				reader, ok := repo.(cancel.CauseReader)
				for after := lifecycle.ID(0); ; {
					list, err := list(ctx, repo, all, after, 7)
					if err != nil || len(list) == 0 {
						return err
					}
					for _, u := range list {
						after = u.Request.ID
						if !ok {
							continue
						}
						cause, err := reader.Cause(ctx, u.Request.ID)
						if errors.Is(err, errors.ErrUnsupported) {
							ok = false
						} else if err != nil {
							return err
						} else if !sameCause(u.Cause, cause) {
							return fmt.Errorf("ListCancelling returned the cause %s with request %d, but Cause says %s", showCause(u.Cause), u.Request.ID, showCause(cause))
						}
					}
				}
			})
		},
	}, {
		"ListCancelling/ReturnedSlices", "The slice that ListCancelling returns belongs to the caller.",
		func(ctx context.Context, h Harness) error {
			all := everyRequest()
			return capable(ctx, h, all, func(repo cancel.CancellingLister) error {
				first, err := repo.ListCancelling(ctx, 0, 3)
				if err != nil {
					return err
				}
				before := slices.Clone(first)
				if err := wantList(ctx, repo, all, 50, 3); err != nil {
					return err
				}
				if !slices.EqualFunc(first, before, func(a, b cancel.CancellingRequest) bool { return rows.Same(a.Request, b.Request) }) {
					return errors.New("the next call of ListCancelling wrote to the page that the one before had returned")
				}
				first = first[:cap(first)]
				for i := range first {
					first[i] = cancel.CancellingRequest{Request: lifecycle.Request{ID: 666}}
				}
				if err := wantListSeries(ctx, repo, all, 1000); err != nil {
					return fmt.Errorf("after the caller had written to the page that ListCancelling returned: %w", err)
				}
				return nil
			})
		},
	}, {
		"ListCancelling/ContextDone", contextDone,
		func(ctx context.Context, h Harness) error {
			return capable(ctx, h, nil, func(cancel.CancellingLister) error {
				return whenDone(ctx, h, func(ctx context.Context, repo cancel.Repository) error {
					_, err := repo.(cancel.CancellingLister).ListCancelling(ctx, 0, 10)
					return err
				})
			})
		},
	},
}

var childChecks = []check{
	{
		"CancelChildren/AgreesWithApply", "CancelChildren makes of each child what Decisions says for its kind and state, sets CheckedIn to the time of the cause in those that become CANCELLING, and changes nothing else: as Children and Apply would.",
		func(ctx context.Context, h Harness) error {
			var want Snapshot
			return eachChildCancel(ctx, h, func(ctx context.Context, repo cancel.ChildCanceller, all []lifecycle.Request, limit int, askAll bool) error {
				_, err := cancelChildren(ctx, repo, all, limit, askAll, nil)
				if err != nil {
					return err
				}
				got, err := TakeSnapshot(ctx, repo)
				if err != nil {
					return err
				}
				if want == nil {
					if want, err = cancelledByApply(ctx, h, all); err != nil {
						return err
					}
				}
				return diff(got, want)
			})
		},
	}, {
		"CancelChildren/Changes", "ChildPage.Changes has, ordered by Parent and then by ID, the change of every child that became CANCELLING, one whose New is its Old for every child that was CANCELLING before, and with All the change of every child that became CANCELLED; Cancelled counts the others.",
		func(ctx context.Context, h Harness) error {
			return eachChildCancel(ctx, h, func(ctx context.Context, repo cancel.ChildCanceller, all []lifecycle.Request, limit int, askAll bool) error {
				_, err := cancelChildren(ctx, repo, all, limit, askAll, rightChanges)
				return err
			})
		},
	}, {
		"CancelChildren/Pages", "CancelChildren considers at most c.Query.Limit children; the next page begins at Last; More says that there may be more.",
		func(ctx context.Context, h Harness) error {
			return eachChildCancel(ctx, h, func(ctx context.Context, repo cancel.ChildCanceller, all []lifecycle.Request, limit int, askAll bool) error {
				n, err := cancelChildren(ctx, repo, all, limit, askAll, rightPosition)
				if err != nil {
					return err
				}
				if want := len(answer(all, childQuery(limit))); n != want {
					return fmt.Errorf("%s: all pages together tell of %d children, want %d", showChildCancel(limit, askAll), n, want)
				}
				return nil
			})
		},
	}, {
		"CancelChildren/OnlyTheChildrenAskedFor", "CancelChildren considers the children that Children would return for c.Query, and no others.",
		func(ctx context.Context, h Harness) error {
			all := families()
			return capable(ctx, h, all, func(repo cancel.ChildCanceller) error {
				q := cancel.ChildQuery{Parents: []lifecycle.ID{10, 30}, States: lifecycle.Live, After: cancel.Cursor{Parent: 10, ID: 104}, Limit: 4}
				page, err := repo.CancelChildren(ctx, cancel.ChildCancel{Query: q, Cause: why, All: true})
				if err != nil {
					return err
				}
				want := slices.Clone(all)
				todo := answer(all, q)
				if n := len(page.Changes); n == 0 || n > q.Limit {
					return fmt.Errorf("CancelChildren considered %d children, want 1 to %d", n, q.Limit)
				}
				for _, r := range todo[:len(page.Changes)] {
					want[slices.Index(want, r)] = cancelled(r).New()
				}
				return wantAll(ctx, repo, want)
			})
		},
	}, {
		"CancelChildren/KeepsTheCause", "CancelChildren keeps the cause with every child that it changes, and with no other.",
		func(ctx context.Context, h Harness) error {
			all := childrenOfEveryKind()
			return capable(ctx, h, all, func(repo cancel.ChildCanceller) error {
				reader, ok := repo.(cancel.CauseReader)
				if !ok {
					return fmt.Errorf("%w: the repository is no cancel.CauseReader", errLacks)
				}
				cause := oddCauses()[1]
				page, err := repo.CancelChildren(ctx, cancel.ChildCancel{Query: childQuery(1000), Cause: cause})
				if err != nil {
					return err
				}
				var errs []error
				for _, r := range all {
					want := cancel.Cause{}
					at := position(r)
					inPage := !page.More || at.Compare(page.Last) <= 0
					if slices.Contains(childQuery(1).Parents, r.Parent) && inPage && lifecycle.Live.Has(r.State) && r.State != lifecycle.StateCancelling {
						want = cause
					}
					errs = append(errs, wantCause(ctx, reader, r.ID, want))
				}
				return show.Errors(errs)
			})
		},
	}, {
		"CancelChildren/OneOfManyWins", "Each child is changed atomically: of many who cancel the same children at once, one tells of each. " + concurrently,
		childrenCancelledByMany,
	}, {
		"CancelChildren/GivenSlices", "The slice of parents must not be changed, nor kept after the return.",
		func(ctx context.Context, h Harness) error {
			all := families()
			return capable(ctx, h, all, func(repo cancel.ChildCanceller) error {
				memory := []lifecycle.ID{10, 20, 30, -1}
				c := cancel.ChildCancel{Query: cancel.ChildQuery{Parents: memory[:2], States: lifecycle.Live, Limit: 2}, Cause: why, All: true}
				page, err := repo.CancelChildren(ctx, c)
				if err != nil {
					return err
				}
				if want := []lifecycle.ID{10, 20, 30, -1}; !slices.Equal(memory, want) {
					return fmt.Errorf("CancelChildren changed the memory of c.Query.Parents, or behind it, from %v to %v", want, memory)
				}
				want := snapshotOf(all)
				for _, ch := range page.Changes {
					want[ch.Old.ID] = ch.New()
				}
				memory[0], memory[1] = 20, 30
				c.Query.Limit = 100
				for _, r := range answer(all, c.Query) {
					want[r.ID] = cancelled(r).New()
				}
				for pages := 0; pages == 0 || page.More && pages < len(all); pages++ {
					if page, err = repo.CancelChildren(ctx, c); err != nil {
						return err
					}
					c.Query.After = page.Last
				}
				got, err := TakeSnapshot(ctx, repo)
				if err != nil {
					return err
				}
				if err := diff(got, want); err != nil {
					return fmt.Errorf("after the caller had written other parents to the same slice: %w", err)
				}
				return nil
			})
		},
	}, {
		"CancelChildren/ReturnedSlices", "The slice of changes that CancelChildren returns belongs to the caller.",
		func(ctx context.Context, h Harness) error {
			all := childrenOfEveryKind()
			return capable(ctx, h, all, func(repo cancel.ChildCanceller) error {
				c := cancel.ChildCancel{Query: childQuery(5), Cause: why, All: true}
				first, err := repo.CancelChildren(ctx, c)
				if err != nil {
					return err
				}
				before := slices.Clone(first.Changes)
				c.Query.After = first.Last
				second, err := repo.CancelChildren(ctx, c)
				if err != nil {
					return err
				}
				if !slices.Equal(first.Changes, before) {
					return errors.New("the next call of CancelChildren wrote to the changes that the one before had returned")
				}
				for _, changes := range [][]cancel.Change{first.Changes[:cap(first.Changes)], second.Changes[:cap(second.Changes)]} {
					for i := range changes {
						changes[i] = cancel.Change{Old: lifecycle.Request{ID: 666}, Cause: cancel.Cause{Reason: "written by the caller"}}
					}
				}
				for _, ch := range before {
					if err := wantGet(ctx, repo, ch.New()); err != nil {
						return fmt.Errorf("after the caller had written to the changes that CancelChildren returned: %w", err)
					}
				}
				return nil
			})
		},
	}, {
		"CancelChildren/DeclineChangesNothing", "An error matching errors.ErrUnsupported declines, and has changed nothing.",
		func(ctx context.Context, h Harness) error {
			all := families()
			return capable(ctx, h, all, func(repo cancel.ChildCanceller) error {
				q := cancel.ChildQuery{Parents: []lifecycle.ID{10, 20, 30}, States: lifecycle.Live, Limit: 100}
				_, err := repo.CancelChildren(ctx, cancel.ChildCancel{Query: q, Cause: why})
				if errors.Is(err, errors.ErrUnsupported) {
					if wrong := wantAll(ctx, repo, all); wrong != nil {
						return fmt.Errorf("after CancelChildren had declined: %w", wrong)
					}
				}
				return err
			})
		},
	}, {
		"CancelChildren/ContextDone", contextDone + " Nothing is known about the children then, but each is as it was or as it should be.",
		func(ctx context.Context, h Harness) error {
			return capable(ctx, h, nil, func(cancel.ChildCanceller) error {
				return whenDone(ctx, h, func(done context.Context, repo cancel.Repository) error {
					q := cancel.ChildQuery{Parents: []lifecycle.ID{10}, States: lifecycle.Live, Limit: 100}
					_, err := repo.(cancel.ChildCanceller).CancelChildren(done, cancel.ChildCancel{Query: q, Cause: why})
					if errors.Is(err, errors.ErrUnsupported) {
						return err
					}
					for _, r := range answer(families(), q) {
						got, err := repo.Get(ctx, r.ID)
						if err != nil {
							return err
						}
						if !rows.Same(got, r) && !rows.Same(got, cancelled(r).New()) {
							return fmt.Errorf("after CancelChildren under a context that was done there is %s, want %s or %s", showRow(got), showRow(r), showRow(cancelled(r).New()))
						}
					}
					return err
				})
			})
		},
	},
}

// oddCauses returns causes with texts that are easily spoilt.
func oddCauses() []cancel.Cause {
	var causes []cancel.Cause
	for i, text := range []string{
		"", "plain", "it's \"quoted\" `thrice`", `back\slash %s %% $1 ? :name`, "line\nbreak\ttab\r\n", " spaces around  ",
		"ünïcödé 日本語 العربية 🙂 e\u0301", "'; DROP TABLE request; --", "{\"json\": [null]} <xml/> a,b;c|d", "NULL", "0", strings.Repeat("long é ", 1250),
	} {
		causes = append(causes,
			cancel.Cause{Root: lifecycle.ID(i + 1), Actor: text, Reason: "reason", Time: moment.Add(time.Duration(i) * time.Microsecond)},
			cancel.Cause{Root: math.MaxInt64 - lifecycle.ID(i), Actor: "actor", Reason: text, Time: moment.Add(time.Duration(i) * 999 * time.Hour)},
		)
	}
	return causes
}

func sameCause(a, b cancel.Cause) bool {
	return a.Root == b.Root && a.Actor == b.Actor && a.Reason == b.Reason && a.Time.Equal(b.Time)
}

func showCause(c cancel.Cause) string {
	short := func(s string) string {
		if len(s) > 60 {
			return fmt.Sprintf("%.50q… (%d bytes)", s, len(s))
		}
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("{Root %d, Actor %s, Reason %s, Time %s}", c.Root, short(c.Actor), short(c.Reason), c.Time.UTC().Format("2006-01-02T15:04:05.999999999Z"))
}

// wantCause checks what the store says of the cause, if it can tell.
func wantCause(ctx context.Context, repo cancel.Repository, id lifecycle.ID, want cancel.Cause) error {
	reader, ok := repo.(cancel.CauseReader)
	if !ok {
		return nil
	}
	got, err := reader.Cause(ctx, id)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("Cause(%d) returned the error %w, want %s", id, err, showCause(want))
	}
	if !sameCause(got, want) {
		return fmt.Errorf("Cause(%d) returned %s, want %s", id, showCause(got), showCause(want))
	}
	return nil
}

// list reads one page of ListCancelling and checks it, if the store holds all.
func list(ctx context.Context, repo cancel.CancellingLister, all []lifecycle.Request, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
	var want []lifecycle.Request
	for _, r := range all {
		if r.State == lifecycle.StateCancelling && r.ID > after {
			want = append(want, r)
		}
	}
	slices.SortFunc(want, func(a, b lifecycle.Request) int { return cmp.Compare(a.ID, b.ID) })
	got, err := repo.ListCancelling(ctx, after, limit)
	call := fmt.Sprintf("ListCancelling(after %d, limit %d)", after, limit)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s returned the error %w", call, err)
	case len(got) > limit:
		return nil, fmt.Errorf("%s returned %d requests", call, len(got))
	case len(got) == 0 && len(want) > 0:
		return nil, fmt.Errorf("%s returned an empty page, but there is %s", call, showRow(want[0]))
	}
	for i, u := range got {
		if i >= len(want) {
			return nil, fmt.Errorf("%s returned %s at index %d, want no more than %d requests", call, showRow(u.Request), i, len(want))
		}
		if !rows.Same(u.Request, want[i]) {
			return nil, fmt.Errorf("%s returned %s at index %d, want %s", call, showRow(u.Request), i, showRow(want[i]))
		}
	}
	return got, nil
}

func wantList(ctx context.Context, repo cancel.CancellingLister, all []lifecycle.Request, after lifecycle.ID, limit int) error {
	_, err := list(ctx, repo, all, after, limit)
	return err
}

// wantListSeries reads and checks pages of ListCancelling to the end.
func wantListSeries(ctx context.Context, repo cancel.CancellingLister, all []lifecycle.Request, limit int) error {
	for after := lifecycle.ID(0); ; {
		got, err := list(ctx, repo, all, after, limit)
		if err != nil || len(got) == 0 {
			return err
		}
		after = got[len(got)-1].Request.ID // list has made sure that this is further
	}
}

// childrenOfEveryKind returns what everyRequest does, but below two parents, and the
// same once more below a third that is not to be cancelled.
func childrenOfEveryKind() []lifecycle.Request {
	all := []lifecycle.Request{
		request(501, 0, lifecycle.KindParent, lifecycle.StateCancelling),
		request(502, 501, lifecycle.KindSubrequestParent, lifecycle.StateCancelling),
		request(503, 0, lifecycle.KindParent, lifecycle.StateRunning),
		request(504, 0, lifecycle.KindParent, lifecycle.StateRunning),
	}
	for i, r := range everyRequest()[1:] {
		r.Parent = 501 + lifecycle.ID(i)%3
		all = append(all, r)
		r.ID, r.Parent = 1000-r.ID, 504
		all = append(all, r)
	}
	return all
}

// childQuery asks for the children of the parents that are to be cancelled.
func childQuery(limit int) cancel.ChildQuery {
	return cancel.ChildQuery{Parents: []lifecycle.ID{501, 502, 503}, States: lifecycle.Live, Limit: limit}
}

func showChildCancel(limit int, all bool) string {
	return fmt.Sprintf("CancelChildren(Limit: %d, All: %v)", limit, all)
}

// eachChildCancel calls f with a repository for each of several ways to cancel the
// same children.
func eachChildCancel(ctx context.Context, h Harness, f func(ctx context.Context, repo cancel.ChildCanceller, all []lifecycle.Request, limit int, askAll bool) error) error {
	for _, way := range []struct {
		limit  int
		askAll bool
	}{{1, false}, {7, false}, {7, true}, {1000, true}} {
		err := capable(ctx, h, childrenOfEveryKind(), func(repo cancel.ChildCanceller) error {
			return f(ctx, repo, childrenOfEveryKind(), way.limit, way.askAll)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// decisions maps kind and state to what a cancel makes of such a request.
var decisions = func() map[lifecycle.Kind]map[lifecycle.State]cancel.Decision {
	tab := map[lifecycle.Kind]map[lifecycle.State]cancel.Decision{}
	for d := range cancel.Decisions() {
		if tab[d.Kind] == nil {
			tab[d.Kind] = map[lifecycle.State]cancel.Decision{}
		}
		tab[d.Kind][d.From] = d
	}
	return tab
}()

// childChange returns the change that a cancel makes of a live child. Of one that is
// CANCELLING it returns a change that changes nothing.
func childChange(r lifecycle.Request, cause cancel.Cause) cancel.Change {
	d, ok := decisions[r.Kind][r.State]
	if !ok {
		return cancel.Change{Old: r, State: r.State, Outcome: r.Outcome, CheckedIn: r.CheckedIn}
	}
	ch := cancel.Change{Old: r, Trigger: lifecycle.TriggerCancel, State: d.State, Outcome: d.Outcome, CheckedIn: r.CheckedIn, Cause: cause}
	if d.State == lifecycle.StateCancelling {
		ch.CheckedIn = cause.Time
	}
	return ch
}

// cancelledByApply cancels the same children with Children and Apply, and returns
// what there is then.
func cancelledByApply(ctx context.Context, h Harness, all []lifecycle.Request) (snap Snapshot, err error) {
	err = h.with(ctx, all, func(repo cancel.Repository) error {
		q := childQuery(1000)
		for {
			got, err := page(ctx, repo, all, q)
			if err != nil {
				return err
			}
			if len(got) == 0 {
				break
			}
			var changes []cancel.Change
			for _, r := range got {
				if ch := childChange(r, why); ch.State != r.State {
					changes = append(changes, ch)
				}
			}
			if err := wantApply(ctx, repo, changes, slices.Repeat([]bool{true}, len(changes))); err != nil {
				return err
			}
			q.After = position(got[len(got)-1])
		}
		snap, err = TakeSnapshot(ctx, repo)
		return err
	})
	return snap, err
}

// A pageCheck checks a page, of which todo is all that there is.
type pageCheck func(page cancel.ChildPage, todo []lifecycle.Request, c cancel.ChildCancel) error

// cancelChildren cancels children page by page, checks each page, and returns of how
// many children the pages tell.
func cancelChildren(ctx context.Context, repo cancel.ChildCanceller, all []lifecycle.Request, limit int, askAll bool, right pageCheck) (n int, err error) {
	c := cancel.ChildCancel{Query: childQuery(limit), Cause: why, All: askAll}
	todo := answer(all, c.Query)
	for pages := 0; ; pages++ {
		if pages > len(todo)+1 {
			return n, fmt.Errorf("%s: More is still set after %d pages, though there were only %d children", showChildCancel(limit, askAll), pages, len(todo))
		}
		page, err := repo.CancelChildren(ctx, c)
		if err != nil {
			return n, fmt.Errorf("%s returned the error %w", showChildCancel(limit, askAll), err)
		}
		if right != nil {
			if err := right(page, answer(all, c.Query), c); err != nil {
				return n, fmt.Errorf("%s after %+v: %w", showChildCancel(limit, askAll), c.Query.After, err)
			}
		}
		if n += len(page.Changes) + page.Cancelled; !page.More {
			return n, nil
		}
		c.Query.After = page.Last
	}
}

// inPage returns which of todo the page tells of: those up to where the next begins.
func inPage(page cancel.ChildPage, todo []lifecycle.Request) []lifecycle.Request {
	if !page.More {
		return todo
	}
	end := slices.IndexFunc(todo, func(r lifecycle.Request) bool { return position(r).Compare(page.Last) > 0 })
	if end < 0 {
		end = len(todo)
	}
	return todo[:end]
}

func rightPosition(page cancel.ChildPage, todo []lifecycle.Request, c cancel.ChildCancel) error {
	told := len(page.Changes) + page.Cancelled
	covered := len(inPage(page, todo))
	switch {
	case page.Cancelled < 0:
		return fmt.Errorf("page.Cancelled is %d", page.Cancelled)
	case told > c.Query.Limit:
		return fmt.Errorf("the page tells of %d children (%d in Changes, %d in Cancelled), more than the limit", told, len(page.Changes), page.Cancelled)
	case page.More && page.Last.Compare(c.Query.After) <= 0:
		return fmt.Errorf("page.More is set, but the next page begins at %+v, which is not further", page.Last)
	case told == 0 && len(todo) > 0:
		return fmt.Errorf("the page tells of no child, but there is %s", showRow(todo[0]))
	case page.More && told != covered:
		return fmt.Errorf("the page tells of %d children (%d in Changes, %d in Cancelled), but up to Last, which is %+v, there are %d", told, len(page.Changes), page.Cancelled, page.Last, covered)
	case !page.More && told != covered:
		return fmt.Errorf("page.More is not set, but the page tells of %d children (%d in Changes, %d in Cancelled) and there are %d", told, len(page.Changes), page.Cancelled, covered)
	}
	return nil
}

func rightChanges(page cancel.ChildPage, todo []lifecycle.Request, c cancel.ChildCancel) error {
	var want []cancel.Change
	cancelled := 0
	for _, r := range inPage(page, todo) {
		if ch := childChange(r, c.Cause); ch.State == lifecycle.StateCancelling || c.All {
			want = append(want, ch)
		} else {
			cancelled++
		}
	}
	for i, ch := range page.Changes {
		if i >= len(want) {
			return fmt.Errorf("page.Changes has %d changes, want %d: Changes[%d] is of %s", len(page.Changes), len(want), i, showRow(ch.Old))
		}
		w := want[i]
		switch {
		case !rows.Same(ch.Old, w.Old):
			return fmt.Errorf("page.Changes[%d].Old is %s, want %s", i, showRow(ch.Old), showRow(w.Old))
		case !rows.Same(ch.New(), w.New()):
			return fmt.Errorf("page.Changes[%d] makes of %s %s, want %s", i, showRow(w.Old), showRow(ch.New()), showRow(w.New()))
		case w.State == w.Old.State:
		case ch.Trigger != w.Trigger:
			return fmt.Errorf("page.Changes[%d].Trigger is %v, want %v", i, ch.Trigger, w.Trigger)
		case !sameCause(ch.Cause, w.Cause):
			return fmt.Errorf("page.Changes[%d].Cause is %s, want %s", i, showCause(ch.Cause), showCause(w.Cause))
		}
	}
	if len(page.Changes) < len(want) {
		return fmt.Errorf("page.Changes has %d changes, want %d: that of %s is missing", len(page.Changes), len(want), showRow(want[len(page.Changes)].Old))
	}
	if page.Cancelled != cancelled {
		return fmt.Errorf("page.Cancelled is %d, want %d", page.Cancelled, cancelled)
	}
	return nil
}

// childrenCancelledByMany has many cancel the same children, and checks that each
// child is told of as changed by one of them.
func childrenCancelledByMany(ctx context.Context, h Harness) error {
	const callers, children = 8, 60
	for _, askAll := range []bool{false, true} {
		all := []lifecycle.Request{request(1, 0, lifecycle.KindParent, lifecycle.StateCancelling)}
		for id := lifecycle.ID(2); id < 2+children; id++ {
			r := request(id, 1, lifecycle.KindChild, lifecycle.StateWait)
			if id%3 == 0 {
				r.State = lifecycle.StateRunning
			}
			all = append(all, r)
		}
		var cancelled, cancelling atomic.Int64
		err := capable(ctx, h, all, func(repo cancel.ChildCanceller) error {
			err := together(ctx, callers, func(i int) error {
				c := cancel.ChildCancel{Query: cancel.ChildQuery{Parents: []lifecycle.ID{1}, States: lifecycle.Live, Limit: 7 + 3*i}, Cause: why, All: askAll}
				for range children + 1 {
					page, err := repo.CancelChildren(ctx, c)
					if err != nil {
						return fmt.Errorf("CancelChildren, %d at once, returned the error %w", callers, err)
					}
					cancelled.Add(int64(page.Cancelled))
					for _, ch := range page.Changes {
						switch ch.State {
						case ch.Old.State: // another's
						case lifecycle.StateCancelling:
							cancelling.Add(1)
						default:
							cancelled.Add(1)
						}
					}
					if !page.More {
						return nil
					}
					c.Query.After = page.Last
				}
				return fmt.Errorf("CancelChildren still has More set after %d pages", children+1)
			})
			if err != nil {
				return err
			}
			if n, m := cancelled.Load(), cancelling.Load(); n != children*2/3 || m != children/3 {
				return fmt.Errorf("%d who cancelled the same children at once were told that %d became CANCELLED and %d CANCELLING, want %d and %d", callers, n, m, children*2/3, children/3)
			}
			for i, r := range all[1:] {
				all[i+1] = childChange(r, why).New()
			}
			return wantAll(ctx, repo, all)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
