package canceltest

import (
	"context"
	"fmt"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// why is the cause of the changes of the checks.
var why = cancel.Cause{Root: 1, Actor: "ann", Reason: "wrong ledger", Time: moment.Add(time.Hour)}

// cancelled returns the change that cancels a request of which nothing executes.
func cancelled(r lifecycle.Request) cancel.Change {
	return cancel.Change{Old: r, Trigger: lifecycle.TriggerCancel, State: lifecycle.StateCancelled, CheckedIn: r.CheckedIn, Cause: why}
}

// toCancelling returns the change that makes a request CANCELLING.
func toCancelling(r lifecycle.Request, at time.Time) cancel.Change {
	ch := cancel.Change{Old: r, Trigger: lifecycle.TriggerCancel, State: lifecycle.StateCancelling, CheckedIn: at, Cause: why}
	if !lifecycle.Executes(r.Kind, r.State) {
		ch.Outcome = lifecycle.StateCancelled
	}
	return ch
}

// cancelling returns the request after that change.
func cancelling(r lifecycle.Request, at time.Time) lifecycle.Request {
	return toCancelling(r, at).New()
}

// checkIn returns the change by which the work of a request checks in.
func checkIn(r lifecycle.Request, at time.Time) cancel.Change {
	return cancel.Change{Old: r, State: r.State, Outcome: r.Outcome, CheckedIn: at, Cause: why}
}

// answered returns the change that records how the work of a parent has ended.
func answered(r lifecycle.Request, outcome lifecycle.State) cancel.Change {
	return cancel.Change{Old: r, Trigger: triggers[outcome], State: r.State, Outcome: outcome, CheckedIn: r.CheckedIn, Cause: why}
}

// ended returns the change that ends a request that is CANCELLING.
func ended(r lifecycle.Request, s lifecycle.State) cancel.Change {
	return cancel.Change{Old: r, Trigger: triggers[s], State: s, CheckedIn: r.CheckedIn, Cause: why}
}

var triggers = map[lifecycle.State]lifecycle.Trigger{
	lifecycle.StateCancelled: lifecycle.TriggerAcknowledge,
	lifecycle.StateSucceeded: lifecycle.TriggerSucceed,
	lifecycle.StateWarning:   lifecycle.TriggerWarn,
	lifecycle.StateError:     lifecycle.TriggerFail,
}

// life returns the changes, one after the other, by which a request is cancelled
// and comes to its end.
func (h Harness) life(r lifecycle.Request) []cancel.Change {
	if !r.Kind.HasChildren() && !lifecycle.Executes(r.Kind, r.State) {
		return []cancel.Change{cancelled(r)}
	}
	var changes []cancel.Change
	add := func(ch cancel.Change) {
		changes = append(changes, ch)
		r = ch.New()
	}
	add(toCancelling(r, moment))
	if r.Outcome == 0 {
		add(checkIn(r, moment.Add(time.Microsecond)))
		add(checkIn(r, moment.Add(24*time.Hour)))
		if r.Kind.HasChildren() {
			add(answered(r, h.fit().Outcome(lifecycle.StateSucceeded)))
		} else {
			add(ended(r, h.fit().Outcome(lifecycle.StateSucceeded)))
			return changes
		}
	}
	add(ended(r, r.Outcome))
	return changes
}

// someChange returns a change that package cancel could make of r as it stands, if
// there is any.
func (h Harness) someChange(r lifecycle.Request) (cancel.Change, bool) {
	switch {
	case lifecycle.Terminal.Has(r.State):
		return cancel.Change{}, false
	case r.State != lifecycle.StateCancelling && (r.Kind.HasChildren() || lifecycle.Executes(r.Kind, r.State)):
		return toCancelling(r, moment.Add(time.Minute)), true
	case r.State != lifecycle.StateCancelling:
		return cancelled(r), true
	case r.Outcome != 0:
		return ended(r, r.Outcome), true
	case r.Kind == lifecycle.KindParent:
		return ended(r, lifecycle.StateCancelled), true
	case r.Kind.HasChildren():
		return answered(r, h.fit().Outcome(lifecycle.StateWarning)), true
	default:
		return ended(r, h.fit().Outcome(lifecycle.StateWarning)), true
	}
}

func showChange(ch cancel.Change) string {
	s := fmt.Sprintf("Apply(Old: %s, new: %v", showRow(ch.Old), ch.State)
	if ch.Outcome != 0 {
		s += fmt.Sprintf(", outcome %v", ch.Outcome)
	}
	if !ch.CheckedIn.Equal(ch.Old.CheckedIn) {
		s += ", checked in " + ch.CheckedIn.UTC().Format("2006-01-02T15:04:05.999999999Z")
	}
	if ch.Trigger == 0 {
		s += ", a check-in without a trigger"
	}
	return s + ")"
}

// wantApply applies changes and checks the answer.
func wantApply(ctx context.Context, repo cancel.Repository, changes []cancel.Change, want []bool) error {
	shown := fmt.Sprintf("Apply of %d changes", len(changes))
	if len(changes) == 1 {
		shown = showChange(changes[0])
	}
	got, err := repo.Apply(ctx, changes)
	if err != nil {
		return fmt.Errorf("%s returned the error %w, want %v", shown, err, want)
	}
	if len(got) != len(want) {
		return fmt.Errorf("%s returned %d answers, want %d", shown, len(got), len(want))
	}
	if len(changes) == 1 && got[0] != want[0] {
		return fmt.Errorf("%s reported %v, want %v", shown, got[0], want[0])
	}
	for i, ch := range changes {
		if got[i] != want[i] {
			return fmt.Errorf("%s reported made[%d] = %v, want %v; change %d is %s", shown, i, got[i], want[i], i, showChange(ch))
		}
	}
	return nil
}

// made applies a change that has to be made.
func made(ctx context.Context, repo cancel.Repository, ch cancel.Change) error {
	return wantApply(ctx, repo, []cancel.Change{ch}, []bool{true})
}

// notMade applies a change that must not be made to the request as it is.
func notMade(ctx context.Context, repo cancel.Repository, ch cancel.Change, is lifecycle.Request) error {
	if err := wantApply(ctx, repo, []cancel.Change{ch}, []bool{false}); err != nil {
		return fmt.Errorf("there is %s: %w", showRow(is), err)
	}
	if err := wantGet(ctx, repo, is); err != nil {
		return fmt.Errorf("after %s, which reported false: %w", showChange(ch), err)
	}
	return nil
}
