package explore

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/internal/rows"
	"example.com/ess/cancel/canceltest/internal/show"
	"example.com/ess/lifecycle"
)

// A worldRun is one run of a world, from the start. Each actor is a goroutine that
// stops at a gate before every step. One goroutine is at work at any time: either that
// which explores, or the one actor that it has let through and for whose next
// arrival it waits. The hand-over by channels makes what one has written
// visible to the other.
//
// Hence the world is quiet between steps by construction, and testing/synctest,
// which could also make it so, is not needed: Explore works outside of tests too.
// Inside a bubble of it, sleeps of the code under test take no time and an actor that
// is stuck is found at once.
type worldRun struct {
	w       *World
	raw     cancel.Repository // as Harness.New has returned it
	actors  []*worldActor
	arrived chan *worldActor
	closed  chan struct{}
	timer   *time.Timer
	turn    atomic.Int64 // counts up when the wait for an actor begins and when it ends

	state   worldState
	roots   []lifecycle.ID // requests whose cancel has returned without an error
	steps   int
	fresh   bool  // what happens now has not happened in a run before
	failure error // why the run cannot go on
	stuck   bool  // because an actor does not come back

	tracing bool
	trace   []string
}

// A worldState is what is in the store, and how it came to be.
type worldState struct {
	snap    canceltest.Snapshot
	content digest // of snap
	// rows has for each request who changed it to what, in order, and sum the same of
	// all. What a store keeps of a request depends on this.
	rows map[lifecycle.ID]digest
	sum  digest
}

// A rowChange is what a step did to a request.
type rowChange struct {
	before, after lifecycle.Request
	lost          bool // who did it was not told
}

// startRun begins a run: every actor stands before its first step. It begins with what
// is in the store, if begin does not say so.
func startRun(ctx context.Context, w *World, begin *worldState, tracing bool) (*worldRun, error) {
	r := &worldRun{w: w, arrived: make(chan *worldActor, len(w.Actors)+1), closed: make(chan struct{}), tracing: tracing, fresh: true}
	var err error
	if r.raw, err = w.Harness.New(ctx, w.Requests); err != nil {
		return nil, fmt.Errorf("explore: world %q: canceltest.Harness.New: %w", w.Name, err)
	}
	if begin != nil {
		r.state = *begin
	} else if r.state, err = r.look(ctx); err != nil {
		return nil, err
	}
	seen := r.raw
	if w.View != nil {
		seen = w.View(seen)
	}
	r.watch()
	for i := range w.Actors {
		a := &worldActor{spec: &w.Actors[i], index: i, run: r, let: make(chan choiceKind), faults: w.Actors[i].Faults}
		a.gated = newSteppedRepo(a, seen)
		r.actors = append(r.actors, a)
		go a.main(ctx)
		if err := r.wait(a); err != nil {
			return r, err
		}
	}
	return r, nil
}

// look reads the store as it is.
func (r *worldRun) look(ctx context.Context) (worldState, error) {
	snap, err := canceltest.TakeSnapshot(ctx, r.raw)
	if err != nil {
		return worldState{}, fmt.Errorf("explore: world %q: the requests cannot be read: %w", r.w.Name, err)
	}
	s := worldState{snap: snap}
	for _, q := range snap {
		var d digest
		d.request(q)
		s.content = s.content.plus(d)
	}
	return s, nil
}

// watch looks from time to time whether one actor is being waited for all the time, and
// then ends the wait.
func (r *worldRun) watch() {
	patience := r.w.Patience
	if patience == 0 {
		patience = 10 * time.Second
	}
	last := int64(-1)
	const later = 1 << 62 // so that r.timer is set before the function uses it
	r.timer = time.AfterFunc(later, func() {
		turn := r.turn.Load()
		if waiting := turn%2 == 1; !waiting || turn != last {
			last = turn
			r.timer.Reset(patience)
			return
		}
		select {
		case r.arrived <- nil:
		case <-r.closed:
		}
	})
	r.timer.Reset(patience)
}

// wait waits until the actor stands before its next step or has ended.
func (r *worldRun) wait(a *worldActor) error {
	r.turn.Add(1)
	if got := <-r.arrived; got == nil {
		r.stuck = true
		r.failure = fmt.Errorf("explore: world %q: actor %q neither does a step nor returns: to wait it has to call Env.Await or Env.Until", r.w.Name, a.spec.Name)
	}
	r.turn.Add(1)
	return r.failure
}

// close lets every actor die that has not ended, so that none outlives its run.
func (r *worldRun) close() error {
	for _, a := range r.actors {
		switch {
		case r.stuck: // one does not listen, and will die later
			close(a.let)
		case !a.done:
			a.let <- choiceDies
			_ = r.wait(a)
		}
	}
	close(r.closed)
	r.timer.Stop()
	if r.w.Harness.Close != nil {
		if err := r.w.Harness.Close(r.raw); err != nil {
			return fmt.Errorf("explore: world %q: canceltest.Harness.Close: %w", r.w.Name, err)
		}
	}
	return nil
}

// mishaps counts the actors that have died and the faults that they have met.
func (r *worldRun) mishaps() int {
	n := 0
	for _, a := range r.actors {
		n += a.spec.Faults - a.faults
		if a.dead {
			n++
		}
	}
	return n
}

