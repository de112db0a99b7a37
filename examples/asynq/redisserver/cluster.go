//go:build unix

package redisserver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const slots = 16384

// StartCluster starts servers that are a Redis Cluster, with the slots spread over them.
func StartCluster(ctx context.Context, nodes int, settings ...string) (cluster []*Server, err error) {
	defer func() {
		if err != nil {
			for _, s := range cluster {
				err = errors.Join(err, s.Stop())
			}
		}
	}()
	ctx, stop := context.WithTimeout(ctx, startTimeout)
	defer stop()
	for i := range nodes {
		bus, err := freePort()
		if err != nil {
			return cluster, err
		}
		s, err := Start(ctx, append([]string{"--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-port", fmt.Sprint(bus)}, settings...)...)
		if err != nil {
			return cluster, err
		}
		cluster = append(cluster, s)
		client := redis.NewClient(&redis.Options{Addr: s.Addr()})
		defer client.Close()
		err = client.ClusterAddSlotsRange(ctx, i*slots/nodes, (i+1)*slots/nodes-1).Err()
		if err == nil {
			err = client.Do(ctx, "cluster", "meet", "127.0.0.1", cluster[0].port, cluster[0].bus()).Err()
		}
		if err != nil {
			return cluster, err
		}
	}
	for _, s := range cluster {
		if err := s.waitForCluster(ctx, nodes); err != nil {
			return cluster, err
		}
	}
	return cluster, nil
}

// bus returns the port at which the nodes of a cluster talk to each other.
func (s *Server) bus() string {
	for i, arg := range s.args {
		if arg == "--cluster-port" && s.args[i+1] != "0" {
			return s.args[i+1]
		}
	}
	return ""
}

func (s *Server) waitForCluster(ctx context.Context, nodes int) error {
	client := redis.NewClient(&redis.Options{Addr: s.Addr()})
	defer client.Close()
	for {
		info, err := client.ClusterInfo(ctx).Result()
		if err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d\r\n", nodes)) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("redisserver: the cluster did not come up: %w\n%s", ctx.Err(), info)
		case <-time.After(pause):
		}
	}
}
