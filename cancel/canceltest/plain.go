package canceltest

import (
	"context"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest/internal/rows"
	"example.com/ess/lifecycle"
)

// Plain returns repo without its capabilities: a [cancel.Repository] and no more.
func Plain(repo cancel.Repository) cancel.Repository { return struct{ cancel.Repository }{repo} }

// ByLevel returns repo without the capabilities that do whole trees at once,
// [cancel.TreeCanceller] and [cancel.Settler]: a cascade over it goes down level by
// level.
func ByLevel(repo cancel.Repository) cancel.Repository {
	return byLevel{repo, rows.CapabilitiesOf(repo)}
}

type byLevel struct {
	cancel.Repository
	can rows.Capabilities
}

func (b byLevel) CancelChildren(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
	if b.can.Children == nil {
		return cancel.ChildPage{}, rows.Lacks("ChildCanceller")
	}
	return b.can.Children.CancelChildren(ctx, c)
}

func (b byLevel) EndParent(ctx context.Context, ch cancel.Change) (bool, error) {
	if b.can.Ender == nil {
		return false, rows.Lacks("ParentEnder")
	}
	return b.can.Ender.EndParent(ctx, ch)
}

func (b byLevel) ListCancelling(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
	if b.can.Lister == nil {
		return nil, rows.Lacks("CancellingLister")
	}
	return b.can.Lister.ListCancelling(ctx, after, limit)
}

func (b byLevel) Cause(ctx context.Context, id lifecycle.ID) (cancel.Cause, error) {
	if b.can.Causes == nil {
		return cancel.Cause{}, rows.Lacks("CauseReader")
	}
	return b.can.Causes.Cause(ctx, id)
}
