package explore

import (
	"errors"
	"fmt"
	"strings"

	"example.com/ess/cancel/canceltest/internal/show"
	esserrors "example.com/ess/errors"
)

// showResult is what an operation has returned, and said in receipts.
func showResult(op *worldOp) string {
	var b strings.Builder
	if op.err == nil && op.name == opTransition {
		return show.State(op.moved)
	}
	if op.err == nil {
		b.WriteString(op.result.Counts.String())
	} else {
		b.WriteString(show.Answer(op.err))
		if op.result.Counts.Total() > 0 {
			fmt.Fprintf(&b, " (%v)", op.result.Counts)
		}
	}
	for _, r := range op.receipts {
		r.Err = nil
		fmt.Fprintf(&b, "\n       receipt: %v", r)
	}
	return b.String()
}

// unsupported reports whether an operation was refused for the state of its request.
func unsupported(err error) bool { return errors.Is(err, esserrors.CodeUnsupportedState) }
