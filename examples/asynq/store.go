package essasynq

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// A Store is the requests in a Redis server or a Redis Cluster. It is a
// [cancel.Repository] with all capabilities and safe for concurrent use.
//
// The names of all keys of a request, and of what is kept beside it, begin alike:
//
//	ess:{0}:r:<id>      hash: parent, kind, state, outcome, checked, attempt, cause; name, task, bad, idle
//	ess:{0}:l:<parent>  its children that are live, by id
//	ess:{0}:e:<parent>  its children that have ended, by id
//	ess:{0}:x           what is CANCELLING, by id
//	ess:{0}:todo        what has no task yet, or only has to be ended, by the time of that
//	ess:{0}:n:<parent>:<name>  the child of that name
//
// What stands in braces is the tag of the tree, by which a Redis Cluster chooses the slot.
// The first ten bits of an id are the tag, and a child has that of its parent: so a script
// finds all of a tree in one slot, and trees lie in as many slots as there are tags.
type Store struct {
	rdb  redis.UniversalClient
	opts StoreOptions
	keep int64 // for how many milliseconds a request is kept; 0 is for ever
}

var (
	_ cancel.ChildCanceller   = (*Store)(nil)
	_ cancel.TreeCanceller    = (*Store)(nil)
	_ cancel.Settler          = (*Store)(nil)
	_ cancel.ParentEnder      = (*Store)(nil)
	_ cancel.CancellingLister = (*Store)(nil)
	_ cancel.CauseReader      = (*Store)(nil)
)

// StoreOptions are optional settings of [NewStore]. A nil *StoreOptions or a zero field
// gives the default.
type StoreOptions struct {
	// Prefix is what the names of all keys begin with. The default is "ess".
	Prefix string
	// Tags is over how many hash tags trees are spread, at most 1024. The default is 1,
	// which is right for one server; in a Redis Cluster a few hundred spread the trees
	// evenly over its nodes. It may be raised at any time, and never lowered.
	Tags int
	// Retention is how long a request is kept when it has ended. The default is a day. A
	// negative one keeps it for ever.
	Retention time.Duration
}

const (
	maxTags = 1 << (63 - tagShift)
	// The bits of an id: 10 of the tag, 40 of the time in milliseconds, 13 by chance.
	tagShift  = 53
	timeShift = 13
)

// epoch is when the time in an id begins. It lasts for 34 years.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// NewStore returns the store. It panics if the client reads from replicas, because these may
// lag and package cancel has to see every write, or if the options cannot be.
func NewStore(rdb redis.UniversalClient, opts *StoreOptions) *Store {
	if c, ok := rdb.(*redis.ClusterClient); ok {
		if o := c.Options(); o.ReadOnly || o.RouteByLatency || o.RouteRandomly {
			panic("essasynq: the client must not read from replicas")
		}
	}
	s := &Store{rdb: rdb}
	if opts != nil {
		s.opts = *opts
	}
	if s.opts.Prefix == "" {
		s.opts.Prefix = "ess"
	}
	if s.opts.Tags == 0 {
		s.opts.Tags = 1
	}
	if s.opts.Tags < 0 || s.opts.Tags > maxTags {
		panic("essasynq: Tags is not between 1 and 1024")
	}
	switch {
	case s.opts.Retention == 0:
		s.keep = (24 * time.Hour).Milliseconds()
	case s.opts.Retention > 0:
		s.keep = max(s.opts.Retention.Milliseconds(), 1)
	}
	return s
}

// tagOf returns the tag of a request's tree. A store with one tag takes any id.
func (s *Store) tagOf(id lifecycle.ID) int {
	if s.opts.Tags == 1 {
		return 0
	}
	return int(id >> tagShift)
}

// newID returns an id that is most likely free: the script that inserts it looks. It has
// the time in it and not a counter, because a failover can put a counter back, and then
// the task of a request that was lost would start another one.
func newID(tag int) lifecycle.ID {
	return lifecycle.ID(int64(tag)<<tagShift | time.Since(epoch).Milliseconds()<<timeShift | rand.Int64N(1<<timeShift))
}

