package proxy_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/entraredis/entraredis"
	"github.com/entraredis/entraredis/emulator"
	"github.com/entraredis/entraredis/internal/resp"
	"github.com/entraredis/entraredis/proxy"
)

// rides are clients of a proxy before a real Redis, over sockets all the way,
// with tokens that the emulator accepts for long and the proxy takes to end soon.
type rides struct {
	*sockets
	em    *emulator.Emulator
	redis string // the socket of the Redis itself
	way   *way
}

type rideOptions struct {
	plaintext bool
	resp2     bool          // HELLO is refused
	life      time.Duration // of tokens; 0 = an hour
	change    func(*proxy.Proxy)
}

func overRides(t *testing.T, o rideOptions) *rides {
	t.Helper()
	redis := realRedis(t)
	em := emulator.RunT(t, emulator.Options{Flavor: emulator.FlavorRedis, Plaintext: o.plaintext, RefuseHello: o.resp2,
		Backend: func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, "unix", redis) }})
	life := o.life
	if life == 0 {
		life = time.Hour
	}
	var serial atomic.Int64
	source, err := entraredis.New(credential(func() (azcore.AccessToken, error) {
		n := serial.Add(1)
		token := em.Mint("app", func(c map[string]any) { c["uti"] = fmt.Sprint(n) })
		return azcore.AccessToken{Token: token, ExpiresOn: time.Now().Add(life)}, nil
	}), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { source.Close() })
	w := newWay(t, em.RedisAddr())
	p := &proxy.Proxy{Addr: em.RedisAddr()}
	p.Dialer = &entraredis.Dialer{Source: source, Plaintext: o.plaintext, TLSConfig: em.TLSConfig(),
		NetDial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", w.addr)
		}}
	if o.change != nil {
		o.change(p)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	go p.Serve(l)
	return &rides{&sockets{t, p, l.Addr()}, em, redis, w}
}

// aboard waits until no client has a goroutine.
func (r *rides) aboard() {
	r.Helper()
	r.becomes("no goroutine for a client", func() bool {
		return goroutines("proxy.(*ride)")+goroutines("proxy.(*client)")+goroutines("proxy.(*session)")+goroutines("proxy.(*stage)") == 0
	})
}

// reauths waits until each of the upstreams that are open has been
// re-authenticated so many times more.
func (r *rides) reauths(n uint64) {
	r.Helper()
	before := map[uint64]uint64{}
	for _, c := range r.em.Connections() {
		before[c.ID] = c.AuthCount
	}
	r.becomes("re-AUTHs", func() bool {
		for _, c := range r.em.Connections() {
			if was, ok := before[c.ID]; ok && c.AuthCount < was+n {
				return false
			}
		}
		return true
	})
}

// way is what lies between a proxy and its cache. It can be blocked and cut.
type way struct {
	addr string
	door net.Listener

	mu    sync.Mutex
	moved sync.Cond
	stuck bool
	conns map[net.Conn]struct{}
}

func newWay(t *testing.T, to string) *way {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &way{addr: l.Addr().String(), door: l, conns: map[net.Conn]struct{}{}}
	w.moved.L = &w.mu
	var all sync.WaitGroup
	t.Cleanup(func() { l.Close(); w.block(false); w.cut(); all.Wait() })
	all.Go(func() {
		for {
			a, err := l.Accept()
			if err != nil {
				return
			}
			b, err := net.Dial("tcp", to)
			if err != nil {
				a.Close()
				continue
			}
			w.mu.Lock()
			w.conns[a], w.conns[b] = struct{}{}, struct{}{}
			w.mu.Unlock()
			for _, d := range [][2]net.Conn{{a, b}, {b, a}} {
				all.Go(func() { w.carry(d[0], d[1]) })
			}
		}
	})
	return w
}

func (w *way) carry(from, to net.Conn) {
	defer w.forget(from)
	b := make([]byte, 32<<10)
	for {
		w.mu.Lock()
		for w.stuck {
			w.moved.Wait()
		}
		w.mu.Unlock()
		n, err := from.Read(b)
		if _, err := to.Write(b[:n]); err != nil {
			from.Close()
			return
		}
		if err != nil {
			to.(*net.TCPConn).CloseWrite()
			return
		}
	}
}

