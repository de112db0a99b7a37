// Package etcd keeps the requests of a scheduler in an etcd cluster: for when one
// machine is not enough.
//
// A [Store] is a [cancel.Repository] that can also end parents, list what is CANCELLING
// and tell causes. A [Watcher] carries a cancel to the workers of every process.
//
// # Keys
//
// Under the prefix of the store there is for each request
//
//	at/<id>                the id of its parent, which never changes
//	live/<parent>/<id>     the request, as long as it is live
//	ended/<parent>/<id>    the request, from then on
//	cancelling/<id>        the id of its parent, as long as it is CANCELLING
//
// and last, the largest id so far, so that none is handed out twice.
//
// Ids are decimal and of fixed width, so that the order of keys is that of ids. The
// children of a parent are one range of keys, and a range read brings their values
// along: a page is one read. What has ended is out of the way: whether a parent has a
// live child is a question about a range that is empty or not, and etcd can answer it
// in the condition of a transaction.
//
// The value of a request that nobody can read, because it is no JSON, has a name that
// this version does not know, or is not what its key says, gives a request without a
// state. What it is the key says: one under live/ counts as live.
package etcd

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
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
	// maxAttempts is how often a submission is tried when others change the parent.
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
	_ cancel.ParentEnder      = (*Store)(nil)
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

// key returns the key of the ids in a space. No request has the key of an id that is not
// positive.
func (s *Store) key(in space, ids ...lifecycle.ID) string {
	b := make([]byte, 0, len(s.prefix)+len(cancelling)+2*(digits+1))
	b = append(append(b, s.prefix...), in...)
	for i, id := range ids {
		if i > 0 {
			b = append(b, '/')
		}
		b = appendID(b, id)
	}
	return string(b)
}

func appendID(b []byte, id lifecycle.ID) []byte {
	var number [digits + 1]byte // with a sign
	n := strconv.AppendInt(number[:0], int64(id), 10)
	return append(append(b, "0000000000000000000"[min(len(n), digits):]...), n...)
}

// parseID returns the id that appendID has written.
func parseID(text string) (lifecycle.ID, bool) {
	n, err := strconv.ParseUint(text, 10, 63)
	return lifecycle.ID(n), err == nil && len(text) == digits
}

// idOf returns the id at the end of a key in a range of keys that begin with parent.
func idOf(kv *mvccpb.KeyValue, parent string) (lifecycle.ID, error) {
	number, _ := strings.CutPrefix(string(kv.Key), parent)
	id, ok := parseID(number)
	if !ok {
		return 0, fmt.Errorf("key %q is not that of a request", kv.Key)
	}
	return id, nil
}

// keyOf returns where r is.
func (s *Store) keyOf(r lifecycle.Request) string { return s.key(spaceOf(r.State), r.Parent, r.ID) }

// A record is the value of a key.
type record struct {
	lifecycle.Request
	// Cause is that of the cancel.
	Cause cancel.Cause `json:"cause,omitzero"`
}

// encode returns the value for rec. The version is not part of it: it is the revision at
// which etcd last wrote the key.
func encode(rec record) (string, error) {
	rec.Version = ""
	b, err := json.Marshal(rec)
	return string(b), err
}

// decode returns the record of a request from its key. One that cannot be read has State 0.
func decode(kv *mvccpb.KeyValue, in space, parent, id lifecycle.ID) record {
	var rec record
	err := json.Unmarshal(kv.Value, &rec)
	if err != nil || rec.ID != id || rec.Parent != parent || rec.Validate() != nil || spaceOf(rec.State) != in {
		rec = record{Request: lifecycle.Request{ID: id, Parent: parent}}
	}
	rec.Version = strconv.FormatInt(kv.ModRevision, 10)
	return rec
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
		ops = append(ops, clientv3.OpPut(s.key(at, rec.ID), string(appendID(nil, rec.Parent))))
	} else if was := s.keyOf(old.Request); was != key {
		ops = append(ops, clientv3.OpDelete(was))
	}
	switch was, is := old.State == lifecycle.StateCancelling, rec.State == lifecycle.StateCancelling; {
	case is && !was:
		ops = append(ops, clientv3.OpPut(s.key(cancelling, rec.ID), string(appendID(nil, rec.Parent))))
	case was && !is:
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
