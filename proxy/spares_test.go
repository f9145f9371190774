package proxy_test

import (
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/emulator"
	"github.com/entraredis/entraredis/internal/resp"
	"github.com/entraredis/entraredis/proxy"
)

// spared runs f behind a proxy with n spares, once they are ready.
func spared(t *testing.T, n int, f func(d *door, l *line)) {
	l := &line{}
	within(t, func(p *proxy.Proxy) { p.Spares = n; l.through(p) }, func(d *door) {
		synctest.Wait()
		if s := d.Stats(); s.Spares != n || l.dials() != n {
			t.Fatalf("got %+v and %d dials, want %d spares", s, l.dials(), n)
		}
		f(d, l)
	})
}

func TestASpareIsTakenAndReplaced(t *testing.T) {
	spared(t, 2, func(d *door, l *line) {
		l.mu.Lock()
		l.hold = make(chan struct{})
		l.mu.Unlock()
		a, b, c := d.connect(), d.connect(), d.connect()
		a.do("+PONG\r\n", "PING") // no dial succeeds any more
		b.do("+OK\r\n", "AUTH", "any", "thing")
		b.do("+PONG\r\n", "PING")
		c.send("PING")
		pass(time.Second)
		if s := d.Stats(); s.Spares != 0 || s.SparesTaken != 2 || s.Dialing != 3 {
			t.Errorf("got %+v, want one dial for the third client and two for spares", s)
		}
		close(l.hold)
		c.want("+PONG\r\n")
		pass(time.Second)
		if s := d.Stats(); s.Spares != 2 || s.SparesTaken != 2 {
			t.Errorf("got %+v, want other spares", s)
		}
		a.do("+PONG\r\n", "PING")
	})
}

func TestASpareOutlivesTokens(t *testing.T) {
	spared(t, 1, func(d *door, l *line) {
		before := d.em.Stats().Commands
		pass(20 * tokenLife)
		if s := d.Dialer.Stats(); s.Dials != 1 || s.Expired != 0 || s.Reauths < 19 {
			t.Errorf("got %+v, want one spare that stays authenticated", s)
		}
		if got := d.em.Stats().Commands - before; got < 40 {
			t.Errorf("got %d commands in 20 minutes, want a PING each 30 s", got)
		}
		c := d.connect()
		c.do("+OK\r\n", "SET", "k", "v")
		pass(3 * tokenLife)
		c.do("$1\r\nv\r\n", "GET", "k")
		if s := d.Stats(); s.SparesTaken != 1 {
			t.Errorf("got %+v", s)
		}
	})
}

func TestADeadSpareIsNotHandedOut(t *testing.T) {
	spared(t, 1, func(d *door, l *line) {
		l.last().Close()
		c := d.connect() // the keeper may not have noticed
		c.do("+PONG\r\n", "PING")
		if s := d.Stats(); s.SparesTaken != 0 || s.DialFailures != 0 {
			t.Errorf("got %+v", s)
		}
		pass(2 * time.Second)
		if s := d.Stats(); s.Spares != 1 {
			t.Errorf("got %+v, want the spare replaced", s)
		}
	})
}

func TestASpareThatAnswersWronglyIsReplaced(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault emulator.Fault
		lost  bool
	}{
		{"not permitted", emulator.Fault{Body: "NOPERM this user has no permissions to run the 'ping' command"}, false},
		{"an error", emulator.Fault{Body: "NOAUTH Authentication required."}, true},
		{"more than an answer", emulator.Fault{Reply: "+PONG\r\n+PONG\r\n"}, true},
		{"half an answer", emulator.Fault{Reply: "+PO"}, true},
		{"silence", emulator.Fault{Hang: true}, true},
		{"the end", emulator.Fault{Reset: true}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spared(t, 1, func(d *door, l *line) {
				tt.fault.Endpoint, tt.fault.Command = "redis-command", "PING"
				remove := d.em.SetFault(tt.fault)
				pass(36 * time.Second) // a PING, and the time for its answer
				remove()
				pass(3 * time.Second)
				if got := l.dials() > 1; got != tt.lost || d.Stats().Spares != 1 {
					t.Errorf("got %d dials, %+v, lost: want %v", l.dials(), d.Stats(), tt.lost)
				}
				d.connect().do("+PONG\r\n", "PING")
			})
		})
	}
}

// While a spare waits for its PONG it is not to be had: a client dials.
func TestNoSpareInTheMidstOfItsPing(t *testing.T) {
	spared(t, 1, func(d *door, l *line) {
		remove := d.em.SetFault(emulator.Fault{Endpoint: "redis-command", Command: "PING", Delay: time.Second})
		defer remove()
		pass(30*time.Second + time.Millisecond)
		c := d.connect()
		c.do("$1\r\nx\r\n", "ECHO", "x")
		pass(2 * time.Second)
		if s := d.Stats(); s.SparesTaken != 0 || s.Spares != 1 || l.dials() != 2 {
			t.Errorf("got %+v and %d dials", s, l.dials())
		}
	})
}

