package essasynq

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// Get implements [cancel.Repository].
func (s *Store) Get(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
	v, err := s.run(ctx, getScript, s.tagOf(id), text(id))
	if err != nil {
		return lifecycle.Request{}, err
	}
	if len(v) == 0 {
		return lifecycle.Request{}, fmt.Errorf("essasynq: request %d: %w", id, cancel.ErrNotFound)
	}
	return request(v), nil
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

// CancelChildren implements [cancel.ChildCanceller]: a page is one script.
func (s *Store) CancelChildren(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
	var page cancel.ChildPage
	groups, err := s.groups(ctx, c.Query)
	if err != nil || len(groups) == 0 {
		return page, err
	}
	all := 0
	if c.All {
		all = 1
	}
	args := append([]any{encode(c.Cause), micros(c.Cause.Time), all}, scan(c.Query, groups[0])...)
	v, err := s.run(ctx, cancelChildrenScript, groups[0].tag, args...)
	if err != nil {
		return page, err
	}
	page.Last, page.More = position(v)
	if !page.More && len(groups) > 1 {
		page.Last = cancel.Cursor{Parent: slices.Max(groups[0].parents), ID: math.MaxInt64}
		page.More = true
	}
	n, _ := v[3].(int64)
	page.Cancelled = int(n)
	for row := range slices.Chunk(v[4:], 10) {
		was := request(row)
		ch := cancel.Change{Old: was, State: was.State, Outcome: was.Outcome, CheckedIn: was.CheckedIn, Attempt: was.Attempt}
		if is := request(slices.Concat(row[:3], row[7:10], row[6:7])); is.State != was.State {
			ch.Trigger, ch.Cause = lifecycle.TriggerCancel, c.Cause
			ch.State, ch.Outcome, ch.CheckedIn = is.State, is.Outcome, is.CheckedIn
		}
		page.Changes = append(page.Changes, ch)
	}
	return page, nil
}

// ListCancelling implements [cancel.CancellingLister].
func (s *Store) ListCancelling(ctx context.Context, after lifecycle.ID, limit int) ([]cancel.CancellingRequest, error) {
	tags, err := s.tags(ctx, s.tagOf(after), "x")
	if err != nil {
		return nil, err
	}
	for _, tag := range tags {
		v, err := s.run(ctx, cancellingScript, tag, text(after), limit)
		if err != nil {
			return nil, err
		}
		var page []cancel.CancellingRequest
		for row := range slices.Chunk(v, 8) {
			page = append(page, cancel.CancellingRequest{Request: request(row), Cause: decode(row[7])})
		}
		if len(page) > 0 {
			return page, nil
		}
	}
	return nil, ctx.Err()
}

// Cause implements [cancel.CauseReader].
func (s *Store) Cause(ctx context.Context, id lifecycle.ID) (cancel.Cause, error) {
	v, err := s.run(ctx, getScript, s.tagOf(id), text(id))
	if err != nil {
		return cancel.Cause{}, err
	}
	if len(v) == 0 {
		return cancel.Cause{}, fmt.Errorf("essasynq: request %d: %w", id, cancel.ErrNotFound)
	}
	return decode(v[7]), nil
}

func encode(c cancel.Cause) string {
	b, _ := json.Marshal(c) // it has texts and numbers only, and a time of four digits' year
	return string(b)
}

// decode returns the zero Cause where there is none, or one that cannot be read: who has
// to stop is told all the same.
func decode(v any) (c cancel.Cause) {
	if json.Unmarshal([]byte(str(v)), &c) != nil {
		return cancel.Cause{}
	}
	return c
}
