package simulate

import (
	"fmt"
	"strings"
	"sync"

	"example.com/ess/cancel/canceltest"
	"example.com/ess/lifecycle"
)

// A Tree is some requests with a name.
type Tree struct {
	Name     string
	Requests []lifecycle.Request
}

// Trees returns the trees that [CheckCrashes] and [CheckFaults] use where they are given
// none. Between them they have every kind of request in every state, as a leaf, as
// an inner node and at the top, and cancels that were cut off in the middle.
func Trees() []Tree { return trees() }

var trees = sync.OnceValue(func() []Tree {
	all := []Tree{
		parsedTree("nested", `
			1 PARENT RUNNING
			  2 SUBREQUEST_PARENT PAUSED
			    3 PARENT WAIT
			      4 SUBREQUEST_PARENT RUNNING
			        5 CHILD READY
			        6 CHILD RUNNING
			      7 CHILD HOLD
			    8 CHILD SUCCEEDED
			  9 PARENT RUNNING`),
		parsedTree("cut off", `
			1 PARENT CANCELLING (then CANCELLED)
			  2 CHILD WAIT
			  3 SUBREQUEST_PARENT RUNNING
			    4 CHILD READY
			  5 PARENT CANCELLING
			    6 CHILD RUNNING
			    7 SUBREQUEST_PARENT CANCELLING
			      8 CHILD CANCELLED`),
		parsedTree("ancestors wait", `
			1 PARENT CANCELLING
			  2 SUBREQUEST_PARENT CANCELLING (then WARNING)
			    3 PARENT CANCELLING (then CANCELLED)
			      4 CHILD CANCELLING`),
		parsedTree("single", `
			1 SINGLETON WAIT
			2 SINGLETON RUNNING
			3 SINGLETON CANCELLING
			4 SINGLETON SUCCEEDED
			5 PARENT READY
			6 SUBREQUEST_PARENT RUNNING
			7 SUBREQUEST_PARENT CANCELLING`),
		parsedTree("work and children", `
			1 SUBREQUEST_PARENT RUNNING
			  2 CHILD RUNNING
			  3 CHILD WAIT
			  4 SUBREQUEST_PARENT COMPLETED
			    5 CHILD PENDING_VALIDATION
			    6 CHILD ERROR`),
		parsedTree("not settled", `
			1 PARENT CANCELLING (then CANCELLED)
			  2 SUBREQUEST_PARENT CANCELLING (then SUCCEEDED)
			    3 CHILD CANCELLED
			  4 PARENT CANCELLING
			    5 PARENT CANCELLED
			      6 CHILD SUCCEEDED`),
		parsedTree("chain", `
			1 PARENT SCHEDULE_ENDED
			  2 PARENT HOLD
			    3 PARENT RUNNING
			      4 CHILD BLOCKED`),
		parsedTree("ids upside down", `
			9 PARENT RUNNING
			  5 PARENT WAIT
			    7 CHILD WAIT
			    2 SUBREQUEST_PARENT READY
			      1 CHILD RUNNING
			  8 CHILD COMPLETED
			  3 PARENT CANCELLING
			    6 CHILD CANCELLING`),
		parsedTree("wide", `
			1 PARENT RUNNING
			  2 PARENT WAIT
			    5 CHILD WAIT
			    6 CHILD RUNNING
			    7 CHILD READY
			  3 SUBREQUEST_PARENT WAIT
			    8 CHILD WAIT
			    9 CHILD HOLD
			    10 CHILD EXPIRED
			  4 PARENT COMPLETED
			    11 CHILD RUNNING
			    12 CHILD COMPLETED
			    13 CHILD ERROR_AUTO_RETRY`),
	}
	for k := range lifecycle.Kinds() {
		all = append(all, everyState(k))
	}
	return all
})

// everyState returns a tree with a request of kind k in every state, below a running
// parent. Every second one that may have children has one.
func everyState(k lifecycle.Kind) Tree {
	top := lifecycle.Request{ID: 1, Kind: lifecycle.KindSubrequestParent, State: lifecycle.StateRunning}
	if k == lifecycle.KindChild || k == lifecycle.KindParent {
		top.Kind = lifecycle.KindParent
	}
	t := Tree{fmt.Sprintf("%v in every state", k), []lifecycle.Request{top}}
	id := lifecycle.ID(2)
	for s := range lifecycle.States() {
		r := lifecycle.Request{ID: id, Parent: 1, Kind: k, State: s}
		t.Requests = append(t.Requests, r)
		id++
		if k.HasChildren() && id%3 != 0 {
			kid := lifecycle.Request{ID: id, Parent: r.ID, Kind: lifecycle.KindChild, State: lifecycle.StateWait}
			if lifecycle.Terminal.Has(s) {
				kid.State = lifecycle.StateSucceeded // a parent ends after its children
			}
			t.Requests = append(t.Requests, kid)
			id++
		}
	}
	return t
}

// parsedTree is for texts in this file.
func parsedTree(name, text string) Tree {
	requests, err := canceltest.ParseTree(strings.ReplaceAll(text, "\t", ""))
	if err != nil {
		panic(err) // a mistake in this file
	}
	return Tree{name, requests}
}
