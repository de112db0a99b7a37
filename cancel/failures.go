package cancel

import (
	"context"
	"errors"
	"fmt"
	"math/bits"

	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// failures collects what went wrong with single requests while the operation
// went on with the others.
type failures struct {
	conflicts, others int
	first             []error // of each sort together, at most maxFailures
}

// fail notes that the store failed on a request.
func (f *failures) fail(err error) {
	f.others++
	f.keep(err)
}

// conflict notes that others kept this call from a request.
func (f *failures) conflict(err error) {
	f.conflicts++
	f.keep(err)
}

func (f *failures) keep(err error) {
	if len(f.first) < maxFailures {
		f.first = append(f.first, err)
	}
}

func (f *failures) err(verb string, id lifecycle.ID) error {
	switch cause := errors.Join(f.first...); {
	case f.others > 0:
		return esserrors.System(verb, int64(id), fmt.Errorf("%d failures: %w", f.others+f.conflicts, cause))
	case f.conflicts > 0:
		return esserrors.Conflict(verb, int64(id), fmt.Sprintf("Others kept changing %d of the requests.", f.conflicts), cause)
	default:
		return nil
	}
}

const maxFailures = 8

// storeErrors counts how often in a row the store has failed. What fails is tried
// again in smaller parts, so that one request that cannot be read or written does not
// keep the others from it; a store that fails at everything is not tried for ever.
type storeErrors struct{ inRow, most int }

// note counts err, the answer of a call.
func (s *storeErrors) note(err error) {
	if err == nil {
		s.inRow = 0
	} else {
		s.inRow++
	}
}

// giveUp reports whether it is time to stop.
func (s *storeErrors) giveUp(ctx context.Context) bool {
	return ctx.Err() != nil || s.inRow >= s.most
}

// newStoreErrors allows for more failures than halving a page down to one request
// takes.
func newStoreErrors(pageSize int) storeErrors {
	return storeErrors{most: bits.Len(uint(pageSize)) + 8}
}
