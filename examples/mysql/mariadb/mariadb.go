//go:build unix

// Package mariadb starts private MariaDB servers, and clusters of them, for tests and
// measurements: each in a temporary folder, reachable through a socket in it, gone when it
// is stopped.
//
// It needs the binaries of MariaDB, but no running server, no rights and no configuration.
// MariaDB refuses to run as root: there it runs as the user mysql.
package mariadb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	driver "github.com/go-sql-driver/mysql"
)

// Options are optional settings of [Start]. The zero Options gives the defaults.
type Options struct {
	// Fast trades durability for speed. What has been committed is lost if the machine
	// crashes, though not if the server is killed.
	Fast bool
	// Settings are settings of the server, such as "max_allowed_packet".
	Settings map[string]string
}

// A Server is a running MariaDB. It is not safe for concurrent use, except for DSN.
type Server struct {
	dir  string
	args []string
	cred *syscall.Credential // whom to run as; nil for oneself
	node bool                // it is one of a cluster
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
}

const (
	startTimeout = time.Minute
	pause        = 20 * time.Millisecond
)

// Start makes a new server in a temporary folder and starts it.
func Start(ctx context.Context, opts Options) (*Server, error) {
	s, err := newServer(opts)
	if err != nil {
		return nil, err
	}
	if err = s.install(ctx); err == nil {
		err = s.start(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	return s, nil
}

func newServer(opts Options) (*Server, error) {
	s := &Server{}
	if os.Geteuid() == 0 {
		var err error
		if s.cred, err = credential("mysql"); err != nil {
			return nil, err
		}
	}
	var err error
	if s.dir, err = os.MkdirTemp("", "my"); err != nil { // short: a socket's path is limited to some 100 bytes
		return nil, err
	}
	if s.cred != nil {
		if err := os.Chown(s.dir, int(s.cred.Uid), int(s.cred.Gid)); err != nil {
			return nil, err
		}
	}
	s.args = []string{
		"--no-defaults", "--datadir=" + s.data(), "--socket=" + s.socket(), "--pid-file=" + filepath.Join(s.dir, "pid"),
		"--skip-networking", "--innodb-buffer-pool-size=64M", "--innodb-log-file-size=32M", "--max-connections=300",
	}
	if opts.Fast {
		s.args = append(s.args, "--innodb-flush-log-at-trx-commit=2", "--innodb-doublewrite=0")
	}
	for name, value := range opts.Settings {
		s.args = append(s.args, "--"+name+"="+value)
	}
	return s, nil
}

// DSN returns how the driver finds a database of that name. It stays the same over a
// restart.
func (s *Server) DSN(database string) string { return "root@unix(" + s.socket() + ")/" + database }

// Kill kills the server with SIGKILL, as the kernel does when memory runs out. Nothing is
// flushed and nobody is told.
func (s *Server) Kill() error { return s.end(syscall.SIGKILL) }

// Restart starts the server again on the data that it had, having killed it if it runs. It
// returns when the server has recovered.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.Kill(); err != nil {
		return err
	}
	return s.start(ctx)
}

// Stop ends the server and removes its data.
func (s *Server) Stop() error { return errors.Join(s.Kill(), os.RemoveAll(s.dir)) }

func (s *Server) end(signal os.Signal) error {
	if s.done == nil {
		return nil
	}
	if err := s.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-s.done
	return nil
}

func (s *Server) data() string   { return filepath.Join(s.dir, "data") }
func (s *Server) socket() string { return filepath.Join(s.dir, "socket") }

// command returns a command that runs as the right user in a folder it may enter.
func (s *Server) command(ctx context.Context, name string, args ...string) (*exec.Cmd, error) {
	path, err := find(name)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "HOME="+s.dir, "TMPDIR="+s.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred}
	return cmd, nil
}

// install makes the system tables, a user root without a password, and an empty database test.
func (s *Server) install(ctx context.Context) error {
	cmd, err := s.command(ctx, "mariadb-install-db", "--no-defaults", "--datadir="+s.data(), "--auth-root-authentication-method=normal",
		"--innodb-log-file-size=32M")
	if err != nil {
		return err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mariadb: mariadb-install-db: %w\n%s", err, out)
	}
	return nil
}

// start starts the server and waits until it answers.
func (s *Server) start(ctx context.Context, more ...string) error {
	ctx, stop := context.WithTimeout(ctx, startTimeout)
	defer stop()
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	// The server outlives ctx.
	if s.cmd, err = s.command(context.WithoutCancel(ctx), "mariadbd", append(s.args, more...)...); err != nil {
		return err
	}
	s.cmd.Stdout, s.cmd.Stderr = log, log
	// A process group of its own: an interrupt typed at the terminal is for the test, which
	// then stops the server.
	s.cmd.SysProcAttr.Setpgid = true
	endWithParent(s.cmd.SysProcAttr)
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan<- struct{}) {
		_ = cmd.Wait() // how it ended does not matter
		close(done)
	}(s.cmd, s.done)
	if err := s.await(ctx); err != nil {
		said, _ := os.ReadFile(log.Name())
		return errors.Join(fmt.Errorf("mariadb: the server does not get ready: %w\n%s", err, said), s.Kill())
	}
	return nil
}

// await waits until the server answers.
func (s *Server) await(ctx context.Context) error {
	db, err := s.open()
	if err != nil {
		return err
	}
	defer db.Close()
	for db.PingContext(ctx) != nil || s.node && !synced(db) {
		select {
		case <-s.done:
			return errors.New("it has ended")
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
	return nil
}

func (s *Server) open() (*sql.DB, error) {
	cfg, err := driver.ParseDSN(s.DSN(""))
	if err != nil {
		return nil, err
	}
	cfg.Logger = &driver.NopLogger{}
	connector, err := driver.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

func credential(name string) (*syscall.Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("mariadb: MariaDB does not run as root: %w", err)
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

// find returns the path of a program of MariaDB's.
func find(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/libexec", "/opt/homebrew/opt/mariadb/bin", "/usr/local/opt/mariadb/bin"} {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("mariadb: no %s: install MariaDB (Debian: apt-get install mariadb-server; macOS: brew install mariadb), "+
		"or put the folder of its programs into PATH", name)
}
