package canceltest

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// changing is how many children change their states in these checks.
const changing = 20

// whileTheyChange calls f while the children of request 1 go from one live state to another
// and back. If f has cancelled, none must be left that is not CANCELLING.
func whileTheyChange(ctx context.Context, h Harness, f func(ctx context.Context, repo cancel.Repository) error) error {
	there, back, ok := h.thereAndBack()
	if !ok {
		return fmt.Errorf("%w: a request of this store cannot go from one live state to another and back", errLacks)
	}
	all := []lifecycle.Request{h.request(1, 0, lifecycle.KindParent, lifecycle.StateRunning)}
	for id := lifecycle.ID(2); id < 2+changing; id++ {
		all = append(all, lifecycle.Request{ID: id, Parent: 1, Kind: h.fit().Kind(lifecycle.KindChild), State: there.Old.State})
	}
	return h.with(ctx, all, func(repo cancel.Repository) error {
		var done atomic.Bool
		err := together(ctx, 3, func(i int) error {
			if i == 0 {
				defer done.Store(true)
				return f(ctx, repo)
			}
			live := slices.Clone(all[1+(i-1)*changing/2:][:changing/2])
			for n := 0; n < 400 && !done.Load() && len(live) > 0; n++ {
				changes := make([]cancel.Change, len(live))
				for j, r := range live {
					if changes[j] = there; r.State != there.Old.State {
						changes[j] = back
					}
					changes[j].Old = r
				}
				made, err := repo.Apply(ctx, changes)
				if err != nil {
					return err
				}
				live = live[:0]
				for j, ok := range made {
					if ok {
						live = append(live, changes[j].New())
					}
				}
				time.Sleep(time.Duration(20+7*i) * time.Microsecond)
			}
			return nil
		})
		if err != nil {
			return err
		}
		snap, err := TakeSnapshot(ctx, repo)
		if err != nil || snap[1].State == lifecycle.StateRunning { // nobody has cancelled
			return err
		}
		return CheckCancelled(snap, 1)
	})
}

// thereAndBack returns two changes by which a leaf can go from a live state to another and
// back, if the store has such states.
func (h Harness) thereAndBack() (there, back cancel.Change, ok bool) {
	for s := range lifecycle.Pending.All() {
		for t := range lifecycle.Permitted(lifecycle.KindChild, s) {
			to, _ := lifecycle.Next(lifecycle.KindChild, s, t)
			for u := range lifecycle.Permitted(lifecycle.KindChild, to) {
				if again, _ := lifecycle.Next(lifecycle.KindChild, to, u); again == s && h.fit().Has(s) && h.fit().Has(to) {
					return cancel.Change{Old: lifecycle.Request{State: s}, Trigger: t, State: to, Cause: why}, cancel.Change{Trigger: u, State: s, Cause: why}, true
				}
			}
		}
	}
	return there, back, false
}
