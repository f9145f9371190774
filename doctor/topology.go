package doctor

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/entraredis/entraredis"
)

// maxNodes bounds how many nodes are connected to; atOnce how many at a time.
const (
	maxNodes = 64
	atOnce   = 8
)

func checkTopology(ctx context.Context, x *exam, r *Result) {
	reply, err := x.conn.do(ctx, "CLUSTER", "SLOTS")
	if err != nil {
		x.endedIn(r, "CLUSTER SLOTS", err)
		return
	}
	if refused, ok := reply.(refusal); ok {
		x.unclustered(r, refused)
		return
	}
	nodes := nodesOf(reply, x.host)
	if len(nodes) == 0 {
		r.fact("CLUSTER SLOTS", "no nodes")
		r.say("one endpoint")
		return
	}
	r.fact("nodes", "%s", strings.Join(nodes, ", "))
	if n := len(nodes); n > maxNodes {
		r.fact("looked at", "the first %d of %d", maxNodes, n)
		nodes = nodes[:maxNodes]
	}
	errs := x.reach(ctx, nodes)
	failed, means := 0, Finding{}
	var seen []string
	for i, node := range nodes {
		if errs[i] == nil {
			r.fact(node, "reached, and verified as %s", x.serverName())
			continue
		}
		r.fact(node, "%v", errs[i])
		seen = append(seen, fmt.Sprintf("%s: %v", node, errs[i]))
		if host, _, _ := net.SplitHostPort(node); failed == 0 {
			means = x.tlsFinding(errs[i], host)
		}
		failed++
	}
	if failed == 0 {
		r.say("cluster of %d nodes, all reached and verified as %s", len(nodes), x.serverName())
		return
	}
	r.say("%d of %d nodes of the cluster cannot be used", failed, len(nodes))
	f := Finding{Kind: means.Kind, Anchor: "node-unreachable", Observed: shorten(strings.Join(seen, "; ")),
		Means: "cluster clients connect to every node by the address the cache announces, and from here that does not work: " + means.Means,
		Remedy: "Allow outbound connections to the ports of the nodes (15000 and up; 8500 and up on Azure Managed Redis) beside that of the cache, " +
			"and connect from a network that reaches the announced addresses. In a program, Dialer.ServerName verifies nodes by the cache's name."}
	if means.Kind == entraredis.KindTLSName || means.Kind == entraredis.KindTLS {
		f.Anchor = "node-unverified"
		f.Means = "a node answers and does not prove to be one of this cache: " + means.Means
		f.Remedy = "Check that nothing in between answers for the address. If the certificate holds another name of the same cache, give that one to verify: --server-name, Dialer.ServerName."
	}
	r.fail(f)
}

// unclustered reads a refusal of CLUSTER SLOTS.
func (x *exam) unclustered(r *Result, refused refusal) {
	r.fact("CLUSTER SLOTS", "%q", string(refused))
	text := string(refused)
	switch {
	case strings.Contains(text, "cluster support disabled"):
		r.say("standalone: one endpoint")
	case refused.permission():
		r.say("not known: CLUSTER SLOTS is not permitted")
		r.warn(Finding{Kind: entraredis.KindNoPermission, Anchor: "cluster-slots", Observed: fmt.Sprintf("CLUSTER SLOTS: %q", text),
			Means:  "authenticated; a cluster client would not find the nodes, and any other client is not concerned",
			Remedy: "If the cache is clustered, add +cluster|slots +cluster|nodes +cluster|info to the custom access policy, as the built-in ones have."})
	case refused.unknown():
		r.say("one endpoint: the commands of a cluster are not offered, as with the Enterprise policy")
	default:
		r.say("one endpoint")
	}
}

// nodesOf lists the addresses in a reply to CLUSTER SLOTS. A node without host
// is the one that answered.
func nodesOf(reply any, host string) (nodes []string) {
	ranges, _ := reply.([]any)
	for _, one := range ranges {
		parts, _ := one.([]any)
		for _, p := range parts[min(2, len(parts)):] {
			node, _ := p.([]any)
			if len(node) < 2 {
				continue
			}
			name, _ := node[0].(string)
			port, ok := node[1].(int64)
			if !ok || name == "?" {
				continue
			}
			if name == "" {
				name = host
			}
			if addr := net.JoinHostPort(name, strconv.FormatInt(port, 10)); !slices.Contains(nodes, addr) {
				nodes = append(nodes, addr)
			}
		}
	}
	return nodes
}

// reach connects to each node as a client would, and verifies it by the
// cache's own name.
func (x *exam) reach(ctx context.Context, nodes []string) []error {
	errs := make([]error, len(nodes))
	var group sync.WaitGroup
	turn := make(chan struct{}, atOnce)
	for i, addr := range nodes {
		turn <- struct{}{}
		group.Go(func() {
			defer func() { <-turn }()
			var conn net.Conn
			if x.Plaintext {
				conn, errs[i] = x.dialTCP(ctx, addr)
			} else if c, err := x.dialTLS(ctx, addr); err != nil {
				errs[i] = err
			} else {
				conn = c
			}
			if errs[i] == nil {
				conn.Close()
			}
		})
	}
	group.Wait()
	return errs
}
