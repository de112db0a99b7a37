package lifecycle_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/qmuntal/stateless"

	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// A scheduler asks before it changes the state of a request.
func Example() {
	kind, state := lifecycle.KindChild, lifecycle.StateReady
	for _, trigger := range []lifecycle.Trigger{
		lifecycle.TriggerStart, lifecycle.TriggerCancel, lifecycle.TriggerAcknowledge, lifecycle.TriggerRetry,
	} {
		to, err := lifecycle.Transition(kind, state, trigger)
		if errors.Is(err, esserrors.CodeUnsupportedState) {
			fmt.Println(state, "does not accept", trigger)
			continue
		}
		fmt.Println(state, "->", to)
		state = to
	}
	// Output:
	// READY -> RUNNING
	// RUNNING -> CANCELLING
	// CANCELLING -> CANCELLED
	// CANCELLED does not accept retry
}

func ExampleNext() {
	// A leaf that waits is cancelled at once; a parent has to wait for its children.
	fmt.Println(lifecycle.Next(lifecycle.KindChild, lifecycle.StateWait, lifecycle.TriggerCancel))
	fmt.Println(lifecycle.Next(lifecycle.KindParent, lifecycle.StateWait, lifecycle.TriggerCancel))

	_, ok := lifecycle.Next(lifecycle.KindChild, lifecycle.StateSucceeded, lifecycle.TriggerCancel)
	fmt.Println(ok)
	// Output:
	// CANCELLED true
	// CANCELLING true
	// false
}

func ExampleTransition() {
	_, err := lifecycle.Transition(lifecycle.KindChild, lifecycle.StateSucceeded, lifecycle.TriggerCancel)
	fmt.Println(err)
	fmt.Println(errors.Is(err, esserrors.CodeUnsupportedState))
	// Output:
	// cancel: unsupported state: Operation "cancel" is not supported for a CHILD request in state SUCCEEDED
	// true
}

func ExampleRules() {
	for r := range lifecycle.Rules() {
		if r.Trigger == lifecycle.TriggerCancel && r.Source == lifecycle.SourceSpec && r.Kinds.Has(lifecycle.KindSingleton) {
			fmt.Println(r.From, "->", r.To)
		}
	}
	// Output:
	// WAIT -> CANCELLED
	// READY -> CANCELLED
	// BLOCKED -> CANCELLED
	// HOLD -> CANCELLED
	// RUNNING -> CANCELLING
	// COMPLETED -> CANCELLING
}

func ExampleRuleFor() {
	r, ok := lifecycle.RuleFor(lifecycle.KindSubrequestParent, lifecycle.StatePaused, lifecycle.TriggerCancel)
	fmt.Println(r.To, ok)
	fmt.Println("for:", r.Kinds)
	fmt.Println("source:", r.Source)
	// Output:
	// CANCELLING true
	// for: PARENT, SUBREQUEST_PARENT
	// source: decision
}

func ExamplePermitted() {
	for t := range lifecycle.Permitted(lifecycle.KindChild, lifecycle.StateHold) {
		fmt.Println(t)
	}
	// Output:
	// release
	// expire
	// cancel
}

func ExampleExecutes() {
	fmt.Println(lifecycle.Executes(lifecycle.KindChild, lifecycle.StateRunning))
	fmt.Println(lifecycle.Executes(lifecycle.KindChild, lifecycle.StateHold))
	fmt.Println(lifecycle.Executes(lifecycle.KindParent, lifecycle.StateRunning)) // runs nothing itself
	// Output:
	// true
	// false
	// false
}

func ExampleAdmitsChildren() {
	fmt.Println(lifecycle.AdmitsChildren(lifecycle.KindParent, lifecycle.StateRunning))
	fmt.Println(lifecycle.AdmitsChildren(lifecycle.KindParent, lifecycle.StateCancelling))
	// Output:
	// true
	// false
}

func ExampleNewMachine() {
	ctx := context.Background()
	machine := lifecycle.NewMachine(lifecycle.KindChild, lifecycle.StateRunning)

	fmt.Println(machine.FireCtx(ctx, lifecycle.TriggerCancel), machine.MustState())
	fmt.Println(machine.FireCtx(ctx, lifecycle.TriggerCancel), machine.MustState()) // again
	fmt.Println(machine.FireCtx(ctx, lifecycle.TriggerPause))
	// Output:
	// <nil> CANCELLING
	// <nil> CANCELLING
	// pause: unsupported state: Operation "pause" is not supported for a CHILD request in state CANCELLING
}

