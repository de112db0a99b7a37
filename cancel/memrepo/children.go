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
	n := 0
	m.mu.Lock()
	defer m.mu.Unlock()
	for rec := range m.children(c.Query) {
		page.Last = cancel.Cursor{Parent: rec.parent, ID: rec.id}
		if ch, listed := m.cancelChild(rec, &c.Cause, c.All); listed {
			page.Changes = append(page.Changes, ch)
		} else {
			page.Cancelled++
		}
		if n++; n == c.Query.Limit {
			page.More = true
			break
		}
	}
	return page, nil
}

// cancelChild cancels rec, which is live. It returns the change, and whether that has to be
// listed.
func (m *Repo) cancelChild(rec *record, cause *cancel.Cause, all bool) (ch cancel.Change, listed bool) {
	d := decisions[rec.kind][rec.state]
	if d.State == 0 { // CANCELLING already
		r := rec.request()
		return cancel.Change{Old: r, State: r.State, Outcome: r.Outcome, CheckedIn: r.CheckedIn, Attempt: r.Attempt}, true
	}
	if listed = all || d.State == lifecycle.StateCancelling; listed {
		ch = cancel.Change{Old: rec.request(), Trigger: lifecycle.TriggerCancel, State: d.State, Outcome: d.Outcome, Attempt: int(rec.attempt), Cause: *cause}
	}
	m.set(rec, d.State, d.Outcome)
	if d.State == lifecycle.StateCancelling {
		rec.checkedIn = microseconds(cause.Time)
	}
	m.keep(rec, cause)
	if listed {
		ch.CheckedIn = rec.request().CheckedIn
	}
	return ch, listed
}
