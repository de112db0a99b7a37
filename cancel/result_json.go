package cancel

import (
	"encoding/json"

	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

type receiptJSON struct {
	ID          lifecycle.ID     `json:"id"`
	Parent      lifecycle.ID     `json:"parent,omitzero"`
	Kind        lifecycle.Kind   `json:"kind"`
	Disposition Disposition      `json:"disposition"`
	From        lifecycle.State  `json:"from"`
	To          lifecycle.State  `json:"to"`
	Err         *esserrors.Error `json:"error,omitempty"`
}

type resultJSON struct {
	Root         Receipt          `json:"root"`
	Counts       Counts           `json:"counts"`
	Interrupted  int              `json:"interrupted,omitzero"`
	InterruptErr *esserrors.Error `json:"interruptError,omitempty"`
}

// MarshalJSON implements [json.Marshaler].
func (r Receipt) MarshalJSON() ([]byte, error) {
	return json.Marshal(receiptJSON{r.ID, r.Parent, r.Kind, r.Disposition, r.From, r.To, errorJSON(r.Err)})
}

// UnmarshalJSON implements [json.Unmarshaler].
func (r *Receipt) UnmarshalJSON(b []byte) error {
	var v receiptJSON
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	*r = Receipt{v.ID, v.Parent, v.Kind, v.Disposition, v.From, v.To, jsonError(v.Err)}
	return nil
}

// MarshalJSON implements [json.Marshaler].
func (r Result) MarshalJSON() ([]byte, error) {
	return json.Marshal(resultJSON{r.Root, r.Counts, r.Interrupted, errorJSON(r.InterruptErr)})
}

// UnmarshalJSON implements [json.Unmarshaler].
func (r *Result) UnmarshalJSON(b []byte) error {
	var v resultJSON
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	*r = Result{v.Root, v.Counts, v.Interrupted, jsonError(v.InterruptErr)}
	return nil
}

// MarshalJSON implements [json.Marshaler] with an object such as {"cancelled":2}, which has
// no zeros.
func (c Counts) MarshalJSON() ([]byte, error) {
	counts := map[Disposition]int{}
	for d, n := range c {
		if n != 0 {
			counts[Disposition(d)] = n
		}
	}
	return json.Marshal(counts)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (c *Counts) UnmarshalJSON(b []byte) error {
	var counts map[Disposition]int
	if err := json.Unmarshal(b, &counts); err != nil {
		return err
	}
	*c = Counts{}
	for d, n := range counts {
		c[d] = n
	}
	return nil
}

// errorJSON returns err as an error that encodes to JSON, or nil for nil.
func errorJSON(err error) *esserrors.Error {
	switch e := err.(type) { //nolint:errorlint // what is wrapped must not lose its wrapping
	case nil:
		return nil
	case *esserrors.Error:
		return e
	default:
		return &esserrors.Error{Err: err}
	}
}

// jsonError returns e as an error, or nil for nil.
func jsonError(e *esserrors.Error) error {
	if e == nil {
		return nil
	}
	return e
}
