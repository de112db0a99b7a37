package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/ess/examples/postgres/pgserver"
)

// servers are the servers that systems need, each started when it is needed first. It is
// safe for concurrent use, but for Redis, which one system at a time has to itself.
type servers struct {
	mu       sync.Mutex
	postgres *pgserver.Server
	redis    *redisServer
	n        int // databases made
}

func (s *servers) stop() (err error) {
	if s.postgres != nil {
		err = s.postgres.Stop()
	}
	if s.redis != nil {
		err = errors.Join(err, s.redis.stop())
	}
	return err
}

// env makes a store for a system that is empty. It is for the caller to call remove.
func (s *servers) env(ctx context.Context, e entrant) (env env, remove func() error, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch e.needs {
	case "postgres":
		env.PG, err = s.database(ctx)
		return env, func() error { return nil }, err // it goes with the server
	case "redis":
		if s.redis != nil { // its keys would be those of the system before
			if err := s.redis.stop(); err != nil {
				return env, nil, err
			}
		}
		if s.redis, err = startRedis(ctx); err != nil {
			return env, nil, err
		}
		env.Redis = s.redis.socket()
		return env, func() error { return nil }, nil
	default:
		env.Dir, err = os.MkdirTemp("", "peers")
		return env, func() error { return os.RemoveAll(env.Dir) }, err
	}
}

// database makes a database and returns its URL.
func (s *servers) database(ctx context.Context) (string, error) {
	var err error
	if s.postgres == nil {
		if s.postgres, err = pgserver.Start(ctx, pgserver.Options{}); err != nil {
			return "", err
		}
	}
	conn, err := pgx.Connect(ctx, s.postgres.URL())
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	s.n++
	name := fmt.Sprint("peers", s.n)
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		return "", err
	}
	u, err := url.Parse(s.postgres.URL())
	if err != nil {
		return "", err
	}
	u.Path = "/" + name
	return u.String(), nil
}

// A redisServer is a Redis of our own, in a temporary folder, reachable by a unix socket
// only. It writes what it does to a file, and syncs that once a second, as Redis does
// where nothing else is set but that it should.
type redisServer struct {
	dir  string
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
}

func startRedis(ctx context.Context) (*redisServer, error) {
	dir, err := os.MkdirTemp("", "redis") // short: a socket's path is limited to some 100 bytes
	if err != nil {
		return nil, err
	}
	s := &redisServer{dir: dir, done: make(chan struct{})}
	s.cmd = exec.Command("redis-server", "--port", "0", "--unixsocket", s.socket(), "--dir", dir, "--save", "", "--appendonly", "yes", "--logfile", filepath.Join(dir, "log"))
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt typed at the terminal is for this program
	endWithParent(s.cmd.SysProcAttr)
	if err := s.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting Redis (on Debian: apt-get install redis-server): %w", err), os.RemoveAll(dir))
	}
	go func() {
		_ = s.cmd.Wait() // how it ended does not matter
		close(s.done)
	}()
	ctx, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	err = until(ctx, func() (bool, error) {
		select {
		case <-s.done:
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			return false, fmt.Errorf("the Redis server ended: %s", log)
		default:
		}
		c, err := net.Dial("unix", s.socket())
		if err != nil {
			return false, nil //nolint:nilerr // not yet
		}
		return true, c.Close()
	})
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

func (s *redisServer) socket() string { return filepath.Join(s.dir, "socket") }

func (s *redisServer) stop() error {
	_ = s.cmd.Process.Kill() // it may have ended
	<-s.done
	return os.RemoveAll(s.dir)
}
