package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/internal/resp"
	"github.com/entraredis/entraredis/proxy"
)

// onePipe shares one upstream, so that clients meet on it.
func onePipe(p *proxy.Proxy) { p.Upstreams, p.Pipes = proxy.UpstreamsShared, 1 }

func (d *door) dials(want uint64) {
	d.Helper()
	if s := d.Dialer.Stats(); s.Dials != want {
		d.Errorf("got %d dials, want %d", s.Dials, want)
	}
}

func TestManyClientsShareAPipe(t *testing.T) {
	within(t, onePipe, func(d *door) {
		idle := d.connect()
		synctest.Wait()
		d.dials(0) // nobody has asked for anything
		clients := make([]*link, 50)
		for i := range clients {
			clients[i] = d.connect()
		}
		var all sync.WaitGroup
		for i, c := range clients {
			all.Go(func() {
				key := string(rune('A' + i))
				for range 20 {
					pipeline := resp.AppendCommand(nil, "SET", key, key)
					pipeline = resp.AppendCommand(pipeline, "GET", key)
					pipeline = resp.AppendCommand(pipeline, "ECHO", key)
					go c.Write(pipeline)
					c.want("+OK\r\n")
					c.want("$1\r\n" + key + "\r\n")
					c.want("$1\r\n" + key + "\r\n")
				}
			})
		}
		all.Wait()
		d.dials(1)
		pass(20 * tokenLife)
		idle.do("$1\r\nA\r\n", "GET", "A")
		d.dials(1)
		if s := d.Stats(); s.Pipes != 1 || s.Moves != 0 || s.BytesUp == 0 || s.BytesDown == 0 {
			t.Errorf("got %+v", s)
		}
	})
}

func TestTransactionsAreApart(t *testing.T) {
	within(t, onePipe, func(d *door) {
		a, b := d.connect(), d.connect()
		a.do("+OK\r\n", "SET", "k", "0")
		a.do("+OK\r\n", "WATCH", "k")
		a.do("+OK\r\n", "MULTI")
		a.do("+QUEUED\r\n", "INCR", "k")
		b.do(":1\r\n", "INCR", "k") // neither queued nor unseen by the watch
		a.do("*-1\r\n", "EXEC")
		synctest.Wait()
		a.do("$1\r\n1\r\n", "GET", "k")

		pipeline := resp.AppendCommand(nil, "GET", "k")
		for _, line := range []string{"MULTI", "INCR k", "INCR k", "EXEC", "GET k", "MULTI", "DISCARD", "EXEC", "PING"} {
			pipeline = resp.AppendCommand(pipeline, strings.Fields(line)...)
		}
		go a.Write(pipeline)
		for _, want := range []string{"$1\r\n1\r\n", "+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "*2\r\n:2\r\n:3\r\n", "$1\r\n3\r\n", "+OK\r\n", "+OK\r\n",
			"-ERR EXEC without MULTI\r\n", "+PONG\r\n"} {
			a.want(want)
		}
		d.dials(2) // the pipe, and one upstream of its own that was given back and taken again
	})
}

func TestOwnUpstreamIsGivenBack(t *testing.T) {
	within(t, onePipe, func(d *door) {
		for range 5 {
			c := d.connect()
			c.do("+OK\r\n", "MULTI")
			c.do("+OK\r\n", "DISCARD")
			pass(5 * time.Second) // in silence
			c.do("+PONG\r\n", "PING")
			c.Close()
		}
		d.dials(2)
		if s := d.Stats(); s.Moves != 5 || s.Pipes != 1 {
			t.Errorf("got %+v", s)
		}
		// What cannot be seen to end is not given back, and neither is what stands.
		for i, words := range [][]string{{"SELECT", "1"}, {"MULTI"}, {"WATCH", "k"}, {"SUBSCRIBE", "c"}, {"CLIENT", "ID"}, {"NOSUCH"}} {
			c := d.connect()
			c.send(words...)
			if _, err := c.r.ReadFrame(); err != nil {
				t.Fatal(err)
			}
			pass(5 * time.Second)
			if s := d.Dialer.Stats(); s.Open != int64(i)+2 {
				t.Errorf("behind %v: %d upstreams are open, want %d", words, s.Open, i+2)
			}
		}
	})
}

