package canceltest

import (
	"time"

	"example.com/ess/lifecycle"
)

// moment is when the requests of the checks last checked in. It has microseconds,
// which a store must keep.
var moment = time.Date(2026, 3, 31, 22, 0, 0, 123_456_000, time.UTC)

const anyState = lifecycle.Live | lifecycle.Terminal

// request returns a request as the store can have it.
func (h Harness) request(id, parent lifecycle.ID, k lifecycle.Kind, s lifecycle.State) lifecycle.Request {
	return h.fit().Request(lifecycle.Request{ID: id, Parent: parent, Kind: k, State: s})
}

// everyRequest returns requests of every kind in every state, with every outcome,
// below request 1.
func (h Harness) everyRequest() []lifecycle.Request {
	all := []lifecycle.Request{h.request(1, 0, lifecycle.KindParent, lifecycle.StateRunning)}
	id := lifecycle.ID(1)
	add := func(r lifecycle.Request) {
		id++
		r.ID, r.Parent = id, 1
		all = append(all, r)
	}
	for k := range lifecycle.Kinds() {
		for s := range lifecycle.States() {
			r := lifecycle.Request{Kind: k, State: s}
			switch s {
			case lifecycle.StateCancelling:
				add(r) // as other means than this package may have left it: without a check-in
				r.CheckedIn = moment
				add(r)
				r.CheckedIn = moment.Add(time.Hour + time.Microsecond)
				for o := range lifecycle.Outcomes.All() {
					r.Outcome = o
					add(r)
				}
			case lifecycle.StateCancelled:
				add(r)
				r.CheckedIn = moment.Add(-time.Microsecond)
				add(r)
			default:
				add(r)
			}
		}
	}
	return h.fit().All(all)
}

// families returns three parents whose children's ids alternate, and come in no
// order, one parent without children and some leaves without a parent.
func (h Harness) families() []lifecycle.Request {
	var all []lifecycle.Request
	for _, id := range []lifecycle.ID{40, 10, 30, 20} {
		all = append(all, h.request(id, 0, lifecycle.KindParent, lifecycle.StateRunning))
	}
	for i := lifecycle.ID(11); i >= 0; i-- {
		all = append(all, h.request(101+i, 10*(1+i%3), lifecycle.KindChild, lifecycle.StateWait))
	}
	return h.fit().All(append(all,
		h.request(2, 30, lifecycle.KindChild, lifecycle.StateReady), // older than its parent
		h.request(3, 10, lifecycle.KindChild, lifecycle.StateSucceeded),
		h.request(4, 20, lifecycle.KindChild, lifecycle.StateCancelled),
		h.request(8, 0, lifecycle.KindSingleton, lifecycle.StateHold),
		h.request(7, 0, lifecycle.KindSingleton, lifecycle.StateError),
	))
}

// thousand returns a thousand parents, with their ids, most of which have a child,
// and a few others.
func (h Harness) thousand() (all []lifecycle.Request, parents []lifecycle.ID) {
	for id := lifecycle.ID(1); id <= 1010; id++ {
		all = append(all, h.request(id, 0, lifecycle.KindParent, lifecycle.StateRunning))
		if id%101 != 0 {
			parents = append(parents, id)
		}
	}
	for id := lifecycle.ID(1); id <= 1010; id++ {
		if id%4 == 3 {
			all = append(all, h.request(10_000-id, id, lifecycle.KindChild, lifecycle.StateWait))
		}
	}
	return all, parents[:1000]
}

// childrenOfEveryKind returns what everyRequest does, but below two parents, and the
// same once more below a third that is not to be cancelled.
func (h Harness) childrenOfEveryKind() []lifecycle.Request {
	all := []lifecycle.Request{
		h.request(501, 0, lifecycle.KindParent, lifecycle.StateCancelling),
		h.request(502, 501, lifecycle.KindSubrequestParent, lifecycle.StateCancelling),
		h.request(503, 0, lifecycle.KindParent, lifecycle.StateRunning),
		h.request(504, 0, lifecycle.KindParent, lifecycle.StateRunning),
	}
	for i, r := range h.everyRequest()[1:] {
		r.Parent = 501 + lifecycle.ID(i)%3
		all = append(all, r)
		r.ID, r.Parent = 1000-r.ID, 504
		all = append(all, r)
	}
	return h.fit().All(all)
}

