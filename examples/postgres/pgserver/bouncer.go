//go:build unix

package pgserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// A Bouncer is a running PgBouncer in front of a [Server], which pools transactions: each may
// go over another connection to the server than the one before it. It is reachable by a
// unix socket only.
type Bouncer struct {
	dir  string
	cmd  *exec.Cmd
	done chan struct{}
}

const bouncerPort = "6432"

// StartBouncer starts a PgBouncer with so many connections for each database of the server.
func (s *Server) StartBouncer(ctx context.Context, connections int) (_ *Bouncer, err error) {
	program := "/usr/sbin/pgbouncer" // where Debian puts it, and PATH need not lead
	if path, err := exec.LookPath("pgbouncer"); err == nil {
		program = path
	} else if _, err := os.Stat(program); err != nil {
		return nil, errors.New("pgserver: PgBouncer is not installed: install it (Debian: apt-get install pgbouncer; macOS: brew install pgbouncer)")
	}
	b := &Bouncer{done: make(chan struct{})}
	if b.dir, err = os.MkdirTemp("", "pgb"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(b.dir))
		}
	}()
	files := map[string]string{
		"users": "\"postgres\" \"\"\n",
		"ini": fmt.Sprintf("[databases]\n* = host=%s\n[pgbouncer]\npool_mode = transaction\ndefault_pool_size = %d\nmax_client_conn = 500\n"+
			"listen_addr =\nlisten_port = %s\nunix_socket_dir = %s\nauth_type = trust\nauth_file = %[4]s/users\n", s.dir, connections, bouncerPort, b.dir),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	if s.cred != nil {
		if err := os.Chown(b.dir, int(s.cred.Uid), int(s.cred.Gid)); err != nil {
			return nil, err
		}
	}
	log, err := os.Create(filepath.Join(b.dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	b.cmd = exec.Command(program, filepath.Join(b.dir, "ini"))
	b.cmd.Dir, b.cmd.Stdout, b.cmd.Stderr = b.dir, log, log
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred, Setpgid: true}
	endWithParent(b.cmd.SysProcAttr)
	if err := b.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = b.cmd.Wait() // how it ended does not matter
		close(b.done)
	}()
	return b, b.wait(ctx, log.Name())
}

// wait waits until it takes connections.
func (b *Bouncer) wait(ctx context.Context, log string) error {
	ctx, stop := context.WithTimeout(ctx, startTimeout)
	defer stop()
	for {
		conn, err := net.Dial("unix", filepath.Join(b.dir, ".s.PGSQL."+bouncerPort))
		if err == nil {
			return conn.Close()
		}
		select {
		case <-b.done:
			said, err := os.ReadFile(log)
			return errors.Join(fmt.Errorf("pgserver: PgBouncer has ended:\n%s", said), err)
		case <-time.After(pause):
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("pgserver: PgBouncer does not get ready: %w", ctx.Err()), b.Stop())
		}
	}
}

// URL returns where to connect to for a database.
func (b *Bouncer) URL(database string) string {
	return "postgres:///" + database + "?" + url.Values{"host": {b.dir}, "port": {bouncerPort}, "user": {"postgres"}}.Encode()
}

// Stop ends it.
func (b *Bouncer) Stop() error {
	err := b.cmd.Process.Signal(syscall.SIGTERM) // SIGTERM does not wait for clients
	<-b.done
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	return errors.Join(err, os.RemoveAll(b.dir))
}
