package main

import (
	"context"
	"sync/atomic"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// counting returns repo with its capability to cancel pages, or without any, and counts
// the calls of it.
func counting(repo cancel.ChildCanceller, caps bool, calls *atomic.Int64) cancel.Repository {
	plain := counted{repo, calls}
	if caps {
		return countedPages{plain, repo}
	}
	return plain
}

type counted struct {
	repo  cancel.Repository
	calls *atomic.Int64
}

func (c counted) Get(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
	c.calls.Add(1)
	return c.repo.Get(ctx, id)
}

func (c counted) Children(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
	c.calls.Add(1)
	return c.repo.Children(ctx, q)
}

func (c counted) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	c.calls.Add(1)
	return c.repo.Apply(ctx, changes)
}

type countedPages struct {
	counted
	pages cancel.ChildCanceller
}

func (c countedPages) CancelChildren(ctx context.Context, cc cancel.ChildCancel) (cancel.ChildPage, error) {
	c.calls.Add(1)
	return c.pages.CancelChildren(ctx, cc)
}
