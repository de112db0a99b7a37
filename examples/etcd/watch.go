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

// Run has workers ask c, whose Repository is the Store, about their requests: at first
// about all, and then about each of which etcd says that it has become CANCELLING. It
// returns when ctx is done, with its error.
//
// What the watch says ends no work. It names ids, which anybody could have written; the
// work of those that run here ends if the store says that they are CANCELLING, by the
// actor and for the reason that the store has.
//
// No cancel is missed, though one may be late: as long as this process cannot reach etcd
// it learns nothing. Where the connection breaks the client takes the watch up at the
// revision where it was. Where etcd has forgotten that revision because it was compacted,
// has no leader, or a request could not be read, Run begins anew and asks about all.
func (w *Watcher) Run(ctx context.Context, c *cancel.Canceller, workers *cancel.Workers) error {
	retry := w.Retry
	if retry == 0 {
		retry = time.Second
	}
	for {
		err := w.follow(ctx, c, workers)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if w.Trouble != nil {
			w.Trouble(fmt.Errorf("etcd: watch: %w", err))
		}
		select {
		case <-time.After(retry):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// follow returns when the watch ends, or when workers have failed to ask.
func (w *Watcher) follow(ctx context.Context, c *cancel.Canceller, workers *cancel.Workers) error {
	// What happens from this revision on the watch will say; what happened before, the
	// requests themselves.
	space := w.Store.key(cancelling)
	now, err := w.Store.client.Get(ctx, space)
	if err == nil {
		err = workers.Poll(ctx, c)
	}
	if err != nil {
		return err
	}
	// A watch that nobody reads is closed with its context.
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	// A member that has lost the leader has nothing to say, and should say that.
	events := w.Store.client.Watch(clientv3.WithRequireLeader(ctx), space,
		clientv3.WithPrefix(), clientv3.WithRev(now.Header.Revision+1), clientv3.WithFilterDelete())
	for resp := range events {
		if err := resp.Err(); err != nil {
			return err
		}
		var ids []lifecycle.ID
		for _, event := range resp.Events {
			if id, err := idOf(event.Kv, space); err == nil { // otherwise it is nobody's
				ids = append(ids, id)
			}
		}
		if len(ids) == 0 {
			continue
		}
		if err := workers.Poll(ctx, c, ids...); err != nil {
			return err
		}
	}
	return errors.New("closed")
}
