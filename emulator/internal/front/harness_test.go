package front_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/entraredis/entraredis/emulator/internal/acl"
	"github.com/entraredis/entraredis/emulator/internal/front"
	"github.com/entraredis/entraredis/internal/resp"
)

// clock is the tests' time: it stands still until it is moved.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.offset.Load())) }

func (c *clock) advance(d time.Duration) { c.offset.Add(int64(d)) }

// rig is a front before miniredis. A password is "<policy>;<lifetime>": the
// tests stand in for the issuer.
type rig struct {
	*front.Server
	clock *clock
	mini  *miniredis.Miniredis
}

func newRig(t *testing.T, cfg front.Config) *rig {
	t.Helper()
	r := &rig{clock: &clock{}, mini: miniredis.NewMiniRedis()}
	if cfg.Verify == nil {
		cfg.Verify = r.verify
	}
	if cfg.Backend == nil {
		cfg.Backend = func(context.Context) (net.Conn, error) { return r.mini.Dial() }
	}
	cfg.Now = r.clock.now
	r.Server = front.New(cfg)
	t.Cleanup(func() {
		r.Close()
		r.mini.Close()
	})
	return r
}

func (r *rig) verify(username, password string) (front.Session, error) {
	policy, life, ok := strings.Cut(password, ";")
	d, err := time.ParseDuration(life)
	if !ok || err != nil || username == "default" {
		return front.Session{}, errors.New("no such token")
	}
	rules, ok := acl.Named(policy)
	if !ok {
		rules = policy
	}
	parsed, err := acl.Parse(rules)
	return front.Session{Principal: username, Username: username, Expires: r.clock.now().Add(d), Rules: parsed}, err
}

const owner = "Data Owner;1h"

// dial opens a connection over a net.Pipe, without a socket.
func (r *rig) dial(t *testing.T) *client {
	t.Helper()
	a, b := net.Pipe()
	go r.ServeConn(b)
	return newClient(t, a)
}

// listen opens a connection over TCP.
func (r *rig) listen(t *testing.T) *client {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go r.Serve(ln)
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, nc)
}

type client struct {
	t  *testing.T
	nc net.Conn
	r  *resp.Reader
}

func newClient(t *testing.T, nc net.Conn) *client {
	t.Cleanup(func() { nc.Close() })
	return &client{t: t, nc: nc, r: resp.NewReader(nc)}
}

func (c *client) send(words ...string) {
	c.t.Helper()
	c.raw(string(resp.AppendCommand(nil, words...)))
}

func (c *client) raw(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.nc, s); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

// want reads one frame and compares it, without its last line end.
func (c *client) want(want string) {
	c.t.Helper()
	if got := c.read(); got != want {
		c.t.Errorf("got  %q\nwant %q", got, want)
	}
}

func (c *client) read() string {
	c.t.Helper()
	f, err := c.r.ReadFrame()
	if err != nil {
		c.t.Fatalf("read: %v", err)
	}
	return string(bytes.TrimSuffix(f, []byte("\r\n")))
}

// do sends the words of a command line and expects a reply.
func (c *client) do(line, want string) {
	c.t.Helper()
	c.send(strings.Fields(line)...)
	c.t.Log(line)
	c.want(want)
}

func (c *client) login(password string) {
	c.t.Helper()
	c.send("AUTH", "ada", password)
	c.want("+OK")
}

// closed expects the end of the connection, without another word.
func (c *client) closed() {
	c.t.Helper()
	if f, err := c.r.ReadFrame(); err == nil {
		c.t.Errorf("got %q, want a closed connection", f)
	}
}