func TestReturnedUpstreamEnds(t *testing.T) {
	within(t, onePipe, func(d *door) {
		c := d.connect()
		c.do("+OK\r\n", "MULTI")
		c.do("+OK\r\n", "DISCARD")
		synctest.Wait() // until the proxy, too, knows that the client has that
		c.do("+PONG\r\n", "PING")
		pass(2 * time.Minute)
		if s := d.Dialer.Stats(); s.Open != 1 {
			t.Errorf("%d upstreams are open, want the pipe", s.Open)
		}
	})
}

func TestSharedStates(t *testing.T) {
	within(t, onePipe, func(d *door) {
		plain, sub, blocked := d.connect(), d.connect(), d.connect()
		plain.do("+OK\r\n", "SET", "k", "v")
		sub.do("*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n", "SUBSCRIBE", "c")
		blocked.send("BLPOP", "list", "0")
		pass(20 * tokenLife)
		plain.do(":1\r\n", "PUBLISH", "c", "m")
		sub.want("*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n")
		plain.do(":1\r\n", "RPUSH", "list", "x")
		blocked.want("*2\r\n$4\r\nlist\r\n$1\r\nx\r\n")
		blocked.do("$1\r\nv\r\n", "GET", "k")
		plain.do("+OK\r\n", "SELECT", "1")
		plain.do("$-1\r\n", "GET", "k")
		blocked.do("$1\r\nv\r\n", "GET", "k")
		inline := d.connect()
		go inline.Write([]byte("GET k\r\nPING\r\n"))
		inline.want("$1\r\nv\r\n")
		inline.want("+PONG\r\n")
	})
}

func TestSharedLocalAuth(t *testing.T) {
	within(t, func(p *proxy.Proxy) { onePipe(p); p.Auth = proxy.Password("", "secret") }, func(d *door) {
		c := d.connect()
		c.do("-NOAUTH Authentication required.\r\n", "GET", "k")
		d.dials(0)
		go c.Write(resp.AppendCommand(resp.AppendCommand(nil, "AUTH", "secret"), "PING"))
		c.want("+OK\r\n")
		c.want("+PONG\r\n")
		go c.Write(resp.AppendCommand(resp.AppendCommand(resp.AppendCommand(nil, "PING"), "AUTH", "x", "wrong"), "PING"))
		c.want("+PONG\r\n")
		c.want(wrongPass)
		c.want("+PONG\r\n")
		c.do("+OK\r\n", "AUTH", "me", "secret")
		c.send("QUIT")
		c.ended("+OK\r\n")
		d.dials(1)
		if n := d.Dialer.Stats().Reauths; n != 0 {
			t.Errorf("%d re-AUTHs for what the proxy answers itself", n)
		}
		h := d.connect()
		h.send("HELLO", "3", "AUTH", "default", "secret")
		if got, err := h.r.ReadFrame(); err != nil || got[0] != '%' {
			t.Errorf("HELLO: got %q, %v", got, err)
		}
		h.do("_\r\n", "GET", "nothing")
	})
}

func TestSharedNoUpstream(t *testing.T) {
	within(t, onePipe, func(d *door) {
		d.away.Store(true)
		for _, words := range [][]string{{"PING"}, {"MULTI"}} {
			c := d.connect()
			c.send(words...)
			c.ended("-ERR entraredis: cache:6380: cache does not answer: connection refused\r\n")
		}
		d.away.Store(false)
		d.connect().do("+PONG\r\n", "PING")
		if s := d.Stats(); s.FailedDials[entraredis.KindUnreachable] != 2 {
			t.Errorf("got %+v", s)
		}
	})
}

func TestSharedProtocolErrors(t *testing.T) {
	within(t, onePipe, func(d *door) {
		good := d.connect()
		for _, tt := range []struct{ send, want string }{
			{"*1\r\n!\r\n", "-ERR Protocol error: expected '$', got '!'\r\n"},
			{"*1\r\n$x\r\n", "-ERR Protocol error: invalid bulk length\r\n"},
			{"*x\r\n", "-ERR Protocol error: invalid multibulk length\r\n"},
		} {
			bad := d.connect()
			go bad.Write([]byte(tt.send))
			bad.ended(tt.want)
			good.do("+PONG\r\n", "PING")
		}
		// Commands that a lenient reader would take for more than one.
		bad := d.connect()
		go bad.Write([]byte("*1\r\n$4\r\nPINGxx*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"))
		bad.r.ReadFrame()
		good.do("$-1\r\n", "GET", "k")
	})
}

