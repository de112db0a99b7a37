package etcd_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// The tests start an etcd cluster of three members, each a process of its own: the test
// binary once more, with the server in it. So a member can be killed like any process.

const (
	nameVariable    = "ETCD_TEST_MEMBER"
	dirVariable     = "ETCD_TEST_DIR"
	clusterVariable = "ETCD_TEST_CLUSTER" // name=peer URL,…
	clientVariable  = "ETCD_TEST_CLIENT"  // client URL
	hastyVariable   = "ETCD_TEST_HASTY"   // does not wait for the disk
)

func TestMain(m *testing.M) {
	if os.Getenv(nameVariable) != "" {
		if err := runMember(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	if shared.cluster != nil {
		shared.cluster.stop()
	}
	os.Exit(code)
}

// runMember is the process of a member. It takes commands from the standard input, and ends
// with it.
func runMember() error {
	config := embed.NewConfig()
	config.Name = os.Getenv(nameVariable)
	config.Dir = os.Getenv(dirVariable)
	config.InitialCluster = os.Getenv(clusterVariable)
	config.UnsafeNoFsync = os.Getenv(hastyVariable) != ""
	config.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	client, err := url.Parse(os.Getenv(clientVariable))
	if err != nil {
		return err
	}
	_, peers, _ := strings.Cut(","+config.InitialCluster, ","+config.Name+"=")
	address, _, _ := strings.Cut(peers, ",")
	peer, err := url.Parse(address)
	if err != nil {
		return err
	}
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	server, err := embed.StartEtcd(config)
	if err != nil {
		return err
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		// "cut NAME" and "mend NAME": without this peer, or if the name is that of the
		// member, without any. Messages are dropped, in both directions.
		command, name, _ := strings.Cut(in.Text(), " ")
		for _, m := range server.Server.Cluster().Members() {
			if m.Name == config.Name || name != m.Name && name != config.Name {
				continue
			}
			if command == "cut" {
				server.Server.CutPeer(m.ID)
			} else {
				server.Server.MendPeer(m.ID)
			}
		}
		fmt.Println("done")
	}
	return nil // without closing anything: the tests end members abruptly
}

// A cluster is three members.
type cluster struct {
	members [3]*member
	hasty   bool
	dir     string
}

type member struct {
	name, client, peer string

	process *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
}

// newCluster starts a cluster and waits until it works. A hasty one does not wait for the
// disk, for tests that kill nobody.
func newCluster(hasty bool) (*cluster, error) {
	dir, err := os.MkdirTemp("", "etcd-test-")
	if err != nil {
		return nil, err
	}
	c := &cluster{hasty: hasty, dir: dir}
	for i := range c.members {
		m := &member{name: fmt.Sprintf("m%d", i)}
		for _, address := range []*string{&m.client, &m.peer} {
			listener, err := listen()
			if err != nil {
				return nil, err
			}
			*address = "http://" + listener.Addr().String()
			defer listener.Close() // when all have an address of their own
		}
		c.members[i] = m
	}
	return c, nil
}

// listen listens at a port that is free. It is below those that Linux gives to outgoing
// connections, so that it is free still when a member is started again.
func listen() (net.Listener, error) {
	var errs []error
	for range 100 {
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(12_000)))
		if err == nil {
			return listener, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// start starts a member, for the first time or again.
func (c *cluster) start(i int) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var peers []string
	for _, m := range c.members {
		peers = append(peers, m.name+"="+m.peer)
	}
	m := c.members[i]
	m.process = exec.Command(self)
	m.process.Env = append(os.Environ(),
		nameVariable+"="+m.name,
		dirVariable+"="+filepath.Join(c.dir, m.name),
		clusterVariable+"="+strings.Join(peers, ","),
		clientVariable+"="+m.client,
	)
	if c.hasty {
		m.process.Env = append(m.process.Env, hastyVariable+"=yes")
	}
	m.process.Stderr = os.Stderr
	if m.in, err = m.process.StdinPipe(); err != nil {
		return err
	}
	out, err := m.process.StdoutPipe()
	if err != nil {
		return err
	}
	m.out = bufio.NewReader(out)
	return m.process.Start()
}

// kill ends a member with SIGKILL.
func (c *cluster) kill(i int) error {
	m := c.members[i]
	if err := m.process.Process.Kill(); err != nil {
		return err
	}
	_ = m.process.Wait() // says that it was killed
	return nil
}

// partition cuts one member off the other two, or mends that.
func (c *cluster) partition(command string, i int) error {
	for _, m := range c.members {
		if _, err := fmt.Fprintln(m.in, command, c.members[i].name); err != nil {
			return err
		}
		if _, err := m.out.ReadString('\n'); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) stop() {
	for i, m := range c.members {
		if m.process != nil && m.process.ProcessState == nil {
			_ = c.kill(i)
		}
	}
	_ = os.RemoveAll(c.dir)
}

// connect returns a client of some members, or of all.
func (c *cluster) connect(t testing.TB, members ...int) *clientv3.Client {
	t.Helper()
	if len(members) == 0 {
		members = []int{0, 1, 2}
	}
	var addresses []string
	for _, i := range members {
		addresses = append(addresses, c.members[i].client)
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: addresses, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// ready waits until a client of all members can write.
func (c *cluster) ready(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	for _, m := range c.members {
		client, err := clientv3.New(clientv3.Config{Endpoints: []string{m.client}, Logger: zap.NewNop()})
		if err != nil {
			return err
		}
		defer client.Close()
		for {
			if _, err = client.Put(ctx, "ready", m.name); err == nil {
				break
			}
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
				return fmt.Errorf("member %s is not ready: %w", m.name, err)
			}
		}
	}
	return nil
}

// leader returns which member leads.
func (c *cluster) leader(t testing.TB) int {
	t.Helper()
	for {
		for i, m := range c.members {
			client := c.connect(t, i)
			status, err := client.Status(t.Context(), m.client)
			if err == nil && status.Leader == status.Header.MemberId {
				return i
			}
		}
		if t.Context().Err() != nil {
			t.Fatal("the cluster has no leader")
		}
	}
}

// shared is the cluster of the tests that break nothing.
var shared struct {
	once    sync.Once
	cluster *cluster
	err     error
}

// begin starts a cluster.
func begin(ctx context.Context, hasty bool) (*cluster, error) {
	c, err := newCluster(hasty)
	if err != nil {
		return nil, err
	}
	for i := range c.members {
		if err := c.start(i); err != nil {
			c.stop()
			return nil, err
		}
	}
	if err := c.ready(ctx); err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

func sharedCluster() (*cluster, error) {
	shared.once.Do(func() { shared.cluster, shared.err = begin(context.Background(), true) })
	return shared.cluster, shared.err
}

// connect returns a client of the shared cluster.
func connect(t testing.TB) *clientv3.Client {
	t.Helper()
	c, err := sharedCluster()
	if err != nil {
		t.Fatal(err)
	}
	return c.connect(t)
}

// private returns a cluster for one test.
func private(t testing.TB) *cluster {
	t.Helper()
	c, err := begin(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.stop)
	return c
}
