package cancel

import (
	"context"
	"time"

	"example.com/ess/lifecycle"
)

// Options are optional settings of a [Canceller]. A nil *Options or a zero field
// gives the default.
type Options struct {
	// Authorizer says who may cancel what. By default everybody may: the caller
	// of this package has already decided.
	Authorizer Authorizer
	// Interrupter tells running work to stop. By default nobody does: the work
	// has to ask, by [Canceller.CheckIn].
	Interrupter Interrupter
	// Hooks are called as operations go on. By default there are none.
	Hooks Hooks
	// Grace is how long [Canceller.Force] waits for work to acknowledge, counted
	// from when the request became CANCELLING or its work last checked in, as
	// the clock of the process says that wrote it. Zero means 30 minutes, which is
	// ESS's rule. A negative Grace means none.
	Grace time.Duration
	// PageSize is how many requests are read or written in one call of the
	// Repository. Zero means 1000.
	PageSize int
	// MaxAttempts is how often a write to a request is tried when others keep
	// changing it between the read and the write. Zero means 8.
	MaxAttempts int
	// Now returns the current time. By default it is time.Now.
	Now func() time.Time
}

// An Access is what an [Authorizer] is asked to permit.
type Access struct {
	Op    Op // OpCancel or OpForce
	ID    lifecycle.ID
	Actor string // as given, not as kept
}

// An Authorizer says who may cancel what. It must be safe for concurrent use.
type Authorizer interface {
	// Authorize returns nil if the access is permitted. It is called before the
	// request is read, once for each operation and not for the children that it
	// reaches. Any error, and a panic, means no: the operation fails with
	// [esserrors.CodeNotAuthorized] and has changed nothing.
	Authorize(ctx context.Context, a Access) error
}

// An AuthorizerFunc is a function that is an [Authorizer].
type AuthorizerFunc func(ctx context.Context, a Access) error

// Authorize calls f.
func (f AuthorizerFunc) Authorize(ctx context.Context, a Access) error { return f(ctx, a) }

// An Interrupter tells running work that it should stop. [Workers] is one for
// work in this process. It must be safe for concurrent use.
type Interrupter interface {
	// Interrupt asks the work of the given requests to stop. It is called after
	// the store has been written, on the goroutine of the operation, at least once
	// for every request with work to stop, and again with every further cancel.
	// It should be quick, and must not wait for the work. The cause is that of the
	// cancel; it is zero where Resume tells again and the store cannot say.
	//
	// Where the Repository works in a transaction of the caller, work is told before
	// that commits, and also if it never does: give such a Canceller no
	// Interrupter, and tell the work after the commit.
	//
	// An error, or a panic, does not fail the cancel; it is reported in
	// [Result.InterruptErr]. The slice must not be kept.
	Interrupt(ctx context.Context, ids []lifecycle.ID, cause Cause) error
}

// An InterrupterFunc is a function that is an [Interrupter].
type InterrupterFunc func(ctx context.Context, ids []lifecycle.ID, cause Cause) error

// Interrupt calls f.
func (f InterrupterFunc) Interrupt(ctx context.Context, ids []lifecycle.ID, cause Cause) error {
	return f(ctx, ids, cause)
}
