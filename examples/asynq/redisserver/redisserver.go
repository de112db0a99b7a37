//go:build unix

// Package redisserver starts private Redis servers for tests and measurements: each in a temporary
// folder, on a loopback port that was free, gone when it is stopped.
package redisserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// A Server is a redis-server. It is not safe for concurrent use, except for Addr.
type Server struct {
	dir  string
	port int
	args []string
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
}

const (
	startTimeout = time.Minute
	pause        = 10 * time.Millisecond
	tries        = 5 // for a port
)

// Start starts a server with settings such as "--appendonly", "yes". Without any it keeps
// nothing on disk.
func Start(ctx context.Context, settings ...string) (*Server, error) {
	var errs []error
	for range tries { // somebody else may take the port
		s, err := start(ctx, settings)
		if err == nil {
			return s, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func start(ctx context.Context, settings []string) (*Server, error) {
	dir, err := os.MkdirTemp("", "redis")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir}
	if s.port, err = freePort(); err == nil {
		s.args = append([]string{
			"--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", dir, "--logfile", filepath.Join(dir, "log"),
			"--save", "", "--cluster-port", "0",
		}, settings...)
		err = s.Restart(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// Addr returns the address of the server. It stays the same over a restart.
func (s *Server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// Restart starts the server again on what it has on disk, having killed it if it runs. It
// returns when the server answers.
func (s *Server) Restart(ctx context.Context) error {
	s.Kill()
	cmd := exec.Command("redis-server", s.args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	endWithParent(cmd.SysProcAttr)
	done := make(chan struct{})
	started := make(chan error)
	go startAndWait(cmd, started, done)
	if err := <-started; err != nil {
		return fmt.Errorf("redisserver: %w (on Debian: apt-get install redis-server)", err)
	}
	s.cmd, s.done = cmd, done
	client := redis.NewClient(&redis.Options{Addr: s.Addr(), MaxRetries: -1})
	defer client.Close()
	ctx, stop := context.WithTimeout(ctx, startTimeout)
	defer stop()
	for {
		err := client.Ping(ctx).Err()
		if err == nil {
			return s.isOurs(ctx, client)
		}
		select {
		case <-done:
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("redisserver: the server ended\n%s", log)
		case <-ctx.Done():
			return fmt.Errorf("redisserver: %w: %w", ctx.Err(), err)
		case <-time.After(pause):
		}
	}
}

// isOurs makes sure that it is not another server that has answered.
func (s *Server) isOurs(ctx context.Context, client *redis.Client) error {
	dir, err := client.ConfigGet(ctx, "dir").Result()
	if err != nil {
		return err
	}
	if want, _ := filepath.EvalSymlinks(s.dir); dir["dir"] != s.dir && dir["dir"] != want {
		return fmt.Errorf("redisserver: another server has port %d", s.port)
	}
	return nil
}

// Kill kills the server at once with SIGKILL, if it runs. Nothing is flushed and nobody is told.
func (s *Server) Kill() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill() // it may have ended
		<-s.done
	}
}

// Pause stops the server where it is, and Continue lets it go on.
func (s *Server) Pause() error { return s.cmd.Process.Signal(syscall.SIGSTOP) }

// Continue undoes Pause.
func (s *Server) Continue() error { return s.cmd.Process.Signal(syscall.SIGCONT) }

// Stop kills the server and removes its folder.
func (s *Server) Stop() error {
	s.Kill()
	return os.RemoveAll(s.dir)
}
