package lifecycle

import (
	"fmt"
	"time"
)

// An ID identifies a request. Valid ids are positive; 0 stands for no request.
type ID int64

// A Request is what this module has to know of one request of a scheduler.
type Request struct {
	// ID identifies the request.
	ID ID `json:"id"`
	// Parent is the request that this one is a direct child of, or 0.
	Parent ID `json:"parent,omitzero"`
	// Kind never changes.
	Kind Kind `json:"kind"`
	// State is where the request is in its life.
	State State `json:"state"`
	// Outcome is the state that a request in CANCELLING ends in as soon as no
	// child of it is live. It is 0 as long as the request's own work has not
	// answered, and in every state but CANCELLING.
	Outcome State `json:"outcome,omitzero"`
	// CheckedIn is when the request entered CANCELLING, or when its work last
	// checked in after that. It is zero in a request that never was CANCELLING.
	// Package cancel writes it in UTC and in whole microseconds.
	CheckedIn time.Time `json:"checkedIn,omitzero"`
	// Attempt counts how often the request's work has been started or resumed. It
	// tells the attempt that runs from an earlier one that was superseded. It is 0
	// before the first start, and always in a store that does not keep it.
	Attempt int `json:"attempt,omitzero"`
	// Version is the store's own mark of this version of the request. It is
	// opaque and may be empty.
	Version string `json:"version,omitzero"`
}

// A RequestError reports a request that cannot exist.
type RequestError struct {
	ID      ID
	Problem string
}

func (e *RequestError) Error() string {
	return fmt.Sprintf("lifecycle: request %d: %s", e.ID, e.Problem)
}

// Validate returns a [*RequestError] if r cannot exist: its id is not positive,
// its parent negative or itself, its kind or state not valid, or its outcome set
// where it must not be.
func (r Request) Validate() error {
	problem := ""
	switch {
	case r.ID <= 0:
		problem = "id is not positive"
	case r.Parent < 0:
		problem = "parent id is negative"
	case r.Parent == r.ID:
		problem = "is its own parent"
	case !r.Kind.Valid():
		problem = fmt.Sprintf("unknown kind %v", r.Kind)
	case !r.State.Valid():
		problem = fmt.Sprintf("unknown state %v", r.State)
	case r.Outcome != 0 && r.State != StateCancelling:
		problem = fmt.Sprintf("has an outcome in state %v", r.State)
	case r.Outcome != 0 && !Outcomes.Has(r.Outcome):
		problem = fmt.Sprintf("%v is not an outcome", r.Outcome)
	default:
		return nil
	}
	return &RequestError{r.ID, problem}
}
