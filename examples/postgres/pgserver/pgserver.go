//go:build unix

// Package pgserver starts private PostgreSQL servers for tests and measurements: each in a
// temporary folder, reachable by a unix socket only, gone when it is stopped.
//
// It needs the binaries of PostgreSQL, but no running server, no rights and no
// configuration. PostgreSQL refuses to run as root: there it runs as the user
// postgres.
package pgserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Options are optional settings of [Start]. The zero Options gives the defaults.
type Options struct {
	// Bin is the folder of initdb and postgres. By default they are looked for in
	// PATH and where packages commonly put them.
	Bin string
	// Fast trades durability for speed. What has been committed is lost if the
	// machine crashes, though not if the server is killed.
	Fast bool
	// Settings are settings of the server, such as "max_connections".
	Settings map[string]string
}

// A Server is a running PostgreSQL. It is not safe for concurrent use, except
// for URL.
type Server struct {
	bin  string
	dir  string // what has to be removed in the end
	args []string
	cred *syscall.Credential // whom to run as; nil for oneself
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
}

const (
	startTimeout = time.Minute
	pause        = 10 * time.Millisecond
)

// Start makes a database cluster in a temporary folder and starts a server on it.
func Start(ctx context.Context, opts Options) (_ *Server, err error) {
	s := &Server{bin: opts.Bin}
	if s.bin == "" {
		if s.bin, err = find(); err != nil {
			return nil, err
		}
	}
	if os.Geteuid() == 0 {
		if s.cred, err = credential("postgres"); err != nil {
			return nil, err
		}
	}
	if s.dir, err = os.MkdirTemp("", "pg"); err != nil { // short: a socket's path is limited to some 100 bytes
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(s.dir))
		}
	}()
	if s.cred != nil {
		if err := os.Chown(s.dir, int(s.cred.Uid), int(s.cred.Gid)); err != nil {
			return nil, err
		}
	}
	initdb := s.command(ctx, "initdb", "-D", s.data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("pgserver: initdb: %w\n%s", err, out)
	}
	s.args = []string{"-D", s.data(), "-k", s.dir, "-c", "listen_addresses="}
	if opts.Fast {
		s.args = append(s.args, "-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off")
	}
	for name, value := range opts.Settings {
		s.args = append(s.args, "-c", name+"="+value)
	}
	return s, s.start(ctx)
}

// URL returns where to connect to, as pgx, lib/pq and psql understand it. It stays
// the same over a restart.
func (s *Server) URL() string {
	return "postgres:///postgres?" + url.Values{"host": {s.dir}, "user": {"postgres"}}.Encode()
}

// Kill kills all processes of the server at once with SIGKILL, as the kernel does
// when memory runs out. Nothing is flushed and nobody is told.
func (s *Server) Kill() error {
	select {
	case <-s.done:
		return nil // dead already
	default:
	}
	// A stopped postmaster starts no more processes while the others are killed.
	pid := s.cmd.Process.Pid
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	backends, err := children(pid)
	for _, backend := range backends {
		err = errors.Join(err, ignoreGone(syscall.Kill(backend, syscall.SIGKILL)))
	}
	err = errors.Join(err, s.cmd.Process.Kill())
	<-s.done
	return err
}

// Restart starts the server again on the data that it had, having killed it if it
// runs. It returns when the server has recovered.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.Kill(); err != nil {
		return err
	}
	return s.start(ctx)
}

// Stop ends the server and removes its data.
func (s *Server) Stop() error {
	select {
	case <-s.done:
	default:
		if err := s.cmd.Process.Signal(syscall.SIGINT); err != nil { // a fast shutdown
			return err
		}
		select {
		case <-s.done:
		case <-time.After(startTimeout):
			if err := s.Kill(); err != nil {
				return err
			}
		}
	}
	return os.RemoveAll(s.dir)
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// command returns a command that runs as the right user in a folder it may enter.
func (s *Server) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred}
	return cmd
}

