package proxy_test

import (
	"testing"
	"time"

	"github.com/entraredis/entraredis/proxy"
)

// waits are the buckets that hold something.
func waits(l proxy.Latencies) map[time.Duration]uint64 {
	m := map[time.Duration]uint64{}
	for i, n := range l.Buckets {
		if n == 0 {
			continue
		}
		bound := time.Duration(-1)
		if i < len(proxy.LatencyBounds) {
			bound = proxy.LatencyBounds[i]
		}
		m[bound] = n
	}
	return m
}

func TestCommandsAndLatencies(t *testing.T) {
	for _, mode := range []proxy.Upstreams{proxy.UpstreamsDedicated, proxy.UpstreamsShared} {
		t.Run(mode.String(), func(t *testing.T) {
			within(t, func(p *proxy.Proxy) { p.Upstreams = mode }, func(d *door) {
				c, other := d.connect(), d.connect()
				c.do("+OK\r\n", "SET", "k", "v")
				c.do("$1\r\nv\r\n", "GET", "k")
				c.send("BLPOP", "list", "0")
				pass(2 * time.Second)
				other.do(":1\r\n", "RPUSH", "list", "a")
				c.want("*2\r\n$4\r\nlist\r\n$1\r\na\r\n")
				other.do("+OK\r\n", "MULTI")
				other.do("+QUEUED\r\n", "GET", "k")
				other.do("*1\r\n$1\r\nv\r\n", "EXEC")
				pass(5 * time.Second) // it gives its upstream back
				other.do("+PONG\r\n", "PING")
				s := d.Stats()
				if s.Commands != 8 {
					t.Errorf("%d commands, want 8", s.Commands)
				}
				if got := waits(s.Latencies); got[100*time.Microsecond] != 7 || got[2500*time.Millisecond] != 1 || len(got) != 2 {
					t.Errorf("waits %v", got)
				}
				if s.Latencies.Sum != 2*time.Second {
					t.Errorf("sum %v, want 2s", s.Latencies.Sum)
				}
				// What clients did does not go with them.
				c.Close()
				other.Close()
				pass(time.Second)
				if s := d.Stats(); s.Commands != 8 || s.Clients != 0 {
					t.Errorf("behind their end: %d commands, %d clients", s.Commands, s.Clients)
				}
			})
		})
	}
}
