package proxy_test

import (
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/entraredis/entraredis/emulator"
	"github.com/entraredis/entraredis/internal/resp"
	"github.com/entraredis/entraredis/proxy"
)

// frame sends a command and returns its reply.
func (l *link) frame(words ...string) string {
	l.Helper()
	l.send(words...)
	got, err := l.r.ReadFrame()
	if err != nil {
		l.Fatalf("%v: %v", words, err)
	}
	return string(got)
}

// Where RESP3 is refused each client hears it in the cache's words, shares an upstream
// all the same, and the cache is asked once a minute.
func TestProtocolRefused(t *testing.T) {
	within(t, onePipe, func(d *door) {
		const words = "ERR unknown command `HELLO`, with args beginning with: `3`, "
		heal := d.em.SetFault(emulator.Fault{Endpoint: "redis-command", Command: "HELLO", Body: words})
		clients := make([]*link, 20)
		for i := range clients {
			clients[i] = d.connect()
			if got := strings.TrimSpace(clients[i].frame("HELLO", "3")); got != "-"+strings.TrimSpace(words) {
				t.Fatalf("HELLO 3: got %q", got)
			}
			clients[i].do("$-1\r\n", "GET", "none")
		}
		d.dials(2)
		pass(59 * time.Second)
		clients[0].frame("HELLO", "3", "AUTH", "default", "x")
		d.dials(2)
		heal()
		pass(2 * time.Second)
		if got := clients[0].frame("HELLO", "3"); got[0] != '%' {
			t.Errorf("got %q", got)
		}
		clients[0].do("_\r\n", "GET", "none")
		clients[1].do("$-1\r\n", "GET", "none")
		d.dials(3)
		if s := d.Stats(); s.Pipes != 2 || s.Moves != 0 || s.DialFailures != 0 {
			t.Errorf("got %+v", s)
		}
	})
}

// A refusal that may pass is nobody's but the one's who asked.
func TestProtocolRefusedForNow(t *testing.T) {
	within(t, onePipe, func(d *door) {
		heal := d.em.SetFault(emulator.Fault{Endpoint: "redis-command", Command: "HELLO", Body: "ERR not now"})
		first, second := d.connect(), d.connect()
		if got := first.frame("HELLO", "3"); got != "-ERR not now\r\n" {
			t.Fatalf("HELLO 3: got %q", got)
		}
		heal()
		if got := second.frame("HELLO", "3"); got[0] != '%' {
			t.Fatalf("HELLO 3: got %q", got)
		}
		second.do("_\r\n", "GET", "none")
	})
}

// What the proxy answered by itself does not pass for the reply to what comes next.
func TestSettingBehindAnAnswer(t *testing.T) {
	within(t, func(p *proxy.Proxy) { onePipe(p); p.Auth = proxy.Password("", "secret") }, func(d *door) {
		c := d.connect()
		c.do("+OK\r\n", "AUTH", "secret")
		c.do(wrongPass, "HELLO", "3", "AUTH", "default", "wrong")
		if got := c.frame("HELLO", "3"); got[0] != '%' {
			t.Fatalf("HELLO 3: got %q", got)
		}
		c.do("_\r\n", "GET", "none")

		defer d.em.SetFault(emulator.Fault{Endpoint: "redis-command", Command: "CLIENT", Body: "NOPERM"})()
		other := d.connect()
		other.do("+OK\r\n", "AUTH", "secret")
		other.do("-NOPERM\r\n", "CLIENT", "SETNAME", "x")
		other.do("+OK\r\n", "MULTI") // on an upstream of its own, where no name is said again

		// HELLO is let through where CLIENT is not, and has to be repeated as it was.
		named := d.connect()
		if got := named.frame("HELLO", "3", "AUTH", "default", "secret", "SETNAME", "x"); got[0] != '%' {
			t.Fatalf("HELLO 3: got %q", got)
		}
		named.do("+OK\r\n", "MULTI")
		named.do("*0\r\n", "EXEC")
		synctest.Wait()
		named.do("_\r\n", "GET", "none")
	})
}

