package demo

import (
	"context"
	"errors"
	"net"
	"os"
	"sync/atomic"
)

// tally counts what one client lives through, as the client sees it. The same
// count serves the clients that go through a Dialer and the one that does not.
type tally struct {
	commands, failed atomic.Uint64
	opened, dropped  atomic.Uint64
	open             atomic.Int64
}

type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// watch counts the connections that dial makes.
func (t *tally) watch(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		t.opened.Add(1)
		t.open.Add(1)
		return &watchedConn{Conn: conn, tally: t}, nil
	}
}

// watchedConn tells a connection that the other side ended from one that the
// client closed: whatever comes first.
type watchedConn struct {
	net.Conn
	tally *tally
	over  atomic.Bool
}

func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.note(err)
	return n, err
}

func (c *watchedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.note(err)
	return n, err
}

func (c *watchedConn) note(err error) {
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return
	}
	if c.over.CompareAndSwap(false, true) {
		c.tally.dropped.Add(1)
		c.tally.open.Add(-1)
	}
}

func (c *watchedConn) Close() error {
	if c.over.CompareAndSwap(false, true) {
		c.tally.open.Add(-1)
	}
	return c.Conn.Close()
}
