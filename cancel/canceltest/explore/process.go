package explore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/internal/show"
	"example.com/ess/lifecycle"
)

// A worldActor is an actor in one run.
type worldActor struct {
	spec  *Actor
	index int
	run   *worldRun
	gated *steppedRepo
	let   chan choiceKind

	workers cancel.Workers // of this actor's process

	call    worldCall // the step that it will do next
	started bool      // has done a step
	done    bool      // its goroutine has ended
	dead    bool      // it was stopped
	err     error

	// saw is a hash of all that the actor has been told. Since it does the same
	// whenever it is told the same, this stands for where in its code it is and
	// for the values of its variables.
	saw    digest
	faults int

	op    *worldOp
	ended []*worldOp   // in the step that is going on
	work  lifecycle.ID // the request whose work it is running
	told  digest       // with what cause that work was interrupted
	said  *said
	text  string // of the step that is going on
	// soft says that the steps are made on other goroutines than the actor's own, which
	// must not be ended: when it dies, every call fails.
	soft bool
}

// said is what the store said that it did.
type said struct {
	changes []cancel.Change
	made    []bool
}

type callKind uint8

const (
	_ callKind = iota
	callGet
	callChildren
	callApply
	callCancelChildren
	callListCancelling
	callCause
	callInterrupt
	callBegin
	callStep
	callSubmit
	callDelete
	callEndParent
	callCancelTree
	callSettle
	callAwait
	callUntil
	callReturn
	callMishap
)

// A worldCall is a step that an actor is about to do.
type worldCall struct {
	kind     callKind
	op       *worldOp
	pure     bool                           // it cannot change the store
	blind    bool                           // it may have seen anything in the store
	fallible bool                           // it may be made to fail
	ready    func(canceltest.Snapshot) bool // nil if it needs to wait for nothing
	last     bool                           // only when no other actor can do a step
	args     digest
	text     string
}

// A choiceKind says how a step is done.
type choiceKind uint8

const (
	choiceRuns  choiceKind = iota
	choiceDies             // the actor dies instead
	choiceFails            // the call fails and has not been done
	choiceLost             // the call fails after it has been done
)

var choiceMarks = [...]string{"", "!", "?", "~"}

// A choice is who does the next step, and how.
type choice struct {
	actor int
	how   choiceKind
}

// ErrFault is what a step returns that is made to fail: see [Actor].
var ErrFault = errors.New("explore: the store does not answer")

// main is the goroutine of an actor.
func (a *worldActor) main(ctx context.Context) {
	returned := false
	defer func() {
		p := recover()
		switch {
		case a.dead || a.run.failure != nil || returned:
		case p != nil:
			a.err = fmt.Errorf("panicked: %v\n%s", p, debug.Stack())
		default:
			a.err = errors.New("ended its goroutine")
		}
		a.done = true
		a.run.arrived <- a
	}()
	growStack()
	env := &Env{a: a}
	var opts cancel.Options
	if a.run.w.Options != nil {
		opts = *a.run.w.Options
	}
	opts.Now = env.Now
	opts.Interrupter = cancel.InterrupterFunc(a.interrupt)
	env.repo = a.gated
	if a.run.w.Repository != nil {
		env.repo = a.run.w.Repository(env)
	}
	env.canceller = cancel.New(env.repo, &opts)
	a.err = a.spec.Run(ctx, env)
	returned = true
}

// growStack makes the stack as big as it is going to be anyway. Growing in steps
// took a sixth of the time.
//
//go:noinline
func growStack() byte {
	var room [8 << 10]byte
	return room[len(os.Args)%len(room)]
}

// giveUp ends the run, which cannot go on.
func (a *worldActor) giveUp(err error) {
	a.run.failure = err
	runtime.Goexit()
}

