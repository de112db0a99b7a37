package etcd

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// EndParent implements [cancel.ParentEnder]. That no child is live is a condition of the
// transaction, and Submit has one on the parent: of the two, one fails.
func (s *Store) EndParent(ctx context.Context, ch cancel.Change) (made bool, err error) {
	olds, err := s.olds(ctx, []cancel.Change{ch})
	if err != nil {
		return false, fmt.Errorf("etcd: end parent: %w", err)
	}
	if olds[0].ID == 0 {
		return false, nil
	}
	unchanged, writes, _, err := s.change(olds[0], ch)
	if err != nil {
		return false, fmt.Errorf("etcd: end parent: %w", err)
	}
	// Of keys that are not there etcd says that they were created at revision 0, of all
	// others it does not.
	childless := clientv3.Compare(clientv3.CreateRevision(s.key(live, ch.Old.ID)), "=", 0).WithPrefix()
	resp, err := s.client.Txn(ctx).If(unchanged, childless).Then(writes...).Commit()
	if err != nil {
		return false, fmt.Errorf("etcd: end parent: %w", err)
	}
	return resp.Succeeded, nil
}

// ListCancelling implements [cancel.CancellingLister]. What is under cancelling/ is only a
// list: the requests are read where they are, and those that are not CANCELLING left out.
func (s *Store) ListCancelling(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
	for from := s.key(cancelling, after); ; {
		resp, err := s.client.Get(ctx, from+"\x00",
			clientv3.WithRange(clientv3.GetPrefixRangeEnd(s.key(cancelling))), clientv3.WithLimit(int64(limit)))
		if err != nil {
			return nil, fmt.Errorf("etcd: list: %w", err)
		}
		page, err := s.confirm(ctx, resp.Kvs)
		if err != nil {
			return nil, fmt.Errorf("etcd: list: %w", err)
		}
		if len(page) > 0 || !resp.More {
			return page, nil
		}
		from = string(resp.Kvs[len(resp.Kvs)-1].Key)
	}
}

// confirm returns the requests that kvs, from under cancelling/, are about, and that are
// CANCELLING or cannot be read.
func (s *Store) confirm(ctx context.Context, kvs []*mvccpb.KeyValue) ([]cancel.CancellingRequest, error) {
	all := make([]cancel.CancellingRequest, len(kvs))
	parts := slices.Collect(slices.Chunk(all, maxOps))
	err := inParallel(ctx, len(parts), func(ctx context.Context, n int) error {
		ops := make([]clientv3.Op, len(parts[n]))
		for i := range parts[n] {
			r, kv := &parts[n][i].Request, kvs[n*maxOps+i]
			var known bool
			r.ID, _ = idOf(kv, s.key(cancelling)) // a key of nothing has id 0, which no request has
			if r.Parent, known = parseID(string(kv.Value)); !known {
				var err error
				if r.Parent, _, err = s.parent(ctx, r.ID); err != nil && !errors.Is(err, cancel.ErrNotFound) {
					return err
				}
			}
			ops[i] = clientv3.OpGet(s.key(live, r.Parent, r.ID))
		}
		resp, err := s.client.Txn(ctx).Then(ops...).Commit()
		if err != nil {
			return err
		}
		for i := range parts[n] {
			u := &parts[n][i]
			found := resp.Responses[i].GetResponseRange().Kvs
			if len(found) == 0 {
				u.Request.ID = 0
				continue
			}
			rec := decode(found[0], live, u.Request.Parent, u.Request.ID)
			*u = cancel.CancellingRequest{Request: rec.Request, Cause: rec.Cause}
		}
		return nil
	})
	return slices.DeleteFunc(all, func(u cancel.CancellingRequest) bool {
		return u.Request.ID == 0 || u.Request.State != lifecycle.StateCancelling && u.Request.State != 0
	}), err
}

// Cause implements [cancel.CauseReader].
func (s *Store) Cause(ctx context.Context, id lifecycle.ID) (cancel.Cause, error) {
	rec, err := s.get(ctx, id)
	return rec.Cause, err
}
