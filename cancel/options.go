package cancel

import (
	"context"
	"time"

	"example.com/ess/lifecycle"
)

// Options are optional settings of a [Canceller]. A nil *Options or a zero field
// gives the default.
type Options struct {
	// Authorizer says who may cancel and force what. By default everybody may:
	// whoever calls this package has decided already.
	Authorizer Authorizer
	// Interrupter tells running work to stop. By default nobody does: the work
	// has to ask, with [Canceller.CheckIn].
	Interrupter Interrupter
	// Hooks are called as operations go on. By default there are none.
	Hooks Hooks
	// Grace is how long [Canceller.Force] waits for work to acknowledge, counted
	// from when the request became CANCELLING or its work last checked in. Zero
	// means 30 minutes, as documented for ESS's forceCancel. A negative Grace
	// means that Force does not wait.
	Grace time.Duration
	// PageSize is how many requests one call of the Repository reads or writes at
	// most. [TreeCanceller] and [Settler] are asked for up to five times as many.
	// Zero means 1000.
	PageSize int
	// MaxAttempts is how often a write to a request is tried if others keep
	// changing the request between the read and the write. Zero means 8.
	MaxAttempts int
	// Now returns the current time. By default it is time.Now.
	Now func() time.Time
}

// An Access is what an [Authorizer] is asked to permit.
type Access struct {
	Op    Op // OpCancel or OpForce
	ID    lifecycle.ID
	Actor string // as the Order has it, not cleaned
}

// An Authorizer says who may cancel and force what. It must be safe for concurrent use.
type Authorizer interface {
	// Authorize returns nil if the access is permitted. It is called before the
	// request is read, once for each Cancel, Fence, Force, Plan and order of a
	// CancelAll; ExecutePlan makes a Plan and a Cancel. It is not called for what
	// is below the request, nor by any other operation.
	//
	// An error or a panic means no: the operation fails with
	// [esserrors.CodeNotAuthorized] and has changed nothing. An error that comes
	// when ctx is done is taken to be that of ctx.
	Authorize(ctx context.Context, a Access) error
}

// An AuthorizerFunc is a function that is an [Authorizer].
type AuthorizerFunc func(ctx context.Context, a Access) error

// Authorize calls f.
func (f AuthorizerFunc) Authorize(ctx context.Context, a Access) error { return f(ctx, a) }

// An Interrupter tells running work that it should stop. [Workers] is one for
// work in this process. It must be safe for concurrent use.
type Interrupter interface {
	// Interrupt asks the work of the given requests to stop. It is called on the
	// goroutine of the operation, after the call of the store that made the
	// requests CANCELLING, and again in every further cancel and Resume until the
	// work has acknowledged. It should be quick, and must not wait for the work.
	// The slice must not be kept.
	//
	// The cause is that of the cancel. In Resume it lacks the Actor and the Reason,
	// and may be zero, if the store cannot tell causes.
	//
	// If the Repository works in a transaction of the caller, Interrupt is called
	// before the commit, and also if there never is one. So a Canceller made for
	// such a transaction must not have [Workers] here. Give it no Interrupter, or
	// one that only collects the ids, and stop the work after the commit: with
	// [Workers.Interrupt] for these ids, or with [Workers.Poll].
	//
	// An error or a panic does not fail the operation; it is reported in
	// [Result.InterruptErr].
	Interrupt(ctx context.Context, ids []lifecycle.ID, cause Cause) error
}

// An InterrupterFunc is a function that is an [Interrupter].
type InterrupterFunc func(ctx context.Context, ids []lifecycle.ID, cause Cause) error

// Interrupt calls f.
func (f InterrupterFunc) Interrupt(ctx context.Context, ids []lifecycle.ID, cause Cause) error {
	return f(ctx, ids, cause)
}
