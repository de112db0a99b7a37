package mysql_test

import "example.com/ess/lifecycle"

// tree returns a tree of about three hundred requests with ids from root on.
func tree(root lifecycle.ID) []lifecycle.Request {
	all := []lifecycle.Request{{ID: root, Kind: lifecycle.KindParent, State: lifecycle.StateRunning}}
	add := func(parent lifecycle.ID, kind lifecycle.Kind, state lifecycle.State) lifecycle.ID {
		id := root + lifecycle.ID(len(all))
		all = append(all, lifecycle.Request{ID: id, Parent: parent, Kind: kind, State: state})
		return id
	}
	states := []lifecycle.State{
		lifecycle.StateWait, lifecycle.StateReady, lifecycle.StateRunning, lifecycle.StateReady, lifecycle.StateBlocked,
		lifecycle.StateSucceeded, lifecycle.StateHold, lifecycle.StateCompleted, lifecycle.StateErrorAutoRetry, lifecycle.StateReady,
	}
	for i := range 6 {
		parent := add(root, lifecycle.KindParent, lifecycle.StateRunning)
		for j := range 40 {
			add(parent, lifecycle.KindChild, states[(i+j)%len(states)])
		}
		sub := add(parent, lifecycle.KindSubrequestParent, []lifecycle.State{lifecycle.StateRunning, lifecycle.StatePaused}[i%2])
		for j := range 9 {
			add(sub, lifecycle.KindChild, states[(i+j)%len(states)])
		}
	}
	return all
}
