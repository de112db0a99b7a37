package explore

import (
	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// A RowChange is what one step of an operation did to a request.
type RowChange struct{ Before, After lifecycle.Request }

// Mismatch returns what is wrong with a receipt of an operation that did changes to a request
// which now is as given.
func Mismatch(rec cancel.Receipt, now lifecycle.Request, changes ...RowChange) string {
	op := &worldOp{name: opCancel}
	for _, c := range changes {
		op.changes = append(op.changes, rowChange{before: c.Before, after: c.After})
	}
	return op.mismatch(rec, now)
}
