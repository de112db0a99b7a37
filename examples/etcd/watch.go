package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// A Watcher tells the workers of this process of every cancel, whichever process it was
// asked of.
type Watcher struct {
	// Store has the requests. It is required.
	Store *Store
	// Retry is how long to wait after trouble. Zero means a second.
	Retry time.Duration
	// Trouble, if not nil, is told why a watch ended that is going to be begun anew.
	Trouble func(error)
}

// Run interrupts workers, such as a [cancel.Workers], for every request whose work has to
// stop: at first for all that are CANCELLING, and then for each that becomes so. It
// returns when ctx is done, with its error.
//
// No cancel is missed. Where the connection breaks the client takes the watch up at the
// revision where it was. Where etcd has forgotten that revision because it was compacted,
// has no leader, or workers fail, Run begins anew with all that are CANCELLING: workers
// may be told of one more than once.
func (w *Watcher) Run(ctx context.Context, workers cancel.Interrupter) error {
	retry := w.Retry
	if retry == 0 {
		retry = time.Second
	}
	for {
		revision, err := w.tellAll(ctx, workers)
		if err == nil {
			err = w.follow(ctx, workers, revision+1)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if w.Trouble != nil {
			w.Trouble(err)
		}
		select {
		case <-time.After(retry):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tellAll tells workers of all that are CANCELLING, and returns a revision since when it
// may have missed some.
func (w *Watcher) tellAll(ctx context.Context, workers cancel.Interrupter) (revision int64, err error) {
	var after lifecycle.ID
	for {
		page, at, err := w.Store.listCancelling(ctx, after, 1000)
		if err != nil {
			return 0, err
		}
		if revision == 0 {
			revision = at // later pages may lack what came after the first
		}
		if len(page) == 0 {
			return revision, nil
		}
		if err := tell(ctx, workers, page); err != nil {
			return 0, err
		}
		after = page[len(page)-1].Request.ID
	}
}

// follow tells workers of what becomes CANCELLING at revision or later. It returns when
// the watch ends.
func (w *Watcher) follow(ctx context.Context, workers cancel.Interrupter, revision int64) error {
	// A watch that nobody reads is closed with its context.
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	// A member that has lost the leader has nothing to say, and should say that.
	events := w.Store.client.Watch(clientv3.WithRequireLeader(ctx), w.Store.key(cancelling),
		clientv3.WithPrefix(), clientv3.WithRev(revision), clientv3.WithFilterDelete())
	for resp := range events {
		if err := resp.Err(); err != nil {
			return fmt.Errorf("etcd: watch: %w", err)
		}
		var page []cancel.CancellingRequest
		for _, event := range resp.Events {
			if !event.IsCreate() { // a check-in, or an answer
				continue
			}
			rec, err := decode(event.Kv)
			if err != nil {
				return fmt.Errorf("etcd: watch: %w", err)
			}
			page = append(page, cancel.CancellingRequest{Request: rec.Request, Cause: rec.Cause})
		}
		if err := tell(ctx, workers, page); err != nil {
			return err
		}
	}
	return errors.New("etcd: watch: closed")
}

// tell interrupts what has work that has not answered, in one call for each cause.
func tell(ctx context.Context, workers cancel.Interrupter, page []cancel.CancellingRequest) error {
	var ids []lifecycle.ID
	for i, u := range page {
		if u.Request.Kind.RunsWork() && u.Request.Outcome == 0 {
			ids = append(ids, u.Request.ID)
		}
		if i+1 < len(page) && page[i+1].Cause == u.Cause || len(ids) == 0 {
			continue
		}
		if err := workers.Interrupt(ctx, ids, u.Cause); err != nil {
			return fmt.Errorf("etcd: interrupt: %w", err)
		}
		ids = ids[:0]
	}
	return nil
}
