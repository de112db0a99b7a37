package essasynq

import (
	"context"
	"encoding/json"
	"math"
	"slices"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// CancelChildren implements [cancel.ChildCanceller]: a page is one script.
func (s *Store) CancelChildren(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
	var page cancel.ChildPage
	groups, err := s.groups(ctx, c.Query)
	if err != nil || len(groups) == 0 {
		return page, err
	}
	args := append([]any{encode(c.Cause), micros(c.Cause.Time), flag(c.All)}, scan(c.Query, groups[0])...)
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
	page.Changes = changes(v[4:], c.Cause)
	return page, nil
}

// changes reads those that a cancel returns: each is a request as it was, and its new state, outcome and
// time.
func changes(v []any, cause cancel.Cause) []cancel.Change {
	var changes []cancel.Change
	for row := range slices.Chunk(v, 10) {
		was := request(row)
		ch := cancel.Change{Old: was, State: was.State, Outcome: was.Outcome, CheckedIn: was.CheckedIn, Attempt: was.Attempt}
		if is := request(slices.Concat(row[:3], row[7:10], row[6:7])); is.State != was.State {
			ch.Trigger, ch.Cause = lifecycle.TriggerCancel, cause
			ch.State, ch.Outcome, ch.CheckedIn = is.State, is.Outcome, is.CheckedIn
		}
		changes = append(changes, ch)
	}
	return changes
}

// mostOfTree is how many requests one script cancels: Redis serves nobody else meanwhile.
const mostOfTree = 1000

// CancelTree implements [cancel.TreeCanceller]: all of a tree is in one slot, and one script
// goes down in it.
func (s *Store) CancelTree(ctx context.Context, c cancel.TreeCancel) (cancel.TreePage, error) {
	var page cancel.TreePage
	tag := s.tagOf(c.From[0].Parent)
	args := []any{encode(c.Cause), micros(c.Cause.Time), flag(c.All), min(c.Limit, mostOfTree)}
	for _, from := range c.From {
		if s.tagOf(from.Parent) == tag {
			args = append(args, text(from.Parent), text(from.ID))
		} else {
			page.Rest = append(page.Rest, from)
		}
	}
	v, err := s.run(ctx, cancelTreeScript, tag, args...)
	if err != nil {
		return cancel.TreePage{}, err
	}
	n, _ := v[0].(int64)
	page.Cancelled = int(n)
	rest, _ := v[1].([]any)
	for at := range slices.Chunk(rest, 2) {
		page.Rest = append(page.Rest, cancel.Cursor{Parent: id(at[0]), ID: id(at[1])})
	}
	made, _ := v[2].([]any)
	page.Changes = changes(made, c.Cause)
	return page, nil
}

// Settle implements [cancel.Settler].
func (s *Store) Settle(ctx context.Context, c cancel.Settlement) ([]cancel.Change, error) {
	byTag := map[int][]any{}
	for _, id := range slices.Backward(slices.Sorted(slices.Values(c.IDs))) { // mostly children first
		byTag[s.tagOf(id)] = append(byTag[s.tagOf(id)], text(id))
	}
	var made []cancel.Change
	for tag, ids := range byTag {
		v, err := s.run(ctx, settleScript, tag, ids...)
		if err != nil {
			return made, err
		}
		for row := range slices.Chunk(v, 7) {
			ch, _ := cancel.SettleChange(request(row), c.Cause)
			made = append(made, ch)
		}
	}
	return made, nil
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
	v, err := s.fields(ctx, id, "parent", "kind", "state", "cause")
	if err != nil {
		return cancel.Cause{}, err
	}
	return decode(v[3]), nil
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
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
