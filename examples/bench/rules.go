package main

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/looplab/fsm"
	"github.com/qmuntal/stateless"

	"example.com/ess/lifecycle"
)

// The dimensions of the rules, with the invalid zero value of each.
const (
	dimKinds    = 5
	dimStates   = 20
	dimTriggers = 25
)

// A decision is one question to the rules, which permit it.
type decision struct {
	kind    lifecycle.Kind
	state   lifecycle.State
	trigger lifecycle.Trigger
}

// decisions returns questions in an order without a pattern: were there few, the branch
// predictor would answer instead of what is measured.
func decisions() []decision {
	var all []decision
	for k := range lifecycle.Kinds() {
		for s := range lifecycle.States() {
			for t := range lifecycle.Permitted(k, s) {
				all = append(all, decision{k, s, t})
			}
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	list := make([]decision, 1024)
	for i := range list {
		list[i] = all[random.IntN(len(all))]
	}
	return list
}

// answer is the last one given. Without it the compiler would drop what nobody reads.
var answer lifecycle.State

// rules measures one decision: which state a request is in after a trigger.
func (b *bench) rules(ctx context.Context) error {
	list := decisions()
	c := contest{name: "rules", title: "One decision by the rules", rounds: b.size.blocks}

	// What somebody would write who has no library.
	var array [dimKinds][dimStates][dimTriggers]lifecycle.State
	for r := range lifecycle.Rules() {
		for k := range r.Kinds.All() {
			array[k][r.From][r.Trigger] = r.To
		}
	}
	c.ways = append(c.ways, way{name: "plain array", run: block(list, 8, func() error {
		for _, d := range list {
			answer = array[d.kind][d.state][d.trigger]
		}
		return nil
	})})

	c.ways = append(c.ways, way{name: "lifecycle.Next", goals: []goal{atMost(2), noAllocations}, run: block(list, 8, func() error {
		for _, d := range list {
			answer, _ = lifecycle.Next(d.kind, d.state, d.trigger)
		}
		return nil
	})})

	c.ways = append(c.ways, way{name: "plain switch", run: block(list, 8, func() error {
		for _, d := range list {
			answer = nextBySwitch(d.kind, d.state, d.trigger)
		}
		return nil
	})})

	// One machine for all requests of a kind, whose state is set before each question.
	var state lifecycle.State
	var machines [dimKinds]*stateless.StateMachine
	for k := range lifecycle.Kinds() {
		machines[k] = stateless.NewStateMachineWithExternalStorage(
			func(context.Context) (stateless.State, error) { return state, nil },
			func(_ context.Context, s stateless.State) error { state = s.(lifecycle.State); return nil },
			stateless.FiringImmediate,
		)
		lifecycle.Configure(machines[k], k)
	}
	c.ways = append(c.ways, way{name: "stateless, one machine shared", goals: []goal{fiftyTimes}, run: block(list, 1, func() error {
		for _, d := range list {
			state = d.state
			if err := machines[d.kind].FireCtx(ctx, d.trigger); err != nil {
				return err
			}
			answer = state
		}
		return nil
	})})

	c.ways = append(c.ways, way{name: "stateless, a machine per request", run: block(list, 1, func() error {
		for _, d := range list {
			machine := lifecycle.NewMachine(d.kind, d.state)
			if err := machine.FireCtx(ctx, d.trigger); err != nil {
				return err
			}
			answer = machine.MustState().(lifecycle.State)
		}
		return nil
	})})

	c.ways = append(c.ways, way{name: "looplab/fsm, one machine shared", run: fsmRun(list)})
	return b.compete(ctx, c)
}

// block returns a run that answers all questions some times: so often that reading the
// clock does not show, and so rarely that few runs are interrupted.
func block(list []decision, times int, all func() error) func(context.Context, *meter) error {
	return func(_ context.Context, m *meter) error {
		return m.measure(func() (int, error) {
			for range times {
				if err := all(); err != nil {
					return 0, err
				}
			}
			last := list[len(list)-1]
			if want, _ := lifecycle.Next(last.kind, last.state, last.trigger); answer != want {
				return 0, fmt.Errorf("%v by %v is %v, want %v", last.state, last.trigger, answer, want)
			}
			return times * len(list), nil
		})
	}
}

func fsmRun(list []decision) func(context.Context, *meter) error {
	var machines [dimKinds]*fsm.FSM
	for k := range lifecycle.Kinds() {
		var events fsm.Events
		for r := range lifecycle.Rules() {
			if r.Kinds.Has(k) {
				events = append(events, fsm.EventDesc{Name: r.Trigger.String(), Src: []string{r.From.String()}, Dst: r.To.String()})
			}
		}
		machines[k] = fsm.NewFSM(lifecycle.StateWait.String(), events, nil)
	}
	return func(ctx context.Context, m *meter) error {
		return block(list, 1, func() error {
			var machine *fsm.FSM
			for _, d := range list {
				machine = machines[d.kind]
				machine.SetState(d.state.String())
				// An event that changes nothing is an error to it.
				if err := machine.Event(ctx, d.trigger.String()); err != nil && !isNoTransition(err) {
					return fmt.Errorf("%v by %v: %w", d.state, d.trigger, err)
				}
			}
			return answer.UnmarshalText([]byte(machine.Current()))
		})(ctx, m)
	}
}

func isNoTransition(err error) bool {
	_, ok := err.(fsm.NoTransitionError) //nolint:errorlint // it is not wrapped
	return ok
}

var noAllocations = goal{"no allocation", func(r *row) bool { return r.seen.allocs < 0.001 }}

var fiftyTimes = goal{"≥ 50 of Next", func(r *row) bool {
	return r.perUnit() >= 50*r.result.of("lifecycle.Next").perUnit()
}}