func TestNoBusyLoopForSpares(t *testing.T) {
	l := &line{sever: true}
	within(t, func(p *proxy.Proxy) { p.Spares = 1; l.through(p) }, func(d *door) {
		pass(10 * time.Minute)
		if n := l.dials(); n < 20 || n > 60 {
			t.Errorf("got %d dials in 10 minutes, want pauses of up to 30 s", n)
		}
		if s := d.Stats(); int(s.DialFailures) != l.dials() {
			t.Errorf("got %+v, want each of %d dials to have failed", s, l.dials())
		}
		if n := strings.Count(d.log.String(), "level=WARN"); n != 1 {
			t.Errorf("got %d warnings, want one", n)
		}
		l.setSevered(false)
		pass(30 * time.Second)
		if s := d.Stats(); s.Spares != 1 {
			t.Errorf("got %+v", s)
		}
	})
	// A cache that closes what it has just accepted.
	spared(t, 1, func(d *door, l *line) {
		for range 5 {
			l.last().Close()
			synctest.Wait()
			if s := d.Stats(); s.Spares != 0 {
				t.Fatalf("got %+v, want a pause", s)
			}
			for d.Stats().Spares == 0 {
				pass(time.Second)
			}
		}
		if n := l.dials(); n != 6 {
			t.Errorf("got %d dials", n)
		}
	})
}

func TestShutdownClosesSpares(t *testing.T) {
	spared(t, 3, func(d *door, l *line) {
		if err := d.Shutdown(d.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if s := d.Dialer.Stats(); s.Open != 0 || d.Stats().Spares != 0 {
			t.Errorf("got %+v", s)
		}
	})
	// In the pause behind a failure, too: Close waits for the keepers.
	l := &line{sever: true}
	within(t, func(p *proxy.Proxy) { p.Spares = 1; l.through(p) }, func(d *door) {
		synctest.Wait()
		begun := time.Now()
		d.Proxy.Close()
		if got := time.Since(begun); got != 0 {
			t.Errorf("Close waited %v", got)
		}
	})
}

// The deadline that ends a spare's rest must not hurt TLS.
func TestSpareOverTLS(t *testing.T) {
	em := emulator.RunT(t)
	source, err := entraredis.New(credential(func() (azcore.AccessToken, error) {
		return azcore.AccessToken{Token: em.Mint("app", nil), ExpiresOn: time.Now().Add(time.Hour)}, nil
	}), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	p := &proxy.Proxy{Dialer: &entraredis.Dialer{Source: source, TLSConfig: em.TLSConfig()}, Addr: em.RedisAddr(), Spares: 1}
	defer p.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go p.Serve(listener)
	deadline := time.After(30 * time.Second)
	for tick := time.Tick(5 * time.Millisecond); p.Stats().Spares == 0; {
		select {
		case <-tick:
		case <-deadline:
			t.Fatal("no spare")
		}
	}
	nc, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	c := &link{t, nc, resp.NewReader(nc)}
	for range 3 {
		c.do("+PONG\r\n", "PING")
	}
	if s := p.Stats(); s.SparesTaken != 1 {
		t.Errorf("got %+v", s)
	}
}

// A spare that ends when nothing has been sent on it, or only what can be sent
// again, is not its client's loss.
func TestASpareThatEndsInAClientsHands(t *testing.T) {
	shared := func(p *proxy.Proxy) { onePipe(p) }
	for _, tt := range []struct {
		name   string
		change func(*proxy.Proxy)
		before func(c *link, u *upstreams) // it is taken
		spare  int                         // which of the upstreams it is
		after  func(c *link)
	}{
		{"first command", nil, func(_ *link, u *upstreams) { u.at(0).mortal.Store(true) }, 0, func(c *link) { c.do("+PONG\r\n", "PING") }},
		{"in place of another that ended", nil, func(c *link, u *upstreams) {
			c.do("+OK\r\n", "SELECT", "3")
			c.do("+OK\r\n", "SET", "k", "v")
			pass(time.Second) // there is the next spare
			u.at(1).mortal.Store(true)
			u.at(0).Close()
			synctest.Wait()
		}, 1, func(c *link) { c.do("$1\r\nv\r\n", "GET", "k") }},
		{"as a pipe, HELLO", shared, func(_ *link, u *upstreams) { u.at(0).mortal.Store(true) }, 0, func(c *link) {
			c.send("HELLO", "3")
			if got, err := c.r.ReadFrame(); err != nil || got[0] != '%' {
				t.Errorf("got %q, %v", got, err)
			}
		}},
		{"as a client's own, settings", shared, func(c *link, u *upstreams) {
			c.do("+OK\r\n", "CLIENT", "SETNAME", "me")
			pass(time.Second)
			u.at(1).mortal.Store(true)
		}, 1, func(c *link) {
			c.do("+OK\r\n", "MULTI")
			c.do("*0\r\n", "EXEC")
			c.do("$2\r\nme\r\n", "CLIENT", "GETNAME")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var u upstreams
			within(t, func(p *proxy.Proxy) {
				p.Spares = 1
				if tt.change != nil {
					tt.change(p)
				}
				u.watchAll(p)
			}, func(d *door) {
				synctest.Wait()
				c := d.connect()
				tt.before(c, &u)
				tt.after(c)
				if s := d.Stats(); s.SparesTaken == 0 || s.DialFailures != 0 || s.Clients != 1 {
					t.Errorf("got %+v", s)
				}
				if spare := u.at(tt.spare); spare.mortal.Load() && !spare.died.Load() {
					t.Error("nothing was tried on the spare")
				}
			})
		})
	}
}
