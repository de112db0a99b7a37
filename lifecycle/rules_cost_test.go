package lifecycle_test

import (
	"sync"
	"testing"

	"example.com/ess/lifecycle"
)

// A decision is on every path of a cascade, so it must cost no memory.
// Not parallel: AllocsPerRun counts what the whole process allocates.
func TestDecisionDoesNotAllocate(t *testing.T) {
	list := decisions()
	calls := map[string]func(decision){
		"Next": func(d decision) { sink, _ = lifecycle.Next(d.kind, d.state, d.trigger) },
		"Next, rejected": func(d decision) {
			sink, _ = lifecycle.Next(d.kind, lifecycle.StateFinished, d.trigger)
		},
		"Next, undeclared": func(d decision) { sink, _ = lifecycle.Next(d.kind, 200, d.trigger) },
		"Transition":       func(d decision) { sink, _ = lifecycle.Transition(d.kind, d.state, d.trigger) },
		"Advance": func(d decision) {
			if d.trigger != lifecycle.TriggerCancel && d.state != lifecycle.StateCancelling { // an error allocates
				sink, _ = lifecycle.Advance(d.kind, d.state, d.trigger)
			}
		},
		"RuleFor": func(d decision) {
			r, _ := lifecycle.RuleFor(d.kind, d.state, d.trigger)
			sink = r.To
		},
		"sets": func(d decision) {
			if lifecycle.Executes(d.kind, d.state) || lifecycle.AdmitsChildren(d.kind, d.state) || lifecycle.Live.Has(d.state) {
				sink++
			}
		},
	}
	for name, call := range calls {
		if allocs := testing.AllocsPerRun(1, func() {
			for _, d := range list {
				call(d)
			}
		}); allocs != 0 {
			t.Errorf("%s: %v allocations in %d decisions, want none", name, allocs, len(list))
		}
	}
}

// The race detector is the judge here: all of it may be used at once.
func TestRulesConcurrentSafe(t *testing.T) {
	t.Parallel()
	wantDiagram := lifecycle.Diagram{}.Mermaid()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for r := range lifecycle.Rules() {
				for k := range r.Kinds.All() {
					if to, err := lifecycle.Transition(k, r.From, r.Trigger); to != r.To || err != nil {
						t.Errorf("Transition(%v, %v, %v) = %v, %v", k, r.From, r.Trigger, to, err)
					}
				}
			}
			for k := range lifecycle.Kinds() {
				if err := lifecycle.NewMachine(k, lifecycle.StateWait).FireCtx(t.Context(), lifecycle.TriggerCancel); err != nil {
					t.Errorf("Fire of %v: %v", k, err)
				}
			}
			if (lifecycle.Diagram{}).Mermaid() != wantDiagram {
				t.Error("Mermaid gave another diagram")
			}
		})
	}
	wg.Wait()
}
