package proxy_test

import (
	"errors"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/entraredis/entraredis/internal/resp"
	"github.com/entraredis/entraredis/proxy"
)

// accepting is a proxy with shared upstreams on a listener of the caller's. The
// channel has what Serve returns.
func accepting(t *testing.T, l net.Listener, maxClients int) (*sockets, <-chan error) {
	redis := realRedis(t)
	s := &sockets{T: t, Proxy: &proxy.Proxy{Upstreams: proxy.UpstreamsShared, MaxClients: maxClients}}
	s.addr = realDoor(t, s.Proxy, func() (net.Conn, error) { return net.Dial("unix", redis) })
	s.do(s.connect(), "+PONG\r\n", "PING") // opens the pipe
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	s.addr = l.Addr()
	return s, served
}

func listenAt(t *testing.T, network, addr string) net.Listener {
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// Whoever closes a listener himself is told by Serve, as by any server.
func TestListenerClosedByItsOwner(t *testing.T) {
	l := listenAt(t, "tcp", "127.0.0.1:0")
	s, served := accepting(t, l, 0)
	c := s.connect()
	s.do(c, "+PONG\r\n", "PING")
	l.Close()
	select {
	case err := <-served:
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("Serve goes on")
	}
	s.do(c, "+PONG\r\n", "PING") // who is there stays
}

func TestClientsOverUnixSocketsInTheLoop(t *testing.T) {
	s, _ := accepting(t, listenAt(t, "unix", filepath.Join(t.TempDir(), "s")), 0)
	for range 50 {
		c, err := net.Dial("unix", s.addr.String())
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(30 * time.Second))
		s.do(&socketLink{c, resp.NewReader(c)}, "+PONG\r\n", "PING")
		c.Close()
	}
	s.becomes("all have left", func() bool { return s.Stats().Clients <= 1 })
}

// The loop, too, tells who is one too many.
func TestTooManyClientsInTheLoop(t *testing.T) {
	s, _ := accepting(t, listenAt(t, "tcp", "127.0.0.1:0"), 3)
	first, second := s.connect(), s.connect()
	s.do(first, "+PONG\r\n", "PING")
	s.do(second, "+PONG\r\n", "PING")
	one := s.connect()
	if got, err := one.r.ReadFrame(); err != nil || !strings.HasPrefix(string(got), "-ERR max number of clients") {
		t.Errorf("got %q, %v", got, err)
	}
	one.Close()
	second.Close()
	s.becomes("one has left", func() bool { return s.Stats().Clients == 2 })
	s.do(s.connect(), "+PONG\r\n", "PING")
}

// A connection that its network has forgotten is noticed, and small replies are
// not held back, as with package net.
func TestOptionsOfClientsInTheLoop(t *testing.T) {
	l := listenAt(t, "tcp", "127.0.0.1:0")
	s, _ := accepting(t, l, 0)
	s.do(s.connect(), "+PONG\r\n", "PING")
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		for what, option := range map[string][2]int{
			"TCP_NODELAY":  {syscall.IPPROTO_TCP, syscall.TCP_NODELAY},
			"SO_KEEPALIVE": {syscall.SOL_SOCKET, syscall.SO_KEEPALIVE},
		} {
			if v, err := syscall.GetsockoptInt(int(fd), option[0], option[1]); v == 0 || err != nil {
				t.Errorf("%s is %d, %v: what is accepted inherits it", what, v, err)
			}
		}
	})
}
