package table

import (
	"example.com/ess/lifecycle"
)

// The scheduler's own names. States and kinds that it does not have are stored by the
// names of package lifecycle.
var (
	statuses = map[lifecycle.State]string{
		lifecycle.StateReady:      "queued",
		lifecycle.StateRunning:    "running",
		lifecycle.StateCompleted:  "finishing",
		lifecycle.StateSucceeded:  "done",
		lifecycle.StateError:      "failed",
		lifecycle.StateCancelling: "stopping",
		lifecycle.StateCancelled:  "stopped",
	}
	kinds = map[lifecycle.Kind]string{
		lifecycle.KindChild:  "task",
		lifecycle.KindParent: "flow",
	}
)

// status returns the text for a state and its outcome, for which there is no column:
// "stopping>done" is a job that will be done after its last child.
func status(s, outcome lifecycle.State) string {
	text, ok := statuses[s]
	if !ok {
		text = s.String()
	}
	if outcome != 0 {
		text += ">" + status(outcome, 0)
	}
	return text
}

func typeOf(k lifecycle.Kind) string {
	if text, ok := kinds[k]; ok {
		return text
	}
	return k.String()
}

// A meaning is what the text of a status says.
type meaning struct{ state, outcome lifecycle.State }

// The same the other way round. A text that is not in here cannot be read.
var (
	meanings = map[string]meaning{}
	kindOf   = map[string]lifecycle.Kind{}

	types, parents []any // the texts of all kinds, and of those that have children
)

func init() {
	for s := range lifecycle.States() {
		meanings[status(s, 0)] = meaning{state: s}
	}
	for o := range lifecycle.Outcomes.All() {
		meanings[status(lifecycle.StateCancelling, o)] = meaning{lifecycle.StateCancelling, o}
	}
	for k := range lifecycle.Kinds() {
		kindOf[typeOf(k)] = k
		types = append(types, typeOf(k))
		if k.HasChildren() {
			parents = append(parents, typeOf(k))
		}
	}
}

// texts returns the texts of the statuses whose state is in set. It begins with one that
// no row has, because SQL has no empty list.
func texts(set lifecycle.StateSet) []any {
	all := []any{"nothing"}
	for text, m := range meanings {
		if set.Has(m.state) {
			all = append(all, text)
		}
	}
	return all
}
