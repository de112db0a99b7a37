package canceltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// A Fault is something that goes wrong on purpose with calls of a Repository:
//
//	canceltest.Fault{Call: 7, When: canceltest.AfterEffect, Do: canceltest.Fail(err)}
//
// lets the seventh call do what it is for and then loses the answer.
type Fault struct {
	// Call is the first call that goes wrong. The first of all is 1, and so is the
	// zero Call. Calls that Do does not fit are not counted: Conflict does not
	// fit reads, nor Stale writes.
	Call int
	// Times is how many calls go wrong in a row. Zero means one, a negative Times
	// all that follow.
	Times int
	// Method, if not empty, has only the calls of that method counted, such as
	// "Apply".
	Method string
	// ID, if not 0, has only those calls counted that read or write this request:
	// Get, Cause, Apply, and CancelChildren of a page that it is on.
	ID lifecycle.ID
	// When says on which side of its effect the call goes wrong. It matters where
	// Do is Fail, Delay, Stop or Func.
	When When
	// Do is what goes wrong.
	Do Action
}

// String returns a text such as "call 7: fails after its effect".
func (f Fault) String() string {
	what := "call"
	if f.Method != "" {
		what = f.Method
	}
	s := fmt.Sprintf("%s %d", what, max(f.Call, 1))
	switch {
	case f.Times < 0:
		s += " and all that follow"
	case f.Times > 1:
		s += fmt.Sprintf(" to %d", max(f.Call, 1)+f.Times-1)
	}
	if f.ID != 0 {
		s += fmt.Sprintf(" of request %d", f.ID)
	}
	s += ": " + f.Do.name
	if f.Do.run != nil {
		s += " " + f.When.String()
	}
	return s
}

// A When is a side of the effect of a call.
type When uint8

const (
	// BeforeEffect has a call go wrong before the store is reached.
	BeforeEffect When = iota
	// AfterEffect has a call go wrong when the store has done its part.
	AfterEffect
)

// String returns "before its effect" or "after its effect".
func (w When) String() string {
	if w == AfterEffect {
		return "after its effect"
	}
	return "before its effect"
}

// An Action is what goes wrong with a call. Functions such as [Fail] make them.
type Action struct {
	name string
	fits func(method string) bool // nil means always

	run      func(ctx context.Context) error
	conflict bool
	stale    bool
	limit    int
}

// Fail makes a call return err. After its effect this is an answer that got lost.
func Fail(err error) Action {
	return Func("fails", func(context.Context) error { return err })
}

