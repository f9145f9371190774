package proxy

import (
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"time"
)

// restorable is what the connections of a Dialer are.
type restorable interface {
	// Restorable reports whether another connection can take the place of this
	// one, which has ended.
	Restorable() bool

	// Restore has another one take it.
	Restore(on net.Conn, deliver func([]byte) error) error
}

// line is the upstream of a client. When it ends while the client is owed
// nothing another one takes its place, with the same protocol, database, name
// and subscriptions, and the client does not notice; but messages that came in
// between are lost. What it sends meanwhile waits.
type line struct {
	writes chan struct{} // has one in it while somebody writes, or changes conn
	conn   atomic.Pointer[net.Conn]
	over   atomic.Bool // it has ended for good
	since  time.Time   // when conn took another one's place; of who reads
}

func newLine(conn net.Conn) *line {
	l := &line{writes: make(chan struct{}, 1)}
	l.conn.Store(&conn)
	return l
}

func (l *line) get() net.Conn { return *l.conn.Load() }

// Write waits while another connection takes the place of one that has ended.
func (l *line) Write(b []byte) (int, error) {
	l.writes <- struct{}{}
	defer func() { <-l.writes }()
	return l.get().Write(b)
}

// close ends the line for good. It may be called more than once.
func (l *line) close() {
	l.over.Store(true)
	hangUp(l.get())
}

// restore puts another connection in the place of the one that has ended. It
// reports false if that cannot be, or the client has gone.
func (c *client) restore(l *line) bool {
	old := l.get()
	state, ok := old.(restorable)
	if !ok || c.ctx.Err() != nil {
		return false
	}
	old.Close() // a write that is under way ends
	l.writes <- struct{}{}
	defer func() { <-l.writes }()
	if l.over.Load() || !state.Restorable() {
		return false
	}
	if time.Since(l.since) < maxBackOff {
		// The cache takes connections and ends them.
		select {
		case <-time.After(maxBackOff):
		case <-c.ctx.Done():
			return false
		}
	}
	var unlike error // of Restore
	next, err := c.redial(func(next net.Conn) error {
		unhook := context.AfterFunc(c.ctx, func() { next.Close() })
		unlike = state.Restore(next, func(b []byte) error {
			n, err := c.conn.Write(b)
			c.down.Add(uint64(n))
			return err
		})
		if !unhook() && unlike == nil {
			unlike = net.ErrClosed
		}
		return unlike
	})
	switch {
	case err != nil && err == unlike:
		c.log(slog.LevelDebug, "upstream of an idle client is not replaced", "error", err)
		return false
	case err != nil:
		if c.ctx.Err() == nil && err != errDraining {
			c.proxy.count(func(s *Stats) { s.dialFailed(err) })
			c.log(slog.LevelWarn, "upstream of an idle client is not replaced", "error", err)
		}
		return false
	}
	c.proxy.limit(next)
	c.commands.end()
	c.commands.begin(next)
	l.since = time.Now()
	if l.conn.Store(&next); l.over.Load() {
		next.Close()
		return false
	}
	c.proxy.count(func(s *Stats) { s.Restored++ })
	c.log(slog.LevelDebug, "upstream of an idle client replaced")
	return true
}

// redial tries for as long as a new client would wait for its turn.
func (c *client) redial(prepare func(net.Conn) error) (net.Conn, error) {
	u := c.proxy.upstreams
	for end := time.Now().Add(u.patience()); ; {
		conn, err := u.prepared(c.ctx, prepare)
		if err == nil || reachable(c.ctx, err) != unreached || time.Now().After(end) {
			return conn, err
		}
	}
}
