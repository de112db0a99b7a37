package canceltest

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// What follows writes the lines of a story.

func showAnswer(err error) string {
	if err == nil {
		return "ok"
	}
	return "error: " + err.Error()
}

func showRequest(r lifecycle.Request) string {
	return fmt.Sprintf("%d %v %s", r.ID, r.Kind, showState(r))
}

func showBelow(r lifecycle.Request) string {
	if r.Parent == 0 {
		return ""
	}
	return fmt.Sprintf(" below %d", r.Parent)
}

func showState(r lifecycle.Request) string {
	s := r.State.String()
	if r.Outcome != 0 {
		s += fmt.Sprintf(" (then %v)", r.Outcome)
	}
	return s
}

func showRequests(page []lifecycle.Request) string {
	if len(page) == 0 {
		return "none"
	}
	parts := make([]string, 0, len(page))
	for _, r := range page {
		parts = append(parts, fmt.Sprintf("%d %s", r.ID, showState(r)))
	}
	return strings.Join(parts, ", ")
}

func showChildQuery(q cancel.ChildQuery) string {
	parts := make([]string, 0, len(q.Parents))
	for _, id := range q.Parents {
		parts = append(parts, strconv.FormatInt(int64(id), 10))
	}
	s := "of " + strings.Join(parts, ", ")
	switch q.States {
	case lifecycle.Live:
		s += " that are live"
	case lifecycle.Live | lifecycle.Terminal:
	default:
		s += " in " + q.States.String()
	}
	if q.After != (cancel.Cursor{}) {
		s += fmt.Sprintf(", after %d below %d", q.After.ID, q.After.Parent)
	}
	if q.Limit < 1000 {
		s += fmt.Sprintf(", at most %d", q.Limit)
	}
	return s
}

func showChanges(changes []cancel.Change) string {
	parts := make([]string, 0, len(changes))
	for _, ch := range changes {
		s := fmt.Sprintf("%d %s -> %s", ch.Old.ID, showState(ch.Old), showState(ch.New()))
		if !ch.CheckedIn.Equal(ch.Old.CheckedIn) && ch.State == ch.Old.State {
			s += ", checked in"
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, "; ")
}

func showMade(changes []cancel.Change, made []bool) string {
	parts := make([]string, 0, len(made))
	for i, ok := range made {
		s := "lost"
		if ok {
			s = "made"
		}
		if len(changes) == len(made) && len(made) > 1 {
			s = fmt.Sprintf("%d %s", changes[i].Old.ID, s)
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, ", ")
}

func showChildPage(p cancel.ChildPage) string {
	var parts []string
	for _, ch := range p.Changes {
		if ch.State == ch.Old.State {
			parts = append(parts, fmt.Sprintf("%d %s already", ch.Old.ID, showState(ch.Old)))
		} else {
			parts = append(parts, showChanges([]cancel.Change{ch}))
		}
	}
	if p.Cancelled > 0 {
		parts = append(parts, fmt.Sprintf("%d cancelled", p.Cancelled))
	}
	s := cmp.Or(strings.Join(parts, "; "), "none")
	if p.More {
		s += ", perhaps more"
	}
	return s
}

// showResult is what an operation has returned, and said in receipts.
func showResult(op *worldOp) string {
	var b strings.Builder
	if op.err == nil {
		b.WriteString(op.result.Counts.String())
	} else {
		b.WriteString(showAnswer(op.err))
		if op.result.Counts.Total() > 0 {
			fmt.Fprintf(&b, " (%v)", op.result.Counts)
		}
	}
	for _, r := range op.receipts {
		r.Err = nil
		fmt.Fprintf(&b, "\n       receipt: %v", r)
	}
	return b.String()
}

// unsupported reports whether an operation was refused for the state of its request.
func unsupported(err error) bool { return errors.Is(err, esserrors.CodeUnsupportedState) }
