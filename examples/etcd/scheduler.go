package etcd

import (
	"context"
	"errors"
	"fmt"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// Insert stores requests as they are. It is for a scheduler that moves here; one that
// submits new work calls [Store.Submit]. It fails at ids that are taken; after an error
// some of the requests may have been stored.
func (s *Store) Insert(ctx context.Context, requests ...lifecycle.Request) error {
	parts := slices.Collect(slices.Chunk(requests, maxOps/maxPut))
	return inParallel(ctx, len(parts), func(ctx context.Context, n int) error {
		var conditions []clientv3.Cmp
		var writes []clientv3.Op
		for _, r := range parts[n] {
			if err := r.Validate(); err != nil {
				return err
			}
			ops, _, err := s.put(record{}, record{Request: r})
			if err != nil {
				return fmt.Errorf("etcd: insert: %w", err)
			}
			conditions = append(conditions, s.free(r.ID))
			writes = append(writes, ops...)
		}
		resp, err := s.client.Txn(ctx).If(conditions...).Then(writes...).Commit()
		if err != nil {
			return fmt.Errorf("etcd: insert: %w", err)
		}
		if !resp.Succeeded {
			return fmt.Errorf("etcd: insert: of requests %d to %d some are there already", parts[n][0].ID, parts[n][len(parts[n])-1].ID)
		}
		return nil
	})
}

// free is the condition that there is no request of that id.
func (s *Store) free(id lifecycle.ID) clientv3.Cmp {
	return clientv3.Compare(clientv3.CreateRevision(s.key(at, id)), "=", 0)
}

// Submit stores a new request, if its parent, should it have one, admits a child at this
// moment: see [lifecycle.AdmitsChildren]. The error has
// [esserrors.CodeUnsupportedState] if the parent does not, [esserrors.CodeNotFound] if
// there is none, and [esserrors.CodeConflict] if others kept changing it.
func (s *Store) Submit(ctx context.Context, r lifecycle.Request) error {
	if err := r.Validate(); err != nil {
		return err
	}
	writes, _, err := s.put(record{}, record{Request: r})
	if err != nil {
		return fmt.Errorf("etcd: submit: %w", err)
	}
	for range maxAttempts {
		conditions := []clientv3.Cmp{s.free(r.ID)}
		if r.Parent != 0 {
			p, err := s.get(ctx, r.Parent)
			switch {
			case errors.Is(err, cancel.ErrNotFound):
				return esserrors.NotFound("submit", int64(r.Parent), err)
			case err != nil:
				return err
			case !lifecycle.AdmitsChildren(p.Kind, p.State):
				return esserrors.UnsupportedState("submit", int64(p.ID), p.Kind.String(), p.State.String())
			}
			// What makes this atomic: the child is stored only if its parent is still
			// what has just been read. A cancel that fences the parent changes it.
			admits, err := s.unchanged(p)
			if err != nil {
				return fmt.Errorf("etcd: submit: %w", err)
			}
			conditions = append(conditions, admits)
		}
		resp, err := s.client.Txn(ctx).If(conditions...).Then(writes...).Else(clientv3.OpGet(s.key(at, r.ID), clientv3.WithCountOnly())).Commit()
		switch {
		case err != nil:
			return fmt.Errorf("etcd: submit: %w", err)
		case resp.Succeeded:
			return nil
		case resp.Responses[0].GetResponseRange().Count > 0:
			return fmt.Errorf("etcd: submit: request %d is there already", r.ID)
		}
	}
	return esserrors.Conflict("submit", int64(r.Parent), "Others kept changing the parent.", nil)
}

// Fire makes a transition of the scheduler's own, such as the start of a request, by the
// rules of package lifecycle. It returns the request as it is then.
//
// The error has [esserrors.CodeUnsupportedState] if no rule permits the transition,
// [esserrors.CodeConflict] if it would end a request that has a live child or if others
// kept changing the request, or [esserrors.CodeNotFound]. The triggers of a cancel are
// more than a change of one state: for them there is [cancel.Canceller].
func (s *Store) Fire(ctx context.Context, id lifecycle.ID, t lifecycle.Trigger) (lifecycle.Request, error) {
	for range maxAttempts {
		old, err := s.get(ctx, id)
		if errors.Is(err, cancel.ErrNotFound) {
			return lifecycle.Request{}, esserrors.NotFound(t.String(), int64(id), err)
		}
		if err != nil {
			return lifecycle.Request{}, err
		}
		to, ok := lifecycle.Next(old.Kind, old.State, t)
		if !ok || old.State == lifecycle.StateCancelling || to == lifecycle.StateCancelling || t == lifecycle.TriggerCancel {
			return lifecycle.Request{}, esserrors.UnsupportedState(t.String(), int64(id), old.Kind.String(), old.State.String())
		}
		rec := old
		rec.State = to
		writes, _, err := s.put(old, rec)
		if err != nil {
			return lifecycle.Request{}, fmt.Errorf("etcd: %v: %w", t, err)
		}
		unchanged, err := s.unchanged(old)
		if err != nil {
			return lifecycle.Request{}, fmt.Errorf("etcd: %v: %w", t, err)
		}
		conditions := []clientv3.Cmp{unchanged}
		children := clientv3.OpGet(s.key(live, id), clientv3.WithPrefix(), clientv3.WithCountOnly())
		if lifecycle.Terminal.Has(to) {
			// A parent ends after its children. Of keys that are not there etcd says
			// that they were created at revision 0, of all others it does not.
			conditions = append(conditions, clientv3.Compare(clientv3.CreateRevision(s.key(live, id)), "=", 0).WithPrefix())
		}
		resp, err := s.client.Txn(ctx).If(conditions...).Then(writes...).Else(children).Commit()
		switch {
		case err != nil:
			return lifecycle.Request{}, fmt.Errorf("etcd: %v: %w", t, err)
		case resp.Succeeded:
			rec.Version = fmt.Sprint(resp.Header.Revision)
			return rec.Request, nil
		case lifecycle.Terminal.Has(to) && resp.Responses[0].GetResponseRange().Count > 0:
			return lifecycle.Request{}, esserrors.Conflict(t.String(), int64(id), "The request has a live child.", nil)
		}
	}
	return lifecycle.Request{}, esserrors.Conflict(t.String(), int64(id), "Others kept changing the request.", nil)
}
