package simulate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/internal/rows"
	"example.com/ess/lifecycle"
)

// RandomOptions are optional settings of [CheckRandom]. A nil *RandomOptions or a zero
// field gives the default.
type RandomOptions struct {
	// Seed is that of the first world. The next ones have the next seeds. Zero
	// means 1.
	Seed uint64
	// Worlds is how many worlds there are. Zero means 100.
	Worlds int
	// Requests is how many requests a world may have to begin with. Most have few;
	// the last of every hundred has as many. Zero means 1000.
	Requests int
	// Commands is how many commands are played in a world. Zero means 40.
	Commands int
}

func (o *RandomOptions) orDefault() RandomOptions {
	opts := RandomOptions{}
	if o != nil {
		opts = *o
	}
	set := func(n *int, to int) {
		if *n <= 0 {
			*n = to
		}
	}
	set(&opts.Worlds, 100)
	set(&opts.Requests, 1000)
	set(&opts.Commands, 40)
	if opts.Seed == 0 {
		opts.Seed = 1
	}
	return opts
}

// CheckRandom plays random commands on random trees: it cancels, begins, plans,
// acknowledges in every way, forces, checks in and resumes, makes a scheduler's
// transitions, submits and deletes requests where the Harness can, and lets time pass;
// now and then calls of the store fail, or a process dies. After each command it
// compares all requests, the error and the counts with a model: the same rules,
// written a second time, naively.
//
// It returns how many commands were played, and a [*ScriptError] for the first
// difference. The script is minimized: commands and requests that are not needed
// to make the difference are left out.
func CheckRandom(ctx context.Context, h canceltest.Harness, opts *RandomOptions) (commands int, err error) {
	o := opts.orDefault()
	for i := range o.Worlds {
		n, err := o.world(ctx, h, i)
		if commands += n; err != nil {
			return commands, err
		}
	}
	return commands, nil
}

// RunRandom is [CheckRandom] as a test. It returns how many commands were played.
func RunRandom(t *testing.T, h canceltest.Harness, opts *RandomOptions) (commands int) {
	t.Helper()
	commands, err := CheckRandom(t.Context(), h, opts)
	if err != nil {
		t.Error(err)
	}
	o := opts.orDefault()
	t.Logf("%d commands in %d worlds, seeds %d to %d", commands, o.Worlds, o.Seed, o.Seed+uint64(o.Worlds)-1)
	return commands
}

// Fuzz is [CheckRandom] with the worlds chosen by Go's fuzzing. It is for a fuzz test
// of one line:
//
//	func FuzzWorlds(f *testing.F) { simulate.Fuzz(f, inMemory) }
func Fuzz(f *testing.F, h canceltest.Harness) {
	f.Helper()
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 0))
		data := make([]byte, 300)
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d := &dice{data: data, fit: rows.Fit{States: h.States, Kinds: h.Kinds}}
		sc := d.script(1+d.roll(12), 40)
		if _, err := sc.play(t.Context(), h, "a fuzzed world"); err != nil {
			t.Fatal(err)
		}
	})
}

// world plays the ith world.
func (o *RandomOptions) world(ctx context.Context, h canceltest.Harness, i int) (commands int, err error) {
	seed := o.Seed + uint64(i)
	d := &dice{rng: rand.New(rand.NewPCG(seed, 0)), fit: rows.Fit{States: h.States, Kinds: h.Kinds}}
	size := 1 + d.roll(min(o.Requests, 12))
	switch {
	case i%100 == 99:
		size = o.Requests
	case i%10 == 9:
		size = 1 + d.roll(min(o.Requests, 100))
	}
	sc := d.script(size, o.Commands)
	n, err := sc.play(ctx, h, fmt.Sprintf("the world of seed %d", seed))
	if _, ok := errors.AsType[*ScriptError](err); !ok {
		return n, err
	}
	return n, sc.shrink(ctx, h, seed, n, err)
}

// dice make choices, at random or by bytes of data.
type dice struct {
	rng  *rand.Rand
	data []byte
	fit  rows.Fit // what the store has
}

