package explore

import (
	"context"
	"maps"
	"slices"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// ExploreOn is Explore, but goes on after a violation. It returns all that is wrong.
func ExploreOn(ctx context.Context, w World) (Report, []string, error) {
	e, err := newExplorer(w)
	if err != nil {
		return Report{}, nil, err
	}
	e.collect = true
	err = e.search(ctx)
	e.report.Ends = slices.Sorted(maps.Keys(e.ends))
	return e.report, slices.Sorted(maps.Keys(e.found)), err
}

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
