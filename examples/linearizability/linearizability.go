// Package linearizability checks that a store answers Get, Children and Apply, called
// by many at the same time, as if the calls had taken effect one after the other,
// each at some moment between its beginning and its end. That is what package cancel
// asks of a store: a compare-and-set on single requests, and reads that see every
// write which finished before they began.
//
// The histories are judged by porcupine.
package linearizability

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/lifecycle"
)

// Options are optional settings of [Check]. A nil *Options or a zero field gives the
// default.
type Options struct {
	// Seed fixes what each client tries. Zero means 1.
	Seed uint64
	// Requests is how many requests there are: the fewer, the more the clients
	// get into each other's way. Zero means 4.
	Requests int
	// Clients is how many call the store at the same time. Zero means 8.
	Clients int
	// Calls is how many calls each of them makes. Zero means 100.
	Calls int
	// Timeout is how long porcupine may think. Zero means a minute.
	Timeout time.Duration
}

// A Report says how a history was judged.
type Report struct {
	// Result is porcupine's answer.
	Result porcupine.CheckResult
	// Operations is how many operations the history has: a call is one for each
	// request that it is about.
	Operations int
	// Lost is how many changes were not made because others had been quicker.
	Lost int

	info porcupine.LinearizationInfo
}

// Visualize writes an HTML page that shows the history and, if it is not linearizable,
// where it goes wrong.
func (r *Report) Visualize(w io.Writer) error { return porcupine.Visualize(register, r.info, w) }

// Check calls a store that h makes from many goroutines, records who called what when
// and what came back, and has the history judged. It returns an error if the history
// is not linearizable, if that could not be found out in time, or if the store
// failed.
//
// A call that fails may or may not have had an effect; both are accepted.
func Check(ctx context.Context, h canceltest.Harness, opts *Options) (*Report, error) {
	o := Options{}
	if opts != nil {
		o = *opts
	}
	o.Seed = cmp.Or(o.Seed, 1)
	o.Requests = cmp.Or(o.Requests, 4)
	o.Clients = cmp.Or(o.Clients, 8)
	o.Calls = cmp.Or(o.Calls, 100)
	o.Timeout = cmp.Or(o.Timeout, time.Minute)

	requests := []lifecycle.Request{{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateRunning}}
	for i := range o.Requests {
		requests = append(requests, lifecycle.Request{
			ID: lifecycle.ID(i + 2), Parent: 1, Kind: lifecycle.KindSubrequestParent, State: lifecycle.StatePendingValidation,
		})
	}
	repo, err := h.New(ctx, requests)
	if err != nil {
		return nil, fmt.Errorf("linearizability: Harness.New: %w", err)
	}
	rec := &recorder{repo: repo, requests: requests[1:], begin: time.Now()}
	var wg sync.WaitGroup
	for i := range o.Clients {
		c := &client{recorder: rec, id: i, rng: rand.New(rand.NewPCG(o.Seed, uint64(i))), last: map[lifecycle.ID]lifecycle.Request{}}
		wg.Go(func() {
			for range o.Calls {
				c.call(ctx)
			}
		})
	}
	wg.Wait()
	if h.Close != nil {
		err = h.Close(repo)
	}
	report := &Report{Operations: len(rec.history), Lost: rec.lost}
	report.Result, report.info = porcupine.CheckOperationsVerbose(register, rec.history, o.Timeout)
	switch {
	case ctx.Err() != nil:
		err = errors.Join(err, ctx.Err())
	case report.Result == porcupine.Unknown:
		err = errors.Join(err, fmt.Errorf("linearizability: %d operations are too many to judge in %v", report.Operations, o.Timeout))
	case report.Result == porcupine.Illegal:
		err = errors.Join(err, fmt.Errorf("linearizability: no order of the %d operations of %d clients (seed %d) explains what they saw", report.Operations, o.Clients, o.Seed))
	}
	return report, err
}

// Run is [Check] as a test. If it fails, it leaves a page that shows why in the
// directory of t's artifacts: run the test with -artifacts to keep it.
func Run(t *testing.T, h canceltest.Harness, opts *Options) {
	t.Helper()
	report, err := Check(t.Context(), h, opts)
	if report != nil {
		t.Logf("%d operations, %d lost", report.Operations, report.Lost)
	}
	if err == nil {
		return
	}
	t.Error(err)
	if report == nil || report.Result != porcupine.Illegal {
		return
	}
	path := filepath.Join(t.ArtifactDir(), "history.html")
	page, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(report.Visualize(page), page.Close()); err != nil {
		t.Fatal(err)
	}
	t.Logf("see %s", path)
}

