package explore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/memrepo"
	"example.com/ess/lifecycle"
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
//  4. a parent ends last: none leaves CANCELLING while a child is live;
//  5. a way out: in the end every request that is CANCELLING waits for its own work
//     or for a child that does, and that work has been told; nothing above a
//     request waits for nothing when an operation that ended it has returned;
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
// A [*Violation] tells what it finds, in the fewest turns; the numbers are those in
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
// far. A custom step counts as having been told everything. So there is no table
// of steps that commute, which could be wrong: that two steps commute shows in that
// they lead to the same situation either way. Only where one of the two changed
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
// report. A world that needs more than its store has is skipped.
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

// An explorer explores one world.
type explorer struct {
	w      World
	report Report
	frames []frame
	// seen has how many orders begin in each situation that has been explored.
	seen      map[digest]float64
	ends      map[string]bool
	recovered map[digest]bool

	bound int // how many turns an order may take from an actor that could go on; negative: any number
	// found has what is wrong, and an order in which it is, if the world says All.
	found map[string][]choice
	texts []string // of found, in order

	recovery bool // this explores a recovery
}

// A frame is a situation on the path that is being explored.
type frame struct {
	knownStep     // that led to it
	by        int // whose step that was
	key       digest
	choices   []choice
	steps     []knownStep // what those choices came to that have been explored
	next      int         // of choices, the one that is being explored
	count     float64
	turns     int // taken so far, if they are bounded
}

func newExplorer(w World) (*explorer, error) {
	e := &explorer{w: w, bound: -1}
	if w.MaxTurns > 0 {
		e.bound = w.MaxTurns
	}
	e.report.World = w.Name
	if w.Tree != "" {
		var err error
		if e.w.Requests, err = canceltest.ParseTree(w.Tree); err != nil {
			return nil, fmt.Errorf("explore: world %q: Tree: %w", w.Name, err)
		}
	}
	e.w.Actors = slices.Clone(w.Actors)
	names := map[string]bool{}
	for _, a := range w.Actors {
		if a.Name == "" || strings.ContainsAny(a.Name, " \t\n*!?~") || names[a.Name] || a.Run == nil {
			return nil, fmt.Errorf("explore: world %q: an actor needs a function and a name of its own, a word of letters: %q", w.Name, a.Name)
		}
		names[a.Name] = true
		e.w.Resume = e.w.Resume || a.Dies || a.Faults > 0
	}
	if e.w.Resume && !names["resume"] {
		e.w.Actors = append(e.w.Actors, Actor{Name: "resume", Last: true, Run: resumesAtLast})
	}
	if e.w.Harness.New == nil {
		e.w.Harness = inMemory
	}
	if e.w.MaxSteps == 0 {
		e.w.MaxSteps = 1000
	}
	e.reset()
	return e, nil
}

func (e *explorer) reset() {
	e.frames = nil
	e.seen, e.ends, e.recovered = map[digest]float64{}, map[string]bool{}, map[digest]bool{}
	e.found = map[string][]choice{}
}

// search explores everything, or up to a violation.
func (e *explorer) search(ctx context.Context) error {
	for more := true; more; more = e.backtrack() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if e.w.MaxRuns > 0 && e.report.Runs == e.w.MaxRuns {
			return nil
		}
		r, err := startRun(ctx, &e.w, e.begin(), false)
		e.report.Runs++
		if err == nil {
			err = e.advance(ctx, r)
			e.report.Steps += r.steps
		}
		if r != nil {
			err = errors.Join(err, r.close())
		}
		if err != nil {
			return err
		}
	}
	e.report.Complete = true
	return nil
}

// begin returns the state of the store in the beginning, if a run has looked.
func (e *explorer) begin() *worldState {
	if len(e.frames) == 0 {
		return nil
	}
	return &e.frames[0].state
}

// backtrack moves on to the next order. It reports false if there is none.
func (e *explorer) backtrack() bool {
	for len(e.frames) > 0 {
		f := &e.frames[len(e.frames)-1]
		f.next++
		if e.skip(); f.next < len(f.choices) {
			return true
		}
		e.frames = e.frames[:len(e.frames)-1]
		if !e.w.NoMerge {
			e.seen[f.key] = f.count
		}
		e.counted(f.count)
	}
	return false
}

// skip passes over the choices of the last frame that are known to lead to where a run
// has been, and counts what begins there.
//
// What is known is this: after a step that changed nothing which anybody else could
// notice, another actor's step does what it would have done before. So where
// that led is also known, without a run.
func (e *explorer) skip() {
	f := &e.frames[len(e.frames)-1]
	if len(e.frames) < 2 || !f.inert || e.w.NoMerge || e.bound >= 0 {
		return
	}
	before := &e.frames[len(e.frames)-2]
	for ; f.next < len(f.choices); f.next++ {
		c := f.choices[f.next]
		i := slices.Index(before.choices[:before.next], c)
		if c.actor == f.by || i < 0 || before.steps[i].marks == nil {
			return
		}
		step := before.steps[i]
		step.marks = slices.Clone(step.marks)
		step.marks[f.by].saw = f.marks[f.by].saw
		n, ok := e.seen[situation(step.state, step.marks)]
		if !ok {
			return
		}
		e.report.Merged++
		e.counted(n)
		f.steps[f.next] = step
	}
}

