package essasynq

import (
	"context"
	"slices"

	"github.com/redis/go-redis/v9"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// A group is parents whose children lie in one slot.
type group struct {
	tag     int
	parents []lifecycle.ID
}

// groups returns the parents of q by their tags, in the order of their children. Parent 0
// has children in every tag. All requests of a tag come before those of the next, because
// the tag is what an id begins with.
func (s *Store) groups(ctx context.Context, q cancel.ChildQuery) ([]group, error) {
	first, _ := slices.BinarySearch(q.Parents, q.After.Parent)
	parents := q.Parents[first:]
	if s.opts.Tags == 1 {
		return []group{{0, parents}}, nil
	}
	var groups []group
	if len(parents) > 0 && parents[0] == 0 {
		from := 0
		if q.After.Parent == 0 {
			from = s.tagOf(q.After.ID)
		}
		tags, err := s.tags(ctx, from, "l:"+text(0), "e:"+text(0))
		if err != nil {
			return nil, err
		}
		for _, tag := range tags {
			groups = append(groups, group{tag, parents[:1]})
		}
		parents = parents[1:]
	}
	for len(parents) > 0 {
		tag := s.tagOf(parents[0])
		n := slices.IndexFunc(parents, func(id lifecycle.ID) bool { return s.tagOf(id) != tag })
		if n < 0 {
			n = len(parents)
		}
		groups = append(groups, group{tag, parents[:n]})
		parents = parents[n:]
	}
	return groups, nil
}

// tags returns the tags, beginning with from, that have one of the keys.
func (s *Store) tags(ctx context.Context, from int, keys ...string) ([]int, error) {
	if s.opts.Tags == 1 {
		return []int{0}, nil
	}
	pipe := s.rdb.Pipeline()
	var found []*redis.IntCmd
	for tag := from; tag < s.opts.Tags; tag++ {
		names := make([]string, len(keys))
		for i, key := range keys {
			names[i] = s.prefix(tag) + key
		}
		found = append(found, pipe.Exists(ctx, names...))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, failed(ctx, err)
	}
	var tags []int
	for i, cmd := range found {
		if cmd.Val() > 0 {
			tags = append(tags, from+i)
		}
	}
	return tags, nil
}