// A recorder keeps the history.
type recorder struct {
	repo     cancel.Repository
	requests []lifecycle.Request // as they were inserted
	begin    time.Time
	clock    atomic.Int64 // of check-ins: microseconds

	mu      sync.Mutex
	history []porcupine.Operation
	lost    int
}

func (rec *recorder) now() int64 { return int64(time.Since(rec.begin)) }

// add adds an operation that began at call and has just ended.
func (rec *recorder) add(client int, call, end int64, in input, out output) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if in.what == swap && out.answered && !out.made {
		rec.lost++
	}
	rec.history = append(rec.history, porcupine.Operation{ClientId: client, Input: in, Call: call, Output: out, Return: end})
}

// A client calls the store, one call at a time.
type client struct {
	*recorder
	id   int
	rng  *rand.Rand
	last map[lifecycle.ID]lifecycle.Request // as it saw them last
}

func (c *client) call(ctx context.Context) {
	switch n := c.rng.IntN(10); {
	case n < 3:
		c.get(ctx, c.requests[c.rng.IntN(len(c.requests))].ID)
	case n < 5:
		c.children(ctx)
	default:
		c.apply(ctx)
	}
}

func (c *client) get(ctx context.Context, id lifecycle.ID) {
	call := c.now()
	r, err := c.repo.Get(ctx, id)
	end := c.now()
	if err != nil {
		return // nothing was learned
	}
	c.last[id] = r
	c.add(c.id, call, end, input{what: read, id: id}, output{value: valueOf(r)})
}

// children reads a page. Each request tells its state by being on it, or by not being.
func (c *client) children(ctx context.Context) {
	states := []lifecycle.StateSet{
		lifecycle.Live | lifecycle.Terminal, lifecycle.Live, lifecycle.SetOf(lifecycle.StateCancelling), lifecycle.Pending,
	}[c.rng.IntN(4)]
	q := cancel.ChildQuery{Parents: []lifecycle.ID{1}, States: states, Limit: len(c.requests)}
	call := c.now()
	page, err := c.repo.Children(ctx, q)
	end := c.now()
	if err != nil {
		return
	}
	// A page may be short: only up to its end does an absence say anything.
	upTo := lifecycle.ID(0)
	if len(page) == 0 {
		upTo = math.MaxInt64
	}
	seen := map[lifecycle.ID]lifecycle.Request{}
	for _, r := range page {
		seen[r.ID] = r
		upTo = r.ID
	}
	for _, r := range c.requests {
		if is, ok := seen[r.ID]; ok {
			c.last[r.ID] = is
			c.add(c.id, call, end, input{what: read, id: r.ID}, output{value: valueOf(is)})
		} else if r.ID <= upTo {
			c.add(c.id, call, end, input{what: absent, id: r.ID, states: states}, output{})
		}
	}
}

// apply makes changes to one request or several, from what this client saw last.
func (c *client) apply(ctx context.Context) {
	var changes []cancel.Change
	for _, i := range c.rng.Perm(len(c.requests))[:1+c.rng.IntN(min(3, len(c.requests)))] {
		old, ok := c.last[c.requests[i].ID]
		if !ok {
			old = c.requests[i]
		}
		if ch, ok := c.next(old); ok {
			changes = append(changes, ch)
		}
	}
	if len(changes) == 0 {
		return
	}
	runtime.Gosched() // others may be quicker
	call := c.now()
	made, err := c.repo.Apply(ctx, changes)
	end := c.now()
	if err != nil || len(made) != len(changes) {
		end = math.MaxInt64 // if it takes effect, nobody knows when
	}
	for i, ch := range changes {
		out := output{answered: end != math.MaxInt64}
		if out.answered {
			out.made = made[i]
		}
		if delete(c.last, ch.Old.ID); out.made {
			c.last[ch.Old.ID] = ch.New()
		}
		c.add(c.id, call, end, input{what: swap, id: ch.Old.ID, old: valueOf(ch.Old), to: valueOf(ch.New())}, out)
	}
	// Whoever has lost looks, or it would lose for ever.
	if c.rng.IntN(2) == 0 {
		c.get(ctx, changes[0].Old.ID)
	}
}