// Delay makes a call wait, at most until its context is done.
func Delay(d time.Duration) Action {
	return Func(fmt.Sprintf("waits %v", d), func(ctx context.Context) error {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// Stop calls stop, which is to end the context that the caller of the operation has
// given to it.
func Stop(stop context.CancelFunc) Action {
	return Func("ends the caller's context", func(context.Context) error { stop(); return nil })
}

// Func calls f; the call returns its error, if there is one. The name is for stories.
func Func(name string, f func(ctx context.Context) error) Action {
	return Action{name: name, run: f}
}

// Conflict makes an Apply report that it has made none of the changes, and it makes
// none: as if others had been quicker each time.
func Conflict() Action {
	return Action{name: "makes nothing", conflict: true, fits: func(method string) bool { return method == "Apply" }}
}

// Stale makes Get and Children answer as if nothing had been written since the
// Repository was wrapped. No store may do that; it shows what then happens.
func Stale() Action {
	return Action{name: "answers from the past", stale: true, fits: func(method string) bool { return method == "Get" || method == "Children" }}
}

// Short makes a page have at most n requests though more are asked for, as a store may.
func Short(n int) Action {
	return Action{name: fmt.Sprintf("returns at most %d", n), limit: max(n, 1), fits: func(method string) bool {
		return method == "Children" || method == "CancelChildren" || method == "ListCancelling"
	}}
}

// ErrCrashed is what every call returns after a [Crash].
var ErrCrashed = errors.New("canceltest: the process has crashed")

// Crash returns faults that let a process die at a call: before its effect the store
// is not reached any more; after it, this is the last call that reached it.
func Crash(call int, when When) []Fault {
	dead := Fail(ErrCrashed)
	dead.name = "finds the process dead"
	return []Fault{
		{Call: call, When: when, Do: dead},
		{Call: max(call, 1) + 1, Times: -1, Do: dead},
	}
}

// A Faulty is a Repository that forwards to another, lets calls go wrong, and keeps a
// record of them. It is safe for concurrent use if the other is.
//
// It has all capabilities and declines those that the other lacks, which is not
// counted as a call.
type Faulty struct {
	repo  cancel.Repository
	stale bool // one of the faults needs the past

	mu     sync.Mutex
	calls  int
	faults []*faultCount
	trace  []Call
	watch  func(Call)
	past   map[lifecycle.ID]lifecycle.Request // what has been written, as it was before
}

// A faultCount is a fault and how often it came into question and struck.
type faultCount struct {
	Fault
	seen, struck int
}

// NewFaulty wraps repo. With no faults it only keeps the record.
func NewFaulty(repo cancel.Repository, faults ...Fault) *Faulty {
	f := &Faulty{repo: repo, past: map[lifecycle.ID]lifecycle.Request{}}
	for _, fault := range faults {
		f.faults = append(f.faults, &faultCount{Fault: fault})
		f.stale = f.stale || fault.Do.stale
	}
	return f
}

// Watch has w called after every call, before its caller gets the answer.
func (f *Faulty) Watch(w func(Call)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watch = w
}

// Calls returns how many calls there were.
func (f *Faulty) Calls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

// Struck returns how many calls have gone wrong on purpose. A loop over every call
// of an operation ends when it is 0.
func (f *Faulty) Struck() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, fault := range f.faults {
		n += fault.struck
	}
	return n
}

// Trace returns the calls in the order in which they ended.
func (f *Faulty) Trace() []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clip(f.trace)
}

// A Call is one call of a [Faulty].
type Call struct {
	N      int
	Method string
	// What was asked; only what belongs to the method is set.
	ID      lifecycle.ID      // Get, Cause
	Query   cancel.ChildQuery // Children, CancelChildren
	Changes []cancel.Change   // Apply
	After   lifecycle.ID      // ListCancelling
	Limit   int               // ListCancelling
	Cause   cancel.Cause      // CancelChildren; what Cause returned
	// What the store answered, whoever got to know.
	Requests []lifecycle.Request // Get, Children, ListCancelling
	Made     []bool              // Apply
	Page     cancel.ChildPage    // CancelChildren
	// Reached says that the store was called.
	Reached bool
	// Faults says what went wrong on purpose.
	Faults []string
	// Err is what the caller got.
	Err error
}

// String returns a line such as "3 Apply 2 WAIT -> CANCELLED: made".
func (c Call) String() string {
	s := fmt.Sprintf("%d %s %s: ", c.N, c.Method, c.asked())
	switch {
	case !c.Reached && c.Err == nil:
		s += c.answer()
	case !c.Reached:
		s += "not done"
	case c.Err != nil && len(c.Faults) > 0:
		s += c.answer() + ", but the answer is lost"
	case c.Err == nil:
		s += c.answer()
	}
	if c.Err != nil {
		s += ": " + c.Err.Error()
	}
	if len(c.Faults) > 0 {
		s += " <- " + strings.Join(c.Faults, ", ")
	}
	return s
}

func (c Call) asked() string {
	switch c.Method {
	case "Get", "Cause":
		return fmt.Sprint(c.ID)
	case "Apply":
		return showChanges(c.Changes)
	case "ListCancelling":
		return fmt.Sprintf("after %d, at most %d", c.After, c.Limit)
	default:
		return showChildQuery(c.Query)
	}
}

func (c Call) answer() string {
	switch c.Method {
	case "Cause":
		return fmt.Sprintf("root %d, actor %q", c.Cause.Root, c.Cause.Actor)
	case "Apply":
		return showMade(c.Changes, c.Made)
	case "CancelChildren":
		return showChildPage(c.Page)
	default:
		return showRequests(c.Requests)
	}
}
