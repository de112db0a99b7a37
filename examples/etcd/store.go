// Package etcd keeps the requests of a scheduler in an etcd cluster: for when one
// machine is not enough.
//
// A [Store] is a [cancel.Repository] that can also list what is CANCELLING and tell
// causes. A [Watcher] carries a cancel to the workers of every process.
//
// # Keys
//
// Under the prefix of the store there is for each request
//
//	at/<id>                the id of its parent, which never changes
//	live/<parent>/<id>     the request, as long as it is live
//	ended/<parent>/<id>    the request, from then on
//	cancelling/<id>        the request once more, as long as it is CANCELLING
//
// Ids are decimal and of fixed width, so that the order of keys is that of ids. The
// children of a parent are one range of keys, and a range read brings their values
// along: a page is one read. What has ended is out of the way: whether a parent has a
// live child is a question about a range that is empty or not, and etcd can answer it
// in the condition of a transaction.
package etcd

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

const (
	// maxOps is how many operations a transaction may have where the server's
	// --max-txn-ops is the default. Those of a nested transaction count on top
	// of the number of its siblings.
	maxOps = 128
	// maxBytes is how much is written in one transaction: well below the default
	// of the server's --max-request-bytes, which is 1.5 MiB.
	maxBytes = 1 << 20
	// maxInFlight is how many transactions of one call are under way at once. The
	// server writes what comes together to the disk together.
	maxInFlight = 8
	// maxAttempts is how often a transaction of the scheduler is tried when others
	// change in between what it is based on.
	maxAttempts = 8
)

// A Store is the requests under one prefix. It is safe for concurrent use.
//
// All that matters is read linearizably, which is etcd's default: a member that has lost
// the others does not answer, rather than with what used to be true.
type Store struct {
	client *clientv3.Client
	prefix string
}

var (
	_ cancel.CancellingLister = (*Store)(nil)
	_ cancel.CauseReader      = (*Store)(nil)
)

// New returns the store of the requests under prefix, such as "/scheduler/requests/".
// Closing the client is left to the caller.
func New(client *clientv3.Client, prefix string) *Store {
	return &Store{client: client, prefix: prefix}
}

// A space is the first part of a key.
type space string

const (
	at         space = "at/"
	live       space = "live/"
	ended      space = "ended/"
	cancelling space = "cancelling/"
)

func spaceOf(s lifecycle.State) space {
	if lifecycle.Terminal.Has(s) {
		return ended
	}
	return live
}

// digits is the width of the largest id.
const digits = 19

// key returns the key of the ids in a space.
func (s *Store) key(in space, ids ...lifecycle.ID) string {
	b := make([]byte, 0, len(s.prefix)+len(cancelling)+2*(digits+1))
	b = append(append(b, s.prefix...), in...)
	for i, id := range ids {
		if i > 0 {
			b = append(b, '/')
		}
		var number [digits]byte
		n := strconv.AppendInt(number[:0], int64(id), 10)
		b = append(append(b, "0000000000000000000"[len(n):]...), n...)
	}
	return string(b)
}

// keyOf returns where r is.
func (s *Store) keyOf(r lifecycle.Request) string { return s.key(spaceOf(r.State), r.Parent, r.ID) }

// A record is the value of a key.
type record struct {
	lifecycle.Request
	// Cause is that of the first change.
	Cause cancel.Cause `json:"cause,omitzero"`
}

// encode returns the value for rec. The version is not part of it: it is the revision at
// which etcd last wrote the key.
func encode(rec record) (string, error) {
	rec.Version = ""
	b, err := json.Marshal(rec)
	return string(b), err
}

func decode(kv *mvccpb.KeyValue) (record, error) {
	var rec record
	if err := json.Unmarshal(kv.Value, &rec); err != nil {
		return record{}, fmt.Errorf("key %s: %w", kv.Key, err)
	}
	rec.Version = strconv.FormatInt(kv.ModRevision, 10)
	return rec, nil
}

// unchanged is the condition that rec is still as it was read.
func (s *Store) unchanged(rec record) (clientv3.Cmp, error) {
	revision, err := strconv.ParseInt(rec.Version, 10, 64)
	return clientv3.Compare(clientv3.ModRevision(s.keyOf(rec.Request)), "=", revision), err
}

// maxPut is how many operations put returns at most.
const maxPut = 3

// put returns the operations that make rec, the new record of an old one, what is stored,
// and the size of what they write. The zero record is the old one of a new request.
func (s *Store) put(old, rec record) (ops []clientv3.Op, size int, err error) {
	value, err := encode(rec)
	if err != nil {
		return nil, 0, err
	}
	key := s.keyOf(rec.Request)
	ops = append(make([]clientv3.Op, 0, maxPut), clientv3.OpPut(key, value))
	size = len(key) + len(value)
	if old.ID == 0 {
		ops = append(ops, clientv3.OpPut(s.key(at, rec.ID), strconv.FormatInt(int64(rec.Parent), 10)))
	} else if was := s.keyOf(old.Request); was != key {
		ops = append(ops, clientv3.OpDelete(was))
	}
	// Both keys are written at one revision, and so have one version.
	if rec.State == lifecycle.StateCancelling {
		ops = append(ops, clientv3.OpPut(s.key(cancelling, rec.ID), value))
		size *= 2
	} else if old.State == lifecycle.StateCancelling {
		ops = append(ops, clientv3.OpDelete(s.key(cancelling, rec.ID)))
	}
	return ops, size, nil
}

// inParallel calls do for each of 0 to n-1, some at a time, and returns the first error.
func inParallel(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var group sync.WaitGroup
	var failed sync.Once
	var first error
	free := make(chan struct{}, maxInFlight)
	for i := range n {
		free <- struct{}{}
		group.Go(func() {
			defer func() { <-free }()
			if err := do(ctx, i); err != nil {
				failed.Do(func() {
					first = err
					stop() // what is under way, and has yet to begin, ends as well
				})
			}
		})
	}
	group.Wait()
	return first
}
