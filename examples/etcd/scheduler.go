package etcd

import (
	"context"
	"errors"
	"fmt"
	"math"
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
	parts := slices.Collect(slices.Chunk(requests, (maxOps-maxRaise)/maxPut))
	return inParallel(ctx, len(parts), func(ctx context.Context, n int) error {
		var conditions []clientv3.Cmp
		var writes []clientv3.Op
		var largest lifecycle.ID
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
			largest = max(largest, r.ID)
		}
		resp, err := s.client.Txn(ctx).If(conditions...).Then(append(writes, s.raise(largest))...).Commit()
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

// last is the key of the largest id so far.
func (s *Store) last() string { return s.prefix + "last" }

// maxRaise is how many operations more a transaction has to have room for that raises.
const maxRaise = 3

// raise is the operation that makes id the largest so far, if it is.
func (s *Store) raise(id lifecycle.ID) clientv3.Op {
	set := []clientv3.Op{clientv3.OpPut(s.last(), string(appendID(nil, id)))}
	// A key that is not there has no value that could be compared.
	first := clientv3.OpTxn([]clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(s.last()), "=", 0)}, set, nil)
	return clientv3.OpTxn([]clientv3.Cmp{clientv3.Compare(clientv3.Value(s.last()), "<", string(appendID(nil, id)))}, set, []clientv3.Op{first})
}

// NewIDs returns the first of n ids, in a row, that no request has or ever had, nor
// will have unless it is submitted or inserted with one of them. An id whose request is
// deleted does not come again: who kept it must not meet another request.
func (s *Store) NewIDs(ctx context.Context, n int) (first lifecycle.ID, err error) {
	for {
		resp, err := s.client.Get(ctx, s.last())
		if err != nil {
			return 0, fmt.Errorf("etcd: new ids: %w", err)
		}
		var last lifecycle.ID
		var revision int64
		for _, kv := range resp.Kvs {
			var ok bool
			if last, ok = parseID(string(kv.Value)); !ok {
				return 0, fmt.Errorf("etcd: new ids: key %q has %q, which is no id", kv.Key, kv.Value)
			}
			revision = kv.ModRevision
		}
		if n <= 0 || last > math.MaxInt64-lifecycle.ID(n) {
			return 0, fmt.Errorf("etcd: there are no %d new ids after %d", n, last)
		}
		txn, err := s.client.Txn(ctx).
			If(clientv3.Compare(clientv3.ModRevision(s.last()), "=", revision)).
			Then(clientv3.OpPut(s.last(), string(appendID(nil, last+lifecycle.ID(n))))).Commit()
		if err != nil {
			return 0, fmt.Errorf("etcd: new ids: %w", err)
		}
		if txn.Succeeded { // or somebody else has got some
			return last + 1, nil
		}
	}
}

// Submit stores a new request, if its parent, should it have one, admits a child at this
// moment: see [lifecycle.Admit]. The error has
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
	writes = append(writes, s.raise(r.ID))
	for range maxAttempts {
		conditions := []clientv3.Cmp{s.free(r.ID)}
		if r.Parent != 0 {
			p, err := s.get(ctx, r.Parent)
			if errors.Is(err, cancel.ErrNotFound) {
				return esserrors.NotFound("submit", int64(r.Parent), err)
			}
			if err == nil {
				err = lifecycle.Admit(p.Request)
			}
			if err != nil {
				return err
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