// lives returns requests for each of which life returns all changes to its end.
func (h Harness) lives() []lifecycle.Request {
	return []lifecycle.Request{
		h.request(1, 0, lifecycle.KindParent, lifecycle.StateRunning),
		h.request(2, 1, lifecycle.KindSubrequestParent, lifecycle.StateRunning),
		h.request(3, 2, lifecycle.KindChild, lifecycle.StateReady),
		h.request(4, 2, lifecycle.KindChild, lifecycle.StateRunning),
		h.request(5, 0, lifecycle.KindSingleton, lifecycle.StatePaused),
	}
}

// everyTree returns a tree with requests of every kind in every state, and children
// in many states below those that can have any.
func (h Harness) everyTree() []lifecycle.Request {
	var all []lifecycle.Request
	add := func(parent lifecycle.ID, k lifecycle.Kind, s, outcome lifecycle.State) lifecycle.ID {
		id := lifecycle.ID(1)
		if n := len(all); n > 0 {
			id = lifecycle.ID(2 + n*379%1009) // in no order
		}
		r := lifecycle.Request{ID: id, Parent: parent, Kind: k, State: s, Outcome: outcome}
		if s == lifecycle.StateCancelling {
			r.CheckedIn = moment.Add(-time.Duration(id) * time.Second)
		}
		all = append(all, r)
		return id
	}
	kids := func(parent lifecycle.ID, states ...lifecycle.State) {
		for _, s := range states {
			add(parent, lifecycle.KindChild, s, 0)
		}
	}
	root := add(0, lifecycle.KindParent, lifecycle.StateRunning, 0)
	for k := range lifecycle.Kinds() {
		for s := range lifecycle.States() {
			switch {
			case !k.HasChildren():
				add(root, k, s, 0)
			case lifecycle.Terminal.Has(s):
				kids(add(root, k, s, 0), lifecycle.StateSucceeded)
			case s == lifecycle.StateCancelling:
				var outcomes []lifecycle.State
				if k.RunsWork() {
					outcomes = []lifecycle.State{0, lifecycle.StateWarning}
				} else {
					outcomes = []lifecycle.State{lifecycle.StateCancelled}
				}
				for _, o := range outcomes {
					kids(add(root, k, s, o), lifecycle.StateSucceeded, lifecycle.StateError)
					kids(add(root, k, s, o), lifecycle.StateWait, lifecycle.StateCancelled)
					kids(add(root, k, s, o), lifecycle.StateCancelling)
				}
			default:
				kids(add(root, k, s, 0), lifecycle.StateBlocked, lifecycle.StateFinished)
				if s == lifecycle.StateRunning || s == lifecycle.StatePaused {
					kids(add(root, k, s, 0), lifecycle.StateRunning, lifecycle.StateCompleted)
					add(root, k, s, 0)
				}
			}
		}
	}
	for parent, depth := root, 0; depth < 5; depth++ {
		parent = add(parent, lifecycle.KindParent, lifecycle.StateHold, 0)
		kids(parent, lifecycle.StateReady)
	}
	return h.fit().All(all)
}

// workingTree returns a small tree whose work runs.
func (h Harness) workingTree() []lifecycle.Request {
	return []lifecycle.Request{
		h.request(1, 0, lifecycle.KindParent, lifecycle.StateRunning),
		h.request(2, 1, lifecycle.KindSubrequestParent, lifecycle.StateRunning),
		h.request(3, 2, lifecycle.KindChild, lifecycle.StateRunning),
		h.request(4, 2, lifecycle.KindChild, lifecycle.StateWait),
		h.request(5, 1, lifecycle.KindChild, lifecycle.StateRunning),
		h.request(6, 1, lifecycle.KindChild, lifecycle.StateCompleted),
		h.request(7, 0, lifecycle.KindSingleton, lifecycle.StateRunning),
		h.request(8, 0, lifecycle.KindSingleton, lifecycle.StateHold),
	}
}

// forest returns some trees.
func (h Harness) forest() []lifecycle.Request {
	var all []lifecycle.Request
	for id := lifecycle.ID(10); id < 20; id++ {
		all = append(all,
			h.request(id, 0, lifecycle.KindParent, lifecycle.StateRunning),
			h.request(id+10, id, lifecycle.KindChild, lifecycle.StateWait),
			h.request(id+20, id, lifecycle.KindChild, lifecycle.StateRunning+lifecycle.State(id%2)),
		)
	}
	return h.fit().All(all)
}