func (w *way) forget(c net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, c)
}

func (w *way) block(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stuck = on
	w.moved.Broadcast()
}

func (w *way) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		c.Close()
	}
}

func fds(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func eachTransport(t *testing.T, f func(t *testing.T, plaintext bool)) {
	for _, plaintext := range []bool{true, false} {
		t.Run(map[bool]string{true: "plain", false: "TLS"}[plaintext], func(t *testing.T) { f(t, plaintext) })
	}
}

func TestIdleRidesNeedNoGoroutine(t *testing.T) {
	eachTransport(t, func(t *testing.T, plaintext bool) {
		r := overRides(t, rideOptions{plaintext: plaintext})
		round := func(n int) {
			clients := make([]*socketLink, n)
			for i := range clients {
				clients[i] = r.connect()
				r.do(clients[i], "+PONG\r\n", "PING")
			}
			r.aboard()
			for i, c := range clients {
				k := "k" + strconv.Itoa(i)
				r.do(c, "+OK\r\n", "SET", k, k)
				r.do(c, "$"+strconv.Itoa(len(k))+"\r\n"+k+"\r\n", "GET", k)
			}
			r.aboard()
			for i, c := range clients {
				switch i % 3 {
				case 0:
					c.Close()
				case 1:
					c.Conn.(*net.TCPConn).SetLinger(0)
					c.Close()
				default:
					c.Conn.(*net.TCPConn).CloseWrite()
					if rest, err := io.ReadAll(c); len(rest) > 0 || err != nil {
						t.Errorf("got %q, %v", rest, err)
					}
					c.Close()
				}
			}
			r.becomes("all have left", func() bool {
				return r.Stats().Clients == 0 && r.Dialer.Stats().Open == 0 && r.em.Stats().Connections == 0
			})
		}
		round(60) // opens what there is one of
		runtime.GC()
		files, routines := fds(t), runtime.NumGoroutine()
		round(60)
		r.becomes("no file descriptor is left behind", func() bool { return fds(t) <= files })
		r.becomes("no goroutine is left behind", func() bool { return runtime.NumGoroutine() <= routines })
	})
}

// heldByProxy is about how much memory in use was taken by the proxy or a
// connection of the Dialer. What is in front of them, the cache, holds replies too.
func heldByProxy() (n int64) {
	runtime.GC()
	runtime.GC() // the profile is that of the one before
	records := make([]runtime.MemProfileRecord, 4096)
	k, _ := runtime.MemProfile(records, true)
	for _, r := range records[:k] {
		frames := runtime.CallersFrames(r.Stack())
		for more := true; more; {
			var f runtime.Frame
			f, more = frames.Next()
			if strings.HasPrefix(f.Function, "github.com/entraredis/entraredis/proxy.") || strings.HasPrefix(f.Function, "github.com/entraredis/entraredis.(") {
				n += r.InUseBytes()
				break
			}
		}
	}
	return n
}

// Replies of any size come whole, whether they are read at once, slowly or not
// for a while.
func TestRideCarriesLargeReplies(t *testing.T) {
	eachTransport(t, func(t *testing.T, plaintext bool) {
		r := overRides(t, rideOptions{plaintext: plaintext})
		c, other := r.connect(), r.connect()
		rnd := rand.New(rand.NewPCG(1, 2))
		big := make([]byte, 3<<20)
		for i := range big {
			big[i] = byte(rnd.Uint32())
		}
		r.do(c, "+OK\r\n", "SET", "big", string(big))
		r.do(other, "+PONG\r\n", "PING")
		r.aboard()
		const n = 16
		want := sha256.New()
		for range n {
			fmt.Fprintf(want, "$%d\r\n%s\r\n", len(big), big)
		}
		got := sha256.New()
		c.Write(bytes.Repeat(resp.AppendCommand(nil, "GET", "big"), n))
		size := int64(n * (len(big) + len(fmt.Sprintf("$%d\r\n\r\n", len(big)))))
		// Nothing is read until all is full; others go on.
		var last, same uint64
		r.becomes("full", func() bool {
			r.do(other, "+PONG\r\n", "PING")
			down := r.Stats().BytesDown
			if same++; down > last+100 { // more than what the other has got
				same = 0
			}
			last = down
			return same > 20 && down > 1<<20
		})
		if held := heldByProxy(); held > 8<<20 {
			t.Errorf("the proxy holds %d bytes", held)
		}
		// Then in small pieces, and then as fast as it goes.
		for range 2000 {
			k, err := io.CopyN(got, c, 100)
			if size -= k; err != nil {
				t.Fatal(err)
			}
			if size%7 == 0 {
				runtime.Gosched()
			}
		}
		if k, err := io.CopyN(got, c, size); err != nil {
			t.Fatalf("%d bytes, %v", k, err)
		}
		if !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
			t.Error("other bytes than were asked for")
		}
		r.do(c, "+PONG\r\n", "PING")
		r.aboard()
	})
}

