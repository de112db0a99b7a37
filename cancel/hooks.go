package cancel

import (
	"context"
	"log/slog"
	"slices"

	"example.com/ess/lifecycle"
)

// Hooks are functions called at points of every operation of a [Canceller], for
// tracing, counting and logging. Any may be nil.
//
// They run on the goroutine of the operation, and concurrently where operations
// do. They cannot veto, must not call the Canceller for the same request, and a
// panic in one passes through.
//
// Every order of a CancelAll is an operation of its own. ExecutePlan is one operation;
// the look at the tree that comes first is none.
type Hooks struct {
	// Start is called before anything else. The context that it returns is used for
	// the operation and given to the other hooks.
	Start func(ctx context.Context, info StartInfo) context.Context
	// End is called once for every Start, when the operation returns, or is left by
	// a panic in a function of the caller, such as [Order.Receipt].
	End func(ctx context.Context, info EndInfo)
	// Transition is called for every change that has been stored, children
	// included, but for check-ins.
	Transition func(ctx context.Context, info TransitionInfo)
}

// A StartInfo is the operation that starts.
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

// An EndInfo is the operation that ends. The Result is zero for a check-in, and for a
// transition it has only the ancestors that were settled.
type EndInfo struct {
	StartInfo // as Start was given it
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

// A TransitionInfo is a change that has been stored. From and To are the same where
// only the answer of the request's work has been recorded.
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

// JoinHooks returns hooks that call each of hs in order, the Ends in reverse.
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

// joinTransitions returns nil if nobody wants them: they make a store list every child.
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
