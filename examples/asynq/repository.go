package essasynq

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// Get implements [cancel.Repository].
func (s *Store) Get(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
	v, err := s.fields(ctx, id, "parent", "kind", "state", "outcome", "checked", "attempt")
	if err != nil {
		return lifecycle.Request{}, err
	}
	return request(append([]any{text(id)}, v...)), nil
}

// fields returns fields of a record, nil for one that is missing, or an error matching
// [cancel.ErrNotFound] if there is none.
func (s *Store) fields(ctx context.Context, id lifecycle.ID, names ...any) ([]any, error) {
	cmd := redis.NewSliceCmd(ctx, append([]any{"hmget", s.record(id)}, names...)...)
	if err := s.wait(ctx, cmd); err != nil {
		return nil, failed(ctx, err)
	}
	v := cmd.Val()
	if v[0] == nil && v[1] == nil && v[2] == nil {
		return nil, fmt.Errorf("essasynq: request %d: %w", id, cancel.ErrNotFound)
	}
	return v, nil
}

// Children implements [cancel.Repository].
func (s *Store) Children(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
	groups, err := s.groups(ctx, q)
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		// A script looks at a limited number of rows, and may have found none yet.
		for q, more := q, true; more; {
			v, err := s.run(ctx, childrenScript, g.tag, scan(q, g)...)
			if err != nil {
				return nil, err
			}
			if q.After, more = position(v); len(v) > 3 {
				var page []lifecycle.Request
				for row := range slices.Chunk(v[3:], 7) {
					page = append(page, request(row))
				}
				return page, nil
			}
		}
	}
	return nil, ctx.Err()
}

// scan returns what the function scan of the scripts is asked.
func scan(q cancel.ChildQuery, g group) []any {
	args := []any{text(q.After.Parent), text(q.After.ID), q.Limit, q.States.Len()}
	for s := range q.States.All() {
		args = append(args, s.String())
	}
	for _, p := range g.parents {
		args = append(args, text(p))
	}
	return args
}

// position reads where scan has stopped, and whether there may be more behind.
func position(v []any) (cancel.Cursor, bool) {
	more, _ := v[2].(int64)
	return cancel.Cursor{Parent: id(v[0]), ID: id(v[1])}, more == 1
}

func id(v any) lifecycle.ID {
	n, _ := strconv.ParseInt(str(v), 10, 64)
	return lifecycle.ID(n)
}

// Apply implements [cancel.Repository]. The changes of a tag are one script.
func (s *Store) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	byTag := map[int][]int{}
	for i, ch := range changes {
		tag := s.tagOf(ch.Old.ID)
		byTag[tag] = append(byTag[tag], i)
	}
	made := make([]bool, len(changes))
	for tag, at := range byTag {
		args := []any{0}
		for _, i := range at {
			args = append(args, change(changes[i])...)
		}
		v, err := s.run(ctx, applyScript, tag, args...)
		if err != nil {
			return nil, err
		}
		for n, i := range at {
			made[i] = str(v[0])[n] == '1'
		}
	}
	return made, nil
}

// change returns what the script apply is told of a change.
func change(ch cancel.Change) []any {
	cause := ""
	if ch.Trigger == lifecycle.TriggerCancel {
		cause = encode(ch.Cause)
	}
	return []any{
		text(ch.Old.ID), stateName(ch.Old.State), stateName(ch.Old.Outcome), micros(ch.Old.CheckedIn), ch.Old.Attempt,
		stateName(ch.State), stateName(ch.Outcome), micros(ch.CheckedIn), ch.Attempt, cause,
	}
}

// EndParent implements [cancel.ParentEnder].
func (s *Store) EndParent(ctx context.Context, ch cancel.Change) (bool, error) {
	v, err := s.run(ctx, applyScript, s.tagOf(ch.Old.ID), append([]any{1}, change(ch)...)...)
	if err != nil {
		return false, err
	}
	return str(v[0]) == "1", nil
}
