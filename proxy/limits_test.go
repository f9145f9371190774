package proxy_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/entraredis/entraredis/internal/resp"
	"github.com/entraredis/entraredis/proxy"
)

const (
	commandTooLarge = "-ERR entraredis: command of more than 2048 bytes (--max-command)\r\n"
	replyTooLarge   = "-ERR entraredis: reply of more than 2048 bytes (--max-reply)\r\n"
	limit           = 2048
)

// commandOf returns a SET of a key, of so many bytes.
func commandOf(key string, size int) []byte {
	for over := range size {
		if b := resp.AppendCommand(nil, "SET", key, strings.Repeat("v", size-over)); len(b) == size {
			return b
		}
	}
	panic("no such command")
}

// replyOf returns a value that makes a reply of so many bytes.
func valueOf(size int) string {
	for over := range size {
		if len(resp.AppendBulk(nil, make([]byte, size-over))) == size {
			return strings.Repeat("v", size-over)
		}
	}
	panic("no such reply")
}

func bulkOf(value string) string { return string(resp.AppendBulk(nil, []byte(value))) }

// modes has f run with each kind of upstreams.
func modes(t *testing.T, change func(*proxy.Proxy), f func(d *door)) {
	for _, mode := range []proxy.Upstreams{proxy.UpstreamsDedicated, proxy.UpstreamsShared} {
		t.Run(mode.String(), func(t *testing.T) {
			within(t, func(p *proxy.Proxy) {
				p.Upstreams, p.Pipes = mode, 1
				change(p)
			}, f)
		})
	}
}

// write writes in the background, in chunks of so many bytes.
func (l *link) write(b []byte, chunk int) {
	go func() {
		for len(b) > 0 {
			n, err := l.Write(b[:min(chunk, len(b))])
			if b = b[n:]; err != nil {
				return
			}
		}
	}()
}

func TestMaxCommand(t *testing.T) {
	words := func(lines ...string) (b []byte) {
		for _, l := range lines {
			b = resp.AppendCommand(b, strings.Fields(l)...)
		}
		return b
	}
	subscribed := "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
	large := commandOf("victim", limit+1)
	modes(t, func(p *proxy.Proxy) { p.MaxCommand = limit }, func(d *door) {
		good := d.connect()
		refused := uint64(0)
		for _, tt := range []struct {
			name    string
			send    []byte
			want    string // replies, a line for each
			refused bool
		}{
			{"N", commandOf("k", limit), "+OK\r\n", false},
			{"N+1", large, "", true},
			{"far more", commandOf("victim", 300<<10), "", true},
			{"declared", []byte("*3\r\n$3\r\nSET\r\n$6\r\nvictim\r\n$1000000\r\n"), "", true},
			{"declared arguments", []byte("*100000\r\n$4\r\nMSET\r\n$6\r\n"), "", true},
			{"inline", []byte("SET victim " + strings.Repeat("v", limit)), "", true},
			{"pipeline", append(words("PING", "SET a 1", "GET a"), large...), "+PONG\r\n+OK\r\n$1\r\n1\r\n", true},
			{"pipeline behind it", append(append(words("PING"), large...), words("SET victim x", "FLUSHALL")...), "+PONG\r\n", true},
			{"transaction", append(words("MULTI", "SET victim 1"), large...), "+OK\r\n+QUEUED\r\n", true},
			{"behind a transaction", append(words("MULTI", "SET a 2", "EXEC"), large...), "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n", true},
			{"subscriber", append(words("SUBSCRIBE c"), large...), subscribed, true},
			{"blocked", append(words("BLPOP none 1"), large...), "*-1\r\n", true},
			{"silent", append(words("CLIENT REPLY OFF"), large...), "", true},
		} {
			for _, chunk := range []int{1, 7, 1 << 20} {
				c := d.connect()
				c.write(tt.send, chunk)
				for rest := tt.want; rest != ""; {
					var s resp.Replies
					n, _, _ := s.Next([]byte(rest))
					c.want(rest[:n])
					rest = rest[n:]
				}
				if tt.refused {
					refused++
					c.ended(commandTooLarge)
				} else {
					c.do("+PONG\r\n", "PING")
				}
				c.Close()
				good.do("$-1\r\n", "GET", "victim")
				pass(time.Second) // in which replies may still come to one that has left
				if s := d.Stats(); s.OversizedCommands != refused || s.OversizedReplies != 0 || s.Clients != 1 {
					t.Fatalf("%s by %d: got %+v", tt.name, chunk, s)
				}
			}
		}
		if !strings.Contains(d.log.String(), `level=WARN msg="client left"`) || !strings.Contains(d.log.String(), `reason="command of more than 2048 bytes (--max-command)"`) {
			t.Errorf("log: %s", d.log)
		}
		// No upstream of a client that was refused is left, or serves another.
		if s, shared := d.Dialer.Stats(), int64(d.Stats().Pipes); d.Upstreams == proxy.UpstreamsDedicated && s.Open != 1 || s.Open > 1+shared+1 {
			t.Errorf("%d upstreams are open, %d of them shared", s.Open, shared)
		}
	})
}