// choices returns how the run can go on: the actor that did the last step first, so
// that the first order tried has the fewest turns.
func (r *worldRun) choices(last int) []choice {
	var can []*worldActor
	for i := range r.actors {
		// last, then the others in their order.
		switch {
		case last < 0:
		case i == 0:
			i = last
		case i <= last:
			i--
		}
		if a := r.actors[i]; a.can() && !a.yields() {
			can = append(can, a)
		}
	}
	if len(can) == 0 {
		for _, a := range r.actors {
			if a.can() {
				can = append(can, a)
			}
		}
	}
	// Steps that change something come first: see skip.
	var all []choice
	for _, pure := range []bool{false, true} {
		for _, a := range can {
			if a.call.pure == pure {
				all = append(all, choice{a.index, choiceRuns})
			}
		}
	}
	for _, a := range can {
		if a.faults > 0 && a.call.fallible {
			if !a.call.pure {
				all = append(all, choice{a.index, choiceLost})
			}
			all = append(all, choice{a.index, choiceFails})
		}
		if a.spec.Dies {
			all = append(all, choice{a.index, choiceDies})
		}
	}
	return all
}

// A mark is where an actor is: what it has seen and is about to do, and the work that
// it runs.
type mark struct {
	saw  digest
	work lifecycle.ID
	told digest
}

func (r *worldRun) marks() []mark {
	marks := make([]mark, len(r.actors))
	for i, a := range r.actors {
		// What it is about to do follows from what it has seen, or else advance notices.
		marks[i] = mark{a.saw.add(uint64(a.call.kind)).mix(a.call.args), a.work, a.told}
	}
	return marks
}

// situation returns a hash of everything that what can still happen depends on:
// what is in the store and how it came there, and what each actor has seen.
func situation(s worldState, marks []mark) digest {
	d := s.content.mix(s.sum)
	for _, m := range marks {
		d = d.mix(m.saw)
		if m.work != 0 {
			d = d.add(uint64(m.work)).mix(m.told)
		}
	}
	return d
}

// A knownStep is what a step did, and where it led.
type knownStep struct {
	state   worldState
	changes []rowChange
	marks   []mark
	// inert says that it changed nothing which another actor could notice.
	inert bool
}

// step has an actor do its next step. If known is nil it looks what that did to the
// store, and checks it: it returns that, and what is wrong with it.
func (r *worldRun) step(ctx context.Context, c choice, known *knownStep) (did knownStep, wrong, err error) {
	a := r.actors[c.actor]
	call, before := a.call, r.state
	work, told := a.work, a.told
	a.said = nil
	r.fresh = known == nil
	a.let <- c.how
	if err := r.wait(a); err != nil {
		return did, nil, err
	}
	r.steps++
	if c.how == choiceDies && r.tracing {
		r.trace = append(r.trace, fmt.Sprintf("%3d. %s dies", r.steps, a.spec.Name))
	}
	switch {
	case known != nil:
		did = *known
	case call.pure || c.how == choiceDies || c.how == choiceFails:
		did.state = before
	default:
		if did, err = r.effect(ctx, c, before); err != nil {
			return did, nil, err
		}
	}
	r.state = did.state
	if call.blind || call.kind == callSubmit || call.kind == callDelete {
		r.traceChanges(before.snap)
	}
	if op := call.op; op != nil {
		if !op.stepped {
			op.stepped, op.found, op.clock = true, before.snap[op.id].State, before.snap[op.id].CheckedIn
		}
		op.changes = append(op.changes, did.changes...)
		for _, c := range did.changes {
			if c.after.ID == op.id {
				op.foundAttempt = c.before.Attempt
			}
		}
	}
	if call.blind {
		a.saw = a.saw.mix(before.sum).mix(before.content).mix(did.state.sum)
	}
	ended := a.ended
	a.ended = nil
	for _, op := range ended {
		if op.err == nil && (op.name == opCancel || op.name == opCancelled) {
			r.roots = append(r.roots, op.id)
		}
	}
	if known == nil {
		did.marks = r.marks()
		did.inert = (call.pure && call.kind != callInterrupt || c.how == choiceDies || c.how == choiceFails) && a.work == work && a.told == told
		wrong = r.check(a, call, before, did, ended)
	}
	return did, wrong, nil
}

// traceChanges adds to the trace what a step of an actor's own has changed.
func (r *worldRun) traceChanges(before canceltest.Snapshot) {
	if !r.tracing {
		return
	}
	line := func(format string, args ...any) { r.trace = append(r.trace, fmt.Sprintf("       "+format, args...)) }
	now := r.state.snap
	for _, id := range slices.Sorted(maps.Keys(now)) {
		was, there := before[id]
		switch is := now[id]; {
		case !there:
			line("%s%s is new", show.Request(is), show.Below(is))
		case was.State != is.State || was.Outcome != is.Outcome:
			line("%d %s -> %s", id, show.State(was), show.State(is))
		case !rows.Same(was, is):
			line("%d %s: checked in at %v, attempt %d", id, show.State(is), is.CheckedIn, is.Attempt)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(before)) {
		if _, there := now[id]; !there {
			line("%s is deleted", show.Request(before[id]))
		}
	}
}

// effect returns what a step did to the store.
func (r *worldRun) effect(ctx context.Context, c choice, before worldState) (did knownStep, err error) {
	if did.state, err = r.look(ctx); err != nil {
		return did, err
	}
	did.state.rows, did.state.sum = before.rows, before.sum
	if did.state.content == before.content {
		did.state = before
		return did, nil
	}
	did.state.rows = make(map[lifecycle.ID]digest, len(did.state.snap))
	did.state.sum = digest{}
	for id, is := range did.state.snap {
		was := before.snap[id]
		row := before.rows[id]
		if !rows.Same(was, is) || was.Version != is.Version {
			did.changes = append(did.changes, rowChange{was, is, c.how == choiceLost})
			row = row.add(uint64(c.actor))
			row.request(is)
		}
		did.state.rows[id] = row
		did.state.sum = did.state.sum.plus(row.add(uint64(id)))
	}
	slices.SortFunc(did.changes, func(a, b rowChange) int { return int(a.after.ID - b.after.ID) })
	return did, nil
}
