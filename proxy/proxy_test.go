package proxy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/emulator"
	"github.com/entraredis/entraredis/internal/resp"
	"github.com/entraredis/entraredis/proxy"
)

const tokenLife = time.Minute

// door is a proxy before an emulator, in a bubble, and a listener without a
// network.
type door struct {
	*testing.T
	*proxy.Proxy
	em    *emulator.Emulator
	conns chan net.Conn
	gone  chan struct{}
	once  sync.Once
	down  atomic.Bool // the issuer
	away  atomic.Bool // the cache
	fail  chan error  // of Accept
	log   *syncBuffer
}

// dial is a transport to the cache.
func (d *door) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if d.away.Load() {
		return nil, errors.New("connection refused")
	}
	return d.em.Dial(ctx)
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (d *door) Accept() (net.Conn, error) {
	select {
	case c := <-d.conns:
		return c, nil
	case err := <-d.fail:
		return nil, err
	case <-d.gone:
		return nil, net.ErrClosed
	}
}

func (d *door) Close() error   { d.once.Do(func() { close(d.gone) }); return nil }
func (d *door) Addr() net.Addr { return &net.UnixAddr{Name: "door", Net: "unix"} }

type credential func() (azcore.AccessToken, error)

func (c credential) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return c()
}

func within(t *testing.T, change func(*proxy.Proxy), f func(d *door)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := &door{T: t, conns: make(chan net.Conn), gone: make(chan struct{}), fail: make(chan error), log: &syncBuffer{}}
		d.em = emulator.RunT(t, emulator.Options{NoListen: true, Plaintext: true, TokenLifetime: tokenLife})
		serial := 0
		source, err := entraredis.New(credential(func() (azcore.AccessToken, error) {
			if d.down.Load() {
				return azcore.AccessToken{}, errors.New("issuer is down\nfor ever")
			}
			serial++
			token := d.em.Mint("app", func(claims map[string]any) { claims["uti"] = fmt.Sprint(serial) })
			return azcore.AccessToken{Token: token, ExpiresOn: time.Now().Add(tokenLife).Truncate(time.Second)}, nil
		}), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer source.Close()
		d.Proxy = &proxy.Proxy{
			Addr:   "cache:6380",
			Logger: slog.New(slog.NewTextHandler(d.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
			Dialer: &entraredis.Dialer{Source: source, Plaintext: true, NetDial: d.dial},
		}
		if change != nil {
			change(d.Proxy)
		}
		served := make(chan error, 1)
		go func() { served <- d.Serve(d) }()
		defer func() {
			d.Proxy.Close()
			if err := <-served; !errors.Is(err, proxy.ErrClosed) {
				t.Errorf("Serve returned %v", err)
			}
			if s := d.Stats(); s.Clients != 0 || d.Dialer.Stats().Open != 0 {
				t.Errorf("behind Close: %+v, %+v", s, d.Dialer.Stats())
			}
		}()
		f(d)
	})
}

type link struct {
	*testing.T
	net.Conn
	r *resp.Reader
}

func (d *door) connect() *link {
	ours, theirs := net.Pipe()
	d.conns <- theirs
	d.Cleanup(func() { ours.Close() })
	return &link{d.T, ours, resp.NewReader(ours)}
}

func (l *link) send(words ...string) {
	l.Helper()
	if _, err := l.Write(resp.AppendCommand(nil, words...)); err != nil {
		l.Fatalf("%v: %v", words, err)
	}
}

func (l *link) want(reply string) {
	l.Helper()
	got, err := l.r.ReadFrame()
	if err != nil || string(got) != reply {
		l.Fatalf("got %q, %v, want %q", got, err, reply)
	}
}

func (l *link) do(reply string, words ...string) {
	l.Helper()
	l.send(words...)
	l.want(reply)
}

// ended checks that the connection is closed, behind a reply if one is given.
func (l *link) ended(reply string) {
	l.Helper()
	if reply != "" {
		l.want(reply)
	}
	if got, err := l.r.ReadFrame(); err == nil {
		l.Fatalf("got %q, want the end", got)
	}
}

const wrongPass = "-WRONGPASS invalid username-password pair or user is disabled.\r\n"

func TestClientsOutliveTokens(t *testing.T) {
	within(t, nil, func(d *door) {
		plain, sub, blocked := d.connect(), d.connect(), d.connect()
		plain.do("+OK\r\n", "SET", "k", "v")
		sub.do("*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n", "SUBSCRIBE", "c")
		blocked.send("BLPOP", "list", "0")
		pass(20 * tokenLife)
		plain.do(":1\r\n", "PUBLISH", "c", "m")
		sub.want("*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n")
		plain.do(":1\r\n", "RPUSH", "list", "x")
		blocked.want("*2\r\n$4\r\nlist\r\n$1\r\nx\r\n")
		plain.do("$1\r\nv\r\n", "GET", "k")
		if s := d.Stats(); s.Clients != 3 || s.Accepted != 3 {
			t.Errorf("got %+v", s)
		}
		if s := d.Dialer.Stats(); s.Dials != 3 || s.Expired != 0 {
			t.Errorf("got %+v, want 3 upstreams for 20 lifetimes", s)
		}
	})
}

func TestWithoutLocalAuthAnyPasswordIsTaken(t *testing.T) {
	within(t, nil, func(d *door) {
		c := d.connect()
		c.do("+OK\r\n", "AUTH", "whatever")
		c.do("+OK\r\n", "AUTH", "me", "whatever")
		c.do("+PONG\r\n", "PING")
		if s := d.em.Stats(); s.AuthsRefused != 0 {
			t.Errorf("the cache was sent a password of the client's: %+v", s)
		}
	})
}

func TestLocalAuth(t *testing.T) {
	auth := func(p *proxy.Proxy) { p.Auth = proxy.Password("", "secret") }
	within(t, auth, func(d *door) {
		c := d.connect()
		c.do("-NOAUTH Authentication required.\r\n", "PING")
		c.do(wrongPass, "AUTH", "wrong")
		c.do("-ERR wrong number of arguments for 'auth' command\r\n", "AUTH")
		c.send("HELLO", "3")
		if got, err := c.r.ReadFrame(); err != nil || !strings.HasPrefix(string(got), "-NOAUTH HELLO") {
			t.Errorf("got %q, %v", got, err)
		}
		c.do("+RESET\r\n", "RESET")
		if n := d.Dialer.Stats().Dials; n != 0 {
			t.Errorf("%d upstreams were opened for a client that had not authenticated", n)
		}
		// All in one write: what stands behind AUTH is not lost.
		pipeline := resp.AppendCommand(resp.AppendCommand(nil, "auth", "secret"), "PING")
		go c.Write(pipeline)
		c.want("+OK\r\n")
		c.want("+PONG\r\n")
		c.do("+OK\r\n", "AUTH", "me", "secret")
		c.do(wrongPass, "AUTH", "wrong")
		c.do("+PONG\r\n", "PING")

		h := d.connect()
		h.send("HELLO", "3", "AUTH", "default", "secret", "SETNAME", "x")
		if got, err := h.r.ReadFrame(); err != nil || got[0] != '%' {
			t.Errorf("HELLO: got %q, %v", got, err)
		}
		h.do("_\r\n", "GET", "nothing")

		q := d.connect()
		q.send("QUIT")
		q.ended("+OK\r\n")
		g := d.connect()
		go g.Write([]byte("*1\r\n!\r\n"))
		g.ended("-ERR Protocol error: expected '$', got '!'\r\n")
		if s := d.Stats(); s.LoginsFailed != 1 {
			t.Errorf("got %+v", s)
		}
		if strings.Contains(d.log.String(), "secret") {
			t.Errorf("a password was logged:\n%s", d.log)
		}
	})
}

func TestSlowLogin(t *testing.T) {
	within(t, func(p *proxy.Proxy) { p.Auth = proxy.Password("", "secret"); p.LoginTimeout = time.Second }, func(d *door) {
		c := d.connect()
		c.ended("")
		synctest.Wait()
		if !strings.Contains(d.log.String(), "did not authenticate in time") {
			t.Errorf("log: %s", d.log)
		}
	})
}

func TestPassword(t *testing.T) {
	for _, tt := range []struct {
		wantName, want, name, got string
		ok                        bool
	}{
		{"", "pw", "default", "pw", true},
		{"", "pw", "anybody", "pw", true},
		{"", "pw", "default", "pw2", false},
		{"", "pw", "default", "", false},
		{"me", "pw", "me", "pw", true},
		{"me", "pw", "you", "pw", false},
		{"me", "pw", "default", "pw", false},
	} {
		if ok := proxy.Password(tt.wantName, tt.want)([]byte(tt.name), []byte(tt.got)); ok != tt.ok {
			t.Errorf("%+v: got %v", tt, ok)
		}
	}
}

func TestNoUpstream(t *testing.T) {
	within(t, nil, func(d *door) {
		d.away.Store(true)
		c := d.connect()
		go c.Write([]byte("PING\r\n"))
		c.ended("-ERR entraredis: cache:6380: cache does not answer: connection refused\r\n")
		d.away.Store(false)
		c = d.connect()
		c.do("+PONG\r\n", "PING")

		d.down.Store(true)
		pass(2 * tokenLife)
		n := d.connect()
		go n.Write([]byte("PING\r\n"))
		got, err := n.r.ReadFrame()
		if err != nil || !strings.HasPrefix(string(got), "-NOAUTH entraredis: ") || !strings.Contains(string(got), "issuer is down for ever") {
			t.Errorf("got %q, %v, want the cause", got, err)
		}
		s := d.Stats()
		if s.DialFailures != 3 || // one for c, whose upstream has ended with its token
			s.FailedDials[entraredis.KindUnreachable] != 1 || len(s.FailedDials) != 2 {
			t.Errorf("got %+v", s)
		}
		if _, ok := errors.AsType[*entraredis.TokenError](s.LastDialError); !ok || !s.LastDialFailure.Equal(time.Now()) {
			t.Errorf("got %v at %v, want the issuer's error now", s.LastDialError, s.LastDialFailure)
		}
	})
}

func TestUpstreamEnds(t *testing.T) {
	within(t, nil, func(d *door) {
		c := d.connect()
		c.do("+OK\r\n", "QUIT")
		c.ended("")
	})
}

func TestAcceptFails(t *testing.T) {
	within(t, nil, func(d *door) {
		for range 20 { // each pause is twice the last
			d.fail <- fmt.Errorf("accept: %w", syscall.EMFILE)
		}
		d.connect().do("+PONG\r\n", "PING")
		other := &door{gone: make(chan struct{}), fail: make(chan error, 1)}
		other.fail <- io.ErrUnexpectedEOF
		if err := d.Serve(other); err != io.ErrUnexpectedEOF {
			t.Errorf("Serve: got %v, want the listener's error", err)
		}
	})
}

// For the race detector.
func TestStatsWhileServeBegins(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy.Proxy{Dialer: &entraredis.Dialer{}, Addr: "127.0.0.1:1", Auth: proxy.Password("", "secret")}
	served := make(chan error)
	go func() { served <- p.Serve(l) }()
	came := make(chan error)
	go func() {
		c, err := net.Dial("tcp", l.Addr().String())
		if err == nil {
			c.Close()
		}
		came <- err
	}()
	for p.Stats().Accepted == 0 {
		runtime.Gosched()
	}
	if err := <-came; err != nil {
		t.Fatal(err)
	}
	p.Close()
	if err := <-served; !errors.Is(err, proxy.ErrClosed) {
		t.Errorf("got %v of Serve, want ErrClosed", err)
	}
}

func TestMaxClients(t *testing.T) {
	within(t, func(p *proxy.Proxy) { p.MaxClients = 1 }, func(d *door) {
		c := d.connect()
		c.do("+PONG\r\n", "PING")
		synctest.Wait()
		if s := d.Stats(); s.BytesUp == 0 || s.BytesDown == 0 {
			t.Errorf("got %+v, want the bytes of the client that is connected", s)
		}
		d.connect().ended("-ERR max number of clients reached\r\n")
		c.Close()
		pass(2 * time.Second)
		d.connect().do("+PONG\r\n", "PING")
		if s := d.Stats(); s.Refused != 1 || s.Accepted != 3 || s.BytesUp == 0 || s.BytesDown == 0 {
			t.Errorf("got %+v", s)
		}
	})
}

func TestShutdown(t *testing.T) {
	within(t, nil, func(d *door) {
		quiet, blocked, other := d.connect(), d.connect(), d.connect()
		quiet.do("+PONG\r\n", "PING")
		blocked.send("BLPOP", "list", "0")
		other.do("+PONG\r\n", "PING")
		ctx, cancel := context.WithTimeout(d.Context(), 5*time.Second)
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- d.Shutdown(ctx) }()
		other.do(":1\r\n", "RPUSH", "other", "x") // busy to the last
		quiet.ended("")
		if err := <-done; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown with a client that waits: got %v", err)
		}
		if s := d.Stats(); s.Clients != 1 {
			t.Errorf("got %+v, want the blocked one", s)
		}
		go d.Proxy.Close()
		blocked.ended("")
		if err := d.Shutdown(d.Context()); err != nil {
			t.Errorf("Shutdown when all have left: got %v", err)
		}
		if err := d.Serve(d); !errors.Is(err, proxy.ErrClosed) {
			t.Errorf("Serve behind Shutdown: got %v", err)
		}
	})
}

