package cancel

import (
	"context"
	"errors"
	"fmt"
	"math/bits"

	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// maxFailures is how many errors about single requests the error of an operation has.
const maxFailures = 8

// failures collects what went wrong with single requests while an operation goes on with
// the others.
type failures struct {
	conflicts, others int
	first             []error // the first maxFailures, conflicts and others
}

// fail adds the failure of the store on a request.
func (f *failures) fail(err error) {
	f.others++
	f.keep(err)
}

// conflict adds a request from which others kept this call.
func (f *failures) conflict(err error) {
	f.conflicts++
	f.keep(err)
}

// keep keeps err if it is one of the first.
func (f *failures) keep(err error) {
	if len(f.first) < maxFailures {
		f.first = append(f.first, err)
	}
}

// err returns one error for all failures, or nil if there are none.
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

// storeErrors counts how often in a row the store has failed. A call that fails is tried
// again in smaller parts, so that one request which cannot be read or written does not
// keep the others from being so. A store that fails at everything is not tried for ever.
type storeErrors struct{ inRow, most int }

// newStoreErrors returns a storeErrors that permits more failures in a row than it takes
// to halve a page down to one request.
func newStoreErrors(pageSize int) storeErrors {
	return storeErrors{most: bits.Len(uint(pageSize)) + 8}
}

// note counts err, which a call of the store has returned. Nil ends the row.
func (s *storeErrors) note(err error) {
	if err == nil {
		s.inRow = 0
	} else {
		s.inRow++
	}
}

// giveUp reports whether the operation has to stop, because ctx is done or the store has
// failed too often in a row.
func (s *storeErrors) giveUp(ctx context.Context) bool {
	return ctx.Err() != nil || s.inRow >= s.most
}