func TestProtocolsShareApart(t *testing.T) {
	within(t, func(p *proxy.Proxy) { onePipe(p); p.Auth = proxy.Password("", "secret") }, func(d *door) {
		two, three, again := d.connect(), d.connect(), d.connect()
		two.do("+OK\r\n", "AUTH", "secret")
		two.do("$-1\r\n", "GET", "none")
		for _, c := range []*link{three, again} {
			if got := c.frame("HELLO", "3", "AUTH", "default", "secret"); got[0] != '%' {
				t.Fatalf("HELLO 3: got %q", got)
			}
		}
		three.do("_\r\n", "GET", "none")
		two.do("$-1\r\n", "GET", "none")
		again.do("_\r\n", "GET", "none")
		d.dials(2)
		three.do("+OK\r\n", "MULTI") // on an upstream of its own, in its protocol
		three.do("+QUEUED\r\n", "GET", "none")
		three.do("*1\r\n_\r\n", "EXEC")
		synctest.Wait() // until the proxy, too, knows that the client has that
		three.do("_\r\n", "GET", "none")
		two.do("+OK\r\n", "MULTI") // on the same, in its own
		two.do("+QUEUED\r\n", "GET", "none")
		two.do("*1\r\n$-1\r\n", "EXEC")
		synctest.Wait()
		two.do("$-1\r\n", "GET", "none")
		d.dials(3)
		again.do(wrongPass, "HELLO", "2", "AUTH", "x", "wrong")
		again.do("_\r\n", "GET", "none")
		if got := again.frame("HELLO", "2"); got[0] != '*' {
			t.Errorf("HELLO 2: got %q", got)
		}
		again.do("$-1\r\n", "GET", "none")
		if got := again.frame("HELLO", "4"); !strings.HasPrefix(got, "-NOPROTO") {
			t.Errorf("HELLO 4: got %q", got)
		}
		if s := d.Stats(); s.Pipes != 2 {
			t.Errorf("got %+v", s)
		}
	})
}

// What a client has set is set on its own upstream, and not on the next
// client's.
func TestSettingsFollow(t *testing.T) {
	redis := realRedis(t)
	p := &proxy.Proxy{Upstreams: proxy.UpstreamsShared, Pipes: 1}
	addr := realDoor(t, p, func() (net.Conn, error) { return net.Dial("unix", redis) })
	connect := func() *link {
		c, err := net.Dial("tcp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return &link{t, c, resp.NewReader(c)}
	}
	named := connect()
	if got := named.frame("HELLO", "2", "SETNAME", "one"); got[0] != '*' {
		t.Errorf("got %q", got)
	}
	for _, refused := range [][]string{{"HELLO", "2", "SETNAME", "two words"}, {"HELLO", "2", "SETNAME"}, {"HELLO", "2", "AUTH", "x"}} {
		other := connect()
		if got := other.frame(refused...); got[0] != '-' {
			t.Errorf("%v: got %q", refused, got)
		}
		other.Close()
	}
	if s := p.Stats(); s.Moves != 2 { // those that are malformed
		t.Errorf("got %+v", s)
	}
	if got := named.frame("CLIENT", "SETNAME", "two words"); got[0] != '-' {
		t.Errorf("got %q", got)
	}
	named.do("+PONG\r\n", "PING")
	for range 3 {
		named.do("+OK\r\n", "MULTI")
		named.do("+QUEUED\r\n", "CLIENT", "GETNAME") // keeps it
		named.do("*1\r\n$3\r\none\r\n", "EXEC")
	}
	other := connect()
	other.do("+OK\r\n", "CLIENT", "SETNAME", "three")
	other.do("+OK\r\n", "WATCH", "k")
	other.do("+OK\r\n", "UNWATCH")
	other.do("+PONG\r\n", "PING") // and its upstream is given back
	last := connect()
	last.do("$-1\r\n", "CLIENT", "GETNAME")
	greeted := connect()
	greeted.frame("HELLO", "2", "SETNAME", "four")
	greeted.do("+OK\r\n", "WATCH", "k")
	greeted.do("+OK\r\n", "UNWATCH")
	greeted.do("+PONG\r\n", "PING")
	next := connect()
	next.do("$-1\r\n", "CLIENT", "GETNAME")
	for range 2 {
		greeted.do("+OK\r\n", "WATCH", "k")
		greeted.do("$4\r\nfour\r\n", "CLIENT", "GETNAME")
	}
	if s := p.Stats(); s.Moves != 2+6 {
		t.Errorf("got %+v, want each of six clients moved too", s)
	}
}
