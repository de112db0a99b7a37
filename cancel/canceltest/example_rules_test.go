package canceltest_test

import (
	"fmt"
	"maps"
	"slices"

	"example.com/ess/lifecycle"
	"example.com/ess/lifecycle/lifecycletest"
)

// next is the rules of a scheduler, with states of its own.
func next(_ lifecycle.Kind, state string, t lifecycle.Trigger) (string, bool) {
	switch state + " " + t.String() {
	case "queued start":
		return "running", true
	case "stopping cancel":
		return "stopping", true
	case "queued cancel", "stopping acknowledge", "stopping force", "running cancel": // the last is wrong
		return "stopped", true
	default:
		return "", false
	}
}

// I only want to test my own rules.
func Example_rules() {
	states := map[string]lifecycle.State{
		"queued": lifecycle.StateReady, "running": lifecycle.StateRunning,
		"stopping": lifecycle.StateCancelling, "stopped": lifecycle.StateCancelled,
	}
	fmt.Println(lifecycletest.Check(lifecycletest.Mapping[string]{
		States: states, Next: next, Kinds: []lifecycle.Kind{lifecycle.KindSingleton},
		Without: (lifecycle.Live | lifecycle.Terminal) &^ lifecycle.SetOf(slices.Collect(maps.Values(states))...),
	}))
	// Output:
	// SINGLETON request in running by cancel: goes to stopped, which stands for CANCELLED, but the rule leads to CANCELLING
}