// What a client begins with goes to a spare at once.
func TestMaxCommandToSpare(t *testing.T) {
	modes(t, func(p *proxy.Proxy) { p.MaxCommand, p.Spares = limit, 1 }, func(d *door) {
		pass(time.Second)
		for range 3 {
			c := d.connect()
			c.write(commandOf("victim", limit+1), 1<<20)
			c.ended(commandTooLarge)
			pass(time.Second)
		}
		d.connect().do("$-1\r\n", "GET", "victim")
	})
}

// Above what travels over a pipe, a command is followed on an upstream of its
// client's own.
func TestMaxCommandOfOwnUpstream(t *testing.T) {
	const size = 100 << 10
	modes(t, func(p *proxy.Proxy) { p.MaxCommand = size }, func(d *door) {
		good := d.connect()
		for _, chunk := range []int{1000, 1 << 20} {
			c := d.connect()
			for range 3 {
				c.write(commandOf("k", size), chunk)
				c.want("+OK\r\n")
			}
			c.write(append(commandOf("k", size), commandOf("victim", size+1)...), chunk)
			c.want("+OK\r\n")
			c.ended("-ERR entraredis: command of more than 102400 bytes (--max-command)\r\n")
			good.do("$-1\r\n", "GET", "victim")
		}
	})
}

func TestMaxCommandBeforeLogin(t *testing.T) {
	modes(t, func(p *proxy.Proxy) { p.MaxCommand, p.Auth = limit, proxy.Password("", "secret") }, func(d *door) {
		for _, send := range []string{string(commandOf("k", limit+1)), "*2\r\n$4\r\nAUTH\r\n$3000\r\n"} {
			c := d.connect()
			c.write([]byte(send), 100)
			c.ended(commandTooLarge)
		}
		c := d.connect()
		c.do("+OK\r\n", "AUTH", "secret")
		c.write(commandOf("k", limit+1), 100)
		c.ended(commandTooLarge)
		if s := d.Stats(); s.OversizedCommands != 3 {
			t.Errorf("got %+v", s)
		}
	})
}

func TestMaxReply(t *testing.T) {
	fits, large := valueOf(limit), valueOf(limit+1)
	modes(t, func(p *proxy.Proxy) { p.MaxReply = limit }, func(d *door) {
		good := d.connect()
		good.do("+OK\r\n", "SET", "fits", fits)
		good.do("+OK\r\n", "SET", "large", large)
		good.do("+OK\r\n", "SET", "huge", strings.Repeat("v", 1<<20))
		good.do(":700\r\n", append([]string{"RPUSH", "list"}, strings.Fields(strings.Repeat("e ", 700))...)...)
		for i, tt := range []struct {
			lines, want string
		}{
			{"GET large", ""},
			{"GET huge", ""},
			{"LRANGE list 0 -1", ""},
			{"EVAL return{{redis.call('GET','fits')},redis.call('GET','fits')} 0", ""},
			{"PING|GET fits|GET large|SET behind 1|PING", "+PONG\r\n" + bulkOf(fits)},
			{"MULTI|GET fits|GET fits|EXEC", "+OK\r\n+QUEUED\r\n+QUEUED\r\n"},
			{"MULTI|GET a|EXEC|GET large", "+OK\r\n+QUEUED\r\n*1\r\n$-1\r\n"},
			{"SELECT 1|SET x " + large + "|GET x|PING", "+OK\r\n+OK\r\n"},
		} {
			var b []byte
			for l := range strings.SplitSeq(tt.lines, "|") {
				b = resp.AppendCommand(b, strings.Fields(l)...)
			}
			c := d.connect()
			c.write(b, 1<<20)
			for rest := tt.want; rest != ""; {
				var s resp.Replies
				n, _, _ := s.Next([]byte(rest))
				c.want(rest[:n])
				rest = rest[n:]
			}
			c.ended(replyTooLarge)
			c.Close()
			good.do(bulkOf(fits), "GET", "fits")
			pass(time.Second)
			if s := d.Stats(); s.OversizedReplies != uint64(i+1) || s.OversizedCommands != 0 || s.Clients != 1 || s.PipesLost != 0 || s.CommandsLost != 0 {
				t.Fatalf("%s: got %+v", tt.lines, s)
			}
		}
		if !strings.Contains(d.log.String(), `reason="reply of more than 2048 bytes (--max-reply)"`) {
			t.Errorf("log: %s", d.log)
		}
	})
}

