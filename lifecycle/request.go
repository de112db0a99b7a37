package lifecycle

import (
	"fmt"
	"time"
)

// An ID identifies a request. Valid ids are positive; 0 stands for no request.
type ID int64

// A Request is what this module has to know of one request of a scheduler. What
// else a scheduler keeps of it is the scheduler's business.
type Request struct {
	// ID identifies the request. It never changes.
	ID ID `json:"id"`
	// Parent is the request that this one is a direct child of, or 0. It never
	// changes: a request that moved to another parent in the middle of a cancel
	// could escape it.
	Parent ID `json:"parent,omitzero"`
	// Kind never changes. It is zero if the store cannot read it.
	Kind Kind `json:"kind"`
	// State is where the request is in its life. It is zero if the store cannot
	// read it, or anything else that it has to know of the request.
	State State `json:"state"`
	// Outcome is the state in which a CANCELLING request ends as soon as it has no
	// live child. It is zero as long as the request's own work has not answered.
	// A container, which has no work, gets its Outcome when it becomes CANCELLING.
	// In every other state Outcome is zero.
	Outcome State `json:"outcome,omitzero"`
	// CheckedIn is when the request became CANCELLING, or when its work last
	// checked in after that. It is the zero time in a request that never was
	// CANCELLING. Package cancel writes it in UTC and in whole microseconds.
	CheckedIn time.Time `json:"checkedIn,omitzero"`
	// Attempt counts how often the request's work has been started or resumed. It
	// tells the attempt that runs from an earlier one, which this one has
	// superseded. It is 0 before the first start. A store need not keep it: then
	// it always is 0.
	Attempt int `json:"attempt,omitzero"`
	// Version is the store's own mark of this version of the request. This module
	// does not read it. It may be empty.
	Version string `json:"version,omitzero"`
}

// A RequestError reports a request that cannot exist, or that the store could not
// read.
type RequestError struct {
	ID      ID
	Problem string // what is wrong with it
}

func (e *RequestError) Error() string {
	return fmt.Sprintf("lifecycle: request %d: %s", e.ID, e.Problem)
}

// Validate returns a [*RequestError] if r cannot exist: its id is not positive, its
// parent is negative or itself, its kind or state is not valid, its outcome is set
// where it must not be, or its attempt is negative. A request that the store could
// not read is one whose kind or state is not valid.
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
	case r.Attempt < 0:
		problem = "attempt is negative"
	default:
		return nil
	}
	return &RequestError{r.ID, problem}
}
