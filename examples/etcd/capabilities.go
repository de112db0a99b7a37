package etcd

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// ListCancelling implements [cancel.CancellingLister].
func (s *Store) ListCancelling(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
	page, _, err := s.listCancelling(ctx, after, limit)
	return page, err
}

// listCancelling also returns the revision at which the page is true.
func (s *Store) listCancelling(ctx context.Context, after lifecycle.ID, limit int) (page []cancel.CancellingRequest, revision int64, err error) {
	resp, err := s.client.Get(ctx, s.key(cancelling, after)+"\x00",
		clientv3.WithRange(clientv3.GetPrefixRangeEnd(s.key(cancelling))), clientv3.WithLimit(int64(limit)))
	if err != nil {
		return nil, 0, fmt.Errorf("etcd: list: %w", err)
	}
	for _, kv := range resp.Kvs {
		rec, err := decode(kv)
		if err != nil {
			return nil, 0, fmt.Errorf("etcd: list: %w", err)
		}
		page = append(page, cancel.CancellingRequest{Request: rec.Request, Cause: rec.Cause})
	}
	return page, resp.Header.Revision, nil
}

// Cause implements [cancel.CauseReader].
func (s *Store) Cause(ctx context.Context, id lifecycle.ID) (cancel.Cause, error) {
	rec, err := s.get(ctx, id)
	return rec.Cause, err
}