func TestMaxReplyToSubscriber(t *testing.T) {
	for _, resp3 := range []bool{false, true} {
		modes(t, func(p *proxy.Proxy) { p.MaxReply = limit }, func(d *door) {
			good, sub := d.connect(), d.connect()
			kind := "*"
			if resp3 {
				kind = ">"
				sub.send("HELLO", "3")
				if _, err := sub.r.ReadFrame(); err != nil {
					t.Fatal(err)
				}
			}
			sub.do(kind+"3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n", "SUBSCRIBE", "c")
			begin := kind + "3\r\n$7\r\nmessage\r\n$1\r\nc\r\n"
			fits := valueOf(limit - len(begin))
			good.do(":1\r\n", "PUBLISH", "c", fits)
			sub.want(begin + bulkOf(fits))
			good.do(":1\r\n", "PUBLISH", "c", fits+"v")
			sub.ended(replyTooLarge)
			pass(time.Second)
			good.do(":0\r\n", "PUBLISH", "c", "x")
			if s := d.Stats(); s.OversizedReplies != 1 {
				t.Errorf("got %+v", s)
			}
		})
	}
}

// oneByOne is an upstream whose bytes come one by one.
type oneByOne struct{ net.Conn }

func (c oneByOne) Read(p []byte) (int, error) { return c.Conn.Read(p[:min(1, len(p))]) }

// Inside a reply nothing can be said any more.
func TestMaxReplyInPieces(t *testing.T) {
	fits, large := valueOf(limit), valueOf(limit+1)
	modes(t, func(p *proxy.Proxy) {
		p.MaxReply = limit
		dial := p.Dialer.NetDial
		p.Dialer.NetDial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dial(ctx, network, addr)
			return oneByOne{c}, err
		}
	}, func(d *door) {
		good := d.connect()
		good.do("+OK\r\n", "SET", "fits", fits)
		good.do("+OK\r\n", "SET", "large", large)
		c := d.connect()
		c.write(append(resp.AppendCommand(nil, "GET", "fits"), resp.AppendCommand(nil, "GET", "large")...), 1<<20)
		c.want(bulkOf(fits))
		c.ended("")
		good.do(bulkOf(fits), "GET", "fits")
		synctest.Wait()
		if s := d.Stats(); s.OversizedReplies != 1 || s.Clients != 1 || s.PipesLost != 0 {
			t.Errorf("got %+v", s)
		}
	})
}

// On a pipe others have their replies around one that is too large, and whoever
// gets that one may have many under way.
func TestMaxReplyAmongOthers(t *testing.T) {
	large := valueOf(limit + 1)
	within(t, func(p *proxy.Proxy) { onePipe(p); p.MaxReply = limit }, func(d *door) {
		good := d.connect()
		good.do("+OK\r\n", "SET", "large", large)
		var b []byte
		for range 100 {
			b = resp.AppendCommand(b, "INCR", "n")
		}
		b = resp.AppendCommand(b, "GET", "large")
		for range 100 {
			b = resp.AppendCommand(b, "GET", "large")
		}
		bad := []*link{d.connect(), d.connect(), d.connect()}
		for _, c := range bad {
			c.write(b, 1<<20)
		}
		for range 100 {
			good.do("+PONG\r\n", "PING")
		}
		for _, c := range bad {
			for range 100 {
				if got, err := c.r.ReadFrame(); err != nil || got[0] != ':' {
					t.Fatalf("got %q, %v", got, err)
				}
			}
			c.ended(replyTooLarge)
		}
		good.do("$3\r\n300\r\n", "GET", "n")
		synctest.Wait()
		if s := d.Stats(); s.OversizedReplies != 3 || s.PipesLost != 0 || s.Clients != 1 || s.Pipes != 1 {
			t.Errorf("got %+v", s)
		}
		d.dials(1)
	})
}

// A client that reads nothing is not waited for, for ever.
func TestRefusedClientReadsNothing(t *testing.T) {
	modes(t, func(p *proxy.Proxy) { p.MaxReply, p.MaxCommand = limit, limit }, func(d *door) {
		good := d.connect()
		good.do("+OK\r\n", "SET", "fits", valueOf(limit-100))
		c := d.connect()
		var b []byte
		for range 10 {
			b = resp.AppendCommand(b, "GET", "fits")
		}
		c.write(append(b, commandOf("victim", limit+1)...), 1<<20)
		pass(time.Minute)
		good.do("$-1\r\n", "GET", "victim")
		if d.Upstreams == proxy.UpstreamsDedicated { // it is Redis's affair how long, as without the limit
			c.Close()
			pass(time.Second)
		}
		if s := d.Stats(); s.Clients != 1 {
			t.Errorf("got %+v", s)
		}
	})
}
