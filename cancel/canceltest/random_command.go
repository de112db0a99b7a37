package canceltest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// A command is something that is done to the requests: by a Canceller, by a scheduler
// (submit, fire), or by time (wait). It has a text form, so that a story can be
// played again.
type command struct {
	op      string
	id      lifecycle.ID
	outcome lifecycle.State   // acknowledge
	trigger lifecycle.Trigger // fire
	request lifecycle.Request // submit
	wait    time.Duration     // wait
	upset   upset             // what goes wrong, for commands of a Canceller
}

// String returns the text form, such as "cancel 1, call 3 fails".
func (c command) String() string {
	s := c.op
	switch c.op {
	case "resume":
	case "wait":
		s += " " + c.wait.String()
	case "submit":
		s += fmt.Sprintf(" %d<%d %v %v", c.request.ID, c.request.Parent, c.request.Kind, c.request.State)
	default:
		s += fmt.Sprintf(" %d", c.id)
	}
	switch c.op {
	case "acknowledge":
		s += " " + c.outcome.String()
	case "fire":
		s += " " + c.trigger.String()
	}
	if c.upset != (upset{}) {
		s += ", " + c.upset.String()
	}
	return s
}

// parseCommand reads the text form.
func parseCommand(text string) (c command, err error) {
	line, trouble, upset := strings.Cut(text, ", ")
	words := append(strings.Fields(line), "", "", "", "")
	c.op = words[0]
	switch c.op {
	case "resume":
	case "wait":
		c.wait, err = time.ParseDuration(words[1])
	case "cancel", "begin", "plan", "execute", "force", "checkin":
		c.id, err = parseID(words[1])
	case "acknowledge":
		c.id, err = parseID(words[1])
		err = errors.Join(err, c.outcome.UnmarshalText([]byte(words[2])))
	case "fire":
		c.id, err = parseID(words[1])
		err = errors.Join(err, c.trigger.UnmarshalText([]byte(words[2])))
	case "submit":
		id, parent, _ := strings.Cut(words[1], "<")
		var errs [2]error
		c.request.ID, errs[0] = parseID(id)
		c.request.Parent, errs[1] = parseID(parent)
		err = errors.Join(errs[0], errs[1], c.request.Kind.UnmarshalText([]byte(words[2])), c.request.State.UnmarshalText([]byte(words[3])))
	default:
		err = errors.New("no such command")
	}
	if upset && err == nil {
		c.upset, err = parseUpset(trouble)
	}
	if err != nil {
		err = fmt.Errorf("%q: %w", text, err)
	}
	return c, err
}

func parseID(text string) (lifecycle.ID, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	return lifecycle.ID(n), err
}

// An upset is what goes wrong with a command, at its nth call or with request n.
type upset struct {
	form int // index into upsetForms
	n    int
}

// What an upset may lead to.
const (
	mayFail     = iota + 1 // nothing, or an error with CodeSystem
	mayStop                // nothing, or the error of the caller's context
	mayConflict            // nothing, or an error with CodeConflict
	mayMiss                // it may do less than it should and not know
	mayNothing             // nothing
	dies                   // there is nobody left to be told
)

var errDisk = errors.New("canceltest: disk full")

// upsetForms are the upsets there are. The first is none.
var upsetForms = [...]struct {
	text    string // with the number
	may     int
	lost    bool // an answer gets lost
	request bool // the number is that of a request
	faults  func(n int, stop context.CancelFunc) []Fault
}{
	{},
	{"call %d fails", mayFail, false, false, func(n int, _ context.CancelFunc) []Fault {
		return []Fault{{Call: n, Do: Fail(errDisk)}}
	}},
	{"call %d loses its answer", mayFail, true, false, func(n int, _ context.CancelFunc) []Fault {
		return []Fault{{Call: n, When: AfterEffect, Do: Fail(errDisk)}}
	}},
	{"calls from %d fail", mayFail, false, false, func(n int, _ context.CancelFunc) []Fault {
		return []Fault{{Call: n, Times: -1, Do: Fail(errDisk)}}
	}},
	{"crash before call %d", dies, false, false, func(n int, _ context.CancelFunc) []Fault {
		return Crash(n, BeforeEffect)
	}},
	{"crash after call %d", dies, true, false, func(n int, _ context.CancelFunc) []Fault {
		return Crash(n, AfterEffect)
	}},
	{"caller stops before call %d", mayStop, false, false, func(n int, stop context.CancelFunc) []Fault {
		return []Fault{{Call: n, Do: Stop(stop)}}
	}},
	{"caller stops after call %d", mayStop, false, false, func(n int, stop context.CancelFunc) []Fault {
		return []Fault{{Call: n, When: AfterEffect, Do: Stop(stop)}}
	}},
	{"write %d conflicts", mayNothing, false, false, func(n int, _ context.CancelFunc) []Fault {
		return []Fault{{Call: n, Do: Conflict()}}
	}},
	{"write %d conflicts three times", mayNothing, false, false, func(n int, _ context.CancelFunc) []Fault {
		return []Fault{{Call: n, Times: 3, Do: Conflict()}}
	}},
	{"writes from %d conflict", mayConflict, false, false, func(n int, _ context.CancelFunc) []Fault {
		return []Fault{{Call: n, Times: -1, Do: Conflict()}}
	}},
	{"read %d is stale", mayMiss, false, false, func(n int, _ context.CancelFunc) []Fault {
		return []Fault{{Call: n, Do: Stale()}}
	}},
	{"page %d is short", mayNothing, false, false, func(n int, _ context.CancelFunc) []Fault {
		return []Fault{{Call: n, Do: Short(1)}}
	}},
	{"pages from %d are short", mayNothing, false, false, func(n int, _ context.CancelFunc) []Fault {
		return []Fault{{Call: n, Times: -1, Do: Short(1)}}
	}},
	{"request %d cannot be written", mayFail, false, true, func(n int, _ context.CancelFunc) []Fault {
		id := lifecycle.ID(n)
		return []Fault{
			{Method: "Apply", ID: id, Times: -1, Do: Fail(errDisk)},
			{Method: "CancelChildren", ID: id, Times: -1, Do: Fail(errDisk)},
		}
	}},
}

