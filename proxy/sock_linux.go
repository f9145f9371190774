package proxy

import (
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"
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

// How often and how soon attach tries again for want of a file descriptor.
const (
	attachTries = 200
	attachPause = 10 * time.Millisecond
)

// attach is the inverse of detach. It closes the socket if it cannot be: then
// there has been no file descriptor for two seconds.
func (s *socket) attach() {
	for range attachTries {
		if s.tryAttach() {
			return
		}
		time.Sleep(attachPause)
	}
	s.Close()
}

func (s *socket) tryAttach() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.fd < 0 {
		return true
	}
	fd := duplicate(uintptr(s.fd))
	if fd < 0 {
		return false
	}
	file := os.NewFile(uintptr(fd), "socket")
	c, err := net.FileConn(file) // which takes another copy
	file.Close()
	if err != nil {
		return false
	}
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		c.Close()
		return false
	}
	syscall.Close(s.fd)
	s.conn, s.raw, s.fd = c, raw, -1
	c.SetReadDeadline(s.until[0])
	c.SetWriteDeadline(s.until[1])
	return true
}

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

// readNow and writeNow are for what does not wait: the runtime need not be told,
// and so does not take the loop's place for another goroutine meanwhile.
func readNow(fd int, b []byte) (int, error)  { return callNow(syscall.SYS_READ, fd, b) }
func writeNow(fd int, b []byte) (int, error) { return callNow(syscall.SYS_WRITE, fd, b) }

func callNow(call uintptr, fd int, b []byte) (int, error) {
	n, _, errno := syscall.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}
