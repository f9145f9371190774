package proxy

import (
	"context"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/internal/tcp"
)

// tried is the socket of an upstream, beneath TLS, of which a loop can read
// without waiting, and to which it can write so.
type tried struct {
	*socket
	polled atomic.Bool

	// Of who reads.
	lent []byte // to read into, during a turn of the loop
	dry  bool   // all has been read in this turn
	rest []byte // read, and not had

	writes  sync.Mutex // guards the rest
	seat    *seat      // while Write does not wait
	deaf    bool       // nothing is to be read
	backlog []byte     // taken, and not written
	corked  []byte     // what Write gathers, up to its capacity; nil if it does not
}

// pollable lets loops serve the connections that d opens, where they can.
func pollable(d *entraredis.Dialer) {
	dial := d.NetDial
	if dial == nil {
		dial = tcp.Dialer(d.KeepAlive).DialContext
	}
	d.NetDial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		if s := socketOf(c); s != nil {
			return &tried{socket: s}, nil
		}
		return c, nil
	}
}

// upstreamConn is what the connections of a Dialer are to a loop.
type upstreamConn interface {
	net.Conn
	Poll(on bool) bool
	Polls() bool
	Waits() bool
	NetConn() net.Conn
}

// polled is an upstream that a loop can have.
type polled struct {
	conn  upstreamConn
	tried *tried
}

// polledOf returns c as such, or nil if it is none.
func polledOf(c net.Conn) *polled {
	u, ok := c.(upstreamConn)
	if !ok {
		return nil
	}
	t, ok := u.NetConn().(*tried)
	if !ok {
		return nil
	}
	return &polled{u, t}
}

// begin has Read and Write not wait from here on: what Write does not write at
// once is written when the loop finds that it can be, at s's upstream. It
// reports false, and nothing has begun, if that cannot be now. Nobody may be in
// Read.
func (p *polled) begin(s *seat) bool {
	t := p.tried
	if !t.writes.TryLock() {
		return false // who is there may wait for somebody to read
	}
	defer t.writes.Unlock()
	if len(t.backlog) > 0 || !p.conn.Poll(true) {
		return false
	}
	t.polled.Store(true)
	t.seat = s
	return true
}

// end is the end of that.
func (p *polled) end() {
	t := p.tried
	t.polled.Store(false)
	t.writes.Lock()
	t.seat, t.deaf = nil, false
	behind := len(t.backlog) > 0
	t.writes.Unlock()
	if behind {
		go t.Write(nil)
	}
	p.conn.Poll(false)
}

// hangUp closes an upstream. One that takes nothing is not asked to: TLS would
// wait for seconds to say goodbye.
func hangUp(c net.Conn) {
	if p := polledOf(c); p != nil {
		p.tried.drop()
	}
	c.Close()
}

// drop closes the socket if what has been taken is not written.
func (t *tried) drop() {
	free := t.writes.TryLock()
	if free {
		defer t.writes.Unlock()
	}
	if !free || len(t.backlog) > 0 {
		t.socket.Close()
	}
}

// lend begins a turn in which all that is there is read into b first, and
// takeBack ends it.
func (t *tried) lend(b []byte) { t.lent, t.dry = b, false }

func (t *tried) takeBack() {
	if len(t.rest) > 0 {
		t.rest = slices.Clone(t.rest)
	} else {
		t.rest = nil
	}
	t.lent = nil
}

func (t *tried) Read(p []byte) (int, error) {
	if len(t.rest) > 0 {
		n := copy(p, t.rest)
		t.rest = t.rest[n:]
		return n, nil
	}
	if !t.polled.Load() {
		return t.socket.Read(p)
	}
	if t.dry || t.lent == nil {
		return 0, os.ErrDeadlineExceeded
	}
	n, err := t.socket.tryRead(t.lent)
	if t.dry = n < len(t.lent); err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	k := copy(p, t.lent[:n])
	t.rest = t.lent[k:n]
	return k, nil
}

func (t *tried) Write(b []byte) (int, error) {
	t.writes.Lock()
	defer t.writes.Unlock()
	if t.seat == nil {
		if len(t.backlog) > 0 {
			n, err := t.socket.Write(t.backlog)
			if t.backlog = t.backlog[n:]; err != nil {
				return 0, err
			}
			t.backlog = nil
		}
		return t.socket.Write(b)
	}
	if len(t.corked)+len(b) <= cap(t.corked) {
		t.corked = append(t.corked, b...)
		return len(b), nil
	}
	if len(t.corked) > 0 {
		t.put(t.corked)
		t.corked = t.corked[:0]
	}
	t.put(b)
	return len(b), nil
}

// put writes, or has the loop write. t.writes is held, and t.seat set.
func (t *tried) put(b []byte) {
	n := 0
	if len(t.backlog) == 0 {
		n = t.socket.tryWrite(b)
	}
	if n < len(b) {
		t.backlog = append(t.backlog, b[n:]...)
		t.listen()
	}
}

// cork has Write gather in b what it is given, until uncork.
func (t *tried) cork(b []byte) {
	t.writes.Lock()
	defer t.writes.Unlock()
	if t.seat != nil {
		t.corked = b[:0]
	}
}

func (t *tried) uncork() {
	t.writes.Lock()
	defer t.writes.Unlock()
	if len(t.corked) > 0 {
		t.put(t.corked)
	}
	t.corked = nil
}

// flush writes more of what has been taken. It reports whether that was all.
func (t *tried) flush() bool {
	t.writes.Lock()
	defer t.writes.Unlock()
	t.backlog = t.backlog[t.socket.tryWrite(t.backlog):]
	if len(t.backlog) == 0 {
		t.backlog = nil
	}
	t.listen()
	return t.backlog == nil
}

// isBehind reports whether the loop is yet to write something.
func (p *polled) isBehind() bool {
	t := p.tried
	t.writes.Lock()
	defer t.writes.Unlock()
	return t.seat != nil && len(t.backlog) > 0
}

// hears sets whether something is to be read. It reports whether all has been
// written.
func (t *tried) hears(on bool) (flushed bool) {
	t.writes.Lock()
	defer t.writes.Unlock()
	if t.deaf == on {
		t.deaf = !on
		t.listen()
	}
	return len(t.backlog) == 0
}

// listen has the loop wait for what is to be waited for. t.writes is held.
func (t *tried) listen() {
	if t.seat == nil {
		return
	}
	mask := pollIn
	if t.deaf {
		mask = 0
	}
	if len(t.backlog) > 0 {
		mask |= pollOut
	}
	t.seat.await(upstreamSock, mask)
}
