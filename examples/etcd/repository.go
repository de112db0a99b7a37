package etcd

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"

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
	parent, err := s.parent(ctx, id)
	if err != nil {
		return record{}, err
	}
	// One transaction, or the request could move in between and be in neither place.
	resp, err := s.client.Txn(ctx).Then(
		clientv3.OpGet(s.key(live, parent, id)),
		clientv3.OpGet(s.key(ended, parent, id)),
	).Commit()
	if err != nil {
		return record{}, fmt.Errorf("etcd: get request %d: %w", id, err)
	}
	for _, r := range resp.Responses {
		if kvs := r.GetResponseRange().Kvs; len(kvs) > 0 {
			rec, err := decode(kvs[0])
			if err != nil {
				return record{}, fmt.Errorf("etcd: get request %d: %w", id, err)
			}
			return rec, nil
		}
	}
	return record{}, fmt.Errorf("etcd: request %d: %w", id, cancel.ErrNotFound)
}

// parent reads the parent of a request. It never changes, so that the next member may
// answer from what it knows, without asking the others; only that there is none has to
// be asked of all.
func (s *Store) parent(ctx context.Context, id lifecycle.ID) (lifecycle.ID, error) {
	for _, options := range [][]clientv3.OpOption{{clientv3.WithSerializable()}, nil} {
		resp, err := s.client.Get(ctx, s.key(at, id), options...)
		if err != nil {
			return 0, fmt.Errorf("etcd: get request %d: %w", id, err)
		}
		if len(resp.Kvs) > 0 {
			parent, err := strconv.ParseInt(string(resp.Kvs[0].Value), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("etcd: get request %d: %w", id, err)
			}
			return lifecycle.ID(parent), nil
		}
	}
	return 0, fmt.Errorf("etcd: request %d: %w", id, cancel.ErrNotFound)
}

// Children implements [cancel.Repository]. It reads the ranges of several parents in
// one transaction: of as many as are likely to fill the page, going by those it has
// read so far, and of the first alone. It reads on until it has found something, because
// only an empty page is the last, and goes on to fill the page, because etcd is not
// asked for states.
func (s *Store) Children(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
	var spaces []space
	if q.States&lifecycle.Live != 0 {
		spaces = append(spaces, live)
	}
	if q.States&lifecycle.Terminal != 0 {
		spaces = append(spaces, ended)
	}
	if len(spaces) == 0 {
		return nil, nil
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
			after := lifecycle.ID(0)
			if parent == q.After.Parent {
				after = q.After.ID
			}
			for _, in := range spaces {
				ops = append(ops, clientv3.OpGet(s.key(in, parent, after)+"\x00",
					clientv3.WithRange(clientv3.GetPrefixRangeEnd(s.key(in, parent))), clientv3.WithLimit(int64(limit))))
			}
		}
		resp, err := s.client.Txn(ctx).Then(ops...).Commit()
		if err != nil {
			return nil, fmt.Errorf("etcd: children: %w", err)
		}
		for answers := range slices.Chunk(resp.Responses, len(spaces)) {
			children, end, err := merge(answers)
			if err != nil {
				return nil, fmt.Errorf("etcd: children: %w", err)
			}
			for _, r := range children {
				if q.States.Has(r.State) && len(page) < q.Limit {
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

// merge returns the children of one parent, ordered by ID, that were read from one or
// more spaces, and up to which id these are all.
func merge(answers []*etcdserverpb.ResponseOp) (children []lifecycle.Request, end lifecycle.ID, err error) {
	end = math.MaxInt64
	for _, answer := range answers {
		kvs := answer.GetResponseRange().Kvs
		for _, kv := range kvs {
			rec, err := decode(kv)
			if err != nil {
				return nil, 0, err
			}
			children = append(children, rec.Request)
		}
		if answer.GetResponseRange().More {
			end = min(end, children[len(children)-1].ID)
		}
	}
	if len(answers) > 1 {
		slices.SortFunc(children, func(a, b lifecycle.Request) int { return cmp.Compare(a.ID, b.ID) })
	}
	for len(children) > 0 && children[len(children)-1].ID > end {
		children = children[:len(children)-1]
	}
	return children, end, nil
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
		rec := record{Request: changes[i].New(), Cause: olds[i].Cause}
		if rec.Cause == (cancel.Cause{}) {
			rec.Cause = changes[i].Cause
		}
		condition, err := s.unchanged(olds[i])
		if err != nil {
			return 0, err
		}
		ops, bytes, err := s.put(olds[i], rec)
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

// olds returns the records that the changes begin with, or zero ones for changes that
// begin with something else than what is stored. Mostly it knows them already: a request
// that is not CANCELLING has not been changed before and has no cause. The others it has
// to read, for the cause of the first change, and for the version where Old has none
// because package cancel wrote it.
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
			for _, kv := range resp.Responses[j].GetResponseRange().Kvs {
				rec, err := decode(kv)
				if err != nil {
					return err
				}
				if is(rec.Request, changes[i].Old) {
					olds[i] = rec
				}
			}
		}
		return nil
	})
	return olds, err
}

// is reports whether r is still as old says.
func is(r, old lifecycle.Request) bool {
	if old.Version != "" {
		return r.Version == old.Version
	}
	return r.State == old.State && r.Outcome == old.Outcome && r.CheckedIn.Equal(old.CheckedIn)
}
