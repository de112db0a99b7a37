package service

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"

	"example.com/ess/lifecycle"
)

// A Job is what the work of a request does.
type Job struct {
	Seconds float64 `json:"seconds"` // how long it takes
	Deaf    bool    `json:"deaf"`    // whether it goes on when it is told to stop
}

// A Tree is a request that is submitted with all below it.
type Tree struct {
	// Parent is the request to put the tree below, or 0.
	Parent lifecycle.ID `json:"parent"`
	// Job is the work of a request without children.
	Job
	Children []*Tree `json:"children"`
}

// Len returns how many requests the tree has.
func (t *Tree) Len() int {
	n := 1
	for _, c := range t.Children {
		n += c.Len()
	}
	return n
}

// Requests returns the requests of the tree, parents before their children, with the job
// of each. Their ids are first and the numbers that follow it; they wait to be dispatched.
func (t *Tree) Requests(first lifecycle.ID) iter.Seq2[lifecycle.Request, Job] {
	return func(yield func(lifecycle.Request, Job) bool) {
		t.requests(&first, t.Parent, yield)
	}
}

func (t *Tree) requests(next *lifecycle.ID, parent lifecycle.ID, yield func(lifecycle.Request, Job) bool) bool {
	r := lifecycle.Request{ID: *next, Parent: parent, Kind: t.kind(parent), State: lifecycle.StateWait}
	*next++
	if !yield(r, t.Job) {
		return false
	}
	for _, c := range t.Children {
		if !c.requests(next, r.ID, yield) {
			return false
		}
	}
	return true
}

func (t *Tree) kind(parent lifecycle.ID) lifecycle.Kind {
	switch {
	case len(t.Children) > 0:
		return lifecycle.KindParent
	case parent != 0:
		return lifecycle.KindChild
	default:
		return lifecycle.KindSingleton
	}
}

// readTree returns the tree that body is, or what is wrong with it, in words for the
// client who sent it.
func readTree(body io.Reader) (*Tree, error) {
	var t *Tree
	dec := json.NewDecoder(body)
	dec.DisallowUnknownFields()
	err := dec.Decode(&t)
	if err == nil {
		if _, more := dec.Token(); more != io.EOF {
			err = errors.New("there is something behind it")
		} else {
			err = t.validate()
		}
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok { // whose text names types of this program
		err = fmt.Errorf("cannot use the %s at byte %d", wrong.Value, wrong.Offset)
	}
	if err != nil {
		return nil, &refusal{http.StatusBadRequest, fmt.Sprintf("This is not a tree of requests: %v.", err)}
	}
	return t, nil
}

func (t *Tree) validate() error {
	const year = 365 * 24 * 60 * 60
	switch {
	case t == nil:
		return errors.New("null is no request")
	case t.Seconds < 0 || t.Seconds > year:
		return errors.New("work takes between 0 seconds and a year")
	case len(t.Children) > 0 && t.Job != (Job{}):
		return errors.New("a request has either work or children")
	}
	for _, c := range t.Children {
		if err := c.validate(); err != nil {
			return err
		}
		if c.Parent != 0 {
			return errors.New("only the topmost request names its parent")
		}
	}
	return nil
}
