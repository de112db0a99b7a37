package service

import (
	"context"
	"sync"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	"example.com/ess/lifecycle"
)

// A Memory is a [Store] that forgets everything when its process ends, also which ids
// it has given. The zero Memory is empty and ready to use.
type Memory struct {
	memrepo.Repo
	mu   sync.Mutex
	last lifecycle.ID // that has been given
	jobs map[lifecycle.ID]Job
}

// Submit implements [Store]. The topmost request is validated when all of them are
// there, so that none starts before.
func (m *Memory) Submit(ctx context.Context, t *Tree) (lifecycle.ID, error) {
	ctx = context.WithoutCancel(ctx) // all or none
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.jobs == nil {
		m.jobs = map[lifecycle.ID]Job{}
	}
	top := m.last + 1
	for r, job := range t.Requests(top) {
		if r.ID == top {
			r.State = lifecycle.StatePendingValidation
		}
		// Only of the topmost does this fail, or if somebody cancels it meanwhile; and
		// then nothing of the tree is live.
		if err := m.Repo.Submit(ctx, r); err != nil {
			return 0, err
		}
		m.last = r.ID
		m.jobs[r.ID] = job
	}
	return top, m.validate(ctx, top)
}

func (m *Memory) validate(ctx context.Context, id lifecycle.ID) error {
	old, err := m.Get(ctx, id)
	if err != nil {
		return err
	}
	state, err := lifecycle.Advance(old.Kind, old.State, lifecycle.TriggerValidate)
	if err != nil {
		return err
	}
	_, err = m.Apply(ctx, []cancel.Change{{Old: old, Trigger: lifecycle.TriggerValidate, State: state}})
	return err
}

// Job implements [Store].
func (m *Memory) Job(_ context.Context, id lifecycle.ID) (Job, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.jobs[id], nil
}
