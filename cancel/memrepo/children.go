package memrepo

import (
	"context"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// decisions[k][s] is what a cancel makes of a request of kind k in state s.
var decisions = func() (tab [256][32]cancel.Decision) {
	for d := range cancel.Decisions() {
		tab[d.Kind][d.From] = d
	}
	return tab
}()

// CancelChildren implements [cancel.ChildCanceller].
func (m *Repo) CancelChildren(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
	if err := ctx.Err(); err != nil {
		return cancel.ChildPage{}, err
	}
	var page cancel.ChildPage
	entered := microseconds(c.Cause.Time)
	n := 0
	m.mu.Lock()
	defer m.mu.Unlock()
	for rec := range m.children(c.Query) {
		page.Last = cancel.Cursor{Parent: rec.parent, ID: rec.id}
		if d := decisions[rec.kind][rec.state]; d.State == 0 { // CANCELLING already
			r := rec.request()
			page.Changes = append(page.Changes, cancel.Change{Old: r, State: r.State, Outcome: r.Outcome, CheckedIn: r.CheckedIn, Attempt: r.Attempt})
		} else {
			ch := cancel.Change{Trigger: lifecycle.TriggerCancel, State: d.State, Outcome: d.Outcome, Attempt: int(rec.attempt), Cause: c.Cause}
			listed := c.All || d.State == lifecycle.StateCancelling
			if listed {
				ch.Old = rec.request()
			}
			m.set(rec, d.State, d.Outcome)
			if d.State == lifecycle.StateCancelling {
				rec.checkedIn = entered
			}
			m.keep(rec, &c.Cause)
			if listed {
				ch.CheckedIn = rec.request().CheckedIn
				page.Changes = append(page.Changes, ch)
			} else {
				page.Cancelled++
			}
		}
		if n++; n == c.Query.Limit {
			page.More = true
			break
		}
	}
	return page, nil
}
