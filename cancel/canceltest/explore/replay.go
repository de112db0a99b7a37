package explore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"example.com/ess/cancel/canceltest"
)

// A Violation is a schedule in which something goes wrong.
type Violation struct {
	World string
	// Schedule is the order of the steps, for [Replay].
	Schedule string
	// Trace is what happens in it, step by step.
	Trace string
	// Err says what is wrong, with the number of the invariant: see [Explore].
	Err error
}

// Error returns the trace, what is wrong, and how to see it again.
func (v *Violation) Error() string {
	return fmt.Sprintf("explore: world %q: %v\n\n%s\nTo see it again:\n\n\ttrace, err := explore.Replay(ctx, world, %q)\n", v.World, v.Err, v.Trace, v.Schedule)
}

// Unwrap returns v.Err.
func (v *Violation) Unwrap() error { return v.Err }

// Replay runs the world once in the order that schedule says, as far as it goes, and
// returns the trace. The error is a [*Violation] if something goes wrong.
//
// A schedule is the names of the actors in the order of their steps. A name may be
// followed by how the step is done, "!" if the actor dies instead, "?" if the call
// fails, "~" if it is done and its answer is lost, and by "*3" if there are 3 of them.
func Replay(ctx context.Context, w World, schedule string) (string, error) {
	e, err := newExplorer(w)
	if err != nil {
		return "", err
	}
	choices, err := e.parse(schedule)
	if err != nil {
		return "", err
	}
	return e.replay(ctx, choices)
}

// path returns the order that is being explored.
func (e *explorer) path() []choice {
	path := make([]choice, 0, len(e.frames))
	for _, f := range e.frames {
		path = append(path, f.choices[f.next])
	}
	return path
}

// violation replays an order in which something is wrong, and returns it with its trace.
func (e *explorer) violation(ctx context.Context, path []choice, wrong error) error {
	if e.recovery {
		return &Violation{World: e.w.Name, Err: wrong}
	}
	again, err := newExplorer(e.w)
	if err != nil {
		return err
	}
	again.ends = e.ends
	_, err = again.replay(ctx, path)
	if v, ok := errors.AsType[*Violation](err); ok {
		return v
	}
	return fmt.Errorf("explore: world %q: %w; and not when it was run again (%v): an actor does not do the same when it is told the same", e.w.Name, wrong, err)
}

// simplest looks for the order with the fewest turns in which something is wrong.
func (e *explorer) simplest(ctx context.Context, v *Violation) error {
	limit := max(10*e.report.Runs, 10_000)
	for bound := range 8 {
		s, err := newExplorer(e.w)
		if err != nil {
			return err
		}
		s.bound, s.w.NoMerge = bound, false
		s.w.MaxRuns = limit
		err = s.search(ctx)
		if simple, ok := errors.AsType[*Violation](err); ok {
			return simple
		}
		if limit -= s.report.Runs; err != nil || limit <= 0 {
			break
		}
	}
	return v
}

// replay runs the world once.
func (e *explorer) replay(ctx context.Context, choices []choice) (trace string, err error) {
	r, err := startRun(ctx, &e.w, nil, true)
	if r != nil {
		defer func() {
			if closeErr := r.close(); closeErr != nil && err == nil {
				err = closeErr
			}
		}()
	}
	if err != nil {
		return "", err
	}
	before := r.state.snap
	wrong := r.checkStart()
	if wrong == nil {
		wrong, err = e.recover(ctx, r.state)
	}
	for i := 0; i <= len(choices); i++ {
		if err != nil {
			return r.text(before, nil), err
		}
		if wrong != nil {
			v := &Violation{World: e.w.Name, Schedule: e.format(choices[:i]), Trace: r.text(before, wrong), Err: wrong}
			return v.Trace, v
		}
		if i == len(choices) {
			break
		}
		c := choices[i]
		now := r.actors[c.actor]
		if !now.can() {
			return r.text(before, nil), fmt.Errorf("explore: world %q: in step %d of the schedule %s has nothing to do", e.w.Name, i+1, now.spec.Name)
		}
		before = r.state.snap
		if _, wrong, err = r.step(ctx, c, nil); err != nil {
			return r.text(before, nil), err
		}
		if wrong == nil && len(r.choices(c.actor)) == 0 {
			wrong = e.end(r)
		}
		if wrong == nil && r.steps >= e.w.MaxSteps {
			wrong = fmt.Errorf("this does not end: %d steps", r.steps)
		}
		if wrong == nil {
			wrong, err = e.recover(ctx, r.state)
		}
	}
	return r.text(before, nil), nil
}

// text returns the trace so far.
func (r *worldRun) text(before canceltest.Snapshot, wrong error) string {
	var b strings.Builder
	start := canceltest.Snapshot{}
	for _, q := range r.w.Requests {
		start[q.ID] = q
	}
	fmt.Fprintf(&b, "In the beginning\n\n%s\n", indent(start.String()))
	for _, line := range r.trace {
		b.WriteString(line + "\n")
	}
	now := r.state.snap.String()
	if was := before.String(); wrong != nil && was != now {
		fmt.Fprintf(&b, "\nBefore the last step\n\n%s\nand after it\n\n%s", indent(was), indent(now))
	} else {
		fmt.Fprintf(&b, "\nThen there is\n\n%s", indent(now))
	}
	if died, ok := errors.AsType[*recoveryError](wrong); ok {
		fmt.Fprintf(&b, "\nEverybody dies, and a new process takes up what they left:\n\n%s", died.trace)
	}
	return b.String()
}

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("    " + line)
	}
	return b.String()
}

// format writes a schedule.
func (e *explorer) format(choices []choice) string {
	var words []string
	for i := 0; i < len(choices); {
		n := 1
		for i+n < len(choices) && choices[i+n] == choices[i] {
			n++
		}
		word := e.w.Actors[choices[i].actor].Name + choiceMarks[choices[i].how]
		if n > 1 {
			word += "*" + strconv.Itoa(n)
		}
		words = append(words, word)
		i += n
	}
	return strings.Join(words, " ")
}

// parse reads a schedule.
func (e *explorer) parse(schedule string) ([]choice, error) {
	var choices []choice
	for word := range strings.FieldsSeq(schedule) {
		name, times, repeated := strings.Cut(word, "*")
		n := 1
		if repeated {
			var err error
			if n, err = strconv.Atoi(times); err != nil || n < 1 {
				return nil, fmt.Errorf("explore: schedule: %q", word)
			}
		}
		var c choice
		for how, mark := range choiceMarks {
			if mark != "" && strings.HasSuffix(name, mark) {
				name, c.how = strings.TrimSuffix(name, mark), choiceKind(how)
			}
		}
		if c.actor = slices.IndexFunc(e.w.Actors, func(a Actor) bool { return a.Name == name }); c.actor < 0 {
			return nil, fmt.Errorf("explore: schedule: there is no actor %q in world %q", name, e.w.Name)
		}
		for range n {
			choices = append(choices, c)
		}
	}
	return choices, nil
}