// A machine of one's own keeps its state elsewhere. It writes only if the state is
// still the one that the transition leaves.
func ExampleConfigure() {
	ctx := context.Background()
	row := lifecycle.Request{ID: 42, Kind: lifecycle.KindChild, State: lifecycle.StateReady}

	var leaves stateless.State
	machine := stateless.NewStateMachineWithExternalStorage(
		func(context.Context) (stateless.State, error) { return row.State, nil },
		func(_ context.Context, to stateless.State) error {
			if row.State != leaves {
				return esserrors.Conflict("write", int64(row.ID), "The state has changed.", nil)
			}
			row.State = to.(lifecycle.State)
			return nil
		},
		stateless.FiringImmediate,
	)
	machine.OnTransitioning(func(_ context.Context, t stateless.Transition) { leaves = t.Source })
	lifecycle.Configure(machine, row.Kind)
	machine.Configure(lifecycle.StateRunning).OnEntry(func(context.Context, ...any) error {
		fmt.Println("started", row.ID)
		return nil
	})

	fmt.Println(machine.FireCtx(ctx, lifecycle.TriggerStart), row.State)
	// Output:
	// started 42
	// <nil> RUNNING
}

// What is being published is not cancelled.
func ExampleGuard() {
	ctx := context.Background()
	publishing := true
	published := func(context.Context, ...any) bool { return !publishing }
	machine := lifecycle.NewMachine(lifecycle.KindChild, lifecycle.StateCompleted,
		lifecycle.Guard{From: lifecycle.StateCompleted, Trigger: lifecycle.TriggerCancel, Met: published})

	err := machine.FireCtx(ctx, lifecycle.TriggerCancel)
	fmt.Println(errors.Is(err, esserrors.CodeUnsupportedState), machine.MustState())
	publishing = false
	fmt.Println(machine.FireCtx(ctx, lifecycle.TriggerCancel), machine.MustState())
	// Output:
	// true COMPLETED
	// <nil> CANCELLING
}

// A scheduler that has a queue, and neither validates, holds, expires nor retries.
func ExampleDiagram_Mermaid() {
	fmt.Print(lifecycle.Diagram{
		Kinds: []lifecycle.Kind{lifecycle.KindChild},
		Without: lifecycle.SetOf(
			lifecycle.StatePendingValidation, lifecycle.StateBlocked, lifecycle.StateHold, lifecycle.StateExpired,
			lifecycle.StateErrorAutoRetry, lifecycle.StateErrorManualRecovery,
		),
	}.Mermaid())
	// Output:
	// stateDiagram-v2
	//     [*] --> WAIT
	//     WAIT --> READY: dispatch
	//     WAIT --> CANCELLED: cancel
	//     READY --> RUNNING: start
	//     READY --> CANCELLED: cancel
	//     RUNNING --> COMPLETED: complete
	//     RUNNING --> CANCELLING: cancel
	//     RUNNING --> ERROR: fail
	//     COMPLETED --> CANCELLING: cancel
	//     COMPLETED --> WARNING: warn
	//     COMPLETED --> SUCCEEDED: succeed
	//     CANCELLING --> CANCELLING: cancel
	//     CANCELLING --> CANCELLED: acknowledge, force
	//     CANCELLING --> ERROR: fail
	//     CANCELLING --> WARNING: warn
	//     CANCELLING --> SUCCEEDED: succeed
	//     CANCELLED --> [*]
	//     ERROR --> [*]
	//     WARNING --> [*]
	//     SUCCEEDED --> [*]
}

func ExampleDiagram_DOT() {
	parents := lifecycle.Diagram{Kinds: []lifecycle.Kind{lifecycle.KindParent}}
	for line := range strings.Lines(parents.DOT()) {
		if strings.Contains(line, "SCHEDULE_ENDED") {
			fmt.Println(strings.TrimSpace(line))
		}
	}
	// Output:
	// WAIT -> SCHEDULE_ENDED [label="end_schedule"];
	// RUNNING -> SCHEDULE_ENDED [label="end_schedule"];
	// HOLD -> SCHEDULE_ENDED [label="end_schedule"];
	// SCHEDULE_ENDED -> CANCELLING [label="cancel"];
	// SCHEDULE_ENDED -> FINISHED [label="finish"];
}

func ExampleStates() {
	for s := range lifecycle.States() {
		if lifecycle.Terminal.Has(s) {
			fmt.Printf("%2d %v\n", s, s)
		}
	}
	// Output:
	//  8 EXPIRED
	//  9 CANCELLED
	// 10 ERROR
	// 11 WARNING
	// 12 SUCCEEDED
	// 15 VALIDATION_FAILED
	// 17 FINISHED
}

func ExampleKinds() {
	for k := range lifecycle.Kinds() {
		fmt.Println(k, k.RunsWork(), k.HasChildren())
	}
	// Output:
	// SINGLETON true false
	// CHILD true false
	// PARENT false true
	// SUBREQUEST_PARENT true true
}

