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

// A machine of one's own, with its state kept elsewhere and an action.
func ExampleConfigure() {
	ctx := context.Background()
	row := lifecycle.Request{ID: 42, Kind: lifecycle.KindChild, State: lifecycle.StateReady}

	machine := stateless.NewStateMachineWithExternalStorage(
		func(context.Context) (stateless.State, error) { return row.State, nil },
		func(_ context.Context, s stateless.State) error { row.State = s.(lifecycle.State); return nil },
		stateless.FiringImmediate,
	)
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

func ExampleMermaid() {
	for line := range strings.Lines(lifecycle.Mermaid(lifecycle.KindChild)) {
		if strings.Contains(line, "CANCELL") {
			fmt.Print(line)
		}
	}
	// Output:
	//     WAIT --> CANCELLED: cancel
	//     READY --> CANCELLED: cancel
	//     RUNNING --> CANCELLING: cancel
	//     COMPLETED --> CANCELLING: cancel
	//     BLOCKED --> CANCELLED: cancel
	//     HOLD --> CANCELLED: cancel
	//     CANCELLING --> CANCELLING: cancel
	//     CANCELLING --> CANCELLED: acknowledge, force
	//     CANCELLING --> ERROR: fail
	//     CANCELLING --> WARNING: warn
	//     CANCELLING --> SUCCEEDED: succeed
	//     PAUSED --> CANCELLED: cancel
	//     PENDING_VALIDATION --> CANCELLED: cancel
	//     SCHEDULE_ENDED --> CANCELLED: cancel
	//     ERROR_AUTO_RETRY --> CANCELLED: cancel
	//     ERROR_MANUAL_RECOVERY --> CANCELLED: cancel
	//     CANCELLED --> [*]
}

func ExampleDOT() {
	for line := range strings.Lines(lifecycle.DOT(lifecycle.KindParent)) {
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
	fmt.Println(waiting & lifecycle.Submitted)
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
	fmt.Println(s.Scan(nil)) // NULL
	// Output:
	// <nil> ERROR_AUTO_RETRY
	// lifecycle: cannot scan <nil> into a State
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