// upstreams keeps the connections of a proxy to the cache.
type upstreams struct {
	dying atomic.Bool // the next ones end early
	mu    sync.Mutex
	open  []*upstream
}

type upstream struct {
	net.Conn
	frozen chan struct{} // Read waits for it, if not nil
	mortal atomic.Bool   // it ends at the next write
	died   atomic.Bool   // and has
}

func (u *upstream) Write(p []byte) (int, error) {
	if u.mortal.Load() {
		u.died.Store(true)
		u.Conn.Close()
		return 0, errors.New("broken pipe")
	}
	return u.Conn.Write(p)
}

func (u *upstream) Read(p []byte) (int, error) {
	n, err := u.Conn.Read(p)
	if u.frozen != nil {
		<-u.frozen
		return 0, errors.New("cut")
	}
	return n, err
}

func (u *upstreams) watch(p *proxy.Proxy) {
	onePipe(p)
	u.watchAll(p)
}

func TestBrokenPipe(t *testing.T) {
	var u upstreams
	within(t, u.watch, func(d *door) {
		a, b := d.connect(), d.connect()
		a.do(":1\r\n", "INCR", "n")
		b.do("+PONG\r\n", "PING")
		u.open[0].frozen = make(chan struct{})
		a.send("INCR", "n")
		b.send("INCR", "n")
		synctest.Wait() // both are on their way
		close(u.open[0].frozen)
		for _, c := range []*link{a, b} {
			got, err := c.r.ReadFrame()
			if err != nil || !strings.HasPrefix(string(got), "-ERR entraredis: the connection to the cache was lost (") || !strings.Contains(string(got), "may have run") {
				t.Fatalf("got %q, %v", got, err)
			}
		}
		a.do("$1\r\n3\r\n", "GET", "n") // both have run, once
		b.do("+PONG\r\n", "PING")
		d.dials(2)
		if s := d.Stats(); s.PipesLost != 1 || s.CommandsLost != 2 || s.Pipes != 1 {
			t.Errorf("got %+v", s)
		}
	})
}

func TestIdlePipeEnds(t *testing.T) {
	var u upstreams
	within(t, u.watch, func(d *door) {
		c := d.connect()
		c.do("+OK\r\n", "SET", "k", "v")
		u.open[0].Close()
		synctest.Wait()
		c.do("$1\r\nv\r\n", "GET", "k")
		c.do("+OK\r\n", "MULTI")
		c.do("+OK\r\n", "DISCARD")
		u.open[2].Close() // its own, with no state on it
		synctest.Wait()
		c.do("$1\r\nv\r\n", "GET", "k")
		c.do("+OK\r\n", "MULTI")
		u.open[3].Close()
		c.ended("")
	})
}

func TestLargeRequest(t *testing.T) {
	within(t, onePipe, func(d *door) {
		c := d.connect()
		big := strings.Repeat("v", 200<<10)
		go c.Write(resp.AppendCommand(resp.AppendCommand(resp.AppendCommand(nil, "PING"), "SET", "k", big), "GET", "k"))
		c.want("+PONG\r\n")
		c.want("+OK\r\n")
		got, err := c.r.ReadFrame()
		if err != nil || len(got) != len(big)+11 {
			t.Errorf("got %d bytes, %v", len(got), err)
		}
		if s := d.Stats(); s.Moves != 1 {
			t.Errorf("got %+v, want the large one on an upstream of its own", s)
		}
	})
}

func TestAutoMovesLargeReplies(t *testing.T) {
	within(t, func(p *proxy.Proxy) { onePipe(p); p.Upstreams = proxy.UpstreamsAuto }, func(d *door) {
		c := d.connect()
		big := strings.Repeat("v", 50<<10)
		c.do("+OK\r\n", "SET", "k", big)
		for range 3 {
			c.do("$51200\r\n"+big+"\r\n", "GET", "k")
		}
		if s := d.Stats(); s.Moves != 1 {
			t.Errorf("got %+v", s)
		}
		pass(5 * time.Second)
		c.do("+PONG\r\n", "PING")
		if s := d.Stats(); s.Moves != 1 {
			t.Errorf("got %+v", s)
		}
	})
}

