//go:build unix

package proxy

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// socket is a connection that can be tried without waiting, and that can be
// detached from the runtime's poller, which then learns nothing of what comes:
// it would wake a thread for each of many that a loop waits for. One goroutine
// at a time may read, and one write; the rest may be called at any time.
type socket struct {
	local, remote net.Addr

	mu      sync.Mutex // guards the rest; held across tries
	conn    net.Conn   // nil while detached
	raw     syscall.RawConn
	fd      int // while detached; -1 otherwise
	closed  bool
	until   [2]time.Time // deadlines for reads and writes
	in, out attempt
}

// attempt is a read or a write, which need no memory of their own.
type attempt struct {
	b   []byte
	n   int
	err error
	try func(fd uintptr) bool
}

// socketOf returns c as a socket, or nil if it is none. Nobody may use c then.
func socketOf(c net.Conn) *socket {
	if s, ok := c.(*socket); ok {
		return s
	}
	raw := rawOfNet(c)
	if raw == nil {
		return nil
	}
	s := newSocket(-1, c.LocalAddr(), c.RemoteAddr())
	s.conn, s.raw = c, raw
	return s
}

// rawOfNet returns the descriptor of a connection or listener, or nil if it is of a type
// that may read and write in its own way.
func rawOfNet(c any) syscall.RawConn {
	switch c.(type) {
	case *net.TCPConn, *net.UnixConn, *net.TCPListener, *net.UnixListener:
	default:
		return nil
	}
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// newSocket returns a detached socket.
func newSocket(fd int, local, remote net.Addr) *socket {
	s := &socket{local: local, remote: remote, fd: fd}
	s.in.try, s.out.try = s.in.read, s.out.write
	return s
}

// tryRead reads without waiting; nothing and no error if nothing is there.
func (s *socket) tryRead(b []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.in.b, s.in.n, s.in.err = b, 0, nil
	waitErr := s.try(&s.in, false)
	s.in.b = nil
	switch {
	case waitErr != nil:
		return 0, waitErr
	case s.in.err == syscall.EAGAIN:
		return 0, nil
	case s.in.err != nil:
		return 0, s.in.err
	case s.in.n == 0:
		return 0, io.EOF
	}
	return s.in.n, nil
}

// try is an attempt at the socket. s.mu is held.
func (s *socket) try(a *attempt, write bool) error {
	switch {
	case s.closed:
		return net.ErrClosed
	case s.fd >= 0:
		a.try(uintptr(s.fd))
		return nil
	case write:
		return s.raw.Write(a.try)
	}
	return s.raw.Read(a.try)
}

func (a *attempt) read(fd uintptr) bool {
	for {
		if a.n, a.err = readNow(int(fd), a.b); a.err != syscall.EINTR {
			return true
		}
	}
}

// tryWrite writes what can be written without waiting. Errors are met by the
// next Write.
func (s *socket) tryWrite(b []byte) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out.b, s.out.n = b, 0
	s.try(&s.out, true)
	s.out.b = nil
	return s.out.n
}

func (a *attempt) write(fd uintptr) bool {
	for a.n < len(a.b) {
		k, err := writeNow(int(fd), a.b[a.n:])
		if k > 0 {
			a.n += k
		}
		if err != nil && err != syscall.EINTR {
			break
		}
	}
	return true
}

// read waits without memory for what comes. It returns bytes from get, or an
// error.
func (s *socket) read(get func() []byte, put func([]byte)) (b []byte, err error) {
	s.mu.Lock()
	raw := s.raw
	s.mu.Unlock()
	if raw == nil {
		return nil, net.ErrClosed // while it was detached
	}
	waitErr := raw.Read(func(fd uintptr) bool {
		b = get()
		var n int
		for {
			if n, err = syscall.Read(int(fd), b); err != syscall.EINTR {
				break
			}
		}
		if n > 0 {
			b = b[:n]
			return true
		}
		put(b)
		b = nil
		if errors.Is(err, syscall.EAGAIN) {
			return false
		}
		if err == nil {
			err = io.EOF
		}
		return true
	})
	if b == nil && waitErr != nil {
		return nil, waitErr
	}
	return b, err
}

// attached returns the connection as the runtime knows it. Who waits in Read or
// Write has seen to it that it is.
func (s *socket) attached() (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.conn == nil {
		return nil, net.ErrClosed
	}
	return s.conn, nil
}

func (s *socket) Read(b []byte) (int, error) {
	c, err := s.attached()
	if err != nil {
		return 0, err
	}
	return c.Read(b)
}

func (s *socket) Write(b []byte) (int, error) {
	c, err := s.attached()
	if err != nil {
		return 0, err
	}
	return c.Write(b)
}

func (s *socket) CloseWrite() error {
	c, err := s.attached()
	if err != nil {
		return err
	}
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (s *socket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return net.ErrClosed
	case s.fd >= 0:
		s.closed = true
		return closeNow(s.fd)
	}
	s.closed = true
	return s.conn.Close()
}

func (s *socket) LocalAddr() net.Addr  { return s.local }
func (s *socket) RemoteAddr() net.Addr { return s.remote }

func (s *socket) SetDeadline(t time.Time) error      { return s.setDeadlines(t, true, true) }
func (s *socket) SetReadDeadline(t time.Time) error  { return s.setDeadlines(t, true, false) }
func (s *socket) SetWriteDeadline(t time.Time) error { return s.setDeadlines(t, false, true) }

// setDeadlines keeps what the runtime is told when the socket is attached again.
func (s *socket) setDeadlines(t time.Time, read, write bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if read {
		s.until[0] = t
	}
	if write {
		s.until[1] = t
	}
	switch {
	case s.closed:
		return net.ErrClosed
	case s.conn == nil:
		return nil
	case !write:
		return s.conn.SetReadDeadline(t)
	case !read:
		return s.conn.SetWriteDeadline(t)
	}
	return s.conn.SetDeadline(t)
}
