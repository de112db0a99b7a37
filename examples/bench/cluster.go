package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

// A cluster is three members of etcd, each this program once more in a process of its own.
type cluster struct {
	dir       string
	processes []*exec.Cmd
	addresses []string // for clients
}

// What a member has to know.
const (
	memberName    = "ESS_BENCH_MEMBER"
	memberDir     = "ESS_BENCH_DIR"
	memberClient  = "ESS_BENCH_CLIENT"  // URL
	memberCluster = "ESS_BENCH_CLUSTER" // name=URL,…
)

// isMember reports whether this process is a member, and not the one that measures.
func isMember() bool { return os.Getenv(memberName) != "" }

// runMember is the process of a member. It ends when its standard input does.
func runMember() error {
	config := embed.NewConfig()
	config.Name = os.Getenv(memberName)
	config.Dir = os.Getenv(memberDir)
	config.InitialCluster = os.Getenv(memberCluster)
	config.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	client, err := url.Parse(os.Getenv(memberClient))
	if err != nil {
		return err
	}
	_, after, _ := strings.Cut(","+config.InitialCluster, ","+config.Name+"=")
	address, _, _ := strings.Cut(after, ",")
	peer, err := url.Parse(address)
	if err != nil {
		return err
	}
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	if _, err := embed.StartEtcd(config); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// startCluster starts three members, and waits until they work.
func startCluster(ctx context.Context) (_ *cluster, err error) {
	c := &cluster{}
	if c.dir, err = os.MkdirTemp("", "ess-bench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.stop())
		}
	}()
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var peers []string
	var listeners []net.Listener
	for i := range 6 { // so many at once that no two get one port
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		listeners = append(listeners, listener)
		if address := "http://" + listener.Addr().String(); i < 3 {
			c.addresses = append(c.addresses, address)
		} else {
			peers = append(peers, fmt.Sprintf("m%d=%s", i-3, address))
		}
	}
	for _, listener := range listeners {
		if err := listener.Close(); err != nil {
			return nil, err
		}
	}
	for i, address := range c.addresses {
		process := exec.Command(self)
		name := fmt.Sprintf("m%d", i)
		process.Env = append(os.Environ(), memberName+"="+name, memberDir+"="+filepath.Join(c.dir, name),
			memberClient+"="+address, memberCluster+"="+strings.Join(peers, ","))
		process.Stderr = os.Stderr
		if _, err := process.StdinPipe(); err != nil {
			return nil, err
		}
		if err := process.Start(); err != nil {
			return nil, err
		}
		c.processes = append(c.processes, process)
	}
	return c, c.ready(ctx)
}

// ready waits until every member answers.
func (c *cluster) ready(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	for i := range c.addresses {
		client, err := c.connect(nil, i)
		if err != nil {
			return err
		}
		for {
			if _, err = client.Put(ctx, "ready", "yes"); err == nil || ctx.Err() != nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if err = errors.Join(err, client.Close()); err != nil {
			return fmt.Errorf("etcd member %d: %w", i, err)
		}
	}
	return nil
}

// connect returns a client of the members, that counts its calls.
func (c *cluster) connect(calls *atomic.Int64, members ...int) (*clientv3.Client, error) {
	config := clientv3.Config{Logger: zap.NewNop()}
	for _, i := range members {
		config.Endpoints = append(config.Endpoints, c.addresses[i])
	}
	if calls != nil {
		config.DialOptions = []grpc.DialOption{grpc.WithChainUnaryInterceptor(
			func(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
				calls.Add(1)
				return invoke(ctx, method, req, reply, conn, opts...)
			})}
	}
	return clientv3.New(config)
}

func (c *cluster) stop() error {
	for _, process := range c.processes {
		_ = process.Process.Kill()
		_ = process.Wait() // says that it was killed
	}
	return os.RemoveAll(c.dir)
}