// waitsAtMost has another client of a pipe be answered in that time.
func (l *link) waitsAtMost(most time.Duration) {
	l.Helper()
	start := time.Now()
	synctest.Wait()
	l.do("+PONG\r\n", "PING")
	if took := time.Since(start); took > most {
		l.Errorf("the other client waited %v", took)
	}
}

// Clients that read nothing are closed, and the others of their pipe have
// waited for little longer than one of them took.
func TestSlowReaders(t *testing.T) {
	for n, most := range map[int]time.Duration{1: 1100 * time.Millisecond, 5: 1500 * time.Millisecond} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			within(t, onePipe, func(d *door) {
				other, large := d.connect(), d.connect()
				large.do("+OK\r\n", "SET", "k", strings.Repeat("v", 200<<10))
				large.Close()
				var pipeline []byte
				for range 200 {
					pipeline = resp.AppendCommand(pipeline, "GET", "k")
				}
				for range n {
					go d.connect().Write(pipeline)
				}
				other.waitsAtMost(most)
				synctest.Wait()
				if s := d.Stats(); s.SlowReaders != uint64(n) || s.Clients != 1 {
					t.Errorf("got %+v", s)
				}
			})
		})
	}
}

// trickle reads steadily, 800 KiB a second, until the end or until it has read that
// much.
func trickle(c io.Reader, most int) (read int) {
	b := make([]byte, 16<<10)
	for read < most {
		n, err := c.Read(b)
		if read += n; err != nil {
			break
		}
		pass(20 * time.Millisecond)
	}
	return read
}

// Clients that read, but so slowly that a large value would hold up the others of
// their pipe for long, are closed like those that read nothing.
func TestTricklingReaders(t *testing.T) {
	for n, most := range map[int]time.Duration{1: 2100 * time.Millisecond, 5: 3100 * time.Millisecond} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			within(t, onePipe, func(d *door) {
				other := d.connect()
				other.do("+OK\r\n", "SET", "k", strings.Repeat("v", 20<<20))
				var all sync.WaitGroup
				for range n {
					c := d.connect()
					c.send("GET", "k")
					all.Go(func() { trickle(c, 20<<20) })
				}
				other.waitsAtMost(most)
				all.Wait()
				synctest.Wait()
				if s := d.Stats(); s.SlowReaders != uint64(n) || s.Clients != 1 {
					t.Errorf("got %+v", s)
				}
			})
		})
	}
}

// One that is closed so and comes again does not keep the others from being waited for.
func TestTricklingReaderThatComesAgain(t *testing.T) {
	within(t, onePipe, func(d *door) {
		d.connect().do("+OK\r\n", "SET", "k", strings.Repeat("v", 20<<20))
		waited := []time.Duration{}
		for range 10 {
			c := d.connect()
			start := time.Now()
			c.send("GET", "k")
			trickle(c, 20<<20)
			waited = append(waited, time.Since(start))
			pass(time.Second)
		}
		if first, longest := waited[0], slices.Max(waited[1:]); longest < first*9/10 {
			t.Errorf("the first was waited for %v, no later one for more than %v", first, longest)
		}
	})
}

// One that holds its pipe up now and then, and takes all in between, is not closed.
func TestWhoCatchesUpIsNotClosed(t *testing.T) {
	within(t, onePipe, func(d *door) {
		const size = 5 << 20
		c := d.connect()
		value := strings.Repeat("v", size)
		c.do("+OK\r\n", "SET", "k", value)
		for range 10 {
			c.send("GET", "k")
			read := trickle(c, 1<<20) // the pipe waits meanwhile
			if _, err := io.CopyN(io.Discard, c, int64(size+len("$5242880\r\n\r\n")-read)); err != nil {
				t.Fatal(err)
			}
			pass(8 * time.Second)
		}
		if s := d.Stats(); s.SlowReaders != 0 {
			t.Errorf("got %+v", s)
		}
	})
}