// upsetBy returns the upset whose text begins like this.
func upsetBy(text string, n int) upset {
	for form := range upsetForms {
		if upsetForms[form].text == text {
			return upset{form, n}
		}
	}
	return upset{}
}

func (u upset) String() string { return fmt.Sprintf(upsetForms[u.form].text, u.n) }

func parseUpset(text string) (upset, error) {
	for form := range upsetForms[1:] {
		u := upset{form: form + 1}
		if _, err := fmt.Sscanf(text, upsetForms[u.form].text, &u.n); err == nil && u.String() == text {
			return u, nil
		}
	}
	return upset{}, fmt.Errorf("%q is no fault", text)
}

// ParseTree reads requests in the form that [Snapshot.String] writes: a line such as
// "2 CHILD WAIT" for each, two blanks further in than its parent, and perhaps
// "(then SUCCEEDED)" for what the work of a request that is CANCELLING has answered.
func ParseTree(text string) ([]lifecycle.Request, error) {
	var requests []lifecycle.Request
	var path []lifecycle.ID
	margin := -1
	for line := range strings.SplitSeq(text, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		indent := len(line) - len(strings.TrimLeft(line, " \t"))
		if margin < 0 {
			margin = indent
		}
		depth := (indent - margin) / 2
		if len(words) != 3 && len(words) != 5 || depth < 0 || depth > len(path) {
			return nil, fmt.Errorf("canceltest: not a request: %q", line)
		}
		id, err := parseID(words[0])
		r := lifecycle.Request{ID: id}
		err = errors.Join(err, r.Kind.UnmarshalText([]byte(words[1])), r.State.UnmarshalText([]byte(words[2])))
		if len(words) == 5 {
			err = errors.Join(err, r.Outcome.UnmarshalText([]byte(strings.TrimSuffix(words[4], ")"))))
		}
		if path = path[:depth]; depth > 0 {
			r.Parent = path[depth-1]
		}
		if err = errors.Join(err, r.Validate()); err != nil {
			return nil, fmt.Errorf("canceltest: %q: %w", line, err)
		}
		path = append(path, r.ID)
		requests = append(requests, r)
	}
	return requests, nil
}

// do has a Canceller do the command.
func (c command) do(ctx context.Context, canceller *cancel.Canceller, order cancel.Order) (res cancel.Result, in cancel.CheckInResult, err error) {
	order.ID = c.id
	switch c.op {
	case "cancel":
		res, err = canceller.Cancel(ctx, order)
	case "begin":
		res, err = canceller.Fence(ctx, order)
	case "acknowledge":
		res, err = canceller.Acknowledge(ctx, order, c.outcome)
	case "force":
		res, err = canceller.Force(ctx, order)
	case "checkin":
		in, err = canceller.CheckIn(ctx, cancel.Order{ID: c.id})
	case "resume":
		res, err = canceller.Resume(ctx, &cancel.ResumeOptions{Receipt: order.Receipt})
	case "execute":
		var plan cancel.Plan
		if plan, err = canceller.Plan(ctx, order); err == nil {
			res, err = canceller.ExecutePlan(ctx, plan)
		}
	case "plan":
		var plan cancel.Plan
		plan, err = canceller.Plan(ctx, order)
		res = plan.Result
	}
	return res, in, err
}
