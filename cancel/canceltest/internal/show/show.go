// Package show writes requests, calls of a store and their answers as the proof kit
// reports them.
package show

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// Answer shows what a call has returned besides its result.
func Answer(err error) string {
	if err == nil {
		return "ok"
	}
	return "error: " + err.Error()
}

// Answered shows what a call has returned: its error, or its result.
func Answered(err error, result func() string) string {
	if err != nil {
		return Answer(err)
	}
	return result()
}

// Request shows a request without its parent, such as "2 CHILD WAIT".
func Request(r lifecycle.Request) string {
	return fmt.Sprintf("%d %v %s", r.ID, r.Kind, State(r))
}

// Below shows the parent of a request, if it has one.
func Below(r lifecycle.Request) string {
	if r.Parent == 0 {
		return ""
	}
	return fmt.Sprintf(" below %d", r.Parent)
}

// State shows the state of a request, and how it is going to end, if that is known.
func State(r lifecycle.Request) string {
	s := r.State.String()
	if r.Outcome != 0 {
		s += fmt.Sprintf(" (then %v)", r.Outcome)
	}
	return s
}

// Requests shows a page.
func Requests(page []lifecycle.Request) string {
	if len(page) == 0 {
		return "none"
	}
	parts := make([]string, 0, len(page))
	for _, r := range page {
		parts = append(parts, fmt.Sprintf("%d %s", r.ID, State(r)))
	}
	return strings.Join(parts, ", ")
}

// Query shows what Children is asked for.
func Query(q cancel.ChildQuery) string {
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

// Changes shows what Apply is asked to do.
func Changes(changes []cancel.Change) string {
	if len(changes) == 0 {
		return "none"
	}
	parts := make([]string, 0, len(changes))
	for _, ch := range changes {
		s := fmt.Sprintf("%d %s -> %s", ch.Old.ID, State(ch.Old), State(ch.New()))
		if !ch.CheckedIn.Equal(ch.Old.CheckedIn) && ch.State == ch.Old.State {
			s += ", checked in"
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, "; ")
}

// Made shows which changes were made.
func Made(changes []cancel.Change, made []bool) string {
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

// Page shows what CancelChildren has done.
func Page(p cancel.ChildPage) string {
	s := done(p.Changes, p.Cancelled)
	if p.More {
		s += ", perhaps more"
	}
	return s
}

// Tree shows what CancelTree has done.
func Tree(p cancel.TreePage) string {
	s := done(p.Changes, p.Cancelled)
	if len(p.Rest) > 0 {
		s += ", perhaps more below " + Cursors(p.Rest)
	}
	return s
}

// Cursors shows below which requests to go on.
func Cursors(from []cancel.Cursor) string {
	parts := make([]string, 0, len(from))
	for _, c := range from {
		s := fmt.Sprint(c.Parent)
		if c.ID != 0 {
			s += fmt.Sprintf(" after %d", c.ID)
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, ", ")
}

func done(changes []cancel.Change, cancelled int) string {
	var parts []string
	for _, ch := range changes {
		if ch.State == ch.Old.State {
			parts = append(parts, fmt.Sprintf("%d %s already", ch.Old.ID, State(ch.Old)))
		} else {
			parts = append(parts, Changes([]cancel.Change{ch}))
		}
	}
	if cancelled > 0 {
		parts = append(parts, fmt.Sprintf("%d cancelled", cancelled))
	}
	return cmp.Or(strings.Join(parts, "; "), "none")
}

// Errors joins the first five errors and counts the others.
func Errors(errs []error) error {
	const enough = 5
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if more := len(errs) - enough; more > 0 {
		errs = append(errs[:enough:enough], fmt.Errorf("and %d more", more))
	}
	return errors.Join(errs...)
}
