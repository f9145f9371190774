package proxy

import (
	"errors"
	"net"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// detach takes the socket from the runtime's poller. It reports whether it is
// detached. Nobody may be in Read or Write.
func (s *socket) detach() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.conn == nil {
		return !s.closed
	}
	fd := -1
	if err := s.raw.Control(func(old uintptr) { fd = duplicate(old) }); err != nil || fd < 0 {
		return false
	}
	s.fd = fd
	s.conn.Close() // the connection lives on in the copy
	s.conn, s.raw = nil, nil
	return true
}

// duplicate returns another descriptor of the same socket, or -1.
func duplicate(fd uintptr) int {
	n, _, errno := syscall.RawSyscall(syscall.SYS_FCNTL, fd, syscall.F_DUPFD_CLOEXEC, 0)
	if errno != 0 {
		return -1
	}
	return int(n)
}

// attach is the inverse of detach.
func (s *socket) attach() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.fd < 0 {
		return
	}
	c := file{os.NewFile(uintptr(s.fd), "socket")}
	s.conn, s.fd = c, -1
	var err error
	if s.raw, err = c.SyscallConn(); err == nil {
		err = c.SetReadDeadline(s.until[0])
	}
	if err == nil {
		err = c.SetWriteDeadline(s.until[1])
	}
	if err != nil { // the system lets the runtime poll no more
		s.closed = true
		c.Close()
	}
}

// file is a socket as a connection. One of package net would be a copy, for
// which there may be no file descriptor, with its options set anew.
type file struct{ *os.File }

func (f file) Read(b []byte) (int, error) {
	n, err := f.File.Read(b)
	return n, bareError(err)
}

func (f file) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	return n, bareError(err)
}

// bareError returns an error of a file as one of package net: TLS takes no other
// for one that passes.
func bareError(err error) error {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		err = e.Err
	}
	if err == os.ErrClosed {
		return net.ErrClosed
	}
	return err
}

func (f file) CloseWrite() error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	if controlErr := raw.Control(func(fd uintptr) { err = syscall.Shutdown(int(fd), syscall.SHUT_WR) }); controlErr != nil {
		return controlErr
	}
	return err
}

// The socket knows its addresses itself.
func (file) LocalAddr() net.Addr  { return nil }
func (file) RemoteAddr() net.Addr { return nil }

func (s *socket) control(f func(fd int)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
	case s.fd >= 0:
		f(s.fd)
	default:
		s.raw.Control(func(fd uintptr) { f(int(fd)) })
	}
}

// readNow, writeNow and closeNow are for what does not wait: the runtime need not
// be told, and so does not take the loop's place for another goroutine meanwhile.
// recv(2) and send(2) cost a little less than read(2) and write(2), which are for
// files first.
func readNow(fd int, b []byte) (int, error)  { return callNow(unix.SYS_RECVFROM, fd, b) }
func writeNow(fd int, b []byte) (int, error) { return callNow(unix.SYS_SENDTO, fd, b) }

func callNow(call uintptr, fd int, b []byte) (int, error) {
	n, _, errno := syscall.RawSyscall6(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

func closeNow(fd int) error {
	if _, _, errno := syscall.RawSyscall(syscall.SYS_CLOSE, uintptr(fd), 0, 0); errno != 0 {
		return errno
	}
	return nil
}
