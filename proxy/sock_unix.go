//go:build unix

package proxy

import (
	"errors"
	"io"
	"net"
	"syscall"
)

// socket is the system's side of a connection: it can be tried without
// waiting. Nil where there is none.
type socket struct{ syscall.RawConn }

func socketOf(c net.Conn) *socket {
	s, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return nil
	}
	return &socket{raw}
}

// tryWrite writes what can be written without waiting. Errors are met by the
// next Write.
func (s *socket) tryWrite(b []byte) (n int) {
	s.Write(func(fd uintptr) bool {
		var err error
		for n < len(b) {
			var k int
			if k, err = syscall.Write(int(fd), b[n:]); k > 0 {
				n += k
			}
			if err != nil && err != syscall.EINTR {
				break
			}
		}
		return true
	})
	return n
}

// read waits without memory for what comes. It returns bytes from get, or an
// error.
func (s *socket) read(get func() []byte, put func([]byte)) (b []byte, err error) {
	waitErr := s.Read(func(fd uintptr) bool {
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
