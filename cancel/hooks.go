package cancel

import (
	"context"
	"log/slog"
	"slices"

	"example.com/ess/lifecycle"
)

// Hooks are functions that every operation of a [Canceller] calls as it goes on, for
// tracing, counting and logging. Any may be nil.
//
// They run on the goroutine of the operation, and concurrently if operations run
// concurrently. They cannot stop an operation, and must not call the Canceller for the
// same request. A panic in one reaches the caller of the operation.
//
// Every order of a CancelAll is an operation of its own. ExecutePlan is one operation.
// Plan calls no hooks, nor do [Workers.Poll] and the functions that list requests.
type Hooks struct {
	// Start is called before anything else. The context that it returns is used for
	// the operation and given to the other hooks.
	Start func(ctx context.Context, info StartInfo) context.Context
	// End is called once for every operation: when it returns, or when a function of
	// the caller, such as [Order.Receipt], panics in it.
	End func(ctx context.Context, info EndInfo)
	// Transition is called for every change that is known to be stored, children
	// included. It is not called for check-ins.
	Transition func(ctx context.Context, info TransitionInfo)
}

// A StartInfo describes an operation that starts. Actor and Reason have been cleaned as
// [MaxActor] says.
type StartInfo struct {
	Op     Op
	ID     lifecycle.ID
	Actor  string
	Reason string
}

// LogValue implements [slog.LogValuer].
func (i StartInfo) LogValue() slog.Value { return slog.GroupValue(i.attrs()...) }

func (i StartInfo) attrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("op", string(i.Op)), slog.Int64("id", int64(i.ID))}
	if i.Actor != "" {
		attrs = append(attrs, slog.String("actor", i.Actor))
	}
	if i.Reason != "" {
		attrs = append(attrs, slog.String("reason", i.Reason))
	}
	return attrs
}

// An EndInfo describes an operation that ends. The Result of a check-in is zero, and that
// of a transition counts only the ancestors that were settled.
type EndInfo struct {
	StartInfo // what Start was called with
	Result    Result
	Err       error
}

// LogValue implements [slog.LogValuer].
func (i EndInfo) LogValue() slog.Value {
	attrs := append(i.attrs(), slog.Any("counts", i.Result.Counts))
	if i.Result.Interrupted != 0 {
		attrs = append(attrs, slog.Int("interrupted", i.Result.Interrupted))
	}
	if i.Result.InterruptErr != nil {
		attrs = append(attrs, slog.Any("interrupt_err", i.Result.InterruptErr))
	}
	if i.Err != nil {
		attrs = append(attrs, slog.Any("err", i.Err))
	}
	return slog.GroupValue(attrs...)
}

// A TransitionInfo describes a change that is stored. From and To are the same if only
// [lifecycle.Request.Outcome] has changed, because a parent's work acknowledged or was
// forced.
type TransitionInfo struct {
	ID, Parent lifecycle.ID
	Kind       lifecycle.Kind
	From, To   lifecycle.State
	Trigger    lifecycle.Trigger
	Cause      Cause
}

// LogValue implements [slog.LogValuer].
func (i TransitionInfo) LogValue() slog.Value {
	return slog.GroupValue(
		slog.Int64("id", int64(i.ID)),
		slog.Int64("parent", int64(i.Parent)),
		slog.Any("kind", i.Kind),
		slog.Any("from", i.From),
		slog.Any("to", i.To),
		slog.Any("trigger", i.Trigger),
		slog.Int64("root", int64(i.Cause.Root)),
	)
}

// LogValue implements [slog.LogValuer].
func (c Counts) LogValue() slog.Value {
	var attrs []slog.Attr
	for d := range Dispositions() {
		if c[d] != 0 {
			attrs = append(attrs, slog.Int(d.String(), c[d]))
		}
	}
	return slog.GroupValue(attrs...)
}

// JoinHooks returns hooks that call each of hs in order, but their End functions in
// reverse order.
func JoinHooks(hs ...Hooks) Hooks {
	return Hooks{
		Start: func(ctx context.Context, info StartInfo) context.Context {
			for _, h := range hs {
				if h.Start != nil {
					ctx = h.Start(ctx, info)
				}
			}
			return ctx
		},
		End: func(ctx context.Context, info EndInfo) {
			for _, h := range slices.Backward(hs) {
				if h.End != nil {
					h.End(ctx, info)
				}
			}
		},
		Transition: joinTransitions(hs),
	}
}

// joinTransitions returns nil if none of hs has a Transition, because that function makes
// a capability list every child.
func joinTransitions(hs []Hooks) func(context.Context, TransitionInfo) {
	var fs []func(context.Context, TransitionInfo)
	for _, h := range hs {
		if h.Transition != nil {
			fs = append(fs, h.Transition)
		}
	}
	if len(fs) == 0 {
		return nil
	}
	return func(ctx context.Context, info TransitionInfo) {
		for _, f := range fs {
			f(ctx, info)
		}
	}
}
