package explore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"
)

// A Report says what [Explore] has explored.
type Report struct {
	World string
	// Schedules is how many orders of steps there are, all of which have been explored:
	// a whole number, exact up to 2^53.
	Schedules float64
	// Runs is how often the world was run for that, from the start, and Steps
	// how many steps were done in these runs.
	Runs, Steps int
	// Situations is how many situations the orders go through, and Merged how many
	// runs were broken off at one that had been explored.
	Situations, Merged int
	// Recoveries is how many contents of the store the schedules go through in which
	// something is CANCELLING: each was recovered from as if all processes had
	// died there.
	Recoveries int
	// Ends are the trees in which the schedules end, drawn with the states.
	Ends []string
	// Complete reports whether all was explored, within World.MaxRuns.
	Complete bool
	Elapsed  time.Duration
}

// String returns a line such as
// "nested: 12345 schedules, in 67 runs of 890 steps (456 situations, 54 runs merged), 2 ends, 31 recoveries, 5ms".
func (r Report) String() string {
	s := fmt.Sprintf("%s: %.0f schedules, in %d runs of %d steps (%d situations, %d runs merged), %d ends, %d recoveries, %v",
		r.World, r.Schedules, r.Runs, r.Steps, r.Situations, r.Merged, len(r.Ends), r.Recoveries, r.Elapsed.Round(time.Millisecond))
	if !r.Complete {
		s += ", CUT SHORT"
	}
	return s
}

// Explore runs the world in every order in which the steps of its actors can happen,
// and checks in each that
//
//  1. terminal is final: no request leaves a terminal state;
//  2. only rules' transitions: every change follows a rule of package lifecycle,
//     and names its trigger;
//  3. no escape: no child is inserted below a parent that admits none, and once a
//     cancel has returned without an error nothing below its root is ever again
//     live and not CANCELLING;
//  4. a parent ends last: none ends while a child is live;
//  5. a way out: in the end every request that is CANCELLING waits for its own work
//     or for a child that does, and that work has been told; when an operation that
//     ended a request returns, no ancestor is left with nothing to wait for;
//  6. cancelling again succeeds and changes nothing: a cancel is refused only if its
//     request had ended before, and does not move the clock of Force; ready-made
//     actors accept no other error;
//  7. crash anywhere: from every content that the store has in any order, a
//     fresh process that resumes, and the answers of the work, bring to an end all
//     that was CANCELLING, and touch nothing else; a second Resume changes nothing;
//  8. receipts are true: every receipt says of a request what this operation did to
//     it, there is one for every change, and the store did what it said;
//  9. running work is not cancelled without its answer, or force in due time;
//  10. the order does not matter, if the world says so by OneEnd;
//  11. authorization comes first: what is not authorized changes nothing.
//
// A [*Violation] has what it finds, in the fewest turns; the numbers are those in
// its text. Any other error means that the world could not be explored.
//
// # How, and why nothing is missed
//
// Explore has no access to the inside of an actor and so cannot go back: it runs the
// world again and again from the start, each time along an order that has not been
// tried, depth first.
//
// Two orders that have led to the same situation have the same future, and only one
// of them is continued. What an actor does next depends on nothing but what it has
// been told: [Actor] demands that. The situation is therefore the content of the
// store, the history of changes of every request (a store may keep more of a
// request than can be read), and for each actor everything that it has been told so
// far. A step made with Env.Step counts as having been told everything. So there is no
// table of steps that commute, which could be wrong: that two steps commute shows in
// that they lead to the same situation either way. Only where one of the two changed
// nothing is that taken for granted, and the other not done again after it.
//
// So every situation that can come up is visited, and every step out of it done and
// checked. Report.Schedules counts the orders that this stands for, by adding up for
// each situation those of the situations that come next. With World.NoMerge they
// are run one by one; the tests of this package compare the two.
//
// If an actor does not do the same when it is told the same, Explore returns an error
// that says so.
func Explore(ctx context.Context, w World) (Report, error) {
	began := time.Now()
	e, err := newExplorer(w)
	if err != nil {
		return Report{}, err
	}
	err = e.search(ctx)
	if v, ok := errors.AsType[*Violation](err); ok {
		err = e.simplest(ctx, v)
	}
	if len(e.texts) > 0 {
		var errs []error
		for _, text := range e.texts {
			errs = append(errs, e.violation(ctx, e.found[text], errors.New(text)))
		}
		err = errors.Join(append(errs, err)...)
	}
	e.report.Elapsed = time.Since(began)
	e.report.Ends = slices.Sorted(maps.Keys(e.ends))
	return e.report, err
}

// Run explores a world and fails t with the trace of what it finds. It logs the
// report. A world that needs more than its store has, such as a state that is not among
// Harness.States, is skipped.
func Run(t testing.TB, w World) Report {
	t.Helper()
	report, err := Explore(t.Context(), w)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Log(report)
	return report
}
