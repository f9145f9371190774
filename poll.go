package entraredis

import (
	"crypto/tls"
	"net"

	"github.com/entraredis/entraredis/internal/reauth"
)

// Poll begins (on) or ends a time in which the caller calls Read whenever
// something has come to the transport beneath, until Read fails with
// os.ErrDeadlineExceeded, which the transport returns when nothing has: nobody
// need wait in Read, and nobody else reads. It reports false, and nothing has
// begun, if that cannot be now. It is part of no interface, and for who serves
// many connections with few goroutines.
func (c *conn) Poll(on bool) bool {
	if !on {
		c.polled.Store(false)
		if c.asked.Load() && c.unread() {
			go c.readAnswer() // the caller may not read for long
		}
		return true
	}
	// Whoever reads for us from here on sees polled, and who did before is seen.
	c.polled.Store(true)
	if c.reads.own.Load() == nil && c.reads.busy.TryLock() {
		quiet := len(c.ahead) == 0 && c.readErr == nil && c.veil == nil
		c.reads.end()
		if quiet && c.Polls() {
			return true
		}
	}
	c.Poll(false)
	return false
}

// Polls reports whether Poll may go on behind what was written last: a handover
// needs to read by itself, and what waits behind a blocking command can fill up.
func (c *conn) Polls() bool { return !c.apart.Load() }

// Waits reports whether a reply is due to the client, or nobody can tell.
func (c *conn) Waits() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tracker.ClientWaits() || c.tracker.Deferred() == reauth.Unfollowable
}

// NetConn returns the transport: what NetDial has returned.
func (c *conn) NetConn() net.Conn {
	switch nc := c.upstream.get().(type) {
	case *tls.Conn:
		return nc.NetConn()
	default:
		return nc
	}
}