// On a real network: a client that has closed its own direction still gets
// its replies, over TCP and a Unix socket.
func TestHalfClosed(t *testing.T) {
	em := emulator.RunT(t)
	source, err := entraredis.New(credential(func() (azcore.AccessToken, error) {
		return azcore.AccessToken{Token: em.Mint("app", nil), ExpiresOn: time.Now().Add(time.Hour)}, nil
	}), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	p := &proxy.Proxy{Dialer: &entraredis.Dialer{Source: source, TLSConfig: em.TLSConfig()}, Addr: em.RedisAddr()}
	defer p.Close()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	unix, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []net.Listener{tcp, unix} {
		go p.Serve(l)
		c, err := net.Dial(l.Addr().Network(), l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		big := strings.Repeat("v", 300<<10)
		c.Write(resp.AppendCommand(resp.AppendCommand(nil, "SET", "big", big), "GET", "big"))
		c.(interface{ CloseWrite() error }).CloseWrite()
		got, err := io.ReadAll(c)
		if want := fmt.Sprintf("+OK\r\n$%d\r\n%s\r\n", len(big), big); err != nil || string(got) != want {
			t.Errorf("%s: got %d bytes, %v, want %d", l.Addr().Network(), len(got), err, len(want))
		}
	}
}

// pass lets fake time pass.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}