// prefix returns what the names of the keys of a tag begin with.
func (s *Store) prefix(tag int) string { return fmt.Sprintf("%s:{%d}:", s.opts.Prefix, tag) }

// record returns the name of the hash that is a request.
func (s *Store) record(id lifecycle.ID) string { return s.prefix(s.tagOf(id)) + "r:" + text(id) }

// text returns an id as it stands in keys: with 19 digits, so that the order of texts is
// that of ids. Redis has no order by integers of 64 bits.
func text(id lifecycle.ID) string { return fmt.Sprintf("%019d", int64(id)) }

// once is a command that the client does not send again by itself. Where an answer got
// lost, a second compare-and-set would find the first one's work and say that it was not made.
type once struct{ *redis.Cmd }

func (once) NoRetry() bool { return true }

// run runs a script on the keys of a tag.
func (s *Store) run(ctx context.Context, sc script, tag int, args ...any) ([]any, error) {
	args = slices.Concat([]any{"evalsha", sc.hash, 1, s.prefix(tag), s.keep}, args)
	cmd := once{redis.NewCmd(ctx, args...)}
	err := s.wait(ctx, cmd)
	if redis.HasErrorPrefix(err, "NOSCRIPT") { // after a restart, or a failover
		args[0], args[1] = "eval", sc.source
		cmd = once{redis.NewCmd(ctx, args...)}
		err = s.wait(ctx, cmd)
	}
	if err != nil {
		return nil, failed(ctx, err)
	}
	return cmd.Slice()
}

// wait processes cmd until ctx is done. The client looks at ctx only before it writes.
func (s *Store) wait(ctx context.Context, cmd redis.Cmder) error {
	if ctx.Done() == nil {
		return s.rdb.Process(ctx, cmd)
	}
	done := make(chan error, 1)
	go func() { done <- s.rdb.Process(ctx, cmd) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// failed names the package in err, and the error of a ctx that is done.
func failed(ctx context.Context, err error) error {
	if stop := ctx.Err(); stop != nil && !errors.Is(err, stop) {
		return fmt.Errorf("essasynq: %w: %w", stop, err)
	}
	return fmt.Errorf("essasynq: %w", err)
}

// request reads seven values of a record. One that cannot be read has State 0.
func request(v []any) lifecycle.Request {
	var r lifecycle.Request
	id, err1 := strconv.ParseInt(str(v[0]), 10, 64)
	parent, err2 := strconv.ParseInt(str(v[1]), 10, 64)
	r.ID, r.Parent = lifecycle.ID(id), lifecycle.ID(parent)
	err3 := r.Kind.UnmarshalText([]byte(str(v[2])))
	var state, outcome lifecycle.State
	err4 := state.UnmarshalText([]byte(str(v[3])))
	var err5 error
	if s := str(v[4]); s != "" {
		err5 = outcome.UnmarshalText([]byte(s))
	}
	checked, err6 := moment(str(v[5]))
	attempt, err7 := strconv.Atoi(cmp.Or(str(v[6]), "0"))
	if errors.Join(err1, err2, err3, err4, err5, err6, err7) == nil && state.Valid() && r.Kind.Valid() {
		r.State, r.Outcome, r.CheckedIn, r.Attempt = state, outcome, checked, attempt
	}
	return r
}

func str(v any) string {
	s, _ := v.(string)
	return s
}

// micros returns t as it is kept: package cancel writes whole microseconds.
func micros(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return strconv.FormatInt(t.UnixMicro(), 10)
}

func moment(micros string) (time.Time, error) {
	if micros == "" {
		return time.Time{}, nil
	}
	n, err := strconv.ParseInt(micros, 10, 64)
	return time.UnixMicro(n).UTC(), err
}

// stateName returns the name of s, and nothing for 0.
func stateName(s lifecycle.State) string {
	if s == 0 {
		return ""
	}
	return s.String()
}
