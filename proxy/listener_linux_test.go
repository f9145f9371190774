package proxy

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/entraredis/entraredis"
)

// quits connects to l and has itself sent away.
func quits(t *testing.T, l net.Listener) {
	t.Helper()
	c, err := net.Dial(l.Addr().Network(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	c.Write([]byte("*1\r\n$4\r\nQUIT\r\n"))
	b := make([]byte, 10)
	if n, err := c.Read(b); string(b[:n]) != replyOK {
		t.Fatalf("got %q, %v", b[:n], err)
	}
}

// pollers counts the epoll instances of this process that a socket is in.
func pollers(t *testing.T, s *socket) (n int) {
	var socket syscall.Stat_t
	s.control(func(fd int) {
		if err := syscall.Fstat(fd, &socket); err != nil {
			t.Fatal(err)
		}
	})
	all, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range all {
		if what, _ := os.Readlink(fd); what == "anon_inode:[eventpoll]" {
			in, err := os.ReadFile("/proc/self/fdinfo/" + filepath.Base(fd))
			if err != nil {
				t.Fatal(err)
			}
			n += strings.Count(string(in), fmt.Sprintf("ino:%x ", socket.Ino))
		}
	}
	return n
}

// The runtime is not woken for clients that a loop accepts, whatever embeds the
// listener, and whoever closes that has the address back at once.
func TestListenerOfTheProxyAlone(t *testing.T) {
	for network, at := range map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "s")} {
		inner, err := net.Listen(network, at)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := inner.(syscall.Conn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		if n := pollers(t, &socket{fd: -1, raw: raw}); n != 1 {
			t.Fatalf("%s: in %d epoll instances at first, want the runtime's", network, n)
		}
		own := NewListener(inner)
		_, served := acceptingLoop(t, struct{ *Listener }{own})
		quits(t, own)
		own.mu.Lock()
		s := own.socket
		own.mu.Unlock()
		if s == nil {
			t.Fatalf("%s: not accepted in the loop", network)
		}
		if n := pollers(t, s); n != 1 {
			t.Errorf("%s: in %d epoll instances, want the loop's alone", network, n)
		}
		if err := own.Close(); err != nil {
			t.Errorf("%s: Close: %v", network, err)
		}
		if network == "unix" {
			if err := os.Remove(at); err != nil {
				t.Errorf("the path has not stayed: %v", err)
			}
		}
		again, err := net.Listen(network, own.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		again.Close()
		if err := within(t, "Serve goes on", served); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: Serve: %v", network, err)
		}
		if err := own.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: closed again: %v", network, err)
		}
	}
}

// Where there is no loop, clients are accepted by Accept.
func TestListenerWithoutLoop(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	own := NewListener(inner)
	p := &Proxy{Upstreams: UpstreamsShared, Dialer: &entraredis.Dialer{}}
	defer p.Close()
	p.init()
	p.loops.of(0).once.Do(func() {})
	if _, ok := p.acceptInLoop(own); ok {
		t.Fatal("accepted in a loop that is not open")
	}
	far, err := net.Dial("tcp", own.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	c, err := own.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	own.Close()
	again, err := net.Listen("tcp", own.Addr().String())
	if err != nil {
		t.Fatal("a copy is left: ", err)
	}
	again.Close()
}

// One that is closed while the loop takes it has no copy left.
func TestListenerClosedEarly(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	own := NewListener(inner)
	s := own.copied()
	own.Close()
	own.detach(s)
	again, err := net.Listen("tcp", own.Addr().String())
	if err != nil {
		t.Fatal("a copy is left: ", err)
	}
	again.Close()
	if own.copied() != nil {
		t.Error("a closed listener has a socket")
	}
}
