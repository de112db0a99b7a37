package etcd

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// Get implements [cancel.Repository].
func (s *Store) Get(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
	rec, err := s.get(ctx, id)
	return rec.Request, err
}

// get reads one request: where it is, and then what it is.
func (s *Store) get(ctx context.Context, id lifecycle.ID) (record, error) {
	parent, known, err := s.parent(ctx, id)
	if err != nil || !known {
		return record{Request: lifecycle.Request{ID: id}}, err
	}
	// One transaction, or the request could move in between and be in neither place.
	resp, err := s.client.Txn(ctx).Then(
		clientv3.OpGet(s.key(live, parent, id)),
		clientv3.OpGet(s.key(ended, parent, id)),
	).Commit()
	if err != nil {
		return record{}, fmt.Errorf("etcd: get request %d: %w", id, err)
	}
	for i, in := range []space{live, ended} {
		if kvs := resp.Responses[i].GetResponseRange().Kvs; len(kvs) > 0 {
			return decode(kvs[0], in, parent, id), nil
		}
	}
	return record{}, fmt.Errorf("etcd: request %d: %w", id, cancel.ErrNotFound)
}

// parent reads the parent of a request. It never changes, so that the next member may
// answer from what it knows, without asking the others; only that there is none has to
// be asked of all. It is not known if what stands there is no id.
func (s *Store) parent(ctx context.Context, id lifecycle.ID) (parent lifecycle.ID, known bool, err error) {
	for _, options := range [][]clientv3.OpOption{{clientv3.WithSerializable()}, nil} {
		resp, err := s.client.Get(ctx, s.key(at, id), options...)
		if err != nil {
			return 0, false, fmt.Errorf("etcd: get request %d: %w", id, err)
		}
		if len(resp.Kvs) > 0 {
			parent, known = parseID(string(resp.Kvs[0].Value))
			return parent, known, nil
		}
	}
	return 0, false, fmt.Errorf("etcd: request %d: %w", id, cancel.ErrNotFound)
}

// Children implements [cancel.Repository]. It reads the ranges of several parents in
// one transaction: of as many as are likely to fill the page, going by those it has
// read so far, and of the first alone. It reads on until it has found something, because
// only an empty page is the last, and goes on to fill the page, because etcd is not
// asked for states. It fails where nothing but a key that is not that of a request is left
// below a parent: nobody knows what that is, and so whether the parent may end.
func (s *Store) Children(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
	spaces := []space{live} // in any case, for what cannot be read
	if q.States&lifecycle.Terminal != 0 {
		spaces = append(spaces, ended)
	}
	page := make([]lifecycle.Request, 0, q.Limit)
	first, _ := slices.BinarySearch(q.Parents, q.After.Parent)
	size := 1           // how many parents to read next
	read, whole := 0, 0 // children of parents read from the beginning, and how many of these to the end
	for parents := q.Parents[first:]; len(parents) > 0 && len(page) < q.Limit; {
		left := q.Limit - len(page)
		group := parents[:min(size, maxOps/len(spaces), len(parents))]
		// Should the guess be bad, not much more is read than is wanted.
		limit := min(left, 2*left/len(group)+1)
		rest := parents[0] == q.After.Parent // of a parent says nothing about the next ones
		var ops []clientv3.Op
		for _, parent := range group {
			for _, in := range spaces {
				all := s.key(in, parent)
				from := all
				if parent == q.After.Parent && q.After.ID > 0 {
					from = s.key(in, parent, q.After.ID) + "\x00"
				}
				ops = append(ops, clientv3.OpGet(from, clientv3.WithRange(clientv3.GetPrefixRangeEnd(all)), clientv3.WithLimit(int64(limit))))
			}
		}
		resp, err := s.client.Txn(ctx).Then(ops...).Commit()
		if err != nil {
			return nil, fmt.Errorf("etcd: children: %w", err)
		}
		for answers := range slices.Chunk(resp.Responses, len(spaces)) {
			children, end, err := s.merge(answers, spaces, parents[0])
			if err != nil && len(page) > 0 {
				return page, nil // and the next call fails
			}
			if err != nil {
				return nil, fmt.Errorf("etcd: children: %w", err)
			}
			for _, r := range children {
				if (q.States.Has(r.State) || r.State == 0) && len(page) < q.Limit {
					page = append(page, r)
				}
			}
			if !rest {
				read += len(children)
			}
			if end != math.MaxInt64 {
				q.After = cancel.Cursor{Parent: parents[0], ID: end} // more of this one
				break
			}
			parents = parents[1:]
			if !rest {
				whole++
			}
			rest = false
		}
		switch {
		case read > 0:
			size = max(1, (q.Limit-len(page))*whole/read)
		case whole > 0: // and none has a child
			size *= 8
		}
	}
	return page, nil
}

