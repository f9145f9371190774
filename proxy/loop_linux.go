package proxy

import (
	"io"
	"os"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"
)

// loop reads from the clients that are on the pipes, all those that have sent
// something in one turn: they need neither a goroutine nor memory of their own
// meanwhile, and what they sent goes out in one write. A client leaves it, to a
// goroutine, with the first thing that would have to be waited for.
type loop struct {
	once sync.Once // opens it for the first client that has a socket
	file *os.File  // the epoll instance, beneath the runtime's own, so that waiting takes no thread; nil if there is none
	raw  syscall.RawConn

	mu     sync.Mutex // guards the rest
	parked map[int32]*session

	// Of the loop's goroutine.
	buf     [largeBuffer]byte
	touched []*pipe
}

func newLoop() *loop { return new(loop) }

// open makes the epoll instance and starts the loop, if that can be.
func (l *loop) open() {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		syscall.Close(fd)
		return
	}
	file := os.NewFile(uintptr(fd), "epoll")
	raw, err := file.SyscallConn()
	if err == nil {
		err = file.SetReadDeadline(time.Time{}) // only what the runtime polls has a deadline
	}
	if err != nil {
		file.Close()
		return
	}
	l.file, l.raw, l.parked = file, raw, map[int32]*session{}
	go l.run()
}

// close ends the loop. No client may be in it.
func (l *loop) close() {
	l.once.Do(func() {})
	if l.file != nil {
		l.file.Close()
	}
}

// park gives the loop a client that has sent nothing more and may send. If it
// reports true, the client is no longer the caller's.
func (l *loop) park(s *session) bool {
	if s.socket == nil {
		return false
	}
	if l.once.Do(l.open); l.file == nil {
		return false
	}
	if err := l.add(s); err != nil {
		return false
	}
	// What ends the client may have looked for it before it was here.
	return s.ctx.Err() == nil || !l.claim(s)
}

func (l *loop) add(s *session) (err error) {
	controlErr := s.socket.Control(func(fd uintptr) {
		s.fd = int32(fd)
		l.mu.Lock()
		l.parked[s.fd] = s
		l.mu.Unlock()
		s.parked.Store(true)
		// From here on the loop may have it.
		if err = l.control(syscall.EPOLL_CTL_ADD, int32(fd)); err != nil {
			s.parked.Store(false)
			l.forget(int32(fd))
		}
	})
	if err == nil {
		err = controlErr
	}
	return err
}

// claim takes a client out of the loop. If it reports true, the client is the
// caller's.
func (l *loop) claim(s *session) bool {
	if !s.parked.CompareAndSwap(true, false) {
		return false
	}
	l.remove(s)
	return true
}

func (l *loop) remove(s *session) {
	s.socket.Control(func(fd uintptr) { l.control(syscall.EPOLL_CTL_DEL, int32(fd)) })
	l.forget(s.fd)
}

func (l *loop) forget(fd int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.parked, fd)
}

func (l *loop) control(op int, client int32) (err error) {
	controlErr := l.raw.Control(func(fd uintptr) {
		err = syscall.EpollCtl(int(fd), op, int(client), &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: client})
	})
	if err == nil {
		err = controlErr
	}
	return err
}

// touch notes that a pipe has something to write.
func (l *loop) touch(p *pipe) {
	if !slices.Contains(l.touched, p) {
		l.touched = append(l.touched, p)
	}
}

func (l *loop) run() {
	events := make([]syscall.EpollEvent, 256)
	for {
		n, err := l.wait(events)
		if err != nil {
			return // closed
		}
		for _, e := range events[:n] {
			l.handle(e.Fd)
		}
		for i, p := range l.touched {
			p.writeSoon()
			l.touched[i] = nil
		}
		l.touched = l.touched[:0]
	}
}

func (l *loop) wait(events []syscall.EpollEvent) (n int, err error) {
	// Those whose replies are on their way may be about to send.
	runtime.Gosched()
	waitErr := l.raw.Read(func(fd uintptr) bool {
		for {
			n, err = syscall.EpollWait(int(fd), events, 0)
			if err != syscall.EINTR {
				return n != 0 || err != nil
			}
		}
	})
	if err == nil {
		err = waitErr
	}
	return n, err
}

// handle reads what a client has sent.
func (l *loop) handle(fd int32) {
	l.mu.Lock()
	s := l.parked[fd]
	l.mu.Unlock()
	if s == nil || !s.parked.CompareAndSwap(true, false) {
		return // somebody has just claimed it
	}
	n, err := s.socket.tryRead(l.buf[:])
	s.ended = err != nil
	stays := err == nil && s.turn(l.buf[:n], l)
	s.parked.Store(true)
	if !stays || s.ctx.Err() != nil {
		if l.claim(s) {
			go s.resume()
		}
	}
}

// tryRead reads without waiting; nothing and no error if nothing is there.
func (s *socket) tryRead(b []byte) (n int, err error) {
	waitErr := s.Read(func(fd uintptr) bool {
		for {
			if n, err = syscall.Read(int(fd), b); err != syscall.EINTR {
				return true
			}
		}
	})
	switch {
	case waitErr != nil:
		return 0, waitErr
	case err == syscall.EAGAIN:
		return 0, nil
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}
