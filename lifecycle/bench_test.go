package lifecycle_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/qmuntal/stateless"

	"example.com/ess/lifecycle"
)

// The dimensions of the rules, the invalid zero value of each included.
const (
	dimKinds    = 5
	dimStates   = 20
	dimTriggers = 25
)

// A decision is one question to the rules.
type decision struct {
	kind    lifecycle.Kind
	state   lifecycle.State
	trigger lifecycle.Trigger
}

// decisionCount is a power of two, so that a benchmark walks the decisions in
// circles with a mask instead of a division.
const decisionCount = 1024

// decisions returns permitted decisions in an order without a pattern: with
// few or constant arguments the branch predictor and the compiler would answer
// instead of the code under test.
func decisions() *[decisionCount]decision {
	var valid []decision
	for k := range lifecycle.Kinds() {
		for s := range lifecycle.States() {
			for t := range lifecycle.Permitted(k, s) {
				valid = append(valid, decision{k, s, t})
			}
		}
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	var list [decisionCount]decision
	for i := range list {
		list[i] = valid[rnd.IntN(len(valid))]
	}
	return &list
}

// An array is what somebody would write who has no library: a plain look-up
// of the same dimensions as the rules.
type array [dimKinds][dimStates][dimTriggers]lifecycle.State

func newArray() *array {
	var a array
	for r := range lifecycle.Rules() {
		for k := range r.Kinds.All() {
			a[k][r.From][r.Trigger] = r.To
		}
	}
	return &a
}

// A sharedMachine is one stateless machine per kind whose state is set before
// each Fire, which is the cheapest way to ask stateless about many requests.
type sharedMachine struct {
	state    lifecycle.State
	machines [dimKinds]*stateless.StateMachine
}

func newSharedMachine() *sharedMachine {
	m := new(sharedMachine)
	for k := range lifecycle.Kinds() {
		m.machines[k] = stateless.NewStateMachineWithExternalStorage(
			func(context.Context) (stateless.State, error) { return m.state, nil },
			func(_ context.Context, s stateless.State) error { m.state = s.(lifecycle.State); return nil },
			stateless.FiringImmediate,
		)
		lifecycle.Configure(m.machines[k], k)
	}
	return m
}

func (m *sharedMachine) fire(ctx context.Context, d decision) (lifecycle.State, error) {
	m.state = d.state
	err := m.machines[d.kind].FireCtx(ctx, d.trigger)
	return m.state, err
}

// sink keeps the compiler from dropping a look-up whose result nobody reads.
var sink lifecycle.State

// BenchmarkDecision times one permitted decision in each of four ways. For the
// two fast ones, half of it is the loop around them: BenchmarkDecisionRatio
// compares them without that.
func BenchmarkDecision(b *testing.B) {
	list := decisions()
	b.Run("next", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			d := list[i&(decisionCount-1)]
			to, _ := lifecycle.Next(d.kind, d.state, d.trigger)
			sink = to
			i++
		}
	})
	b.Run("array", func(b *testing.B) {
		b.ReportAllocs()
		plain := newArray()
		i := 0
		for b.Loop() {
			d := list[i&(decisionCount-1)]
			sink = plain[d.kind][d.state][d.trigger]
			i++
		}
	})
	b.Run("stateless-shared", func(b *testing.B) {
		b.ReportAllocs()
		shared := newSharedMachine()
		i := 0
		for b.Loop() {
			to, err := shared.fire(b.Context(), list[i&(decisionCount-1)])
			if err != nil {
				b.Fatal(err)
			}
			sink = to
			i++
		}
	})
	b.Run("stateless-per-request", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			d := list[i&(decisionCount-1)]
			if err := lifecycle.NewMachine(d.kind, d.state).FireCtx(b.Context(), d.trigger); err != nil {
				b.Fatal(err)
			}
			i++
		}
	})
}

// BenchmarkDecisionRatio asks in turn the table, the array and the shared
// machine the same questions, in blocks so short that few are interrupted, and
// takes the median of the blocks of each: so a busy computer slows all three
// and tilts none. It reports how many times longer Next takes than the array,
// and Fire than Next.
func BenchmarkDecisionRatio(b *testing.B) {
	list, plain, shared := decisions(), newArray(), newSharedMachine()
	ctx := b.Context()
	const rounds = 8 // of the two fast ones, so that reading the clock does not show
	var next, look, fire []float64

	for b.Loop() {
		start := time.Now()
		for range rounds {
			for _, d := range list {
				to, _ := lifecycle.Next(d.kind, d.state, d.trigger)
				sink = to
			}
		}
		nextDone := time.Now()
		for range rounds {
			for _, d := range list {
				sink = plain[d.kind][d.state][d.trigger]
			}
		}
		lookDone := time.Now()
		for _, d := range list {
			to, err := shared.fire(ctx, d)
			if err != nil {
				b.Fatal(err)
			}
			sink = to
		}
		fireDone := time.Now()
		next = append(next, float64(nextDone.Sub(start))/(rounds*decisionCount))
		look = append(look, float64(lookDone.Sub(nextDone))/(rounds*decisionCount))
		fire = append(fire, float64(fireDone.Sub(lookDone))/decisionCount)
	}
	b.ReportMetric(0, "ns/op") // a block of all three says nothing
	b.ReportMetric(median(next), "ns/next")
	b.ReportMetric(median(look), "ns/array")
	b.ReportMetric(median(fire), "ns/fire")
	b.ReportMetric(median(next)/median(look), "x-array")
	b.ReportMetric(median(fire)/median(next), "x-stateless")
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}