// How much may be under way follows from how large replies turn out to be.
func TestExpectedReplies(t *testing.T) {
	within(t, onePipe, func(d *door) {
		c, other := d.connect(), d.connect()
		value := strings.Repeat("v", 60<<10)
		c.do("+OK\r\n", "SET", "k", value)
		c.do("$61440\r\n"+value+"\r\n", "GET", "k")
		var pipeline []byte
		for range 200 {
			pipeline = resp.AppendCommand(pipeline, "GET", "k")
		}
		go c.Write(pipeline) // and reads nothing: 1 MiB is under way, which holds nobody up
		synctest.Wait()
		start := time.Now()
		other.do("+PONG\r\n", "PING")
		if took := time.Since(start); took > 0 {
			t.Errorf("the other client waited %v", took)
		}
		for range 200 {
			c.want("$61440\r\n" + value + "\r\n")
		}
		if s := d.Stats(); s.SlowReaders != 0 || s.Clients != 2 {
			t.Errorf("got %+v", s)
		}
	})
}

// Who writes all before it reads anything gets all of it, as from a Redis.
func TestAllWrittenBeforeAnythingIsRead(t *testing.T) {
	within(t, onePipe, func(d *door) {
		c := d.connect()
		value := strings.Repeat("v", 2000)
		c.do("+OK\r\n", "SET", "k", value)
		var pipeline []byte
		const n = 20000
		for range n {
			pipeline = resp.AppendCommand(pipeline, "GET", "k")
		}
		if _, err := c.Write(pipeline); err != nil {
			t.Fatal(err)
		}
		for range n {
			c.want("$2000\r\n" + value + "\r\n")
		}
	})
}

func TestWaitIsNotAnsweredWrongly(t *testing.T) {
	within(t, onePipe, func(d *door) {
		c := d.connect()
		c.do("+OK\r\n", "SET", "k", "v")
		c.send("WAIT", "1", "0")
		if got, err := c.r.ReadFrame(); err != nil || !strings.HasPrefix(string(got), "-ERR entraredis: WAIT") {
			t.Errorf("got %q, %v", got, err)
		}
		c.do("+OK\r\n", "MULTI")
		c.do("+OK\r\n", "DISCARD")
		c.do("+OK\r\n", "WATCH", "k")
		c.send("WAIT", "1", "0")
		if got, err := c.r.ReadFrame(); err != nil || !strings.HasPrefix(string(got), "-ERR entraredis: WAIT") {
			t.Errorf("got %q, %v", got, err)
		}
		c.do("+PONG\r\n", "PING")
	})
}

func TestSharedShutdown(t *testing.T) {
	within(t, onePipe, func(d *door) {
		c := d.connect()
		c.do("+PONG\r\n", "PING")
		if err := d.Shutdown(d.Context()); err != nil {
			t.Error(err)
		}
		c.ended("")
	})
}

func TestUpstreamsFlag(t *testing.T) {
	for _, name := range []string{"dedicated", "shared", "auto"} {
		var u proxy.Upstreams
		if err := u.Set(name); err != nil || u.String() != name {
			t.Errorf("%s: got %v, %v", name, u, err)
		}
	}
	var u proxy.Upstreams
	if err := u.Set("other"); err == nil || u != proxy.UpstreamsDedicated {
		t.Errorf("got %v, %v", u, err)
	}
	if got := proxy.Upstreams(9).String(); got != "unknown" {
		t.Errorf("got %q", got)
	}
}