// counted adds orders to those that go through the last frame.
func (e *explorer) counted(n float64) {
	if len(e.frames) == 0 {
		e.report.Schedules = n
	} else {
		e.frames[len(e.frames)-1].count += n
	}
}

// advance takes r along the frames, and then on to an end or to where another run has
// been.
func (e *explorer) advance(ctx context.Context, r *worldRun) error {
	last := -1
	if len(e.frames) == 0 {
		if leaf, err := e.arrive(ctx, r, knownStep{state: r.state, marks: r.marks()}, r.checkStart(), last, 0); leaf || err != nil {
			return err
		}
	}
	for i := 0; i < len(e.frames); i++ {
		f := &e.frames[i]
		top := i == len(e.frames)-1
		c := f.choices[f.next]
		if top && situation(r.state, r.marks()) != f.key {
			return e.unsteady(r, f.knownStep)
		}
		var known *knownStep
		if !top {
			known = &e.frames[i+1].knownStep
		}
		turns := f.turns
		if e.bound >= 0 && turned(f.choices, c, last) {
			turns++
		}
		did, wrong, err := r.step(ctx, c, known)
		if err != nil {
			return err
		}
		last = c.actor
		if !top {
			continue
		}
		f.steps[f.next] = did
		if leaf, err := e.arrive(ctx, r, did, wrong, last, turns); leaf || err != nil {
			return err
		}
	}
	return nil
}

// turned reports whether c takes the turn from the actor that did the last step and
// could go on.
func turned(choices []choice, c choice, last int) bool {
	return c.actor != last && slices.Contains(choices, choice{last, choiceRuns})
}

// arrive takes note of where a step has led, and checks it. It reports whether the run
// ends here.
func (e *explorer) arrive(ctx context.Context, r *worldRun, did knownStep, wrong error, last, turns int) (leaf bool, err error) {
	key := situation(did.state, did.marks)
	seenAs := key
	if e.bound >= 0 {
		seenAs = key.add(uint64(last + 1)).add(uint64(turns))
	}
	if n, ok := e.seen[seenAs]; ok && wrong == nil {
		e.report.Merged++
		e.counted(n)
		return true, nil
	}
	var choices []choice
	if wrong == nil {
		choices = r.choices(last)
		if len(choices) == 0 {
			wrong = e.end(r)
		}
	}
	if wrong == nil && r.steps >= e.w.MaxSteps {
		wrong = fmt.Errorf("this does not end: %d steps", r.steps)
	}
	if wrong == nil {
		wrong, err = e.recover(ctx, r.state)
		if err != nil {
			return true, err
		}
	}
	e.report.Situations++
	if wrong != nil {
		if err := e.steady(ctx); err != nil {
			return true, err
		}
		if !e.w.All || e.recovery {
			return true, e.violation(ctx, e.path(), wrong)
		}
		if text := wrong.Error(); e.found[text] == nil {
			e.found[text] = e.path()
			e.texts = append(e.texts, text)
		}
		choices = nil
	}
	if e.bound >= 0 {
		choices = slices.DeleteFunc(choices, func(c choice) bool { return turns == e.bound && turned(choices, c, last) })
	}
	if len(choices) == 0 {
		if !e.w.NoMerge {
			e.seen[seenAs] = 1
		}
		e.counted(1)
		return true, nil
	}
	e.frames = append(e.frames, frame{knownStep: did, by: last, key: key, choices: choices, steps: make([]knownStep, len(choices)), turns: turns})
	e.skip()
	return e.frames[len(e.frames)-1].next == len(choices), nil
}

// inMemory makes the stores of a world that says nothing else.
var inMemory = canceltest.Harness{New: func(_ context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
	repo := &memrepo.Repo{}
	return repo, repo.Insert(requests...)
}}

// steady runs the order that is being explored again, and returns an error if an actor
// does not do the same when it is told the same: whatever else is wrong is that.
func (e *explorer) steady(ctx context.Context) error {
	for range 3 {
		if err := e.steadyOnce(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (e *explorer) steadyOnce(ctx context.Context) (err error) {
	r, err := startRun(ctx, &e.w, e.begin(), false)
	if r != nil {
		defer func() { err = errors.Join(err, r.close()) }()
	}
	if err != nil {
		return err
	}
	for i := range e.frames {
		f := &e.frames[i]
		if situation(r.state, r.marks()) != situation(f.state, f.marks) {
			return e.unsteady(r, f.knownStep)
		}
		if _, _, err := r.step(ctx, f.choices[f.next], nil); err != nil {
			return err
		}
	}
	return nil
}

// unsteady says which actor has not done what it did when it was told the same.
func (e *explorer) unsteady(r *worldRun, before knownStep) error {
	who := "an actor"
	for i, m := range r.marks() {
		if i < len(before.marks) && m != before.marks[i] {
			who = fmt.Sprintf("actor %q", e.w.Actors[i].Name)
			break
		}
	}
	return fmt.Errorf("explore: world %q: %s did something else when it was told the same, or wrote something else, such as another time: see Actor.Run", e.w.Name, who)
}

// end checks the end of an order.
func (e *explorer) end(r *worldRun) error {
	wrong := r.checkEnd()
	e.ends[r.state.snap.String()] = true
	if e.w.OneEnd && len(e.ends) > 1 {
		wrong = errors.Join(wrong, fmt.Errorf("10 (the order does not matter): the end is one of\n%s", strings.Join(slices.Sorted(maps.Keys(e.ends)), "or\n")))
	}
	return wrong
}
