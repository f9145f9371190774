//go:build unix

package reauth_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"
)

// socket is a connection to a redis-server that can be read without waiting.
type socket struct {
	net.Conn // wire, or TLS over it
	wire     *wire
	secure   bool
	written  int
	ended    bool // the server closed it
}

// wire is a connection whose Read returns [os.ErrDeadlineExceeded] where
// nothing has come, unless it is told to wait.
type wire struct {
	net.Conn
	raw   syscall.RawConn
	waits bool
}

// dial connects to a Unix socket or, with roots, over TLS to an address.
func dial(address string, roots *x509.CertPool) (*socket, error) {
	network := "unix"
	if roots != nil {
		network = "tcp"
	}
	c, err := net.Dial(network, address)
	if err != nil {
		return nil, err
	}
	w := &wire{Conn: c, waits: true}
	if w.raw, err = c.(syscall.Conn).SyscallConn(); err != nil {
		return nil, err
	}
	s := &socket{Conn: w, wire: w, secure: roots != nil}
	if s.secure {
		s.Conn = tls.Client(w, &tls.Config{RootCAs: roots, ServerName: "localhost"})
	}
	return s, nil
}

func (w *wire) Read(b []byte) (n int, err error) {
	if w.waits {
		return w.Conn.Read(b)
	}
	if e := w.raw.Read(func(fd uintptr) bool {
		n, err = syscall.Read(int(fd), b)
		return true
	}); e != nil {
		return 0, e
	}
	switch {
	case errors.Is(err, syscall.EAGAIN):
		return 0, os.ErrDeadlineExceeded
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// write sends b. If the server has closed, what it said before is still to be
// read, so that is no error.
func (s *socket) write(b []byte) {
	if len(b) == 0 || s.ended {
		return
	}
	s.written += len(b)
	s.Write(b)
}

// available appends to dst what has come, without waiting.
func (s *socket) available(dst []byte) []byte {
	if s.wire.waits {
		s.wire.waits = false
		defer func() { s.wire.waits = true }()
	}
	for !s.ended {
		if cap(dst)-len(dst) < 4<<10 {
			dst = append(make([]byte, 0, 2*cap(dst)+16<<10), dst...)
		}
		n, err := s.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return dst
		case err != nil:
			s.ended = true
		}
	}
	return dst
}

// wait waits until something has come, but no longer than that.
func (s *socket) wait(longest time.Duration) {
	s.SetReadDeadline(time.Now().Add(longest))
	defer s.SetReadDeadline(time.Time{})
	var peek [1]byte
	s.wire.raw.Read(func(fd uintptr) bool {
		_, _, err := syscall.Recvfrom(int(fd), peek[:], syscall.MSG_PEEK)
		return !errors.Is(err, syscall.EAGAIN)
	})
}

// unacknowledged reports whether the server has not read all yet; of TCP,
// whether it is known to have arrived, which the server's side may tell as much
// as 40 ms late if there is no reply to tell it with. Only Linux says.
func (s *socket) unacknowledged() bool {
	var n int32
	s.wire.raw.Control(func(fd uintptr) {
		syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCOUTQ, uintptr(unsafe.Pointer(&n)))
	})
	return n > 0
}

func (s *socket) closeWrite() {
	if c, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		c.CloseWrite() // of TLS
	}
	if c, ok := s.wire.Conn.(interface{ CloseWrite() error }); ok {
		c.CloseWrite()
	}
}