// merge returns the children of one parent, ordered by ID, that were read from spaces,
// and up to which id these are all.
func (s *Store) merge(answers []*etcdserverpb.ResponseOp, spaces []space, parent lifecycle.ID) (children []lifecycle.Request, end lifecycle.ID, err error) {
	end = math.MaxInt64
	for i, answer := range answers {
		prefix := s.key(spaces[i], parent) + "/"
		last := lifecycle.ID(0)
		for _, kv := range answer.GetResponseRange().Kvs {
			id, notOne := idOf(kv, prefix)
			if notOne != nil {
				err = notOne
				continue
			}
			last = id
			children = append(children, decode(kv, spaces[i], parent, id).Request)
		}
		if answer.GetResponseRange().More {
			end = min(end, last)
		}
	}
	if len(answers) > 1 {
		slices.SortFunc(children, func(a, b lifecycle.Request) int { return cmp.Compare(a.ID, b.ID) })
	}
	for len(children) > 0 && children[len(children)-1].ID > end {
		children = children[:len(children)-1]
	}
	if len(children) > 0 {
		err = nil // for the next call, or whoever looks whether one is live
	}
	return children, end, err
}

// Apply implements [cancel.Repository].
//
// A change is a transaction of its own: if the request is still at the revision at which
// it was read, then write it. Many of them are nested in one outer transaction, which
// has no condition. So one request to the server carries a batch, and a change that
// loses its race fails alone.
func (s *Store) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	olds, err := s.olds(ctx, changes)
	if err != nil {
		return nil, fmt.Errorf("etcd: apply: %w", err)
	}
	var todo []int // changes, by index
	for i, old := range olds {
		if old.ID != 0 {
			todo = append(todo, i)
		}
	}
	made := make([]bool, len(changes))
	batches := slices.Collect(slices.Chunk(todo, maxOps-maxPut))
	err = inParallel(ctx, len(batches), func(ctx context.Context, n int) error {
		for left := batches[n]; len(left) > 0; {
			sent, err := s.applyBatch(ctx, changes, olds, left, made)
			if err != nil {
				return err
			}
			left = left[sent:]
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("etcd: apply: %w", err)
	}
	return made, nil
}

// applyBatch makes changes, of those that todo has the indexes of as many as fit into one
// transaction. It returns how many these are.
func (s *Store) applyBatch(ctx context.Context, changes []cancel.Change, olds []record, todo []int, made []bool) (sent int, err error) {
	nested := make([]clientv3.Op, 0, len(todo))
	size := 0
	for _, i := range todo {
		condition, ops, bytes, err := s.change(olds[i], changes[i])
		if err != nil {
			return 0, err
		}
		if size += bytes; size > maxBytes && len(nested) > 0 {
			break
		}
		nested = append(nested, clientv3.OpTxn([]clientv3.Cmp{condition}, ops, nil))
	}
	resp, err := s.client.Txn(ctx).Then(nested...).Commit()
	if err != nil {
		return 0, err
	}
	for j, r := range resp.Responses {
		made[todo[j]] = r.GetResponseTxn().Succeeded
	}
	return len(nested), nil
}

// change returns the condition of a change of old, what it writes, and the size of that.
func (s *Store) change(old record, ch cancel.Change) (condition clientv3.Cmp, writes []clientv3.Op, size int, err error) {
	rec := record{Request: ch.New(), Cause: old.Cause}
	if ch.Trigger == lifecycle.TriggerCancel && rec.Cause == (cancel.Cause{}) {
		rec.Cause = ch.Cause
	}
	if condition, err = s.unchanged(old); err == nil {
		writes, size, err = s.put(old, rec)
	}
	return condition, writes, size, err
}

// olds returns the records that the changes begin with, or zero ones for changes that
// begin with something else than what is stored. Mostly it knows them already: a request
// that is live and not CANCELLING has not been cancelled before and has no cause. The
// others it has to read, for the cause, and for the version where Old has none because
// package cancel wrote it.
func (s *Store) olds(ctx context.Context, changes []cancel.Change) ([]record, error) {
	olds := make([]record, len(changes))
	var unknown []int
	for i, ch := range changes {
		if ch.Old.Version != "" && lifecycle.Live.Has(ch.Old.State) && ch.Old.State != lifecycle.StateCancelling {
			olds[i] = record{Request: ch.Old}
		} else {
			unknown = append(unknown, i)
		}
	}
	parts := slices.Collect(slices.Chunk(unknown, maxOps))
	err := inParallel(ctx, len(parts), func(ctx context.Context, n int) error {
		var ops []clientv3.Op
		for _, i := range parts[n] {
			ops = append(ops, clientv3.OpGet(s.keyOf(changes[i].Old)))
		}
		resp, err := s.client.Txn(ctx).Then(ops...).Commit()
		if err != nil {
			return err
		}
		for j, i := range parts[n] {
			old := changes[i].Old
			for _, kv := range resp.Responses[j].GetResponseRange().Kvs {
				if rec := decode(kv, spaceOf(old.State), old.Parent, old.ID); is(rec.Request, old) {
					olds[i] = rec
				}
			}
		}
		return nil
	})
	return olds, err
}

// is reports whether r is still as old says. Nobody can tell of one that cannot be read.
func is(r, old lifecycle.Request) bool {
	if old.Version != "" {
		return r.State != 0 && r.Version == old.Version
	}
	return r.State != 0 && r.State == old.State && r.Outcome == old.Outcome && r.CheckedIn.Equal(old.CheckedIn) && r.Attempt == old.Attempt
}
