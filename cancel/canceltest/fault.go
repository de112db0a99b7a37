package canceltest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest/internal/rows"
	"example.com/ess/cancel/canceltest/internal/show"
	"example.com/ess/lifecycle"
)

// A Fault is something that goes wrong on purpose with calls of a Repository:
//
//	canceltest.Fault{Call: 7, After: true, Err: err}
//
// lets the seventh call do what it is for and then loses the answer.
type Fault struct {
	// Call is the first call that goes wrong, counted from 1; 0 means 1. Calls that
	// cannot go wrong in this way are not counted: Conflict is for writes, Stale
	// for Get and Children, Limit for pages.
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

	// Err is what the call returns: before it has reached the store, or, if After is
	// set, when the store has done its part and the answer gets lost.
	Err   error
	After bool
	// Do, if not nil, is called before the store is reached, or after that; the call
	// returns its error, if there is one. It may wait, end a context, or change the
	// store.
	Do func(ctx context.Context) error
	// Conflict makes Apply and EndParent report that they have made none of the changes,
	// and they make none: as if others had been quicker each time.
	Conflict bool
	// Stale makes Get and Children answer as if nothing had been written since the
	// Repository was wrapped. No store may do that; it shows what then happens.
	Stale bool
	// Limit, if positive, makes a page have at most so many requests though more are
	// asked for, as a store may. CancelChildren and CancelTree return that page with Err, if
	// both are set and After: it was broken off, and says what is known to be done.
	Limit int
	// Name says in texts what goes wrong. It has a default.
	Name string
}

// String returns a text such as "call 7: fails after its effect".
func (f Fault) String() string {
	s := fmt.Sprintf("%s %d", cmp.Or(f.Method, "call"), max(f.Call, 1))
	switch {
	case f.Times < 0:
		s += " and all that follow"
	case f.Times > 1:
		s += fmt.Sprintf(" to %d", max(f.Call, 1)+f.Times-1)
	}
	if f.ID != 0 {
		s += fmt.Sprintf(" of request %d", f.ID)
	}
	return s + ": " + f.what()
}

// what says what goes wrong.
func (f Fault) what() string {
	side := " before its effect"
	if f.After {
		side = " after its effect"
	}
	switch {
	case f.Conflict:
		return cmp.Or(f.Name, "makes nothing")
	case f.Stale:
		return cmp.Or(f.Name, "answers from the past")
	case f.Limit > 0 && f.Err != nil:
		return cmp.Or(f.Name, fmt.Sprintf("breaks off after at most %d", f.Limit))
	case f.Limit > 0:
		return cmp.Or(f.Name, fmt.Sprintf("returns at most %d", f.Limit))
	case f.Do != nil:
		return cmp.Or(f.Name, "is disturbed") + side
	default:
		return cmp.Or(f.Name, "fails") + side
	}
}

// fits reports whether a call of the method can go wrong in this way.
func (f Fault) fits(method string) bool {
	switch {
	case f.Method != "" && f.Method != method:
		return false
	case f.Conflict:
		return method == "Apply" || method == "EndParent"
	case f.Stale:
		return method == "Get" || method == "Children"
	case f.Limit > 0 && f.Err != nil:
		return method == "CancelChildren" || method == "CancelTree"
	case f.Limit > 0:
		return method == "Children" || method == "CancelChildren" || method == "CancelTree" || method == "ListCancelling"
	default:
		return true
	}
}

// run does what Do and Err say.
func (f Fault) run(ctx context.Context) error {
	if f.Do != nil {
		if err := f.Do(ctx); err != nil {
			return err
		}
	}
	return f.Err
}

// ErrCrashed is what every call returns after a [Crash].
var ErrCrashed = errors.New("canceltest: the process has crashed")

// Crash returns faults that let a process die at a call: the store is not reached any
// more, or, if after is set, this is the last call that reaches it.
func Crash(call int, after bool) []Fault {
	dead := Fault{Call: call, Err: ErrCrashed, After: after, Name: "finds the process dead"}
	later := dead
	later.Call, later.Times, later.After = max(call, 1)+1, -1, false
	return []Fault{dead, later}
}

// A Faulty is a Repository that forwards to another, lets calls go wrong, and keeps a
// record of them. It is safe for concurrent use if the other is.
//
// It has all capabilities and declines those that the other lacks, which is not
// counted as a call.
type Faulty struct {
	repo  cancel.Repository
	can   rows.Capabilities
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
	f := &Faulty{repo: repo, can: rows.CapabilitiesOf(repo), past: map[lifecycle.ID]lifecycle.Request{}}
	for _, fault := range faults {
		f.faults = append(f.faults, &faultCount{Fault: fault})
		f.stale = f.stale || fault.Stale
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
	Changes []cancel.Change   // Apply, EndParent; what CancelTree and Settle have made
	From    []cancel.Cursor   // CancelTree
	IDs     []lifecycle.ID    // Settle
	After   lifecycle.ID      // ListCancelling
	Limit   int               // ListCancelling, CancelTree
	Cause   cancel.Cause      // CancelChildren, CancelTree, Settle; what Cause returned
	// What the store answered, whoever got to know.
	Requests []lifecycle.Request // Get, Children, ListCancelling
	Made     []bool              // Apply, EndParent
	Page     cancel.ChildPage    // CancelChildren
	Rest     []cancel.Cursor     // CancelTree
	// Cancelled is how many requests CancelTree has made CANCELLED and not named.
	Cancelled int
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
	case "Apply", "EndParent":
		return show.Changes(c.Changes)
	case "CancelTree":
		return "below " + show.Cursors(c.From)
	case "Settle":
		return fmt.Sprint(c.IDs)
	case "ListCancelling":
		return fmt.Sprintf("after %d, at most %d", c.After, c.Limit)
	default:
		return show.Query(c.Query)
	}
}

func (c Call) answer() string {
	switch c.Method {
	case "Cause":
		return fmt.Sprintf("root %d, actor %q", c.Cause.Root, c.Cause.Actor)
	case "Apply", "EndParent":
		return show.Made(c.Changes, c.Made)
	case "CancelChildren":
		return show.Page(c.Page)
	case "CancelTree":
		return show.Tree(cancel.TreePage{Changes: c.Changes, Cancelled: c.Cancelled, Rest: c.Rest})
	case "Settle":
		return show.Changes(c.Changes)
	default:
		return show.Requests(c.Requests)
	}
}
