//go:build unix

package mariadb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// StartCluster starts n servers that are one Galera cluster. They reach each other through
// ports of the loopback interface. A node that is restarted joins the others again, as long
// as one of them runs.
func StartCluster(ctx context.Context, n int, opts Options) (_ []*Server, err error) {
	provider, err := galera()
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(3 * n)
	if err != nil {
		return nil, err
	}
	var nodes []*Server
	defer func() {
		if err != nil {
			for _, s := range nodes {
				err = errors.Join(err, s.Stop())
			}
		}
	}()
	var addresses []string
	for i := range n {
		addresses = append(addresses, fmt.Sprintf("127.0.0.1:%d", ports[3*i]))
	}
	for i := range n {
		s, err := newServer(opts)
		if err != nil {
			return nil, err
		}
		s.node = true
		nodes = append(nodes, s)
		s.args = append(s.args,
			"--wsrep-on=ON", "--wsrep-provider="+provider, "--wsrep-cluster-name="+nodes[0].dir, "--wsrep-node-name=node"+fmt.Sprint(i+1),
			"--wsrep-cluster-address=gcomm://"+strings.Join(addresses, ","),
			// What Galera demands.
			"--binlog-format=ROW", "--innodb-autoinc-lock-mode=2", "--default-storage-engine=InnoDB",
			"--wsrep-node-address="+addresses[i], "--wsrep-sst-method=rsync",
			fmt.Sprintf("--wsrep-sst-receive-address=127.0.0.1:%d", ports[3*i+1]),
			// A node that does not answer is given up after some seconds.
			fmt.Sprintf("--wsrep-provider-options=gmcast.listen_addr=tcp://%s;ist.recv_addr=127.0.0.1:%d;gcache.size=64M;"+
				"evs.suspect_timeout=PT3S;evs.inactive_timeout=PT6S;evs.install_timeout=PT6S;pc.announce_timeout=PT1S", addresses[i], ports[3*i+2]))
		if i > 0 {
			// It gets its data from the others.
			if err := os.Mkdir(s.data(), 0o700); err != nil {
				return nil, err
			}
			if s.cred != nil {
				if err := os.Chown(s.data(), int(s.cred.Uid), int(s.cred.Gid)); err != nil {
					return nil, err
				}
			}
			if err := s.Restart(ctx); err != nil {
				return nil, err
			}
			continue
		}
		if err := s.install(ctx); err != nil {
			return nil, err
		}
		if err := s.start(ctx, "--wsrep-new-cluster"); err != nil {
			return nil, err
		}
	}
	return nodes, nil
}

// synced reports whether the server is a node that has joined the majority of a cluster.
func synced(db *sql.DB) bool {
	var name, state string
	err := db.QueryRow("SHOW STATUS LIKE 'wsrep_local_state_comment'").Scan(&name, &state)
	return err == nil && state == "Synced"
}

// Pause stops all threads of the server, as a virtual machine does that is moved. It keeps its
// connections, and answers nobody. After Continue it goes on.
func (s *Server) Pause() error { return s.cmd.Process.Signal(syscall.SIGSTOP) }

// Continue ends a Pause.
func (s *Server) Continue() error { return s.cmd.Process.Signal(syscall.SIGCONT) }

// Isolate cuts a node of a cluster off from the others, or lets it find them again. Its
// clients still reach it.
func (s *Server) Isolate(ctx context.Context, isolated bool) error {
	db, err := s.open()
	if err != nil {
		return err
	}
	defer db.Close()
	option := "gmcast.isolate=0"
	if isolated {
		option = "gmcast.isolate=1"
	}
	_, err = db.ExecContext(ctx, "SET GLOBAL wsrep_provider_options = '"+option+"'")
	return err
}

func galera() (string, error) {
	for _, pattern := range []string{"/usr/lib/galera/libgalera_smm.so", "/usr/lib64/galera*/libgalera_smm.so", "/usr/lib/*/libgalera_smm.so"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 { // fails for a malformed pattern only
			return found[0], nil
		}
	}
	return "", errors.New("mariadb: no Galera: install it (Debian: apt-get install galera-4)")
}

// freePorts returns ports that nobody listens to.
func freePorts(n int) (ports []int, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
