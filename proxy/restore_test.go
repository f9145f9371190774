package proxy_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/entraredis/entraredis/proxy"
)

// An idle client does not notice that its upstream was replaced.
func TestRestore(t *testing.T) {
	for _, tt := range []struct {
		name  string
		setup [][]string
		after func(c, other *link)
	}{
		{"nothing set", [][]string{{"SET", "k", "v"}}, func(c, _ *link) { c.do("$1\r\nv\r\n", "GET", "k") }},
		{"database and name", [][]string{{"SELECT", "3"}, {"SET", "k", "v"}, {"CLIENT", "SETNAME", "me"}}, func(c, other *link) {
			other.do("$-1\r\n", "GET", "k")
			c.do("$1\r\nv\r\n", "GET", "k")
			c.do("$2\r\nme\r\n", "CLIENT", "GETNAME")
		}},
		{"protocol", [][]string{{"HELLO", "3"}, {"HSET", "h", "f", "v"}}, func(c, _ *link) {
			c.do("%1\r\n$1\r\nf\r\n$1\r\nv\r\n", "HGETALL", "h")
		}},
		{"RESP2 subscriptions", [][]string{{"SUBSCRIBE", "a"}, {"SUBSCRIBE", "b"}, {"PSUBSCRIBE", "c*"}, {"UNSUBSCRIBE", "a"}}, func(c, other *link) {
			other.do(":0\r\n", "PUBLISH", "a", "x")
			other.do(":1\r\n", "PUBLISH", "b", "y")
			c.want("*3\r\n$7\r\nmessage\r\n$1\r\nb\r\n$1\r\ny\r\n")
			other.do(":1\r\n", "PUBLISH", "cc", "z")
			c.want("*4\r\n$8\r\npmessage\r\n$2\r\nc*\r\n$2\r\ncc\r\n$1\r\nz\r\n")
			c.do("*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:1\r\n", "UNSUBSCRIBE", "b")
		}},
		{"RESP3 subscriptions", [][]string{{"HELLO", "3"}, {"SUBSCRIBE", "a"}, {"PSUBSCRIBE", "b*"}}, func(c, other *link) {
			other.do(":1\r\n", "PUBLISH", "a", "x")
			c.want(">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n")
			c.do(">3\r\n$12\r\npunsubscribe\r\n$2\r\nb*\r\n:1\r\n", "PUNSUBSCRIBE", "b*")
		}},
		{"password in HELLO", [][]string{{"HELLO", "3", "AUTH", "default", "any"}, {"HSET", "h", "f", "v"}}, func(c, _ *link) {
			c.do("%1\r\n$1\r\nf\r\n$1\r\nv\r\n", "HGETALL", "h")
		}},
		{"password", [][]string{{"AUTH", "any"}}, func(c, _ *link) { c.do("+PONG\r\n", "PING") }},
		{"behind a transaction", [][]string{{"WATCH", "k"}, {"MULTI"}, {"EXEC"}}, func(c, _ *link) { c.do("+PONG\r\n", "PING") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var u upstreams
			within(t, u.watchAll, func(d *door) {
				c, other := d.connect(), d.connect()
				for _, command := range tt.setup {
					c.send(command...)
					if f, err := c.r.ReadFrame(); err != nil || f[0] == '-' {
						t.Fatalf("%q: got %q, %v", command, f, err)
					}
				}
				other.do("+PONG\r\n", "PING")
				u.at(0).Close()
				synctest.Wait()
				tt.after(c, other)
				if s := d.Stats(); s.Restored != 1 || s.Clients != 2 {
					t.Errorf("got %+v", s)
				}
			})
		})
	}
}