// roll returns a number below n.
func (d *dice) roll(n int) int {
	switch {
	case d.rng != nil:
		return d.rng.IntN(n)
	case len(d.data) == 0:
		return 0
	}
	b := int(d.data[0])
	d.data = d.data[1:]
	return b % n
}

// over reports whether nothing is left to choose by.
func (d *dice) over() bool { return d.rng == nil && len(d.data) == 0 }

// pick returns one of several.
func pick[E any](d *dice, from []E) E { return from[d.roll(len(from))] }

// weighted returns one of the words, each as likely as its weight says.
func (d *dice) weighted(words []string, weights []int) string {
	sum := 0
	for _, w := range weights {
		sum += w
	}
	at := d.roll(sum)
	for i, w := range weights {
		if at -= w; at < 0 {
			return words[i]
		}
	}
	return words[0]
}

var (
	leafKinds   = []lifecycle.Kind{lifecycle.KindChild, lifecycle.KindChild, lifecycle.KindSingleton}
	parentKinds = []lifecycle.Kind{lifecycle.KindParent, lifecycle.KindSubrequestParent}
	commonLive  = []lifecycle.State{lifecycle.StateWait, lifecycle.StateReady, lifecycle.StateRunning, lifecycle.StateRunning, lifecycle.StateCancelling}
	allLive     = collect(lifecycle.Live)
	allTerminal = collect(lifecycle.Terminal)
	allOutcomes = collect(lifecycle.Outcomes)
)

func collect(set lifecycle.StateSet) (states []lifecycle.State) {
	for s := range set.All() {
		states = append(states, s)
	}
	return states
}

// script makes up a world.
func (d *dice) script(requests, commands int) script {
	sc := script{setup: setup{view: view(d.roll(3)), pageSize: pick(d, []int{0, 1, 2, 3, 7}), silent: d.roll(3) == 0}}
	sc.requests = d.tree(requests)
	// Commands are chosen with an eye on the states, so that not most of them
	// are refused.
	m := newModel(sc.requests, clockStart)
	m.ender = sc.view != viewPlain
	ids := make([]lifecycle.ID, 0, len(sc.requests))
	for _, r := range sc.requests {
		ids = append(ids, r.ID)
	}
	next := lifecycle.ID(len(ids) + 1)
	for range commands {
		if d.over() {
			break
		}
		c := d.command(m, ids, next)
		if c.op == "submit" {
			ids = append(ids, next)
			next++
		}
		m.do(c)
		sc.commands = append(sc.commands, c)
	}
	return sc
}

// tree makes up requests.
func (d *dice) tree(n int) []lifecycle.Request {
	ids := make([]lifecycle.ID, n)
	for i := range ids {
		ids[i] = lifecycle.ID(i + 1)
	}
	if d.roll(2) == 0 { // ids need not grow downwards
		for i := n - 1; i > 0; i-- {
			j := d.roll(i + 1)
			ids[i], ids[j] = ids[j], ids[i]
		}
	}
	requests := make([]lifecycle.Request, 0, n)
	var parents []lifecycle.Request
	for i := range n {
		r := lifecycle.Request{ID: ids[i], Kind: pick(d, leafKinds)}
		if i == 0 || d.roll(5) < 2 {
			r.Kind = pick(d, parentKinds)
		}
		above := lifecycle.Request{State: lifecycle.StateRunning}
		if len(parents) > 0 && d.roll(8) > 0 {
			above = parents[d.roll(len(parents))]
			r.Parent = above.ID
		}
		switch {
		case lifecycle.Terminal.Has(above.State) || i > 0 && d.roll(10) == 0:
			r.State = pick(d, allTerminal) // a parent ends after its children
		case d.roll(3) > 0:
			r.State = pick(d, commonLive)
		default:
			r.State = pick(d, allLive)
		}
		if r.State == lifecycle.StateCancelling {
			r.Outcome = d.outcome(r.Kind)
		}
		r = d.fit.Request(r)
		requests = append(requests, r)
		if r.Kind.HasChildren() {
			parents = append(parents, r)
		}
	}
	return requests
}