// start starts the server and waits until it takes connections. A server that was
// killed may leave processes and memory behind for a moment, and a new one
// refuses to start as long as they are there: then it is tried again.
func (s *Server) start(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, startTimeout)
	defer stop()
	pidFile := filepath.Join(s.data(), "postmaster.pid")
	for {
		log, err := os.Create(filepath.Join(s.dir, "log"))
		if err != nil {
			return err
		}
		// The server outlives ctx.
		s.cmd = s.command(context.WithoutCancel(ctx), "postgres", s.args...)
		s.cmd.Stdout, s.cmd.Stderr = log, log
		// A process group of its own: an interrupt typed at the terminal is for
		// the test, which then stops the server.
		s.cmd.SysProcAttr.Setpgid = true
		endWithParent(s.cmd.SysProcAttr)
		err = s.cmd.Start()
		if err := errors.Join(err, log.Close()); err != nil {
			return err
		}
		s.done = make(chan struct{})
		go func(cmd *exec.Cmd, done chan<- struct{}) {
			_ = cmd.Wait() // how it ended does not matter
			close(done)
		}(s.cmd, s.done)
		for s.running() && !ready(pidFile, s.cmd.Process.Pid) {
			if err := sleep(ctx, pause); err != nil {
				return errors.Join(fmt.Errorf("pgserver: the server does not get ready: %w", err), s.Kill())
			}
		}
		if s.running() {
			return nil
		}
		said, err := os.ReadFile(log.Name())
		if err != nil {
			return err
		}
		again := bytes.Contains(said, []byte("still in use")) || bytes.Contains(said, []byte("already exists"))
		if err := sleep(ctx, pause); err != nil || !again {
			return fmt.Errorf("pgserver: the server has ended:\n%s", said)
		}
	}
}

func (s *Server) running() bool {
	select {
	case <-s.done:
		return false
	default:
		return true
	}
}

// ready reports whether the server of that pid takes connections: it says so in
// its file, as it does for pg_ctl.
func ready(pidFile string, pid int) bool {
	text, err := os.ReadFile(pidFile)
	lines := strings.Split(string(text), "\n")
	return err == nil && len(lines) > 7 && lines[0] == strconv.Itoa(pid) && strings.TrimSpace(lines[7]) == "ready"
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// children returns the direct children of a process. Backends of PostgreSQL lead
// sessions of their own, so that a signal to the process group misses them.
func children(pid int) ([]int, error) {
	out, err := exec.Command("ps", "-A", "-o", "ppid=,pid=").Output()
	if err != nil {
		return nil, fmt.Errorf("pgserver: ps: %w", err)
	}
	var kids []int
	for line := range strings.Lines(string(out)) {
		var parent, kid int
		if _, err := fmt.Sscan(line, &parent, &kid); err == nil && parent == pid {
			kids = append(kids, kid)
		}
	}
	return kids, nil
}

func ignoreGone(err error) error {
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

func credential(name string) (*syscall.Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("pgserver: PostgreSQL does not run as root: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// find returns the folder of the newest PostgreSQL that is installed.
func find() (string, error) {
	if path, err := exec.LookPath("postgres"); err == nil {
		return filepath.Dir(path), nil
	}
	var found []string
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin/postgres", // Debian, Ubuntu
		"/usr/pgsql-*/bin/postgres",          // Fedora, Red Hat
		"/opt/homebrew/opt/postgresql@*/bin/postgres",
		"/usr/local/opt/postgresql@*/bin/postgres",
	} {
		paths, _ := filepath.Glob(pattern) // fails for a malformed pattern only
		found = append(found, paths...)
	}
	if len(found) == 0 {
		return "", errors.New("pgserver: PostgreSQL is not installed: install it (Debian: apt-get install postgresql; " +
			"macOS: brew install postgresql), or put the folder of its binaries into PATH")
	}
	return filepath.Dir(slices.Max(found)), nil
}