func ExampleTriggers() {
	for t := range lifecycle.Triggers() {
		if _, ok := lifecycle.Next(lifecycle.KindParent, lifecycle.StateCancelling, t); ok {
			fmt.Println(t)
		}
	}
	// Output:
	// cancel
	// settle
}

func ExampleKind_RunsWork() {
	fmt.Println(lifecycle.KindChild.RunsWork(), lifecycle.KindParent.RunsWork())
	// Output: true false
}

func ExampleKind_HasChildren() {
	fmt.Println(lifecycle.KindChild.HasChildren(), lifecycle.KindParent.HasChildren())
	// Output: false true
}

func ExampleKindSet_Has() {
	r, _ := lifecycle.RuleFor(lifecycle.KindParent, lifecycle.StateCancelling, lifecycle.TriggerSettle)
	fmt.Println(r.Kinds.Has(lifecycle.KindSubrequestParent), r.Kinds.Has(lifecycle.KindChild))
	// Output: true false
}

func ExampleKindSet_All() {
	r, _ := lifecycle.RuleFor(lifecycle.KindParent, lifecycle.StateCancelling, lifecycle.TriggerSettle)
	for k := range r.Kinds.All() {
		fmt.Println(k)
	}
	// Output:
	// PARENT
	// SUBREQUEST_PARENT
}

// Sets combine with Go's operators.
func ExampleStateSet() {
	waiting := lifecycle.Pending &^ lifecycle.SetOf(lifecycle.StateHold, lifecycle.StatePaused)
	fmt.Println(waiting.Len())
	fmt.Println(waiting & lifecycle.Initial)
	// Output:
	// 7
	// WAIT, PENDING_VALIDATION
}

func ExampleSetOf() {
	fmt.Println(lifecycle.SetOf(lifecycle.StateRunning, lifecycle.StateWait))
	// Output: WAIT, RUNNING
}

func ExampleStateSet_Has() {
	fmt.Println(lifecycle.Terminal.Has(lifecycle.StateCompleted)) // it is being post-processed
	fmt.Println(lifecycle.Terminal.Has(lifecycle.StateSucceeded))
	// Output:
	// false
	// true
}

func ExampleStateSet_All() {
	for s := range lifecycle.Outcomes.All() {
		fmt.Println(s)
	}
	// Output:
	// CANCELLED
	// ERROR
	// WARNING
	// SUCCEEDED
}

func ExampleState_MarshalText() {
	doc, err := json.Marshal(map[lifecycle.State]int{lifecycle.StateWait: 3, lifecycle.StateRunning: 1})
	fmt.Println(string(doc), err)
	// Output: {"RUNNING":1,"WAIT":3} <nil>
}

func ExampleState_UnmarshalText() {
	var s lifecycle.State
	fmt.Println(s.UnmarshalText([]byte("HOLD")), s)
	fmt.Println(s.UnmarshalText([]byte("hold")), s)
	// Output:
	// <nil> HOLD
	// lifecycle: "hold" is not the name of a State HOLD
}

// A column holds the name.
func ExampleState_Scan() {
	var s lifecycle.State
	fmt.Println(s.Scan([]byte("ERROR_AUTO_RETRY")), s)
	fmt.Println(s.Scan("THROTTLED"), s) // of a newer version
	fmt.Println(s.Scan(nil), s)         // NULL
	// Output:
	// <nil> ERROR_AUTO_RETRY
	// lifecycle: "THROTTLED" is not the name of a State ERROR_AUTO_RETRY
	// <nil> State(0)
}

func ExampleState_Value() {
	v, err := lifecycle.StateHold.Value()
	fmt.Printf("%q %v\n", v, err)
	// Output: "HOLD" <nil>
}

func ExampleState_Valid() {
	fmt.Println(lifecycle.StateHold.Valid(), lifecycle.State(0).Valid())
	// Output: true false
}

func ExampleNameError() {
	var k lifecycle.Kind
	err := k.UnmarshalText([]byte("JOBSET"))
	if e, ok := errors.AsType[*lifecycle.NameError](err); ok {
		fmt.Printf("no %s is called %q\n", e.Type, e.Text)
	}
	// Output: no Kind is called "JOBSET"
}

func ExampleRequest_Validate() {
	r := lifecycle.Request{ID: 42, Parent: 42, Kind: lifecycle.KindChild, State: lifecycle.StateWait}
	fmt.Println(r.Validate())
	r.Parent = 7
	fmt.Println(r.Validate())
	// Output:
	// lifecycle: request 42: is its own parent
	// <nil>
}
