package explore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/internal/rows"
	"example.com/ess/cancel/memrepo"
	"example.com/ess/lifecycle"
)

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
	fit := rows.Fit{States: w.Harness.States, Kinds: w.Harness.Kinds}
	for _, r := range e.w.Requests {
		if !fit.Has(r.State) || !fit.HasKind(r.Kind) {
			return nil, fmt.Errorf("explore: world %q has a %v in %v, and the store cannot: %w", w.Name, r.Kind, r.State, errors.ErrUnsupported)
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
