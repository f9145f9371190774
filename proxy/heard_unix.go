//go:build unix

package proxy

import (
	"errors"
	"io"
	"net"
	"syscall"
)

// heard returns nil if nothing has come on an upstream that nobody reads from.
// It returns errUnproven if something has, which under TLS may be an end, and
// another error if the kernel knows of an end. It does not wait, and takes nothing
// away. Of connections that are no sockets it knows nothing.
func heard(upstream net.Conn) error {
	if over, ok := upstream.(interface{ NetConn() net.Conn }); ok {
		upstream = over.NetConn()
	}
	raw := rawOf(upstream)
	if raw == nil {
		return nil
	}
	var n int
	var err error
	if ended := raw.Control(func(fd uintptr) {
		var b [1]byte
		for {
			if n, _, err = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK); err != syscall.EINTR {
				return
			}
		}
	}); ended != nil {
		return ended
	}
	switch {
	case errors.Is(err, syscall.EAGAIN):
		return nil
	case err != nil:
		return err
	case n == 0:
		return io.EOF
	}
	return errUnproven
}

// rawOf returns nil if there is no socket that the runtime knows of.
func rawOf(c net.Conn) syscall.RawConn {
	switch c := c.(type) {
	case interface{ rawConn() syscall.RawConn }:
		return c.rawConn()
	case syscall.Conn:
		if raw, err := c.SyscallConn(); err == nil {
			return raw
		}
	}
	return nil
}

func (s *socket) rawConn() syscall.RawConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.raw
}
