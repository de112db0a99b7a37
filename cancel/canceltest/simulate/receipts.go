package simulate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest/internal/rows"
	"example.com/ess/cancel/canceltest/internal/show"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// checkReceipts compares what a command says with what it has done: nobody else was
// at work.
func (a *played) checkReceipts(silent bool) []error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("8 (receipts are true): "+format, args...))
	}
	form := faultForms[a.fault.form]
	// An operation that has lost an answer, or was told of the past, cannot know
	// who made a change; it still must not claim one that nobody made.
	unsure := a.struck && (form.lost || form.may == mayMiss)

	var counts cancel.Counts
	seen := map[lifecycle.ID]bool{}
	for _, r := range a.receipts {
		counts[r.Disposition]++
		if seen[r.ID] && !(a.struck && form.may == mayMiss) {
			bad("request %d has two receipts", r.ID)
		}
		seen[r.ID] = true
		was, ok := a.before[r.ID]
		is := a.after[r.ID]
		if !ok {
			bad("there is a receipt for request %d, and no request", r.ID)
			continue
		}
		if r.Parent != is.Parent || r.Kind != is.Kind {
			bad("%v: it is a %v below %d", r, is.Kind, is.Parent)
		}
		if r.ID == a.id && r != a.result.Root {
			bad("Result.Root is %v, the receipt %v", a.result.Root, r)
		}
		if a.op == "plan" || form.may == mayMiss {
			continue // nothing was written; nobody knows better than a store that answers from the past
		}
		if err := checkReceipt(r, was, is, unsure); err != nil {
			bad("%v: %w", r, err)
		}
		if (r.Disposition == cancel.DispositionFailed || r.Disposition == cancel.DispositionConflict) && a.err == nil {
			bad("%v, and the operation reports success", r)
		}
		if asked := rows.Unanswered(is); asked && (r.Disposition == cancel.DispositionCancelling || r.Disposition == cancel.DispositionAlreadyCancelling) &&
			a.op != "acknowledge" && a.op != "force" && a.op != "plan" && !a.told[r.ID] {
			errs = append(errs, fmt.Errorf("5 (a way out): the work of request %d was not told to stop", r.ID))
		}
	}
	if !silent && a.op != "checkin" && a.op != "plan" && a.op != "transition" {
		if counts != a.result.Counts {
			bad("there are receipts for %v, the result counts %v", counts, a.result.Counts)
		}
		for _, id := range slices.Sorted(maps.Keys(a.after)) {
			if !seen[id] && !unsure && !rows.SameState(a.before[id], a.after[id]) {
				bad("request %d went from %s to %s and has no receipt", id, show.State(a.before[id]), show.State(a.after[id]))
			}
		}
	}
	if a.op == "checkin" && a.err == nil && a.in.Cancelling != (a.after[a.id].State == lifecycle.StateCancelling) && !unsure {
		bad("the work was told cancelling = %v, its request is %v", a.in.Cancelling, a.after[a.id].State)
	}
	return append(errs, a.checkError()...)
}

// checkReceipt compares a receipt with what has become of its request.
func checkReceipt(r cancel.Receipt, was, is lifecycle.Request, unsure bool) error {
	w, i := modelOf(was), modelOf(is)
	changed := w.state != i.state || w.outcome != i.outcome
	switch r.Disposition {
	case cancel.DispositionConflict:
		if r.Err == nil {
			return errors.New("there is no reason")
		}
		if fenced := r.From != r.To && r.To == is.State; changed && !fenced && !unsure {
			return fmt.Errorf("it went from %s to %s", w.text(), i.text())
		}
		return nil
	case cancel.DispositionFailed:
		if r.Err == nil {
			return errors.New("there is no reason")
		}
		return nil
	default: // they claim something about the store
	}
	if r.Err != nil {
		return errors.New("a success has an error")
	}
	if r.From != was.State && !unsure {
		return fmt.Errorf("it was %s", w.text())
	}
	if r.To != is.State {
		return fmt.Errorf("it is %s", i.text())
	}
	if want := disposed(w, i); want != r.Disposition.String() {
		// Who cannot know that he has begun it says how he found it.
		switch {
		case !unsure:
		case r.Disposition == cancel.DispositionEnded, r.Disposition == cancel.DispositionAlreadyCancelling,
			changed && (r.Disposition == cancel.DispositionSettled || r.Disposition == cancel.DispositionCancelling):
			return nil
		}
		return fmt.Errorf("it went from %s to %s, which is %q", w.text(), i.text(), want)
	}
	return nil
}

// checkError checks that the error is one that may come of what went wrong.
func (a *played) checkError() []error {
	if a.err == nil {
		return nil
	}
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	code, typed := errors.AsType[*esserrors.Error](a.err)
	may := faultForms[a.fault.form].may
	switch {
	case errors.Is(a.err, context.Canceled):
		if may != mayStop || !a.struck {
			bad("the error says that the caller stopped, who did not: %w", a.err)
		}
		if typed && code.Code != 0 {
			bad("a stopped caller is not a failed request, but the error has code %v: %w", code.Code, a.err)
		}
	case !typed:
		bad("the error has no code: %w", a.err)
	case code.Code == esserrors.CodeSystem && (may != mayFail || !a.struck || !errors.Is(a.err, errFull)):
		bad("the store did not fail, and the error says so: %w", a.err)
	case code.Code == esserrors.CodeNotAuthorized:
		bad("nobody was asked for permission: %w", a.err)
	}
	return errs
}
