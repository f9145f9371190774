//go:build unix

package proxy_test

import (
	"context"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/emulator"
	"github.com/entraredis/entraredis/internal/resp"
	"github.com/entraredis/entraredis/proxy"
)

// dull is a connection that can be made to read nothing once: whoever waits
// in Read, or comes to it, is woken by a deadline only, as if that had come first.
type dull struct {
	*net.TCPConn
	far   *net.TCPConn // the cache's end
	on    atomic.Bool
	met   chan struct{} // something has come that Read does not say
	woken chan struct{}
}

func (d *dull) Read(p []byte) (int, error) {
	if err := d.await(); err != nil {
		return 0, err
	}
	if !d.on.Swap(false) {
		return d.TCPConn.Read(p)
	}
	d.met <- struct{}{}
	<-d.woken
	return 0, os.ErrDeadlineExceeded
}

// await waits until something has come, be it the end.
func (d *dull) await() error {
	raw, err := d.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Read(func(fd uintptr) bool {
		_, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK)
		return err != syscall.EAGAIN && err != syscall.EINTR
	})
}

func (d *dull) SetReadDeadline(t time.Time) error {
	if !t.IsZero() && t.Before(time.Now()) {
		select {
		case d.woken <- struct{}{}:
		default:
		}
	}
	return d.TCPConn.SetReadDeadline(t)
}

// wires is a proxy before an emulator, over sockets that can be cut.
type wires struct {
	*testing.T
	*proxy.Proxy
	addr string

	mu  sync.Mutex // guards all
	all []*dull
}

func overWires(t *testing.T, tls bool, p *proxy.Proxy) *wires {
	em := emulator.RunT(t, emulator.Options{Plaintext: !tls})
	source, err := entraredis.New(credential(func() (azcore.AccessToken, error) {
		return azcore.AccessToken{Token: em.Mint("app", nil), ExpiresOn: time.Now().Add(time.Hour)}, nil
	}), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { source.Close() })
	cache := listen(t)
	w := &wires{T: t, Proxy: p}
	p.Addr = em.RedisAddr()
	p.Dialer = &entraredis.Dialer{Source: source, Plaintext: !tls, NetDial: func(ctx context.Context, _, addr string) (net.Conn, error) {
		return w.dial(ctx, cache, addr)
	}}
	if tls {
		p.Dialer.TLSConfig = em.TLSConfig()
	}
	door := listen(t)
	w.addr = door.Addr().String()
	t.Cleanup(func() { p.Close() })
	go p.Serve(door)
	return w
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// dial goes by way of a listener of our own, whose end can be cut.
func (w *wires) dial(ctx context.Context, by net.Listener, addr string) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	near, err := (&net.Dialer{}).DialContext(ctx, "tcp", by.Addr().String())
	if err != nil {
		return nil, err
	}
	far, err := by.Accept()
	if err != nil {
		return nil, err
	}
	cache, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	go func() { io.Copy(cache, far); cache.Close() }()
	go io.Copy(far, cache)
	d := &dull{TCPConn: near.(*net.TCPConn), far: far.(*net.TCPConn), met: make(chan struct{}, 1), woken: make(chan struct{}, 1)}
	w.all = append(w.all, d)
	return d, nil
}

func (w *wires) at(i int) *dull {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all[i]
}

func (w *wires) connect() *link {
	w.Helper()
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	return &link{w.T, c, resp.NewReader(c)}
}

// becomes waits until a state is reached that no event tells of.
func (w *wires) becomes(what string, f func() bool) {
	w.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !f(); <-tick.C {
		if time.Now().After(deadline) {
			w.Fatalf("%s: not so after 20 s", what)
		}
	}
}

// An end that the kernel knows of is noticed when a spare is taken, though its
// keeper was woken by that and not by the end.
func TestASpareThatHasEndedUnnoticed(t *testing.T) {
	for _, tt := range []struct {
		name string
		tls  bool
		end  func(cache *net.TCPConn)
	}{
		{"end", false, func(c *net.TCPConn) { c.Close() }},
		{"reset", false, func(c *net.TCPConn) { c.SetLinger(0); c.Close() }},
		{"something before the end", false, func(c *net.TCPConn) { io.WriteString(c, "+BYE\r\n"); c.Close() }},
		{"end of TLS", true, func(c *net.TCPConn) { c.Close() }},
		{"something before the end of TLS", true, func(c *net.TCPConn) { io.WriteString(c, "\x15\x03"); c.Close() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := overWires(t, tt.tls, &proxy.Proxy{Spares: 1})
			w.becomes("a spare", func() bool { return w.Stats().Spares == 1 })
			spare := w.at(0)
			spare.on.Store(true)
			tt.end(spare.far)
			<-spare.met
			w.connect().do("+PONG\r\n", "PING")
			if s := w.Stats(); s.SparesTaken != 0 || s.DialFailures != 0 || s.Restored != 0 {
				t.Errorf("got %+v, want the spare not to have been given away", s)
			}
		})
	}
}

// So it is with an upstream that a client has given back.
func TestAReturnedUpstreamThatHasEnded(t *testing.T) {
	for _, reset := range []bool{false, true} {
		w := overWires(t, false, &proxy.Proxy{Upstreams: proxy.UpstreamsShared, Pipes: 1})
		a, b := w.connect(), w.connect()
		a.do("+OK\r\n", "MULTI")
		a.do("*0\r\n", "EXEC")
		a.do("+PONG\r\n", "PING") // over a pipe: the upstream is given back
		own := w.at(0)
		if reset {
			own.far.SetLinger(0)
		}
		own.far.Close()
		if err := own.await(); err != nil {
			t.Fatal(err)
		}
		b.do("+OK\r\n", "MULTI")
		b.do("*0\r\n", "EXEC")
		b.do("+PONG\r\n", "PING")
		if s := w.Dialer.Stats(); s.Dials != 3 || s.DialFailures != 0 {
			t.Errorf("reset %v: got %+v, want two upstreams and a pipe", reset, s)
		}
	}
}