// outcome returns what the work of a request that is CANCELLING may have answered.
func (d *dice) outcome(k lifecycle.Kind) lifecycle.State {
	switch {
	case !k.HasChildren(), d.roll(2) == 0:
		return 0
	case !k.RunsWork():
		return lifecycle.StateCancelled
	default:
		return pick(d, allOutcomes)
	}
}

// command makes up a command for the requests as m has them.
func (d *dice) command(m *model, ids []lifecycle.ID, next lifecycle.ID) command {
	c := command{op: d.weighted(
		[]string{"cancel", "begin", "acknowledge", "force", "checkin", "resume", "plan", "execute", "transition", "submit", "delete", "wait"},
		[]int{20, 6, 18, 8, 5, 5, 4, 4, 20, 8, 4, 6})}
	switch c.op {
	case "resume":
	case "wait":
		c.wait = pick(d, []time.Duration{time.Minute, 29 * time.Minute, 30 * time.Minute, time.Hour})
		return c
	case "submit":
		c.request = lifecycle.Request{ID: next, Parent: d.id(m, ids, func(r *modelRequest) bool { return r.hasKids() })}
		c.request.Kind = pick(d, append(leafKinds, parentKinds...))
		c.request.State = pick(d, []lifecycle.State{lifecycle.StateWait, lifecycle.StatePendingValidation})
		c.request = d.fit.Request(c.request)
		return c
	case "delete":
		c.id = d.id(m, ids, func(r *modelRequest) bool { return !r.live() })
		return c
	case "transition":
		c.id = d.id(m, ids, func(r *modelRequest) bool { return r.live() && r.state != "CANCELLING" })
		c.trigger = d.trigger(m.requests[int64(c.id)])
	case "acknowledge":
		c.outcome = d.fit.Outcome(pick(d, allOutcomes))
		if d.roll(30) == 0 {
			c.outcome = pick(d, allLive)
		}
		fallthrough
	case "force", "checkin":
		c.id = d.id(m, ids, func(r *modelRequest) bool { return r.state == "CANCELLING" })
	default:
		c.id = d.id(m, ids, (*modelRequest).live)
	}
	if d.roll(8) == 0 {
		c.fault = d.fault(len(m.requests), ids)
	}
	return c
}

// trigger returns one that fits the request, as most are, and leads to a state that the
// store has.
func (d *dice) trigger(r *modelRequest) lifecycle.Trigger {
	var fits []lifecycle.Trigger
	for t := range lifecycle.Triggers() {
		rule, ok := modelLife[t.String()]
		if !ok || slices.ContainsFunc(slices.Collect(maps.Values(rule)), func(to [2]string) bool { return !d.has(to[0]) }) {
			continue
		}
		if r == nil || d.rng != nil && d.roll(20) == 0 || rule[r.state][0] != "" {
			fits = append(fits, t)
		}
	}
	if len(fits) == 0 {
		return lifecycle.TriggerStart
	}
	return pick(d, fits)
}

func (d *dice) has(state string) bool {
	var s lifecycle.State
	return s.UnmarshalText([]byte(state)) == nil && d.fit.Has(s)
}

// id returns the id of a request that is wanted, of any other, or of none.
func (d *dice) id(m *model, ids []lifecycle.ID, wanted func(*modelRequest) bool) lifecycle.ID {
	if d.roll(40) == 0 {
		return lifecycle.ID(1 << 40) // there is no such request
	}
	id := pick(d, ids)
	for range 4 {
		if r := m.requests[int64(id)]; r != nil && wanted(r) {
			break
		}
		id = pick(d, ids)
	}
	return id
}

func (d *dice) fault(requests int, ids []lifecycle.ID) fault {
	u := fault{form: 1 + d.roll(len(faultForms)-1), n: 1 + d.roll(10)}
	switch form := faultForms[u.form]; {
	case form.request:
		u.n = int(pick(d, ids))
	case form.may == mayConflict && requests > 15:
		return fault{} // Cancellers wait longer and longer then
	}
	return u
}
