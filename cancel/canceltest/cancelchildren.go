package canceltest

import (
	"context"
	"fmt"
	"slices"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest/internal/rows"
	"example.com/ess/lifecycle"
)

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
		err := capable(ctx, h, h.childrenOfEveryKind(), func(repo cancel.ChildCanceller) error {
			return f(ctx, repo, h.childrenOfEveryKind(), way.limit, way.askAll)
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

// inPage returns which of todo the page answers for: those up to where the next begins.
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
		return fmt.Errorf("the page answers for %d children (%d in Changes, %d in Cancelled), more than the limit", told, len(page.Changes), page.Cancelled)
	case page.More && page.Last.Compare(c.Query.After) <= 0:
		return fmt.Errorf("page.More is set, but the next page begins at %+v, which is not further", page.Last)
	case told == 0 && len(todo) > 0:
		return fmt.Errorf("the page answers for no child, but there is %s", showRow(todo[0]))
	case page.More && told != covered:
		return fmt.Errorf("the page answers for %d children (%d in Changes, %d in Cancelled), but up to Last, which is %+v, there are %d", told, len(page.Changes), page.Cancelled, page.Last, covered)
	case !page.More && told != covered:
		return fmt.Errorf("page.More is not set, but the page answers for %d children (%d in Changes, %d in Cancelled) and there are %d", told, len(page.Changes), page.Cancelled, covered)
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
