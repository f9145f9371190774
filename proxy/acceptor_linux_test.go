package proxy

import (
	"net"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/entraredis/entraredis"
)

// acceptingLoop is a proxy that serves l. The channel has what Serve returns.
func acceptingLoop(t *testing.T, l net.Listener) (*Proxy, <-chan error) {
	p := &Proxy{Upstreams: UpstreamsShared, Dialer: &entraredis.Dialer{}}
	t.Cleanup(func() { p.Close() })
	served := make(chan error, 1)
	go func() { served <- p.Serve(l) }()
	return p, served
}

func within[T any](t *testing.T, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(20 * time.Second):
		t.Fatal(what)
	}
	return v
}

// Clients of package net's have these options, whichever way they come: also those
// that were there before the listener was the proxy's.
func TestOptionsOfWhoIsAccepted(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	connect := func() {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
	connect()
	a := &acceptor{listener: l, socket: &socket{fd: -1}, bare: true} // as on a system where none inherits any
	a.socket.raw, _ = l.(*net.TCPListener).SyscallConn()
	s, err := a.accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	hasOptions(t, "who inherits nothing", s)

	connect()
	p, _ := acceptingLoop(t, l)
	for n := range 3 {
		if n > 0 {
			connect()
		}
		for accepted := 0; accepted <= n; {
			p.mu.Lock()
			accepted = len(p.clients)
			for c := range p.clients {
				hasOptions(t, "a client of "+strconv.Itoa(accepted), socketOf(c.conn))
			}
			p.mu.Unlock()
		}
	}
}

func hasOptions(t *testing.T, who string, s *socket) {
	s.control(func(fd int) {
		for what, o := range map[string][3]int{
			"TCP_NODELAY":   {syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1},
			"SO_KEEPALIVE":  {syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
			"TCP_KEEPIDLE":  {syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, 15},
			"TCP_KEEPINTVL": {syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, 15},
			"TCP_KEEPCNT":   {syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, 9},
		} {
			if v, err := syscall.GetsockoptInt(fd, o[0], o[1]); v != o[2] || err != nil {
				t.Errorf("%s: %s is %d, %v", who, what, v, err)
			}
		}
	})
}

// Who hands a listener to another process makes it one that waits (os.File.Fd),
// also for those that have it already. The loop must not wait in it.
func TestListenerThatWaits(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p, served := acceptingLoop(t, l)
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.Fd()
	for range 3 {
		quits(t, l)
	}
	closed := make(chan error, 1)
	go func() { closed <- p.Close() }()
	within(t, "Close waits", closed)
	within(t, "Serve goes on", served)
}

// A listener that another process has too is still there when it is closed here.
// The loop must hear no more of it.
func TestListenerThatOthersHave(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p, served := acceptingLoop(t, l)
	quits(t, l)
	l.Close()
	within(t, "Serve goes on", served)
	late, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	n := 0
	p.loops.of(0).raw.Control(func(fd uintptr) { n, err = poll(int(fd), make([]syscall.EpollEvent, 8), 0) })
	if n != 0 || err != nil {
		t.Errorf("%d events, %v", n, err)
	}
}