// What upstream does not take holds up its client alone, and none of it is lost.
func TestRideAgainstAStalledUpstream(t *testing.T) {
	eachTransport(t, func(t *testing.T, plaintext bool) {
		r := overRides(t, rideOptions{plaintext: plaintext})
		c := r.connect()
		r.do(c, "+PONG\r\n", "PING")
		r.aboard()
		r.way.block(true)
		value := strings.Repeat("v", 30_000)
		const n = 1500
		sent := make(chan error, 1)
		go func() {
			for i := range n {
				if _, err := c.Write(resp.AppendCommand(nil, "SET", "k"+strconv.Itoa(i), value)); err != nil {
					sent <- err
					return
				}
			}
			sent <- nil
		}()
		last := uint64(0)
		var same int
		r.becomes("full", func() bool {
			up := r.Stats().BytesUp
			if up == last && up > 1<<20 {
				same++
			} else {
				same = 0
			}
			last = up
			return same > 20
		})
		select {
		case err := <-sent:
			t.Fatalf("everything was taken: %v", err)
		default:
		}
		if n := goroutines("proxy.(*ride)"); n != 0 {
			t.Errorf("%d goroutines for a client that waits", n)
		}
		r.way.block(false)
		for i := range n {
			if got, err := c.r.ReadFrame(); err != nil || string(got) != "+OK\r\n" {
				t.Fatalf("%d: got %q, %v", i, got, err)
			}
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
		r.do(c, ":30000\r\n", "STRLEN", "k"+strconv.Itoa(n-1))
		r.aboard()
	})
}

// A name in pieces waits in the proxy, and that is no reason to leave the loop.
func TestRideCutInsideAName(t *testing.T) {
	r := overRides(t, rideOptions{plaintext: true})
	c := r.connect()
	r.do(c, "+PONG\r\n", "PING")
	r.aboard()
	up := r.Stats().BytesUp
	io.WriteString(c, "*1\r\n$4\r\nPI")
	r.becomes("read", func() bool { return r.Stats().BytesUp > up })
	io.WriteString(c, "NG\r\n")
	if got, err := c.r.ReadFrame(); err != nil || string(got) != "+PONG\r\n" {
		t.Fatalf("got %q, %v", got, err)
	}
	r.aboard()
	// Behind a command that blocks is no end to what may have to wait.
	c.Write(resp.AppendCommand(resp.AppendCommand(nil, "BLPOP", "list", "0"), "PING"))
	r.becomes("a goroutine", func() bool { return goroutines("proxy.(*ride)") > 0 })
	r.do(r.connect(), ":1\r\n", "RPUSH", "list", "x")
	for _, want := range []string{"*2\r\n$4\r\nlist\r\n$1\r\nx\r\n", "+PONG\r\n"} {
		if got, err := c.r.ReadFrame(); err != nil || string(got) != want {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	}
}

func TestRideHalfClosed(t *testing.T) {
	eachTransport(t, func(t *testing.T, plaintext bool) {
		r := overRides(t, rideOptions{plaintext: plaintext})
		for _, aboard := range []bool{false, true} {
			for _, n := range []int{1, 50} {
				c := r.connect()
				want := ""
				if aboard {
					r.do(c, "+PONG\r\n", "PING")
					r.aboard()
				}
				big := strings.Repeat("v", 100_000)
				b := resp.AppendCommand(nil, "SET", "big", big)
				want += "+OK\r\n"
				for range n {
					b = resp.AppendCommand(b, "GET", "big")
					want += "$100000\r\n" + big + "\r\n"
				}
				c.Write(b)
				c.Conn.(*net.TCPConn).CloseWrite()
				got, err := io.ReadAll(c)
				if err != nil || string(got) != want {
					t.Errorf("aboard: %v, %d: got %d bytes, %v, want %d", aboard, n, len(got), err, len(want))
				}
			}
		}
		r.becomes("all have left", func() bool { return r.Stats().Clients == 0 })
	})
}

// Nobody knows what is due where the client is not followed any more.
func TestRideHalfClosedUnfollowed(t *testing.T) {
	r := overRides(t, rideOptions{plaintext: true})
	c := r.connect()
	r.do(c, "+PONG\r\n", "PING")
	r.aboard()
	r.way.block(true)
	io.WriteString(c, "*1\r\n$-5\r\n")
	c.Conn.(*net.TCPConn).CloseWrite()
	r.becomes("noticed", func() bool { return goroutines("proxy.(*ride)") > 0 || r.Stats().Clients == 0 })
	r.way.block(false)
	if got, err := io.ReadAll(c.Conn); err != nil || !strings.HasPrefix(string(got), "-ERR Protocol error") {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestRideWhoseUpstreamEnds(t *testing.T) {
	eachTransport(t, func(t *testing.T, plaintext bool) {
		r := overRides(t, rideOptions{plaintext: plaintext})
		idle, set, busy := r.connect(), r.connect(), r.connect()
		r.do(idle, "+PONG\r\n", "PING")
		r.do(set, "+OK\r\n", "SELECT", "3")
		r.do(busy, "+PONG\r\n", "PING")
		r.aboard()
		busy.Write(resp.AppendCommand(nil, "BLPOP", "none", "100"))
		r.becomes("blocked", func() bool { return r.blocked() == 1 })
		r.way.cut()
		if got, err := busy.r.ReadFrame(); err == nil {
			t.Errorf("a client that was owed something got %q", got)
		}
		r.becomes("restored", func() bool { return r.Stats().Restored == 2 && r.Stats().Clients == 2 })
		r.do(idle, "+OK\r\n", "SET", "k", "0")
		r.do(set, "+OK\r\n", "SET", "k", "3")
		r.do(idle, "$1\r\n0\r\n", "GET", "k")
	})
}

// A cache that does not come back is tried for as long as a client would wait,
// and not twice.
func TestRideThatCannotBeRestored(t *testing.T) {
	r := overRides(t, rideOptions{change: func(p *proxy.Proxy) { p.Dialer.ConnectTimeout = 500 * time.Millisecond }})
	c := r.connect()
	r.do(c, "+PONG\r\n", "PING")
	r.aboard()
	r.way.door.Close()
	r.way.cut()
	if got, err := c.r.ReadFrame(); err != io.EOF {
		t.Errorf("got %q, %v", got, err)
	}
	r.becomes("gone", func() bool { return r.Stats().Clients == 0 })
	if s := r.Stats(); s.DialFailures != 1 || s.Restored != 0 {
		t.Errorf("got %+v", s)
	}
}

// blocked is how many clients Redis has that are blocked.
func (r *rides) blocked() int {
	r.Helper()
	c, err := net.Dial("unix", r.redis)
	if err != nil {
		r.Fatal(err)
	}
	defer c.Close()
	c.Write(resp.AppendCommand(nil, "INFO", "clients"))
	got, err := resp.NewReader(c).ReadFrame()
	if err != nil {
		r.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(got), "blocked_clients:")
	n, _ := strconv.Atoi(rest[:strings.Index(rest, "\r")])
	return n
}

func TestReauthenticatedInTheLoop(t *testing.T) {
	for _, mode := range []proxy.Upstreams{proxy.UpstreamsDedicated, proxy.UpstreamsShared} {
		t.Run(mode.String(), func(t *testing.T) {
			eachTransport(t, func(t *testing.T, plaintext bool) {
				r := overRides(t, rideOptions{plaintext: plaintext, life: 600 * time.Millisecond,
					change: func(p *proxy.Proxy) { p.Upstreams = mode }})
				idle, busy, multi, sub2, sub3, blocked := r.connect(), r.connect(), r.connect(), r.connect(), r.connect(), r.connect()
				r.do(idle, "+OK\r\n", "SET", "k", "v")
				r.do(busy, ":1\r\n", "INCR", "n")
				r.do(multi, "+OK\r\n", "MULTI")
				r.do(multi, "+QUEUED\r\n", "INCR", "m")
				r.do(sub2, "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n", "SUBSCRIBE", "c")
				sub3.Write(resp.AppendCommand(nil, "HELLO", "3"))
				if _, err := sub3.r.ReadFrame(); err != nil {
					t.Fatal(err)
				}
				r.do(sub3, ">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n", "SUBSCRIBE", "c")
				blocked.Write(resp.AppendCommand(nil, "BLPOP", "list", "0"))
				done := make(chan struct{})
				var load sync.WaitGroup
				load.Go(func() {
					for n := 2; ; n++ {
						select {
						case <-done:
							return
						default:
						}
						r.do(busy, ":"+strconv.Itoa(n)+"\r\n", "INCR", "n")
					}
				})
				before := r.Dialer.Stats().Reauths
				for range 3 {
					before = r.Dialer.Stats().Reauths
					r.becomes("re-AUTHs", func() bool { return r.Dialer.Stats().Reauths >= before+6 })
					r.do(idle, "$1\r\nv\r\n", "GET", "k")
					r.do(idle, ":2\r\n", "PUBLISH", "c", "x")
					for c, kind := range map[*socketLink]string{sub2: "*", sub3: ">"} {
						if got, err := c.r.ReadFrame(); err != nil || string(got) != kind+"3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n" {
							t.Fatalf("got %q, %v", got, err)
						}
					}
				}
				close(done)
				load.Wait()
				r.do(multi, "*1\r\n:1\r\n", "EXEC")
				r.do(idle, ":1\r\n", "RPUSH", "list", "x")
				if got, err := blocked.r.ReadFrame(); err != nil || string(got) != "*2\r\n$4\r\nlist\r\n$1\r\nx\r\n" {
					t.Fatalf("got %q, %v", got, err)
				}
				r.do(blocked, "+PONG\r\n", "PING")
				if s := r.Dialer.Stats(); s.ReauthRefused != 0 || s.Expired != 0 {
					t.Errorf("got %+v", s)
				}
			})
		})
	}
}

// Idle clients of the loop are re-authenticated without anybody who reads for
// them.
func TestIdleInTheLoopReauthenticated(t *testing.T) {
	for _, mode := range []proxy.Upstreams{proxy.UpstreamsDedicated, proxy.UpstreamsShared} {
		t.Run(mode.String(), func(t *testing.T) {
			eachTransport(t, func(t *testing.T, plaintext bool) {
				r := overRides(t, rideOptions{plaintext: plaintext, life: 600 * time.Millisecond,
					change: func(p *proxy.Proxy) { p.Upstreams = mode }})
				var all []*socketLink
				for range 10 {
					c := r.connect()
					r.do(c, "+PONG\r\n", "PING")
					all = append(all, c)
				}
				r.aboard()
				r.reauths(4)
				r.aboard()
				for _, c := range all {
					r.do(c, "+PONG\r\n", "PING")
				}
				r.em.SetEntra(false)
				refused := r.Dialer.Stats().ReauthRefused
				r.becomes("refused", func() bool { return r.Dialer.Stats().ReauthRefused > refused+2 })
				for _, c := range all {
					r.do(c, "+PONG\r\n", "PING")
				}
				r.em.SetEntra(true)
				r.reauths(2)
				for _, c := range all {
					r.do(c, "+PONG\r\n", "PING")
				}
			})
		})
	}
}

func TestHandoverOfARide(t *testing.T) {
	eachTransport(t, func(t *testing.T, plaintext bool) {
		r := overRides(t, rideOptions{plaintext: plaintext, resp2: true, life: 800 * time.Millisecond})
		sub, pub := r.connect(), r.connect()
		r.do(sub, "+PONG\r\n", "PING")
		r.do(pub, "+PONG\r\n", "PING")
		r.aboard()
		r.do(sub, "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n", "SUBSCRIBE", "c")
		for i := 0; r.Dialer.Stats().Handovers < 3; i++ {
			m := strconv.Itoa(i)
			pub.Write(resp.AppendCommand(nil, "PUBLISH", "c", m))
			if got, err := pub.r.ReadFrame(); err != nil || got[0] != ':' {
				t.Fatalf("got %q, %v", got, err)
			}
			want := "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$" + strconv.Itoa(len(m)) + "\r\n" + m + "\r\n"
			if got, err := sub.r.ReadFrame(); err != nil || string(got) != want {
				t.Fatalf("got %q, %v, want %q", got, err, want)
			}
		}
		r.do(sub, "*3\r\n$11\r\nunsubscribe\r\n$1\r\nc\r\n:0\r\n", "UNSUBSCRIBE", "c")
		r.do(sub, "+PONG\r\n", "PING")
	})
}

func TestCloseWithRidesInTheLoop(t *testing.T) {
	eachTransport(t, func(t *testing.T, plaintext bool) {
		r := overRides(t, rideOptions{plaintext: plaintext})
		idle, stalled := r.connect(), r.connect()
		r.do(idle, "+OK\r\n", "SET", "big", strings.Repeat("v", 1<<20))
		r.do(stalled, "+PONG\r\n", "PING")
		r.aboard()
		stalled.Write(bytes.Repeat(resp.AppendCommand(nil, "GET", "big"), 50))
		r.becomes("replies", func() bool { return r.Stats().BytesDown > 1<<20 })
		r.Close()
		if _, err := idle.r.ReadFrame(); err != io.EOF {
			t.Errorf("got %v, want the end", err)
		}
		r.becomes("no goroutine is left", func() bool { return goroutines("proxy.(*") == 0 })
		if s := r.Dialer.Stats(); s.Open != 0 {
			t.Errorf("%d upstreams are open", s.Open)
		}
	})
}

// Shutdown waits for who has not read its replies.
func TestShutdownWaitsForWhatIsUnread(t *testing.T) {
	eachTransport(t, func(t *testing.T, plaintext bool) {
		r := overRides(t, rideOptions{plaintext: plaintext})
		slow, idle := r.connect(), r.connect()
		r.do(slow, "+OK\r\n", "SET", "big", strings.Repeat("v", 1<<20))
		r.do(idle, "+PONG\r\n", "PING")
		r.aboard()
		slow.Write(bytes.Repeat(resp.AppendCommand(nil, "GET", "big"), 30))
		var last, same uint64
		r.becomes("full", func() bool {
			r.do(idle, "+PONG\r\n", "PING")
			down := r.Stats().BytesDown
			if same++; down > last+100 { // more than what the other has got
				same = 0
			}
			last = down
			return same > 20 && down > 1<<20
		})
		var over sync.WaitGroup
		over.Go(func() { r.Shutdown(t.Context()) })
		if _, err := idle.r.ReadFrame(); err != io.EOF { // it has been silent for less long
			t.Fatalf("got %v, want the end", err)
		}
		r.becomes("gone", func() bool { return r.Stats().Clients < 2 })
		if r.Stats().Clients != 1 {
			t.Error("closed before it could read")
		}
		slow.Close()
		over.Wait()
	})
}

// rideScript is a random conversation of which every reply is known.
func rideScript(r *rand.Rand) []string {
	switch r.IntN(14) {
	case 0:
		return []string{"SUBSCRIBE {}c", "UNSUBSCRIBE {}c"}
	case 1:
		return []string{"SELECT " + strconv.Itoa(r.IntN(3))}
	case 2:
		return []string{"CLIENT SETNAME {}x", "CLIENT GETNAME"}
	case 3:
		return []string{"RESET"}
	case 4:
		return []string{"SET {}big " + strings.Repeat("b", r.IntN(1_000_000)), "GET {}big", "GET {}big"}
	case 5:
		return []string{"HELLO 4", "CLIENT NO-EVICT", "AUTH"}
	}
	return script(r)
}

func TestRideTwin(t *testing.T) {
	for _, mode := range []proxy.Upstreams{proxy.UpstreamsDedicated, proxy.UpstreamsAuto} {
		t.Run(mode.String(), func(t *testing.T) {
			eachTransport(t, func(t *testing.T, plaintext bool) {
				direct := realRedis(t)
				r := overRides(t, rideOptions{plaintext: plaintext, life: 2 * time.Second, change: func(p *proxy.Proxy) { p.Upstreams = mode }})
				var all sync.WaitGroup
				for i := range 12 {
					all.Go(func() { r.converse(t, i, mode, direct) })
				}
				all.Wait()
				if s := r.Dialer.Stats(); s.ReauthRefused != 0 || s.Expired != 0 {
					t.Errorf("got %+v", s)
				}
			})
		})
	}
}

func (r *rides) converse(t *testing.T, id int, mode proxy.Upstreams, direct string) {
	rnd := rand.New(rand.NewPCG(7, uint64(id)))
	for session := range 4 { // the state of one makes a client leave the loop
		a := r.connect()
		b, err := net.Dial("unix", direct)
		if err != nil {
			t.Error(err)
			return
		}
		defer b.Close()
		limit := time.Now().Add(2 * time.Minute)
		a.SetDeadline(limit)
		b.SetDeadline(limit)
		fromB := resp.NewReader(b)
		say := script
		if session%2 == 1 {
			say = rideScript
		}
		for range *twinRounds {
			if !agree(t, rnd, id, say(rnd), a, &socketLink{b, fromB}) {
				return
			}
		}
		a.Close()
	}
}

// Streams that no command asks for, and commands without a reply.
func TestRideOfItsOwnKind(t *testing.T) {
	eachTransport(t, func(t *testing.T, plaintext bool) {
		r := overRides(t, rideOptions{plaintext: plaintext, life: time.Second})
		monitor, silent, tracking, plain := r.connect(), r.connect(), r.connect(), r.connect()
		r.do(plain, "+OK\r\n", "SET", "k", "0")
		r.do(monitor, "+PONG\r\n", "PING")
		r.do(monitor, "+OK\r\n", "MONITOR")
		r.do(silent, "+PONG\r\n", "PING")
		silent.Write(resp.AppendCommand(nil, "CLIENT", "REPLY", "OFF"))
		tracking.Write(resp.AppendCommand(nil, "HELLO", "3"))
		if _, err := tracking.r.ReadFrame(); err != nil {
			t.Fatal(err)
		}
		r.do(tracking, "+OK\r\n", "CLIENT", "TRACKING", "ON")
		const rounds = 20
		for i := range rounds {
			n := strconv.Itoa(i)
			r.do(tracking, "$"+strconv.Itoa(len(n))+"\r\n"+n+"\r\n", "GET", "k")
			silent.Write(resp.AppendCommand(nil, "INCR", "k"))
			if got, err := tracking.r.ReadFrame(); err != nil || string(got) != ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n" {
				t.Fatalf("got %q, %v", got, err)
			}
			if i%5 == 4 {
				before := r.Dialer.Stats().Reauths // not of the one that monitors
				r.becomes("re-AUTHs", func() bool { return r.Dialer.Stats().Reauths >= before+3 })
			}
		}
		silent.Write(resp.AppendCommand(nil, "CLIENT", "REPLY", "ON"))
		if got, err := silent.r.ReadFrame(); err != nil || string(got) != "+OK\r\n" {
			t.Fatalf("got %q, %v", got, err)
		}
		r.do(silent, "$2\r\n20\r\n", "GET", "k")
		seen := 0
		for seen < rounds {
			got, err := monitor.r.ReadFrame()
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(got), `"INCR" "k"`) {
				seen++
			}
		}
		r.do(plain, "$2\r\n20\r\n", "GET", "k")
	})
}

// What a client sends while another upstream takes the place of its own.
func TestRideThatSendsWhileItIsRestored(t *testing.T) {
	eachTransport(t, func(t *testing.T, plaintext bool) {
		r := overRides(t, rideOptions{plaintext: plaintext})
		var all sync.WaitGroup
		for i := range 20 {
			c := r.connect()
			r.do(c, "+OK\r\n", "SELECT", strconv.Itoa(i%16))
			r.do(c, "+OK\r\n", "CLIENT", "SETNAME", "me")
			all.Go(func() {
				r.becomes("cut", func() bool { return r.Stats().Restored > 0 })
				r.do(c, "$2\r\nme\r\n", "CLIENT", "GETNAME")
				r.do(c, "+OK\r\n", "SET", "k"+strconv.Itoa(i), "v")
			})
		}
		r.aboard()
		r.becomes("cut", func() bool { r.way.cut(); return true })
		all.Wait()
		r.becomes("restored", func() bool { return r.Stats().Restored == 20 })
		r.aboard()
	})
}
