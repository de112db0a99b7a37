package mysql

import (
	"iter"
	"slices"
	"strconv"
	"strings"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// The table's own names of states and kinds.
var (
	statusOf = [...]string{
		lifecycle.StatePendingValidation:   "unchecked",
		lifecycle.StateWait:                "planned",
		lifecycle.StateReady:               "queued",
		lifecycle.StateBlocked:             "blocked",
		lifecycle.StateHold:                "held",
		lifecycle.StateRunning:             "running",
		lifecycle.StatePaused:              "paused",
		lifecycle.StateCompleted:           "finishing",
		lifecycle.StateErrorAutoRetry:      "retrying",
		lifecycle.StateErrorManualRecovery: "broken",
		lifecycle.StateScheduleEnded:       "closing",
		lifecycle.StateCancelling:          "stopping",
		lifecycle.StateValidationFailed:    "rejected",
		lifecycle.StateExpired:             "expired",
		lifecycle.StateCancelled:           "stopped",
		lifecycle.StateError:               "failed",
		lifecycle.StateWarning:             "warned",
		lifecycle.StateSucceeded:           "done",
		lifecycle.StateFinished:            "closed",
	}
	typeOf = [...]string{
		lifecycle.KindSingleton:        "task",
		lifecycle.KindChild:            "step",
		lifecycle.KindParent:           "flow",
		lifecycle.KindSubrequestParent: "dynamic_flow",
	}
)

// stateOf and kindOf return 0 for a name that is none of these.
func stateOf(status string) lifecycle.State {
	return lifecycle.State(max(0, slices.Index(statusOf[:], status)))
}
func kindOf(typ string) lifecycle.Kind { return lifecycle.Kind(max(0, slices.Index(typeOf[:], typ))) }

// statuses returns the names of states as a list in SQL.
func statuses(set lifecycle.StateSet) string {
	return list(set.All(), func(s lifecycle.State) string { return "'" + statusOf[s] + "'" })
}

// ids returns ids as a list in SQL: as they are, because there may be more of them than the
// 65,535 placeholders that a prepared statement may have.
func ids(all ...lifecycle.ID) string {
	return list(slices.Values(all), func(id lifecycle.ID) string { return strconv.FormatInt(int64(id), 10) })
}

// list returns a list for IN: of no elements NULL, in which nothing is.
func list[T any](all iter.Seq[T], text func(T) string) string {
	var texts []string
	for t := range all {
		texts = append(texts, text(t))
	}
	if len(texts) == 0 {
		return "NULL"
	}
	return strings.Join(texts, ", ")
}

// readable says that the type and the outcome of a job have these names, too.
var readable = "type IN ('" + strings.Join(typeOf[1:], "', '") + "') AND IFNULL(ends_as IN (" + statuses(lifecycle.Outcomes) + "), TRUE)"

// decisions are what a cancel makes of jobs.
var decisions = map[kindState]cancel.Decision{}

type kindState struct {
	kind  lifecycle.Kind
	state lifecycle.State
}

func init() {
	for d := range cancel.Decisions() {
		decisions[kindState{d.Kind, d.From}] = d
	}
}
