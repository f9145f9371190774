package entraredis

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// upstream is the connection to the service that a conn has at present; a
// handover puts another one in its place. Who reads holds conn.reads, who
// writes conn.writes, and who replaces it both; the rest may be called at any
// time.
type upstream struct {
	current atomic.Pointer[net.Conn]

	mu     sync.Mutex // held to close or replace current; not across I/O
	closed bool
}

func newUpstream(c net.Conn) *upstream {
	u := &upstream{}
	u.current.Store(&c)
	return u
}

func (u *upstream) get() net.Conn { return *u.current.Load() }

// replace puts c in the place of the present connection and returns that one,
// which is the caller's to close. It reports false, and does nothing, if
// upstream has been closed.
func (u *upstream) replace(c net.Conn) (old net.Conn, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return nil, false
	}
	return *u.current.Swap(&c), true
}

// Close closes the present connection; it will not be replaced any more.
func (u *upstream) Close() error {
	u.mu.Lock()
	u.closed = true
	u.mu.Unlock()
	return u.get().Close()
}

func (u *upstream) Read(p []byte) (int, error)         { return u.get().Read(p) }
func (u *upstream) Write(p []byte) (int, error)        { return u.get().Write(p) }
func (u *upstream) LocalAddr() net.Addr                { return u.get().LocalAddr() }
func (u *upstream) RemoteAddr() net.Addr               { return u.get().RemoteAddr() }
func (u *upstream) SetDeadline(t time.Time) error      { return u.get().SetDeadline(t) }
func (u *upstream) SetReadDeadline(t time.Time) error  { return u.get().SetReadDeadline(t) }
func (u *upstream) SetWriteDeadline(t time.Time) error { return u.get().SetWriteDeadline(t) }
