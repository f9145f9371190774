package proxy_test

import (
	"context"
	"io"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/entraredis/entraredis/internal/resp"
	"github.com/entraredis/entraredis/proxy"
)

// sockets are clients of a proxy with shared upstreams before a real Redis.
type sockets struct {
	*testing.T
	*proxy.Proxy
	addr net.Addr
}

func overSockets(t *testing.T) *sockets {
	socket := realRedis(t)
	p := &proxy.Proxy{Upstreams: proxy.UpstreamsShared}
	addr := realDoor(t, p, func() (net.Conn, error) { return net.Dial("unix", socket) })
	return &sockets{t, p, addr}
}

func (s *sockets) connect() *socketLink {
	s.Helper()
	c, err := net.Dial("tcp", s.addr.String())
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	return &socketLink{c, resp.NewReader(c)}
}

func (s *sockets) do(c *socketLink, want string, words ...string) {
	s.Helper()
	c.Write(resp.AppendCommand(nil, words...))
	s.gets(c, want)
}

func (s *sockets) gets(c *socketLink, want string) {
	s.Helper()
	if got, err := c.r.ReadFrame(); err != nil || string(got) != want {
		s.Fatalf("got %.200q, %v, want %.200q", got, err, want)
	}
}

// becomes waits until f reports true.
func (s *sockets) becomes(what string, f func() bool) {
	s.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !f(); <-tick.C {
		if time.Now().After(deadline) {
			s.Fatalf("%s: not so after 20 s", what)
		}
	}
}

// goroutines counts those that are in a function of that name.
func goroutines(name string) int {
	b := make([]byte, 4<<20)
	return strings.Count(string(b[:runtime.Stack(b, true)]), name)
}

func TestIdleClientsNeedNoGoroutine(t *testing.T) {
	s := overSockets(t)
	for range 2 { // then each pipe is there
		s.do(s.connect(), "+PONG\r\n", "PING")
	}
	files := fds(t)
	clients := make([]*socketLink, 100)
	for i := range clients {
		clients[i] = s.connect()
		s.do(clients[i], "+PONG\r\n", "PING")
	}
	s.becomes("no goroutine for a client", func() bool { return goroutines("proxy.(*session)") == 0 })
	for _, c := range clients {
		s.do(c, "$1\r\nx\r\n", "ECHO", "x")
	}
	if n := goroutines("proxy.(*session).share"); n != 0 {
		t.Errorf("got %d goroutines for clients that ask for little", n)
	}
	// They leave, each in its way, and are not left behind.
	for i, c := range clients {
		switch i % 3 {
		case 0:
			c.Close()
		case 1:
			c.Conn.(*net.TCPConn).SetLinger(0)
			c.Close()
		default:
			c.Conn.(*net.TCPConn).CloseWrite()
		}
	}
	s.becomes("all have left", func() bool { return s.Stats().Clients == 2 })
	if n := goroutines("proxy.(*session)"); n != 0 {
		t.Errorf("got %d goroutines for clients that have left", n)
	}
	for _, c := range clients {
		c.Close()
	}
	s.becomes("no descriptor is left behind", func() bool { return fds(t) <= files })
}

func TestClientsLeaveTheLoopAndComeBack(t *testing.T) {
	for _, loops := range []int{1, 3} {
		t.Run(strconv.Itoa(loops)+" loops", func(t *testing.T) {
			proxy.SetLoops(t, loops)
			leaveAndComeBack(overSockets(t))
		})
	}
}

func leaveAndComeBack(s *sockets) {
	t := s.T
	var all sync.WaitGroup
	for i := range 8 {
		c := s.connect()
		all.Go(func() {
			key := "k" + strconv.Itoa(i)
			for n := range 50 {
				s.do(c, "+OK\r\n", "SET", key, strconv.Itoa(n))
				switch n % 5 {
				case 0: // a transaction
					s.do(c, "+OK\r\n", "MULTI")
					s.do(c, "+QUEUED\r\n", "INCR", key)
					s.do(c, "*1\r\n:"+strconv.Itoa(n+1)+"\r\n", "EXEC")
				case 1: // in pieces
					b := resp.AppendCommand(nil, "GET", key)
					for _, p := range [][]byte{b[:1], b[1:9], b[9:]} {
						c.Write(p)
						runtime.Gosched()
					}
					if got, err := c.r.ReadFrame(); err != nil || !strings.HasSuffix(string(got), strconv.Itoa(n)+"\r\n") {
						t.Errorf("got %q, %v", got, err)
					}
				case 2: // more than is read at a time
					value := strings.Repeat("v", 200_000)
					s.do(c, "+OK\r\n", "SET", key, value)
					s.do(c, ":200000\r\n", "STRLEN", key)
				case 3: // many at once
					var b []byte
					for range 3000 {
						b = resp.AppendCommand(b, "APPEND", key+"a", "x")
					}
					go c.Write(b)
					for range 3000 {
						if got, err := c.r.ReadFrame(); err != nil || got[0] != ':' {
							t.Errorf("got %q, %v", got, err)
							return
						}
					}
				}
			}
		})
	}
	all.Wait()
	s.becomes("no goroutine for a client", func() bool { return goroutines("proxy.(*session).share") == 0 })
}

func TestCloseEndsClientsOfTheLoop(t *testing.T) {
	s := overSockets(t)
	c := s.connect()
	s.do(c, "+PONG\r\n", "PING")
	s.becomes("no goroutine for a client", func() bool { return goroutines("proxy.(*session)") == 0 })
	s.Close()
	if _, err := c.r.ReadFrame(); err != io.EOF {
		t.Errorf("got %v, want the end", err)
	}
	s.becomes("no goroutine of a loop", func() bool { return goroutines("proxy.(*loop)") == 0 })
}

func TestShutdownEndsClientsOfTheLoop(t *testing.T) {
	s := overSockets(t)
	var all sync.WaitGroup
	for range 20 {
		c := s.connect()
		all.Go(func() {
			for range 20 {
				s.do(c, "+PONG\r\n", "PING")
			}
		})
	}
	all.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Errorf("clients that are owed nothing were waited for: %v", err)
	}
	s.becomes("no goroutine of a loop", func() bool { return goroutines("proxy.(*loop)") == 0 })
}

// filtered is a connection that is more than its socket.
type filtered struct {
	*net.UnixConn
	up, down atomic.Int64
}

func (f *filtered) Read(p []byte) (int, error) {
	n, err := f.UnixConn.Read(p)
	f.down.Add(int64(n))
	return n, err
}

func (f *filtered) Write(p []byte) (int, error) {
	f.up.Add(int64(len(p)))
	return f.UnixConn.Write(p)
}

// What the caller of the proxy has put around a socket is not gone around.
func TestWrappedSockets(t *testing.T) {
	for _, mode := range []proxy.Upstreams{proxy.UpstreamsDedicated, proxy.UpstreamsShared} {
		var f *filtered
		socket := realRedis(t)
		p := &proxy.Proxy{Upstreams: mode}
		s := &sockets{t, p, realDoor(t, p, func() (net.Conn, error) {
			c, err := net.Dial("unix", socket)
			if err == nil {
				f = &filtered{UnixConn: c.(*net.UnixConn)}
			}
			return f, err
		})}
		c := s.connect()
		s.do(c, "+OK\r\n", "SET", "k", "v")
		up, down := f.up.Load(), f.down.Load()
		s.do(c, "$1\r\nv\r\n", "GET", "k")
		if up == f.up.Load() || down == f.down.Load() {
			t.Errorf("%v: %d, %d bytes went through it", mode, f.up.Load()-up, f.down.Load()-down)
		}
	}
}