// What cannot be repeated, or may have run, ends the client as it would without us.
func TestNotRestored(t *testing.T) {
	for _, tt := range []struct {
		name  string
		setup [][]string
		last  []string // is not answered
	}{
		{"in a transaction", [][]string{{"MULTI"}}, nil},
		{"watching", [][]string{{"WATCH", "k"}}, nil},
		{"named by HELLO", [][]string{{"HELLO", "3", "SETNAME", "me"}}, nil},
		{"told its ID", [][]string{{"CLIENT", "ID"}}, nil},
		{"blocked", nil, []string{"BLPOP", "list", "0"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var u upstreams
			within(t, u.watchAll, func(d *door) {
				c := d.connect()
				for _, command := range tt.setup {
					c.send(command...)
					if f, err := c.r.ReadFrame(); err != nil || f[0] == '-' {
						t.Fatalf("%q: got %q, %v", command, f, err)
					}
				}
				if tt.last != nil {
					c.send(tt.last...)
					synctest.Wait()
				}
				if u.at(0) == nil {
					t.Fatal("no upstream")
				}
				u.at(0).Close()
				c.ended("")
				if s := d.Stats(); s.Restored != 0 {
					t.Errorf("got %+v", s)
				}
			})
		})
	}
}

// What the client sends while the cache is away waits for it, and is sent once.
func TestRestoreWhenCacheIsBack(t *testing.T) {
	var u upstreams
	within(t, u.watchAll, func(d *door) {
		c := d.connect()
		c.do(":1\r\n", "INCR", "n")
		d.away.Store(true)
		u.at(0).Close()
		synctest.Wait()
		c.send("INCR", "n")
		pass(3 * time.Second)
		d.away.Store(false)
		c.want(":2\r\n")
		c.do("$1\r\n2\r\n", "GET", "n")
	})
}

// at returns the upstream that was opened as the i-th, or nil.
func (u *upstreams) at(i int) *upstream {
	u.mu.Lock()
	defer u.mu.Unlock()
	if i >= len(u.open) {
		return nil
	}
	return u.open[i]
}

// A cache that ends every connection at once is not dialed all the time.
func TestRestoreAgainAndAgain(t *testing.T) {
	var u upstreams
	within(t, u.watchAll, func(d *door) {
		c := d.connect()
		c.do("+PONG\r\n", "PING")
		u.at(0).Close()
		synctest.Wait()
		if u.at(1) == nil {
			t.Fatal("not replaced at once")
		}
		u.at(1).Close()
		pass(time.Second)
		if u.at(2) != nil {
			t.Error("replaced again at once")
		}
		pass(2 * time.Second)
		if u.at(2) == nil {
			t.Error("not replaced again")
		}
		c.do("+PONG\r\n", "PING")
	})
}

func TestRestoreFails(t *testing.T) {
	for _, tt := range []struct {
		name string
		fail func(d *door, u *upstreams)
	}{
		{"cache stays away", func(d *door, _ *upstreams) { d.away.Store(true) }},
		{"next one ends", func(_ *door, u *upstreams) { u.dying.Store(true) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var u upstreams
			within(t, u.watchAll, func(d *door) {
				c := d.connect()
				c.do("+OK\r\n", "SELECT", "3")
				tt.fail(d, &u)
				u.at(0).Close()
				pass(time.Minute)
				if s := d.Stats(); s.Clients != 0 || s.Restored != 0 {
					t.Errorf("got %+v", s)
				}
			})
		})
	}
}

// watchAll is watch for upstreams of the clients' own.
func (u *upstreams) watchAll(p *proxy.Proxy) {
	dial := p.Dialer.NetDial
	p.Dialer.NetDial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		u.mu.Lock()
		defer u.mu.Unlock()
		up := &upstream{Conn: c}
		u.open = append(u.open, up)
		if u.dying.Load() {
			return &dyingConn{up}, nil
		}
		return up, nil
	}
}

// dyingConn ends with the first SELECT.
type dyingConn struct{ net.Conn }

func (c *dyingConn) Write(b []byte) (int, error) {
	if strings.Contains(string(b), "SELECT") {
		c.Conn.Close()
		return 0, errors.New("broken pipe")
	}
	return c.Conn.Write(b)
}