// gate stops the actor until it is let through, and returns how its step is to be done.
func (a *worldActor) gate(call worldCall, text func() string) choiceKind {
	if a.dead { // a deferred call of an actor that has died
		return a.die()
	}
	call.op = a.op
	if a.run.tracing {
		call.text = text()
	}
	a.call = call
	a.run.arrived <- a
	how, ok := <-a.let
	if !ok {
		how = choiceDies
	}
	// Goexit and not an error: a process that dies does not go on to handle it.
	if how == choiceDies {
		a.saw = a.saw.add(uint64(how))
		a.dead, a.work = true, 0
		return a.die()
	}
	a.started = true
	a.text = call.text
	a.saw = a.saw.add(uint64(call.kind)<<8 | uint64(how)).mix(call.args)
	if a.work != 0 {
		a.saw = a.saw.mix(a.told)
	}
	return how
}

// die ends the goroutine of an actor that has died.
func (a *worldActor) die() choiceKind {
	if !a.soft {
		runtime.Goexit()
	}
	return choiceDies
}

// softly calls f, which makes steps on other goroutines.
func (a *worldActor) softly(f func()) {
	a.soft = true
	f()
	if a.soft = false; a.dead {
		runtime.Goexit()
	}
}

// answer adds to the trace what a step came to.
func (a *worldActor) answer(text func() string) {
	if !a.run.tracing {
		return
	}
	line := fmt.Sprintf("%3d. %s: %s", a.run.steps+1, a.spec.Name, a.text)
	if text != nil {
		line += " => " + text()
	}
	a.run.trace = append(a.run.trace, line)
}

// do does a step that is not a call of the repository.
func (a *worldActor) do(call worldCall, text func() string, f func() error) error {
	if how := a.gate(call, text); how != choiceRuns {
		return a.fault(how, func() { _ = f() })
	}
	err := f()
	a.saw.error(err)
	a.answer(func() string { return show.Answer(err) })
	return err
}

// fault fails a step as it was chosen to fail.
func (a *worldActor) fault(how choiceKind, effect func()) error {
	if how == choiceDies {
		return ErrFault
	}
	a.faults--
	if how == choiceLost {
		effect()
		a.answer(func() string { return "done, but the answer is lost" })
	} else {
		a.answer(func() string { return "not done, the call fails" })
	}
	return ErrFault
}

// interrupt is the [cancel.Interrupter] of an actor.
func (a *worldActor) interrupt(ctx context.Context, ids []lifecycle.ID, cause cancel.Cause) error {
	if a.run.w.Workers {
		call := worldCall{kind: callInterrupt, pure: true}
		for _, id := range ids {
			call.args = call.args.add(uint64(id))
		}
		call.args.cause(cause)
		if a.gate(call, func() string { return "interrupts the work of " + strings.Trim(fmt.Sprint(ids), "[]") }) == choiceDies {
			return ErrFault
		}
		a.answer(nil)
	}
	if a.op != nil {
		a.op.told = append(a.op.told, ids...)
	}
	for _, other := range a.run.actors {
		if other.work != 0 && other.told == (digest{}) && slices.Contains(ids, other.work) {
			other.told.cause(cause)
		}
		if err := other.workers.Interrupt(ctx, ids, cause); err != nil {
			return err
		}
	}
	return nil
}

// can reports whether the actor can do its next step.
func (a *worldActor) can() bool {
	return !a.done && (a.call.ready == nil || a.call.ready(a.run.state.snap))
}

// yields reports whether the actor's next step is for when no other can do one.
func (a *worldActor) yields() bool { return a.call.last || a.spec.Last && !a.started }

// begin notes that an operation begins.
func (a *worldActor) begin(name opName, order cancel.Order, outcome lifecycle.State) *worldOp {
	op := &worldOp{name: name, id: order.ID, order: order, outcome: outcome, outer: a.op, plain: a.run.w.NoReceipts}
	a.op = op
	if name == opRun {
		a.work = order.ID
	}
	return op
}

// end notes that it has returned.
func (a *worldActor) end(op *worldOp, text func() string) {
	op.done = true
	a.op = op.outer
	if op.name == opRun {
		a.work = 0
	}
	a.ended = append(a.ended, op)
	if a.run.tracing {
		what := op.name.String()
		if op.id != 0 {
			what += fmt.Sprintf(" %d", op.id)
		}
		a.run.trace = append(a.run.trace, fmt.Sprintf("     %s: %s returns: %s", a.spec.Name, what, text()))
	}
}
