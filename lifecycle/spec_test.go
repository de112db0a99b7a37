package lifecycle_test

import (
	"errors"
	"testing"

	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// The specification of the cancel operation, sentence by sentence. Each case
// tells a request through some triggers; an empty want means that the last of
// them is refused with the specification's 400.
func TestSpecification(t *testing.T) {
	t.Parallel()

	const (
		singleton        = lifecycle.KindSingleton
		child            = lifecycle.KindChild
		parent           = lifecycle.KindParent
		subrequestParent = lifecycle.KindSubrequestParent
	)
	all := []lifecycle.Kind{singleton, child, parent, subrequestParent}
	leaves := []lifecycle.Kind{singleton, child}
	parents := []lifecycle.Kind{parent, subrequestParent}
	working := []lifecycle.Kind{singleton, child, subrequestParent}
	cancel := []lifecycle.Trigger{lifecycle.TriggerCancel}
	cancelThen := func(t lifecycle.Trigger) []lifecycle.Trigger {
		return []lifecycle.Trigger{lifecycle.TriggerCancel, t}
	}

	tests := []struct {
		sentence string
		kinds    []lifecycle.Kind
		from     string
		triggers []lifecycle.Trigger
		want     string
	}{
		// "… of a request that is not in a terminal state", with the response
		// 400 "Unsupported state for operation".
		{"a request in a terminal state is not cancelled", all, "EXPIRED", cancel, ""},
		{"a request in a terminal state is not cancelled", all, "CANCELLED", cancel, ""},
		{"a request in a terminal state is not cancelled", all, "ERROR", cancel, ""},
		{"a request in a terminal state is not cancelled", all, "WARNING", cancel, ""},
		{"a request in a terminal state is not cancelled", all, "SUCCEEDED", cancel, ""},
		{"a request in a terminal state is not cancelled", all, "VALIDATION_FAILED", cancel, ""},
		{"a request in a terminal state is not cancelled", all, "FINISHED", cancel, ""},

		// The four states in which nothing has started.
		{"a singleton or child that waits becomes CANCELLED", leaves, "WAIT", cancel, "CANCELLED"},
		{"a singleton or child that is ready becomes CANCELLED", leaves, "READY", cancel, "CANCELLED"},
		{"a singleton or child that is blocked becomes CANCELLED", leaves, "BLOCKED", cancel, "CANCELLED"},
		{"a singleton or child that is held becomes CANCELLED", leaves, "HOLD", cancel, "CANCELLED"},

		// The two in which work may execute.
		{"a singleton or child that runs goes to CANCELLING", leaves, "RUNNING", cancel, "CANCELLING"},
		{"a singleton or child that is post-processed goes to CANCELLING", leaves, "COMPLETED", cancel, "CANCELLING"},

		// CANCELLING is transitory.
		{"CANCELLING persists while nothing ends the request", working, "RUNNING", cancelThen(lifecycle.TriggerCancel), "CANCELLING"},
		{"CANCELLING persists: cancelled work does not start again", working, "RUNNING", cancelThen(lifecycle.TriggerStart), ""},
		{"CANCELLING persists: cancelled work is not tried again", working, "RUNNING", cancelThen(lifecycle.TriggerFailRetryable), ""},
		{"CANCELLING persists: cancelled work is not recovered", working, "RUNNING", cancelThen(lifecycle.TriggerFailRecoverable), ""},
		{"CANCELLING persists: cancelled work goes no further", working, "RUNNING", cancelThen(lifecycle.TriggerComplete), ""},

		// "… and transitions to CANCELLED or some other terminal state".
		{"it goes from CANCELLING to CANCELLED", working, "RUNNING", cancelThen(lifecycle.TriggerAcknowledge), "CANCELLED"},
		{"or to another terminal state: SUCCEEDED", working, "RUNNING", cancelThen(lifecycle.TriggerSucceed), "SUCCEEDED"},
		{"or to another terminal state: WARNING", working, "RUNNING", cancelThen(lifecycle.TriggerWarn), "WARNING"},
		{"or to another terminal state: ERROR", working, "RUNNING", cancelThen(lifecycle.TriggerFail), "ERROR"},
		{"it goes from CANCELLING to CANCELLED, post-processed", working, "COMPLETED", cancelThen(lifecycle.TriggerAcknowledge), "CANCELLED"},
		{"or to another terminal state, post-processed: SUCCEEDED", working, "COMPLETED", cancelThen(lifecycle.TriggerSucceed), "SUCCEEDED"},
		{"or to another terminal state, post-processed: WARNING", working, "COMPLETED", cancelThen(lifecycle.TriggerWarn), "WARNING"},
		{"or to another terminal state, post-processed: ERROR", working, "COMPLETED", cancelThen(lifecycle.TriggerFail), "ERROR"},

		// The cascade to all children. A parent stays in CANCELLING meanwhile.
		{"a parent that waits cascades", parents, "WAIT", cancel, "CANCELLING"},
		{"a parent that is ready cascades", parents, "READY", cancel, "CANCELLING"},
		{"a parent that is blocked cascades", parents, "BLOCKED", cancel, "CANCELLING"},
		{"a parent that is held cascades", parents, "HOLD", cancel, "CANCELLING"},
		{"a parent that runs cascades", parents, "RUNNING", cancel, "CANCELLING"},
		{"a parent that is post-processed cascades", parents, "COMPLETED", cancel, "CANCELLING"},
		{"a parent ends after the cascade", parents, "WAIT", cancelThen(lifecycle.TriggerSettle), "CANCELLED"},
		{"a parent ends after the cascade", parents, "RUNNING", cancelThen(lifecycle.TriggerSettle), "CANCELLED"},
		{"only a parent has a cascade to end", leaves, "RUNNING", cancelThen(lifecycle.TriggerSettle), ""},
	}
	for _, tt := range tests {
		for _, kind := range tt.kinds {
			t.Run(kind.String()+" in "+tt.from+": "+tt.sentence, func(t *testing.T) {
				t.Parallel()
				state := stateOf(t, tt.from)
				last := len(tt.triggers) - 1
				for i, trigger := range tt.triggers {
					to, err := lifecycle.Transition(kind, state, trigger)
					if i == last && tt.want == "" {
						if !errors.Is(err, esserrors.CodeUnsupportedState) {
							t.Errorf("%v in %v accepts %v: %v, %v", kind, state, trigger, to, err)
						}
						if p := esserrors.ProblemOf(err, nil); p.Status != 400 || p.Title != "Unsupported state for operation" {
							t.Errorf("problem %+v, want the specification's 400", p)
						}
						return
					}
					if err != nil {
						t.Fatal(err)
					}
					state = to
				}
				if got := state.String(); got != tt.want {
					t.Errorf("%v in %v ends in %v, want %v", kind, tt.from, got, tt.want)
				}
			})
		}
	}
}

func stateOf(t *testing.T, name string) (s lifecycle.State) {
	t.Helper()
	if err := s.UnmarshalText([]byte(name)); err != nil {
		t.Fatal(err)
	}
	return s
}

// What a cancel does, for every state and kind, by hand. "" means that it is
// refused.
var cancelTable = []struct {
	state                                      string
	singleton, child, parent, subrequestParent string
	source                                     lifecycle.Source
}{
	{"WAIT", "CANCELLED", "CANCELLED", "CANCELLING", "CANCELLING", lifecycle.SourceSpec},
	{"READY", "CANCELLED", "CANCELLED", "CANCELLING", "CANCELLING", lifecycle.SourceSpec},
	{"RUNNING", "CANCELLING", "CANCELLING", "CANCELLING", "CANCELLING", lifecycle.SourceSpec},
	{"COMPLETED", "CANCELLING", "CANCELLING", "CANCELLING", "CANCELLING", lifecycle.SourceSpec},
	{"BLOCKED", "CANCELLED", "CANCELLED", "CANCELLING", "CANCELLING", lifecycle.SourceSpec},
	{"HOLD", "CANCELLED", "CANCELLED", "CANCELLING", "CANCELLING", lifecycle.SourceSpec},
	{"CANCELLING", "CANCELLING", "CANCELLING", "CANCELLING", "CANCELLING", lifecycle.SourceDecision},
	{"EXPIRED", "", "", "", "", 0},
	{"CANCELLED", "", "", "", "", 0},
	{"ERROR", "", "", "", "", 0},
	{"WARNING", "", "", "", "", 0},
	{"SUCCEEDED", "", "", "", "", 0},
	{"PAUSED", "CANCELLED", "CANCELLED", "CANCELLING", "CANCELLING", lifecycle.SourceDecision},
	{"PENDING_VALIDATION", "CANCELLED", "CANCELLED", "CANCELLING", "CANCELLING", lifecycle.SourceDecision},
	{"VALIDATION_FAILED", "", "", "", "", 0},
	{"SCHEDULE_ENDED", "CANCELLED", "CANCELLED", "CANCELLING", "CANCELLING", lifecycle.SourceDecision},
	{"FINISHED", "", "", "", "", 0},
	{"ERROR_AUTO_RETRY", "CANCELLED", "CANCELLED", "CANCELLING", "CANCELLING", lifecycle.SourceDecision},
	{"ERROR_MANUAL_RECOVERY", "CANCELLED", "CANCELLED", "CANCELLING", "CANCELLING", lifecycle.SourceDecision},
}

func TestCancelTable(t *testing.T) {
	t.Parallel()

	if len(cancelTable) != len(ess) {
		t.Fatalf("the table has %d rows for %d states", len(cancelTable), len(ess))
	}
	for i, row := range cancelTable {
		if row.state != ess[i].name {
			t.Fatalf("row %d is about %s, want %s", i, row.state, ess[i].name)
		}
		for kind, want := range map[lifecycle.Kind]string{
			lifecycle.KindSingleton:        row.singleton,
			lifecycle.KindChild:            row.child,
			lifecycle.KindParent:           row.parent,
			lifecycle.KindSubrequestParent: row.subrequestParent,
		} {
			t.Run(row.state+"/"+kind.String(), func(t *testing.T) {
				t.Parallel()
				state := stateOf(t, row.state)
				to, ok := lifecycle.Next(kind, state, lifecycle.TriggerCancel)
				if ok != (want != "") || ok && to.String() != want {
					t.Errorf("cancel takes %v from %v to %v (%v), want %q", kind, state, to, ok, want)
				}
				rule, _ := lifecycle.RuleFor(kind, state, lifecycle.TriggerCancel)
				if rule.Source != row.source {
					t.Errorf("source of cancel for %v in %v = %v, want %v", kind, state, rule.Source, row.source)
				}
				// After a cancel nothing is admitted, whatever was before.
				if ok && lifecycle.AdmitsChildren(kind, to) {
					t.Errorf("cancelled %v in %v admits children", kind, to)
				}
				// Work that may execute is never taken for stopped.
				if ok && lifecycle.Executes(kind, state) && lifecycle.Terminal.Has(to) {
					t.Errorf("%v in %v may execute, but cancel takes it to %v at once", kind, state, to)
				}
			})
		}
	}
}
