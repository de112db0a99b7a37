package lifecycletest_test

import (
	"fmt"

	"example.com/ess/lifecycle"
	"example.com/ess/lifecycle/lifecycletest"
)

// The states of the scheduler, and what each stands for.
var states = map[string]lifecycle.State{
	"queued": lifecycle.StateReady, "running": lifecycle.StateRunning, "stopping": lifecycle.StateCancelling,
	"stopped": lifecycle.StateCancelled, "failed": lifecycle.StateError, "done": lifecycle.StateSucceeded,
}

// The scheduler's decisions. Here they are a table; in yours they are the code to test.
var decisions = map[string]map[lifecycle.Trigger]string{
	"queued":  {lifecycle.TriggerStart: "running", lifecycle.TriggerCancel: "stopped"},
	"running": {lifecycle.TriggerSucceed: "done", lifecycle.TriggerFail: "failed", lifecycle.TriggerCancel: "stopping"},
	"stopping": {
		lifecycle.TriggerCancel: "stopping", lifecycle.TriggerAcknowledge: "stopped", lifecycle.TriggerForce: "stopped",
		lifecycle.TriggerSucceed: "done", lifecycle.TriggerFail: "failed",
	},
}

func Example() {
	err := lifecycletest.Check(lifecycletest.Mapping[string]{
		States: states,
		Without: (lifecycle.Live | lifecycle.Terminal) &^ lifecycle.SetOf(lifecycle.StateReady, lifecycle.StateRunning,
			lifecycle.StateCancelling, lifecycle.StateCancelled, lifecycle.StateError, lifecycle.StateSucceeded),
		Kinds: []lifecycle.Kind{lifecycle.KindSingleton},
		Next: func(_ lifecycle.Kind, state string, t lifecycle.Trigger) (string, bool) {
			to, ok := decisions[state][t]
			return to, ok
		},
		Own: []lifecycletest.Difference[string]{{From: "running", Trigger: lifecycle.TriggerSucceed, To: "done"}}, // no COMPLETED
	})
	fmt.Println(err) // Output: <nil>
}
