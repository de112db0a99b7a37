package essasynq_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	essasynq "example.com/ess/examples/asynq"
	"example.com/ess/examples/asynq/redisserver"
	"example.com/ess/lifecycle"
)

// addr is where the tests find a server, unless they need one of their own.
var addr string

func TestMain(m *testing.M) {
	if os.Getenv(workerEnv) != "" {
		work()
		return
	}
	flag.Parse()
	os.Exit(run(m))
}

// silent has the Redis client not write to the log that a server is away, which it often is here.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

func run(m *testing.M) int {
	redis.SetLogger(silent{})
	// Most tests are about what is done, not about whether it lasts.
	server, err := redisserver.Start(context.Background())
	if err != nil {
		// Tests that did not run must not look like tests that passed.
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	addr = server.Addr()
	code := m.Run()
	if err := server.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// connect returns a client.
func connect(t testing.TB, addr string) *redis.Client {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: addr, PoolSize: 50, DialerRetries: 1})
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

var prefixes atomic.Int64

// prefix returns one that nobody else has.
func prefix() string { return fmt.Sprintf("t%d", prefixes.Add(1)) }

// newStore returns a store of its own that holds the requests.
func newStore(t testing.TB, requests ...lifecycle.Request) *essasynq.Store {
	t.Helper()
	s := essasynq.NewStore(connect(t, addr), &essasynq.StoreOptions{Prefix: prefix()})
	if err := s.Insert(t.Context(), requests...); err != nil {
		t.Fatal(err)
	}
	return s
}
