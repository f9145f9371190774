package proxy

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// LatencyBounds are the upper ends of the buckets of Latencies, but for the
// last, which has none.
var LatencyBounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
}

// Latencies are how long clients waited: from when one that was owed nothing
// sent something, until there was something to hand to it. So a pipeline
// counts once, and a command that blocks as long as it did.
type Latencies struct {
	Buckets [len(LatencyBounds) + 1]uint64
	Sum     time.Duration
}

// latencies gathers Latencies. It is safe for concurrent use.
type latencies struct {
	buckets [len(LatencyBounds) + 1]atomic.Uint64
	sum     atomic.Int64
}

func (l *latencies) observe(d time.Duration) {
	i := 0
	for i < len(LatencyBounds) && d > LatencyBounds[i] {
		i++
	}
	l.buckets[i].Add(1)
	l.sum.Add(int64(d))
}

func (l *latencies) snapshot() (s Latencies) {
	for i := range l.buckets {
		s.Buckets[i] = l.buckets[i].Load()
	}
	s.Sum = time.Duration(l.sum.Load())
	return s
}

// asks notes that the client has sent something, and handed that it is about to
// be given something.
func (c *client) asks(now time.Time) { c.asked.CompareAndSwap(0, now.UnixNano()) }

func (c *client) handed(now time.Time) {
	if since := c.asked.Load(); since != 0 && c.asked.CompareAndSwap(since, 0) {
		c.proxy.latencies.observe(now.Sub(time.Unix(0, since)))
	}
}

// commandCount counts the commands of a client: those over pipes itself, those
// over an upstream of the client's own by what that says.
type commandCount struct {
	mu       sync.Mutex // guards the rest
	n        uint64
	upstream interface{ Commands() uint64 } // or nil
	before   uint64                         // what it had when it became the client's
}

func (k *commandCount) add(n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.n += uint64(n)
}

// begin goes on with an upstream, until end.
func (k *commandCount) begin(upstream net.Conn) {
	counts, ok := upstream.(interface{ Commands() uint64 })
	if !ok {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.upstream, k.before = counts, counts.Commands()
}

func (k *commandCount) end() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.n = k.total()
	k.upstream = nil
}

func (k *commandCount) load() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.total()
}

func (k *commandCount) total() uint64 {
	if k.upstream == nil {
		return k.n
	}
	return k.n + k.upstream.Commands() - k.before
}
