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
	case "running cancel":
		return "stopped", true // it should be stopping until the work has answered
	case "queued cancel", "stopping acknowledge", "stopping force":
		return "stopped", true
	case "stopping cancel":
		return "stopping", true
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
		States:  states,
		Without: (lifecycle.Live | lifecycle.Terminal) &^ lifecycle.SetOf(slices.Collect(maps.Values(states))...),
		Kinds:   []lifecycle.Kind{lifecycle.KindSingleton},
		Next:    next,
	}))
	// Output:
	// SINGLETON request in running by cancel: goes to stopped, which stands for CANCELLED, but the rule leads to CANCELLING
}
