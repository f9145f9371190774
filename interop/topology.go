package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/mediocregopher/radix/v4"
)

// The topologies.
const (
	single   = "single"
	sentinel = "sentinel"
	cluster  = "cluster"
)

// primaryName is what the Sentinel calls the primary it watches.
const primaryName = "cache"

// topology is a set of servers that a client takes for one.
type topology struct {
	kind string
	seed *server // the one a client is told of
	// tags are hash tags, one for a slot of each primary.
	tags []string
}

func (l *launcher) topology(ctx context.Context, kind string) (topology, error) {
	switch kind {
	case single:
		s, err := l.start(ctx, single, noExtra)
		return topology{kind: kind, seed: s, tags: []string{"{a}"}}, err
	case sentinel:
		s, err := l.sentinel(ctx)
		return topology{kind: kind, seed: s, tags: []string{"{a}"}}, err
	case cluster:
		return l.cluster(ctx)
	}
	return topology{}, fmt.Errorf("topology %q is none of single, sentinel, cluster", kind)
}

func noExtra(*server) []string { return []string{`save ""`} }

// sentinel starts a primary, a replica and a Sentinel, and returns the last.
func (l *launcher) sentinel(ctx context.Context) (*server, error) {
	// Each may be the primary one day.
	login := []string{`save ""`, "repl-diskless-sync-delay 0", "masteruser " + adminUser, "masterauth " + l.password}
	primary, err := l.start(ctx, "primary", func(*server) []string { return login })
	if err != nil {
		return nil, err
	}
	replica, err := l.start(ctx, "replica", func(*server) []string {
		return append(login[:len(login):len(login)], fmt.Sprintf("replicaof 127.0.0.1 %d", primary.port))
	})
	if err != nil {
		return nil, err
	}
	if err := replica.await(ctx, "replicate", func(ctx context.Context) error {
		role, err := replica.admin.Do(ctx, "ROLE").Slice()
		if err != nil || len(role) < 4 || role[3] != "connected" {
			return errors.Join(err, fmt.Errorf("role is %v", role))
		}
		return nil
	}); err != nil {
		return nil, err
	}
	s, err := l.start(ctx, sentinel, func(*server) []string {
		return []string{
			fmt.Sprintf("sentinel monitor %s 127.0.0.1 %d 1", primaryName, primary.port),
			"sentinel auth-user " + primaryName + " " + adminUser,
			"sentinel auth-pass " + primaryName + " " + l.password,
			// It would ask the primary for its replicas only every ten seconds.
			fmt.Sprintf("sentinel known-replica %s 127.0.0.1 %d", primaryName, replica.port),
			// No failover because a busy machine was slow: it is not what is looked at here.
			"sentinel down-after-milliseconds " + primaryName + " 60000",
		}
	}, "--sentinel")
	if err != nil {
		return nil, err
	}
	return s, s.await(ctx, "find the replica", func(ctx context.Context) error {
		replicas, err := s.admin.Do(ctx, "SENTINEL", "REPLICAS", primaryName).Slice()
		if err == nil && len(replicas) != 1 {
			err = fmt.Errorf("%d replicas", len(replicas))
		}
		return err
	})
}

// primaries of the cluster, none of which has a replica.
const primaries = 3

func (l *launcher) cluster(ctx context.Context) (topology, error) {
	const slots = 16384
	nodes := make([]*server, primaries)
	t := topology{kind: cluster}
	for i := range nodes {
		s, err := l.start(ctx, fmt.Sprintf("node-%d", i), func(s *server) []string {
			return []string{`save ""`, "cluster-enabled yes", "tls-cluster yes", fmt.Sprintf("cluster-port %d", s.bus)}
		})
		if err != nil {
			return topology{}, err
		}
		first, last := i*slots/primaries, (i+1)*slots/primaries-1
		if err := s.admin.Do(ctx, "CLUSTER", "ADDSLOTSRANGE", first, last).Err(); err != nil {
			return topology{}, fmt.Errorf("give %s its slots: %w", s.name, err)
		}
		if i > 0 {
			host, port, err := net.SplitHostPort(nodes[0].addr)
			if err != nil {
				return topology{}, err
			}
			if err := s.admin.Do(ctx, "CLUSTER", "MEET", host, port, nodes[0].bus).Err(); err != nil {
				return topology{}, fmt.Errorf("have %s meet the first node: %w", s.name, err)
			}
		}
		nodes[i] = s
		t.tags = append(t.tags, tagWithin(first, last))
	}
	for _, s := range nodes {
		if err := s.await(ctx, "join the cluster", func(ctx context.Context) error {
			known, err := s.admin.Do(ctx, "CLUSTER", "SLOTS").Slice()
			if err == nil && len(known) != primaries {
				err = fmt.Errorf("%d of %d ranges of slots known", len(known), primaries)
			}
			if info := s.admin.ClusterInfo(ctx).Val(); err == nil && !clusterOK(info) {
				err = errors.New("cluster_state is not ok")
			}
			return err
		}); err != nil {
			return topology{}, err
		}
	}
	t.seed = nodes[0]
	return t, nil
}

func clusterOK(info string) bool { return len(info) >= 16 && info[:16] == "cluster_state:ok" }

// tagWithin returns a hash tag whose slot lies within the range.
func tagWithin(first, last int) string {
	for i := 0; ; i++ {
		tag := strconv.Itoa(i)
		if slot := int(radix.ClusterSlot([]byte(tag))); first <= slot && slot <= last {
			return "{" + tag + "}"
		}
	}
}