func TestSharedHalfClosed(t *testing.T) {
	for _, mode := range []proxy.Upstreams{proxy.UpstreamsShared, proxy.UpstreamsAuto} {
		redis := realRedis(t)
		addr := realDoor(t, &proxy.Proxy{Upstreams: mode}, func() (net.Conn, error) { return net.Dial("unix", redis) })
		c, err := net.Dial("tcp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		big := strings.Repeat("v", 60<<10)
		pipeline := resp.AppendCommand(nil, "SET", "big", big)
		want := "+OK\r\n"
		for range 100 {
			pipeline = resp.AppendCommand(pipeline, "GET", "big")
			want += fmt.Sprintf("$%d\r\n%s\r\n", len(big), big)
		}
		c.Write(pipeline)
		c.(*net.TCPConn).CloseWrite()
		if got, err := io.ReadAll(c); err != nil || string(got) != want {
			t.Errorf("%v: got %d bytes, %v, want %d", mode, len(got), err, len(want))
		}
	}
}

// Clients that need an upstream of their own all at once, as behind a failover,
// wait for their turn as those of dedicated upstreams do.
func TestOwnUpstreamsWaitTheirTurn(t *testing.T) {
	l := &line{}
	within(t, func(p *proxy.Proxy) {
		onePipe(p)
		p.MaxDials = 2
		l.hold = make(chan struct{})
		l.through(p)
	}, func(d *door) {
		all := make([]*link, 6)
		for i := range all {
			all[i] = d.connect()
			all[i].send("MULTI")
			synctest.Wait()
		}
		if s := d.Stats(); s.Dialing != 2 || s.DialsWaiting != 4 || l.dials() != 2 {
			t.Errorf("got %+v and %d dials, want 2 and 4 that wait", s, l.dials())
		}
		close(l.hold)
		for _, c := range all {
			c.want("+OK\r\n")
		}
		if s := d.Stats(); s.Dialing != 0 || s.DialsWaiting != 0 || s.DialFailures != 0 {
			t.Errorf("got %+v", s)
		}
	})
}

// Many clients of one pipe that cannot be opened are one dial, and the pauses
// between dials hold for pipes as well.
func TestPipeBacksOff(t *testing.T) {
	l := &line{sever: true}
	within(t, func(p *proxy.Proxy) {
		onePipe(p)
		p.Dialer.ConnectTimeout = time.Second
		l.through(p)
	}, func(d *door) {
		for range 3 {
			c := d.connect()
			c.send("PING")
			c.ended("-ERR entraredis: cache:6380: cache does not answer: connection refused\r\n")
		}
		if n := l.dials(); n < 2 || n > 6 {
			t.Errorf("got %d dials", n)
		}
		for i, at := range l.at[1:] {
			if pause := at.Sub(l.at[i]); pause < 50*time.Millisecond {
				t.Errorf("got dial %d %v behind the last one, want 50 ms at least", i+1, pause)
			}
		}
		l.setSevered(false)
		pass(2 * time.Second)
		c := d.connect()
		c.do("+PONG\r\n", "PING")
	})
}

func TestOwnUpstreamIsASpare(t *testing.T) {
	within(t, func(p *proxy.Proxy) {
		onePipe(p)
		p.Spares = 1
	}, func(d *door) {
		synctest.Wait()
		c := d.connect()
		c.do("+OK\r\n", "SELECT", "1")
		c.do("$-1\r\n", "GET", "k")
		pass(time.Second)
		if s := d.Stats(); s.SparesTaken != 1 || s.Spares != 1 {
			t.Errorf("got %+v, want a spare taken and replaced", s)
		}
	})
}

// deaf is a connection on which nothing comes any more once it is told so.
type deaf struct {
	net.Conn
	now atomic.Bool
}

func (c *deaf) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if err != nil || !c.now.Load() {
			return n, err
		}
	}
}

func TestSilentPipe(t *testing.T) {
	var all []*deaf
	within(t, func(p *proxy.Proxy) {
		onePipe(p)
		p.ReplyTimeout = 10 * time.Second
		dial := p.Dialer.NetDial
		p.Dialer.NetDial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dial(ctx, network, addr)
			all = append(all, &deaf{Conn: c})
			return all[len(all)-1], err
		}
	}, func(d *door) {
		a, b := d.connect(), d.connect()
		a.do(":1\r\n", "INCR", "n")
		pass(25 * time.Second) // nothing is due
		a.do(":2\r\n", "INCR", "n")
		b.do(":3\r\n", "INCR", "n")
		d.dials(1)

		all[0].now.Store(true)
		begun := time.Now()
		a.send("INCR", "n")
		pass(4 * time.Second)
		b.send("INCR", "n") // does not make the time longer
		for _, c := range []*link{a, b} {
			got, err := c.r.ReadFrame()
			if err != nil || !strings.Contains(string(got), "was lost (no reply for 10s); this command may have run") {
				t.Fatalf("got %q, %v", got, err)
			}
		}
		if took := time.Since(begun); took != 10*time.Second {
			t.Errorf("took %v, want 10s", took)
		}
		a.do("$1\r\n5\r\n", "GET", "n")
		d.dials(2)
		synctest.Wait()
		if s := d.Stats(); s.PipesLost != 1 || s.CommandsLost != 2 || s.Pipes != 1 {
			t.Errorf("got %+v", s)
		}
	})
}
