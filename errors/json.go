package errors

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// A record is an Error in JSON.
type record struct {
	Code   Code    `json:"code,omitzero"`
	Op     string  `json:"op,omitzero"`
	ID     int64   `json:"id,omitzero"`
	Kind   string  `json:"kind,omitzero"`
	State  string  `json:"state,omitzero"`
	Wait   string  `json:"wait,omitzero"`
	Detail string  `json:"detail,omitzero"`
	Cause  *string `json:"cause,omitzero"` // an empty text is a cause too
}

// MarshalJSON implements [json.Marshaler]. The object has the fields code (the
// text of the [Code]), op, id, kind, state, wait (with its units, as [time.Duration]
// prints it: "29m30s"), detail and cause, without those that are zero. Of the
// cause it has the text.
//
// The cause may tell addresses, accounts or passwords: this object is for the
// operator's own storage and logs, never for a client. [ProblemOf] makes the
// document for clients.
func (e Error) MarshalJSON() ([]byte, error) {
	r := record{Code: e.Code, Op: e.Op, ID: e.ID, Kind: e.Kind, State: e.State, Detail: e.Detail}
	if e.Wait != 0 {
		r.Wait = e.Wait.String()
	}
	if e.Err != nil {
		r.Cause = new(e.Err.Error())
	}
	return json.Marshal(r)
}

// UnmarshalJSON implements [json.Unmarshaler]. The Error it reads has the code,
// the text and the [RetryAfter] of the one that was written. Its cause is an
// error that has nothing but the text, so it matches no error. Fields that it
// does not know are ignored; after an error e is what it was before.
func (e *Error) UnmarshalJSON(data []byte) error {
	var r record
	if string(data) == "null" {
		return nil // as encoding/json asks of every UnmarshalJSON
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return err
	}
	read := Error{Code: r.Code, Op: r.Op, ID: r.ID, Kind: r.Kind, State: r.State, Detail: r.Detail}
	if r.Wait != "" {
		wait, err := time.ParseDuration(r.Wait)
		if err != nil {
			return fmt.Errorf("errors: reading the wait: %w", err)
		}
		read.Wait = wait
	}
	if r.Cause != nil {
		read.Err = errors.New(*r.Cause)
	}
	*e = read
	return nil
}
