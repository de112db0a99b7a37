package simulate

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// A command is something that is done to the requests: by a Canceller, by a scheduler
// (submit, delete), or by time (wait). It has a text form, so that a report can be
// played again.
type command struct {
	op      string
	id      lifecycle.ID
	outcome lifecycle.State   // acknowledge
	trigger lifecycle.Trigger // transition
	request lifecycle.Request // submit
	wait    time.Duration     // wait
	fault   fault             // what goes wrong, for commands of a Canceller
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
	case "transition":
		s += " " + c.trigger.String()
	}
	if c.fault != (fault{}) {
		s += ", " + c.fault.String()
	}
	return s
}

// parseCommand reads the text form.
func parseCommand(text string) (c command, err error) {
	line, trouble, fault := strings.Cut(text, ", ")
	words := append(strings.Fields(line), "", "", "", "")
	c.op = words[0]
	switch c.op {
	case "resume":
	case "wait":
		c.wait, err = time.ParseDuration(words[1])
	case "cancel", "begin", "plan", "execute", "force", "checkin", "delete":
		c.id, err = parseID(words[1])
	case "acknowledge":
		c.id, err = parseID(words[1])
		err = errors.Join(err, c.outcome.UnmarshalText([]byte(words[2])))
	case "transition":
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
	if fault && err == nil {
		c.fault, err = parseFault(trouble)
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

// A fault is what goes wrong with a command, at its nth call or with request n.
type fault struct {
	form int // index into faultForms
	n    int
}

// What a fault may lead to.
const (
	mayFail     = iota + 1 // nothing, or an error with CodeSystem
	mayStop                // nothing, or the error of the caller's context
	mayConflict            // nothing, or an error with CodeConflict
	mayMiss                // it may do less than it should and not know
	mayNothing             // nothing
	dies                   // there is nobody left to be told
)

// errDisk is what a store returns that fails. It has a code of this module, which is the
// store's affair and must not be taken for what became of an operation.
var (
	errFull = errors.New("simulate: disk full")
	errDisk = fmt.Errorf("%w: %w", errFull, esserrors.CodeUnsupportedState)
)

// ending ends the context that the caller of the operation has given to it.
func ending(stop context.CancelFunc) func(context.Context) error {
	return func(context.Context) error { stop(); return nil }
}

// faultForms are the faults there are. The first is none.
var faultForms = [...]struct {
	text    string // with the number
	may     int
	lost    bool // an answer gets lost
	request bool // the number is that of a request
	faults  func(n int, stop context.CancelFunc) []canceltest.Fault
}{
	{},
	{"call %d fails", mayFail, false, false, func(n int, _ context.CancelFunc) []canceltest.Fault {
		return []canceltest.Fault{{Call: n, Err: errDisk}}
	}},
	{"call %d loses its answer", mayFail, true, false, func(n int, _ context.CancelFunc) []canceltest.Fault {
		return []canceltest.Fault{{Call: n, After: true, Err: errDisk}}
	}},
	{"calls from %d fail", mayFail, false, false, func(n int, _ context.CancelFunc) []canceltest.Fault {
		return []canceltest.Fault{{Call: n, Times: -1, Err: errDisk}}
	}},
	{"crash before call %d", dies, false, false, func(n int, _ context.CancelFunc) []canceltest.Fault {
		return canceltest.Crash(n, false)
	}},
	{"crash after call %d", dies, true, false, func(n int, _ context.CancelFunc) []canceltest.Fault {
		return canceltest.Crash(n, true)
	}},
	{"caller stops before call %d", mayStop, false, false, func(n int, stop context.CancelFunc) []canceltest.Fault {
		return []canceltest.Fault{{Call: n, Do: ending(stop), Name: "ends the caller's context"}}
	}},
	{"caller stops after call %d", mayStop, false, false, func(n int, stop context.CancelFunc) []canceltest.Fault {
		return []canceltest.Fault{{Call: n, After: true, Do: ending(stop), Name: "ends the caller's context"}}
	}},
	{"write %d conflicts", mayNothing, false, false, func(n int, _ context.CancelFunc) []canceltest.Fault {
		return []canceltest.Fault{{Call: n, Conflict: true}}
	}},
	{"write %d conflicts three times", mayNothing, false, false, func(n int, _ context.CancelFunc) []canceltest.Fault {
		return []canceltest.Fault{{Call: n, Times: 3, Conflict: true}}
	}},
	{"writes from %d conflict", mayConflict, false, false, func(n int, _ context.CancelFunc) []canceltest.Fault {
		return []canceltest.Fault{{Call: n, Times: -1, Conflict: true}}
	}},
	{"read %d is stale", mayMiss, false, false, func(n int, _ context.CancelFunc) []canceltest.Fault {
		return []canceltest.Fault{{Call: n, Stale: true}}
	}},
	{"page %d is short", mayNothing, false, false, func(n int, _ context.CancelFunc) []canceltest.Fault {
		return []canceltest.Fault{{Call: n, Limit: 1}}
	}},
	{"pages from %d are short", mayNothing, false, false, func(n int, _ context.CancelFunc) []canceltest.Fault {
		return []canceltest.Fault{{Call: n, Times: -1, Limit: 1}}
	}},
	{"page %d is broken off", mayFail, false, false, func(n int, _ context.CancelFunc) []canceltest.Fault {
		return []canceltest.Fault{{Call: n, Limit: 1, After: true, Err: errDisk}}
	}},
	{"request %d cannot be written", mayFail, false, true, func(n int, _ context.CancelFunc) []canceltest.Fault {
		var faults []canceltest.Fault
		for _, method := range []string{"Apply", "CancelChildren", "CancelTree", "EndParent", "Settle"} {
			faults = append(faults, canceltest.Fault{Method: method, ID: lifecycle.ID(n), Times: -1, Err: errDisk})
		}
		return faults
	}},
}

// faultBy returns the fault whose text begins like this.
func faultBy(text string, n int) fault {
	for form := range faultForms {
		if faultForms[form].text == text {
			return fault{form, n}
		}
	}
	return fault{}
}

func (u fault) String() string { return fmt.Sprintf(faultForms[u.form].text, u.n) }

func parseFault(text string) (fault, error) {
	for form := range faultForms[1:] {
		u := fault{form: form + 1}
		if _, err := fmt.Sscanf(text, faultForms[u.form].text, &u.n); err == nil && u.String() == text {
			return u, nil
		}
	}
	return fault{}, fmt.Errorf("%q is no fault", text)
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
	case "transition":
		_, err = canceller.Transition(ctx, order, c.trigger)
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
