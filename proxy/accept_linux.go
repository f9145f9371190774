package proxy

import (
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// maxAccepts bounds how many clients a turn of the loop accepts.
	maxAccepts = 16

	// lookAround is how often it is looked whether somebody else has closed a
	// listener: the loop is not told.
	lookAround = time.Second

	// keepAlive is package net's default for what it accepts: 9 probes.
	keepAlive      = 15 * time.Second
	keepAliveCount = 9
)

// acceptor has a loop accept clients. For those that stay only for a moment
// waking a goroutine for that is most of what they cost.
type acceptor struct {
	proxy    *Proxy
	listener net.Listener
	socket   *socket // its socket, of which only control is of use
	// ready is an epoll instance with only that in it. The loop's own could not
	// be rid of it again: it is closed by others, and lives on if there is a copy.
	ready *socket
	seat  seat
	// bare says that clients do not inherit all options, as those do not that
	// were there before the listener had them; heirs that from there on they do.
	bare, heirs bool
	failed      chan error      // has one in it once the listener is of no further use
	closed      <-chan struct{} // is closed with the listener; nil if that has to be looked for
	over        atomic.Bool     // nobody waits for failed
}

// acceptInLoop accepts clients from l as Serve does, and returns Serve's error.
// It reports false, and nothing has happened, if that cannot be.
func (p *Proxy) acceptInLoop(l net.Listener) (err error, ok bool) {
	if p.hub == nil || p.Auth != nil {
		return nil, false // each client has to be waited for first
	}
	a := &acceptor{proxy: p, listener: l, failed: make(chan error, 1)}
	own := listenerOf(l)
	if own != nil {
		a.socket = own.copied()
	} else if raw := rawOfNet(l); raw != nil {
		a.socket = &socket{raw: raw, fd: -1}
	}
	if a.socket == nil {
		return nil, false
	}
	if _, tcp := l.Addr().(*net.TCPAddr); tcp {
		a.socket.control(func(fd int) { a.bare, a.heirs = true, setOptions(fd) })
	}
	if !a.open() {
		if own != nil {
			a.socket.Close()
		}
		return nil, false
	}
	if own != nil {
		own.detach(a.socket)
		a.closed = own.ended
	}
	a.seat.release()
	return a.wait(), true
}

// copied returns a copy of the listener's socket, or nil if there can be none.
func (l *Listener) copied() *socket {
	raw, fd := rawOfNet(l.inner), -1
	if raw == nil || raw.Control(func(old uintptr) { fd = duplicate(old) }) != nil || fd < 0 {
		return nil
	}
	return newSocket(fd, nil, nil)
}

// detach has s, a copy of the listener's socket, instead of that, which the runtime
// has woken for each client.
func (l *Listener) detach(s *socket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		s.Close()
		return
	}
	l.socket = s
	l.inner.Close() // it lives on in the copy
}

// open makes a.ready, and takes the seat.
func (a *acceptor) open() bool {
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return false
	}
	a.ready = newSocket(epoll, nil, nil)
	err = net.ErrClosed
	a.socket.control(func(fd int) {
		err = syscall.EpollCtl(epoll, syscall.EPOLL_CTL_ADD, fd, &syscall.EpollEvent{Events: pollIn, Fd: int32(fd)})
	})
	if err != nil || !a.proxy.loops.of(0).sit(&a.seat, a, a.ready, nil) {
		a.ready.Close()
		return false
	}
	return true
}

// setOptions sets what package net sets of each client, of a listener for them to
// inherit. It reports whether that was all: of one for Multipath TCP, which
// net.Listen makes, older kernels take less.
func setOptions(fd int) bool {
	all := true
	for _, o := range [...][3]int{
		{syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1},
		{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, int(keepAlive / time.Second)},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, int(keepAlive / time.Second)},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, keepAliveCount},
	} {
		all = syscall.SetsockoptInt(fd, o[0], o[1], o[2]) == nil && all
	}
	return all
}

// wait returns when no more clients will come.
func (a *acceptor) wait() error {
	defer a.end()
	var look <-chan time.Time
	if a.closed == nil {
		tick := time.NewTicker(lookAround)
		defer tick.Stop()
		look = tick.C
	}
	for {
		select {
		case <-a.proxy.closing:
			return ErrClosed
		case err := <-a.failed:
			return a.ended(err)
		case <-a.closed:
			return a.ended(net.ErrClosed)
		case <-look:
			if a.socket.raw.Control(func(uintptr) {}) != nil {
				return a.ended(net.ErrClosed)
			}
		}
	}
}

// end takes the acceptor out of the loop, or has the loop do so.
func (a *acceptor) end() {
	a.over.Store(true)
	if a.seat.claim() {
		a.resume()
	}
}

func (a *acceptor) ended(err error) error {
	if a.proxy.isDraining() {
		return ErrClosed
	}
	return &net.OpError{Op: "accept", Net: a.listener.Addr().Network(), Addr: a.listener.Addr(), Err: err}
}

// turn accepts those that have come.
func (a *acceptor) turn(*loop, int, uint32) bool {
	a.socket.control(dontWait)
	for range maxAccepts {
		c, err := a.accept()
		switch {
		case err == nil:
			if cl := a.proxy.admit(c); cl != nil {
				cl.welcome()
			}
		case err == syscall.EAGAIN:
			a.bare = a.bare && !a.heirs // whoever comes now comes behind setOptions
			return true
		case err == syscall.ECONNABORTED || err == syscall.EINTR:
		case passes(err):
			a.proxy.log.Warn("accept", "error", err, "pause", maxAcceptPause)
			a.seat.await(clientSock, 0)
			time.AfterFunc(maxAcceptPause, func() { a.seat.await(clientSock, pollIn) })
			return true
		default:
			a.failed <- err
			return false
		}
	}
	return true // the others come in the next turn
}

func (a *acceptor) accept() (*socket, error) {
	var from syscall.Sockaddr
	n, err := -1, net.ErrClosed
	a.socket.control(func(fd int) {
		n, from, err = syscall.Accept4(fd, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
	})
	if err != nil {
		return nil, err
	}
	if a.bare {
		setOptions(n)
	}
	return newSocket(n, a.listener.Addr(), addrOf(from)), nil
}

// dontWait has accept not wait in a listener. Whoever has a copy of it, such as a
// process to come, may have changed that: os.File.Fd does.
func dontWait(fd int) {
	flags, _, errno := syscall.RawSyscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFL, 0)
	if errno == 0 && flags&syscall.O_NONBLOCK == 0 {
		syscall.SetNonblock(fd, true)
	}
}

func addrOf(a syscall.Sockaddr) net.Addr {
	switch a := a.(type) {
	case *syscall.SockaddrInet4:
		return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)))
	case *syscall.SockaddrInet6:
		return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port)))
	case *syscall.SockaddrUnix:
		return &net.UnixAddr{Name: a.Name, Net: "unix"}
	}
	return nil
}

func (a *acceptor) leaves() bool { return a.over.Load() }
func (a *acceptor) resume()      { a.ready.Close() }

func (a *acceptor) quits() bool {
	a.ready.Close()
	return true
}