// next returns a change of r by the rules. No request is ever twice in the same
// condition, so that a store may as well compare versions.
func (c *client) next(r lifecycle.Request) (cancel.Change, bool) {
	ch := cancel.Change{Old: r, State: r.State, Outcome: r.Outcome, CheckedIn: r.CheckedIn, Cause: cancel.Cause{Root: r.ID, Actor: fmt.Sprint("client ", c.id)}}
	tick := time.Date(2026, 3, 31, 22, 0, 0, 0, time.UTC).Add(time.Duration(c.clock.Add(1)) * time.Microsecond)
	ch.Cause.Time = tick
	switch r.State {
	case lifecycle.StatePendingValidation:
		ch.Trigger, ch.State = lifecycle.TriggerValidate, lifecycle.StateWait
	case lifecycle.StateWait:
		ch.Trigger, ch.State = lifecycle.TriggerDispatch, lifecycle.StateReady
	case lifecycle.StateReady:
		ch.Trigger, ch.State = lifecycle.TriggerStart, lifecycle.StateRunning
	case lifecycle.StateRunning:
		ch.Trigger, ch.State, ch.CheckedIn = lifecycle.TriggerCancel, lifecycle.StateCancelling, tick
	case lifecycle.StateCancelling:
		switch n := c.rng.IntN(200); {
		case n == 0 && r.Outcome != 0:
			ch.Trigger, ch.State, ch.Outcome = lifecycle.TriggerSucceed, lifecycle.StateSucceeded, 0
		case n < 4 && r.Outcome == 0:
			ch.Trigger, ch.Outcome = lifecycle.TriggerSucceed, lifecycle.StateSucceeded
		default:
			ch.CheckedIn = tick
		}
	default:
		return cancel.Change{}, false
	}
	return ch, true
}

// The model: each request is a register with compare-and-set.

type operation uint8

const (
	read operation = iota
	absent
	swap
)

type input struct {
	what    operation
	id      lifecycle.ID
	states  lifecycle.StateSet // absent
	old, to value              // swap
}

type output struct {
	value    value // read
	answered bool  // swap
	made     bool  // swap
}

// A value is what Apply compares.
type value struct {
	state, outcome lifecycle.State
	checkedIn      int64 // microseconds; 0 is never
}

func valueOf(r lifecycle.Request) value {
	v := value{state: r.State, outcome: r.Outcome}
	if !r.CheckedIn.IsZero() {
		v.checkedIn = r.CheckedIn.UnixMicro()
	}
	return v
}

func (v value) String() string {
	s := v.state.String()
	if v.outcome != 0 {
		s += " then " + v.outcome.String()
	}
	if v.checkedIn != 0 {
		s += fmt.Sprintf(" at %d", v.checkedIn)
	}
	return s
}

var register = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byID := map[lifecycle.ID][]porcupine.Operation{}
		var ids []lifecycle.ID
		for _, op := range history {
			id := op.Input.(input).id
			if byID[id] == nil {
				ids = append(ids, id)
			}
			byID[id] = append(byID[id], op)
		}
		slices.Sort(ids)
		parts := make([][]porcupine.Operation, 0, len(ids))
		for _, id := range ids {
			parts = append(parts, byID[id])
		}
		return parts
	},
	Init: func() any { return value{state: lifecycle.StatePendingValidation} },
	Step: func(state, in, out any) (bool, any) {
		is, i, o := state.(value), in.(input), out.(output)
		switch {
		case i.what == read:
			return o.value == is, is
		case i.what == absent:
			return !i.states.Has(is.state), is
		case o.answered && o.made:
			return is == i.old, i.to
		case o.answered:
			return is != i.old, is
		case is == i.old:
			return true, i.to
		default: // if it never took effect, it can be put at the very end
			return true, is
		}
	},
	DescribeOperation: func(in, out any) string {
		i, o := in.(input), out.(output)
		switch {
		case i.what == read:
			return fmt.Sprintf("%d is %v", i.id, o.value)
		case i.what == absent:
			return fmt.Sprintf("%d is not in %v", i.id, i.states)
		case !o.answered:
			return fmt.Sprintf("%d: %v -> %v: no answer", i.id, i.old, i.to)
		case o.made:
			return fmt.Sprintf("%d: %v -> %v: made", i.id, i.old, i.to)
		default:
			return fmt.Sprintf("%d: %v -> %v: lost", i.id, i.old, i.to)
		}
	},
	DescribeState: func(state any) string { return state.(value).String() },
}
